"""`edge-tdn record`: record clips of an action from a live camera, to teach it to a model."""

import argparse
import logging
from pathlib import Path

from edge_tdn.cli.options import Commands, add_command

ACTION = (10, 3.0, 3.0)  # clips, their length and the countdown before each, seconds
BACKGROUND_CLIPS = (60, 10.0, 0.0)  # the same of the class background: nothing has to be performed for it

HELP = """\
Record clips of an action from a live camera, to teach it to a model with edge-tdn-train finetune.
A countdown precedes each clip, and the terminal rings at its start and end. The class background
is everything else that the camera sees: by default ten minutes of it, without a countdown. What
to type next is printed. Needs no PyTorch.

  edge-tdn record --source rtsp://192.168.1.20/stream --label "door open" --out clips
  edge-tdn record --source rtsp://192.168.1.20/stream --label background --out clips

a camera of a configuration, with its password, rotation and region; ten more clips, of five seconds:
  edge-tdn record --config site.toml --source front-door --label wave --out clips --seconds 5

Each call is one recording. Record on several days, in other light, with other people: a model is
evaluated on recordings that it was not trained on.

exit status: 0 recorded; 66 the source cannot be played, or ended too soon; 78 name or options are
wrong; 130 interrupted, finished clips stay
"""


def add_parser(commands: Commands) -> None:
    summary = "record clips of an action from a live camera, to teach it to a model"
    parser = add_command(commands, "record", run, logging.ERROR, summary, HELP)
    parser.add_argument(
        "--source",
        required=True,
        metavar="CAMERA",
        help="rtsp://, http(s)://, /dev/video*, file, gst: PIPELINE; or with --config a camera's name",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="TOML",
        help="the configuration of the camera (default: that of an installed host)",
    )
    parser.add_argument(
        "--label", required=True, metavar="NAME", help="action that the clips show, or background: their folder's name"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder with a folder for each class")
    lengths = [
        ("--count", int, "N", "number of clips"),
        ("--seconds", float, "SECONDS", "length of each clip"),
        ("--pause", float, "SECONDS", "countdown before each clip"),
    ]
    for (name, kind, metavar, what), action, background in zip(lengths, ACTION, BACKGROUND_CLIPS, strict=True):
        explanation = f"{what} (default: {action:g}; of background: {background:g})"
        parser.add_argument(name, type=kind, metavar=metavar, help=explanation)


def run(options: argparse.Namespace) -> int:
    from edge_tdn.cli.recording_session import record
    from edge_tdn.teaching.class_folder import is_background

    defaults = BACKGROUND_CLIPS if is_background(options.label) else ACTION
    return record(options, *defaults)
