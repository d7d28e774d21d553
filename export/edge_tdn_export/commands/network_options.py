"""Options that describe a network and its input where the checkpoint does not; the defaults are the published ones."""

import argparse
from dataclasses import fields
from typing import Any

from edge_tdn.manifest import InputSpec
from edge_tdn_export.network.config import DEPTHS, FUSIONS, UPSAMPLINGS, TDNConfig

INPUT = ("size", "resize", "short_side", "frame_rate", "segment_stride")


def add_input_options(options: Any) -> None:
    """Add the fields of InputSpec to a parser or group."""
    options.add_argument("--size", type=int, help="height and width of the network's input in pixels (default: 224)")
    options.add_argument(
        "--resize",
        choices=("short_side_centre_crop", "stretch"),
        help="method of resizing frames (default: short_side_centre_crop, as published)",
    )
    options.add_argument(
        "--short-side", type=int, help="shorter side of a frame before the crop, pixels (default: size * 256 / 224)"
    )
    options.add_argument(
        "--frame-rate", type=float, help="frames per second of the training videos (default: 12, Something-Something)"
    )
    options.add_argument(
        "--segment-stride",
        type=int,
        help="frames from one segment to the next (default: 5: a clip of 8 spans 3.3 s)",
    )


def add_network_options(command: argparse.ArgumentParser) -> None:
    """Add the fields of TDNConfig; our own .safetensors files state them."""
    command.add_argument(
        "--entry",
        metavar="NAME",
        help="entry of the checkpoint that holds the weights, such as model_ema (default: state_dict, or the only one "
        "that is not averaged)",
    )
    network = command.add_argument_group("network, for checkpoints that do not state it")
    network.add_argument("--arch", choices=tuple(DEPTHS), help="the ResNet (default: resnet50)")
    network.add_argument(
        "--segments",
        type=int,
        choices=(8, 16),
        metavar="T",
        help="segments per clip, 8 or 16; required if the checkpoint does not state it",
    )
    network.add_argument("--width", type=float, help="channels relative to the named ResNet (default: 1)")
    paper = command.add_argument_group(
        "ablations of the paper (the published weights need none of these)",
        "for TSN: --stdm-stages, --ltdm-stages, --temporal-conv-stages without values\n"
        "for T-Conv: the first two of these without values",
    )
    paper.add_argument(
        "--stdm-stages",
        type=int,
        nargs="*",
        metavar="1..5",
        help="stages after which the S-TDM is fused (default: 1 2)",
    )
    paper.add_argument(
        "--stdm-fusion",
        choices=FUSIONS,
        help="fusion of the S-TDM (default: weighted, as published; add is equation 1)",
    )
    paper.add_argument("--ltdm-stages", type=int, nargs="*", metavar="2..5", help="stages with L-TDM (default: 3 4 5)")
    for name, effect in (
        ("multiscale", "one scale instead of three"),
        ("bidirectional", "only the difference to the next segment"),
        ("attention", "add the motion feature instead of gating with it"),
    ):
        paper.add_argument(
            f"--no-ltdm-{name}", dest=f"ltdm_{name}", action="store_const", const=False, help=f"L-TDM: {effect}"
        )
    paper.add_argument(
        "--temporal-conv-stages",
        type=int,
        nargs="*",
        metavar="2..5",
        help="stages with temporal convolution (default: 3 4 5)",
    )
    paper.add_argument(
        "--upsample",
        choices=UPSAMPLINGS,
        help="upsampling method (default: nearest, as published; the paper: bilinear)",
    )


def network_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `checkpoint.load` that the command line gives: `entry` and fields of TDNConfig."""
    names = ("entry", *(field.name for field in fields(TDNConfig)))
    given = {name: getattr(options, name, None) for name in names}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v is not None}


def input_spec(options: argparse.Namespace, segments: int) -> InputSpec:
    """Return the input that the command line describes. ConfigError: it is invalid."""
    from edge_tdn_export.network.input_spec import input_of

    return input_of(segments, **{name: getattr(options, name) for name in INPUT})
