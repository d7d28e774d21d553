"""The command line of the trainer; COMMANDS lists what it does."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from edge_tdn_export.command_line import run_command

COMMANDS = {  # name -> its file, what it does; own actions first, then the paper's, then the shipped model's
    "record": ("edge_tdn_training.commands.record", "clips of one action, from a live camera"),
    "finetune": ("edge_tdn_training.commands.finetune", "your own clips -> a model folder for edge-tdn"),
    "evaluate": ("edge_tdn_training.commands.evaluate", "how good a model is, on clips or on a long video as a camera"),
    "train": ("edge_tdn_training.commands.train", "as the paper does it: videos of several classes -> weights"),
    "motion": ("edge_tdn_training.commands.train_motion", "makes the shipped model anew"),
    "show-motion": ("edge_tdn_training.commands.contact_sheet", "what that learns from, or is judged by, as a picture"),
    "judge-motion": (
        "edge_tdn_training.commands.evaluate_motion",
        "how well a model knows what moves: in generated and in real clips",
    ),
    "ablation": (
        "edge_tdn_training.commands.ablation",
        "the paper's claims, in small: networks with and without its parts",
    ),
}

EPILOG = """your own actions, from a camera to a model that watches it:
  edge-tdn-train record --source rtsp://192.168.1.20/stream --label "door open" --out clips
  edge-tdn-train record --source rtsp://192.168.1.20/stream --label background --out clips
  edge-tdn-train finetune --data clips --out models/door
  edge-tdn-train evaluate --stream yard.mp4 yard.json --model models/door

every command explains itself, by example: edge-tdn-train finetune --help

exit status: 0 done; 66 camera or video cannot be played; 71 no memory; 78 data, model or options wrong; 130 stopped
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status. Errors that a user can mend are said without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_command("edge-tdn-train", lambda: _parser(words).parse_args(words))


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Knows the options of the command that these words begin with. The others stay names: torch takes seconds."""
    parser = argparse.ArgumentParser(
        prog="edge-tdn-train", description="Teaches a model your own actions, and says how well it knows them.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (file, said) in COMMANDS.items():
        if name in words[:1]:
            importlib.import_module(file).add_parser(commands)
        else:
            commands.add_parser(name, help=said)
    return parser


if __name__ == "__main__":
    sys.exit(main())
