"""Options that describe a network and its input where neither the checkpoint nor its weights do."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn_export.network.config import DEPTHS, FUSIONS, UPSAMPLINGS, TDNConfig
from edge_tdn_export.network.input_spec import stated_or_published

INPUT = ("size", "resize", "short_side", "frame_rate", "segment_stride")


def add_input_options(options: Any) -> None:
    """Add the fields of InputSpec to a parser or group."""
    options.add_argument(
        "--size",
        type=int,
        help="height and width of the network's input in pixels (default: as the weights state; published: 224)",
    )
    options.add_argument(
        "--resize",
        choices=("short_side_centre_crop", "stretch"),
        help="method of resizing frames (default: as the weights state; published: short_side_centre_crop)",
    )
    options.add_argument(
        "--short-side", type=int, help="shorter side of a frame before the crop, pixels (default: size * 256 / 224)"
    )
    options.add_argument(
        "--frame-rate",
        type=float,
        help="frames per second of the training videos (default: as the weights state; published: 12, Kinetics: 25)",
    )
    options.add_argument(
        "--segment-stride",
        type=int,
        help="frames from one segment to the next (default: as the weights state; published: 5 with 8 segments, 3 with "
        "16, Kinetics: 8 and 4)",
    )


def add_network_options(command: argparse.ArgumentParser) -> None:
    """Add the fields of TDNConfig; our own .safetensors files state them."""
    command.add_argument(
        "--entry",
        metavar="NAME",
        help="entry of the checkpoint that holds the weights, such as model_ema (default: state_dict, or the only one "
        "that is not averaged)",
    )
    network = command.add_argument_group("network, where weights and checkpoint do not show it")
    network.add_argument("--arch", choices=tuple(DEPTHS), help="the ResNet (default: read from the weights)")
    network.add_argument(
        "--segments",
        type=int,
        choices=(8, 16),
        metavar="T",
        help="segments per clip, 8 or 16; required if neither the checkpoint nor its name states it",
    )
    network.add_argument(
        "--width", type=float, help="channels relative to the named ResNet (default: read from the weights)"
    )
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


def input_spec(
    options: argparse.Namespace, config: TDNConfig, known: InputSpec | None, note: Callable[[str], None]
) -> InputSpec:
    """Return the input that the command line describes, else the `known` one, else that of published weights.

    `note` is called with what was assumed. ConfigError: it is invalid.
    """
    return stated_or_published(config, known, {name: getattr(options, name) for name in INPUT}, note)


def check_no_checkpoint_options(options: argparse.Namespace, names: Iterable[str], model: str) -> None:
    """ConfigError: an option of these names, which describe a checkpoint, is given for a model folder."""
    given = [name for name in names if getattr(options, name) is not None]
    if given:
        option = f"--{'no-' if getattr(options, given[0]) is False else ''}{given[0].replace('_', '-')}"
        raise ConfigError(f"{option}: is for a checkpoint; {model} is a model folder, and its manifest defines it")
