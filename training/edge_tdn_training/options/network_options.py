"""The options that describe a network and its input, of all commands that start from weights without a description."""

import argparse

from edge_tdn_export.network.config import DEPTHS


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the group of options that `network_options` and `input_spec` read."""
    parser.add_argument(
        "--entry", metavar="NAME", help="entry of a checkpoint that holds its weights, such as model_ema"
    )
    network = parser.add_argument_group("the network and its input, if --from does not define them")
    network.add_argument("--arch", choices=tuple(DEPTHS), help="the ResNet (default: resnet50)")
    network.add_argument("--segments", type=int, metavar="T", help="segments per clip (default: 8)")
    network.add_argument("--width", type=float, help="channels relative to the named ResNet (default: 1)")
    network.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another option of the network; T-Conv: --network stdm_stages=[] --network ltdm_stages=[]",
    )
    network.add_argument("--size", type=int, help="height and width of the network's input, pixels (default: 224)")
    network.add_argument(
        "--resize",
        choices=("short_side_centre_crop", "stretch"),
        help="method of resizing frames (default: short_side_centre_crop, as published)",
    )
    network.add_argument(
        "--frame-rate", type=float, help="frames per second of the clips (default: as published: 12, Kinetics: 25)"
    )
