"""The command line of the trainer. COMMANDS lists its commands."""

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Parser
from edge_tdn.process.program import run_program
from edge_tdn_training.machine import wait_briefly

if TYPE_CHECKING:
    import argparse

COMMANDS = {  # name -> its module in options/ and in commands/, and its help; own actions first, the shipped model last
    "finetune": ("finetune", "fine-tune a model on your own clips"),
    "evaluate": (
        "evaluate",
        "measure how good a model is, on clips or on a long video, played like a camera",
    ),
    "train": ("train", "train a network on videos of several classes, as published"),
    "motion": ("train_motion", "train the shipped model again"),
    "show-motion": (
        "contact_sheet",
        "draw the clips on which the shipped model is trained or evaluated",
    ),
    "evaluate-motion": (
        "evaluate_motion",
        "measure how well a model recognises motions, in generated and in real clips",
    ),
    "ablation": (
        "ablation",
        "compare networks with and without the parts of TDN, as in the paper",
    ),
}

HELP = CommandHelp(
    description="""\
Train models for edge-tdn on your own actions, and evaluate them. Every command has a help of its own, with examples:
edge-tdn-train finetune --help.
""",
    examples=(
        Example(
            "record clips of an action",
            'edge-tdn record --source rtsp://192.168.1.20/stream --label "door open" --out clips',
        ),
        Example(
            "record everything else that the camera sees",
            "edge-tdn record --source rtsp://192.168.1.20/stream --label background --out clips",
        ),
        Example("make a model that recognises it", "edge-tdn-train finetune --data clips --out models/door"),
        Example(
            "measure it on a long video",
            "edge-tdn-train evaluate --stream yard.mp4 yard.json --model models/door",
        ),
    ),
    exit_status={0: "", 66: "", 71: "", 78: "data, model or options are wrong"},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. Errors that a user can fix are printed without a traceback."""
    words = sys.argv[1:] if arguments is None else arguments

    def run() -> int:
        import argparse

        from edge_tdn_export.command_line import run_command

        given = argparse.Namespace(words=tuple(words))
        return run_command("edge-tdn-train", lambda: _parser().parse_args(words, given))

    return run_program("edge-tdn-train", run)


def _parser() -> Parser:
    """Return the parser of all commands. Their modules are imported when they run: PyTorch is slow, or missing."""
    from edge_tdn import __version__
    from edge_tdn.help.parser import program
    from edge_tdn.help.shell_commands import add_shell_commands

    parser, commands = program("edge-tdn-train", HELP, __version__)
    for module, summary in COMMANDS.values():
        options = importlib.import_module(f"edge_tdn_training.options.{module}")
        options.add_parser(commands, partial(_run, module), summary)
    add_shell_commands(commands, _parser)
    return parser


def _run(module: str, options: "argparse.Namespace") -> int:
    wait_briefly()
    status: int = importlib.import_module(f"edge_tdn_training.commands.{module}").run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
