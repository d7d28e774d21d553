"""`edge-tdn record`: record clips of an action from a live camera, to teach it to a model."""

import argparse
import logging
from pathlib import Path

from edge_tdn.cli.options import SITE, add_camera_config, add_command
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands

ACTION = (10, 3.0, 3.0)  # clips, their length and the countdown before each, seconds
BACKGROUND_CLIPS = (60, 10.0, 0.0)  # the same of the class background: nothing has to be performed for it

HELP = CommandHelp(
    description="""\
Record clips of an action from a live camera, with a countdown before each; the terminal rings at each start and end.
Use it to teach an action of your own: record the action, then the class `background`, which is everything else that
this camera sees, then train with edge-tdn-train finetune. What to type next is printed. It needs no PyTorch.

Record on several days, in other light, with other people: each call is one recording, and a model is evaluated on
recordings that it was not trained on.
""",
    examples=(
        Example(
            "ten clips of three seconds, with a countdown of three before each",
            'edge-tdn record --source rtsp://192.168.1.20/stream --label "door open" --out clips',
        ),
        Example(
            "ten minutes of the class background, without a countdown",
            "edge-tdn record --source rtsp://192.168.1.20/stream --label background --out clips",
        ),
        Example(
            "a camera of a configuration, with its password, rotation and region; longer clips",
            "edge-tdn record --config site.toml --source front-door --label wave --out clips --seconds 5",
        ),
        Example(
            "what the network will see in one zone of that camera",
            "edge-tdn record --config site.toml --source front-door --zone steps --label wave --out clips",
        ),
    ),
    exit_status={
        0: "recorded",
        1: "a clip cannot be written, for example because the disk is full",
        66: "the source cannot be played, ended too soon, or has too few frames a second",
        78: "name or options are wrong",
        130: "interrupted; finished clips stay",
    },
    files={str(SITE): "the configuration of the camera, where --source is its name and --config names no other"},
)


def add_parser(commands: Commands) -> None:
    summary = "record clips of an action from a live camera, to teach it to a model"
    parser = add_command(commands, "record", run, logging.ERROR, summary, HELP)
    parser.add_argument(
        "--source",
        required=True,
        metavar="CAMERA",
        help="rtsp://, http(s)://, /dev/video*, file, gst: PIPELINE; or with --config a camera's name",
    )
    add_camera_config(parser)
    parser.add_argument(
        "--zone", metavar="NAME", help="zone of that camera: the clips show it alone, as the network will see it"
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
