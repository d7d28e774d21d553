"""The command line of the trainer. COMMANDS lists its commands."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_tdn.process.program import run_program

if TYPE_CHECKING:
    import argparse

COMMANDS = {  # name -> its module and its help; own actions first, then the published training, then the shipped model
    "finetune": ("edge_tdn_training.commands.finetune", "fine-tune a model on your own clips"),
    "evaluate": (
        "edge_tdn_training.commands.evaluate",
        "measure how good a model is, on clips or on a long video, played like a camera",
    ),
    "train": ("edge_tdn_training.commands.train", "train a network on videos of several classes, as published"),
    "motion": ("edge_tdn_training.commands.train_motion", "train the shipped model again"),
    "show-motion": (
        "edge_tdn_training.commands.contact_sheet",
        "draw the clips on which the shipped model is trained or evaluated",
    ),
    "judge-motion": (
        "edge_tdn_training.commands.evaluate_motion",
        "measure how well a model recognises motions, in generated and in real clips",
    ),
    "ablation": (
        "edge_tdn_training.commands.ablation",
        "compare networks with and without the parts of TDN, as in the paper",
    ),
}

EPILOG = """your own actions, from a camera to a model that recognises them:
  edge-tdn record --source rtsp://192.168.1.20/stream --label "door open" --out clips
  edge-tdn record --source rtsp://192.168.1.20/stream --label background --out clips
  edge-tdn-train finetune --data clips --out models/door
  edge-tdn-train evaluate --stream yard.mp4 yard.json --model models/door

every command has its own help, with examples: edge-tdn-train finetune --help

exit status: 0 done; 66 camera or video cannot be played; 71 not enough memory; 78 data, model or options are wrong;
130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. Errors that a user can fix are printed without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments

    def run() -> int:
        import argparse

        from edge_tdn_export.command_line import run_command

        given = argparse.Namespace(words=tuple(words))
        return run_command("edge-tdn-train", lambda: _parser(words).parse_args(words, given))

    return run_program("edge-tdn-train", run)


def _parser(words: Sequence[str]) -> "argparse.ArgumentParser":
    """Return a parser with the options of the first word's command. Other modules are not imported: torch is slow."""
    import argparse
    import importlib

    parser = argparse.ArgumentParser(
        prog="edge-tdn-train",
        description="Train models for edge-tdn on your own actions, and evaluate them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        if name in words[:1]:
            importlib.import_module(module).add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser


if __name__ == "__main__":
    sys.exit(main())
