"""The options of `edge-tdn-train evaluate`."""

import argparse
from pathlib import Path

from edge_tdn_export.video_options import LABELS_HELP, add_video_options

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, Run, add_command
from edge_tdn_training.options.machine_options import add_cache_option

REPORT = "evaluation.json"
MAX_TIMED_VIDEOS = 160

HELP = CommandHelp(
    description="""\
Measure how good a model is: on clips, by the published protocols, or on a long video, played like a camera. Use it to
compare models and precisions on videos that none of them was trained on.

With --stream, an event is right if it overlaps an interval of its label that no other event has; further ones, and
those that overlap no interval of their label, are false. The delay ends when the start event is published.
""",
    examples=(
        Example(
            "a folder with a folder of videos for each class, in the precisions of the daemon and in PyTorch",
            "edge-tdn-train evaluate --data clips/test --model models/mine --precision pytorch fp32 int8",
        ),
        Example(
            "the published ensemble by the Kinetics protocol, ten clips and three crops of each",
            "edge-tdn-train evaluate --data val.txt --model tdn8.pth.tar tdn16.pth.tar --segments 8 16 "
            "--labels labels.txt --frame-rate 25 --protocol 10x3",
        ),
        Example(
            "also the time of a video, decoding included, beside the paper's",
            "edge-tdn-train evaluate --data clips/test --model models/mine --timing",
        ),
        Example(
            "a long video, played like a camera, and a JSON file with the intervals of its actions",
            "edge-tdn-train evaluate --stream yard.mp4 yard.json --model models/mine --config site.toml",
        ),
    ),
    exit_status={0: "evaluated", 66: "", 71: "", 78: "model, labels or intervals are wrong"},
    notes="""\
The JSON file of --stream:

  {"segments": [
    {"label": "door_open", "start_s": 12.0, "end_s": 15.5},
    {"label": "background", "start_s": 15.5, "end_s": 60.0}]}

Protocols:

  1x1   one clip over the whole video, the model's own resize and centre crop
  10x3  ten clips of 64 frames, three crops each, scores averaged before
        softmax; PyTorch only, or a folder that was exported for that size
        (--size 256 --short-side 256)
""",
)


def add_parser(commands: Commands, run: Run, summary: str) -> None:
    """Add the subcommand `evaluate`."""
    parser = add_command(commands, "evaluate", run, summary, HELP)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--data", type=Path, metavar="PATH", help="a folder of videos for each class, or a list file: see train"
    )
    data.add_argument(
        "--stream", type=Path, nargs=2, metavar=("VIDEO", "JSON"), help="a long video, and its labelled intervals"
    )
    parser.add_argument(
        "--model",
        nargs="+",
        required=True,
        metavar="MODEL",
        help="a model folder or shipped model, a run, a checkpoint; several: an ensemble",
    )
    parser.add_argument(
        "--precision",
        nargs="+",
        default=[],
        metavar="P",
        help="precisions of the model folder, or pytorch (default: fp32; for a checkpoint pytorch)",
    )
    parser.add_argument("--protocol", choices=("1x1", "10x3"), default="1x1", help="with --data (default: 1x1)")
    add_cache_option(parser, "with --data: folder of decoded videos")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="TOML",
        help="with --stream: use [decide] of this configuration (default: its defaults)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help=f"folder for {REPORT} and the pictures (default: evaluation)",
    )
    parser.add_argument(
        "--timing",
        action="store_true",
        help="with --data: also measure the time of a video, decoding included, beside the paper's table 6: of the "
        f"first {MAX_TIMED_VIDEOS} videos, one model, PyTorch in batches of the paper's size",
    )
    add_video_options(parser, labels=True)
    _add_checkpoint_options(parser)


def _add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the description of a checkpoint; a model folder or a run has its own")
    group.add_argument("--labels", type=Path, help=f"{LABELS_HELP} (default: labels.txt beside it)")
    group.add_argument("--entry", metavar="NAME", help="entry that holds its weights, such as model_ema")
    group.add_argument("--arch", help="the ResNet (default: resnet50, or that of the weights)")
    group.add_argument(
        "--segments",
        type=int,
        nargs="+",
        metavar="T",
        help="segments per clip: one number, or one for each model",
    )
    group.add_argument("--size", type=int, help="height and width of the centre crop, pixels (default: 224)")
    group.add_argument(
        "--short-side", type=int, help="shorter side of a frame before the crop, pixels (default: size * 256 / 224)"
    )
    group.add_argument(
        "--frame-rate",
        type=float,
        help="frames per second of its training videos (default: as published: 12, Kinetics: 25)",
    )
