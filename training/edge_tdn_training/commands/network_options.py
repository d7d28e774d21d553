"""The options that describe a network and its input, of all commands that start from weights without a description."""

import argparse
import json
from dataclasses import fields
from typing import Any

from edge_tdn_export.network.config import DEPTHS, TDNConfig
from edge_tdn_export.network.input_spec import stated_or_published

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn_training.loop.initial_weights import InitialWeights


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


def network_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the given options of TDNConfig, and `entry`. ConfigError: --network names an unknown one."""
    names = ("entry", "arch", "segments", "width")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for pair in options.network:
        name, _, text = pair.partition("=")
        if name not in {field.name for field in fields(TDNConfig)} - {"classes"}:
            raise ConfigError(f"--network {pair!r}: not an option of the network; see edge-tdn-export convert --help")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        given[name] = tuple(value) if isinstance(value, list) else value
    return given


def input_spec(options: argparse.Namespace, initial: InitialWeights) -> tuple[InputSpec, list[str]]:
    """Return the input of the initial weights: as given, as they state it or as published; and notes on the last.

    ConfigError: the options are invalid.
    """
    notes: list[str] = []
    given = {name: getattr(options, name) for name in ("size", "resize", "frame_rate")}
    return stated_or_published(initial.original, initial.spec, given, notes.append), notes
