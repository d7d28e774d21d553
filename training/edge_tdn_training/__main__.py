"""The command line of the trainer. COMMANDS lists its commands."""

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Parser
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
    "evaluate-motion": (
        "edge_tdn_training.commands.evaluate_motion",
        "measure how well a model recognises motions, in generated and in real clips",
    ),
    "ablation": (
        "edge_tdn_training.commands.ablation",
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
        return run_command("edge-tdn-train", lambda: _parse(words, given))

    return run_program("edge-tdn-train", run)


def _parse(words: Sequence[str], given: "argparse.Namespace") -> "argparse.Namespace":
    """Parse the command line. ImportError: a package is missing; then a help is printed without the options."""
    try:
        return _parser(words[:1]).parse_args(words, given)
    except ImportError:
        if words[0] in COMMANDS and {"-h", "--help"} & {*words}:
            from edge_tdn_training.unimported_help import unimported_help

            module, summary = COMMANDS[words[0]]
            command_help = unimported_help(module)
            texts = (command_help.above_options(), command_help.below_options()) if command_help else (summary,)
            note = "The options are printed once the packages below are installed."
            print(f"usage: edge-tdn-train {words[0]} [OPTIONS]", *texts[:1], note, *texts[1:], sep="\n\n", flush=True)
        raise


def _parser(words: Collection[str] = tuple(COMMANDS)) -> Parser:
    """Return a parser with the options of the commands in `words`. Other modules are not imported: torch is slow."""
    import importlib

    from edge_tdn import __version__
    from edge_tdn.help.parser import program
    from edge_tdn.help.shell_commands import add_shell_commands

    parser, commands = program("edge-tdn-train", HELP, __version__)
    for name, (module, summary) in COMMANDS.items():
        if name in words:
            importlib.import_module(module).add_parser(commands, summary)
        else:
            commands.add_parser(name, help=summary)
    add_shell_commands(commands, _parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
