"""The command line of the exporter: edge-tdn-export convert."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge_tdn.errors import ConfigError, EdgeTdnError
from edge_tdn.manifest import InputSpec
from export import checkpoint
from export.convert import STEPS, Recipe, convert
from export.tdn import DEPTHS

EPILOG = """a published Something-Something model:
  edge-tdn-export convert best.pth.tar models/ssv2 --arch resnet50 --segments 8 --labels labels.txt

a Kinetics model, trained at 25 frames a second, a segment every 8 frames:
  edge-tdn-export convert best.pth.tar models/k400 --arch resnet50 --segments 8 --labels labels.txt \\
      --frame-rate 25 --segment-stride 8

exit status: 0 written and proven equal to PyTorch, 78 checkpoint, labels or sizes wrong (nothing is written)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status. Errors that a user can mend are said without a traceback."""
    options = _parser().parse_args(arguments)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _convert(options)
    except EdgeTdnError as error:
        print(f"edge-tdn-export: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("edge-tdn-export: stopped, nothing written", file=sys.stderr)
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends an export as Ctrl-C does: what was written so far goes."""
    raise KeyboardInterrupt


def _convert(options: argparse.Namespace) -> None:
    network = checkpoint.load(options.checkpoint, arch=options.arch, segments=options.segments, width=options.width)
    recipe = Recipe(
        id=options.id or options.out.name,
        labels=options.labels,
        input=_input(options),
        background=tuple(options.background),
        source=(("file", options.checkpoint.name), ("sha256", checkpoint.sha256(options.checkpoint))),
    )
    console = Console(stderr=True)
    with Progress(BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=STEPS)

        def step(what: str) -> None:
            progress.update(task, description=what, advance=1)

        manifest = convert(network, recipe, options.out, step)
    parity = manifest.parity["fp32"]
    error = parity.max_abs_logit_error / parity.largest_logit
    print(f"{options.out}: fp32, {error:.1g} of the largest logit from PyTorch on the golden clip")


def _input(options: argparse.Namespace) -> InputSpec:
    try:
        return InputSpec(
            segments=options.segments,
            height=options.size,
            width=options.size,
            resize=options.resize,
            short_side=0 if options.resize == "stretch" else options.short_side or round(options.size * 256 / 224),
            frame_rate=options.frame_rate,
            segment_stride=options.segment_stride,
        )
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(k) for k in fault["loc"]) or "input"
        raise ConfigError(f"{key}: {fault['msg']}, got {fault['input']!r}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-tdn-export",
        description="Turns PyTorch weights of a TDN into a model folder for edge-tdn, and proves it equal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    convert = commands.add_parser("convert", help="checkpoint -> model folder, FP32", epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    convert.add_argument("checkpoint", type=Path, help="published .pth.tar, bare state_dict, or .safetensors")
    convert.add_argument("out", type=Path, help="folder to make; must not exist")
    convert.add_argument("--arch", choices=tuple(DEPTHS), default="resnet50", help="(default: resnet50)")
    convert.add_argument(
        "--segments", type=int, default=8, choices=(8, 16), metavar="T", help="segments a clip: 8 or 16 (default: 8)"
    )
    convert.add_argument("--width", type=float, default=1.0, help="channels relative to the named ResNet (default: 1)")
    convert.add_argument("--labels", type=Path, required=True, help="one label a line, UTF-8, in the logits' order")
    convert.add_argument(
        "--background", nargs="*", default=[], metavar="LABEL", help="labels that never start an action"
    )
    convert.add_argument("--id", default="", help="the model's name in events (default: the folder's)")
    convert.add_argument("--size", type=int, default=224, help="height and width of the network's input (default: 224)")
    convert.add_argument(
        "--resize", choices=("short_side_centre_crop", "stretch"), default="short_side_centre_crop",
        help="how a picture gets that size (default: short_side_centre_crop, as published)",
    )  # fmt: skip
    convert.add_argument("--short-side", type=int, default=0, help="before the crop (default: size * 256 / 224)")
    convert.add_argument("--frame-rate", type=float, default=12.0,
                         help="frames a second of the training videos (default: 12, Something-Something)")  # fmt: skip
    convert.add_argument("--segment-stride", type=int, default=5,
                         help="frames from one segment to the next (default: 5: a clip of 8 spans 3.3 s)")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
