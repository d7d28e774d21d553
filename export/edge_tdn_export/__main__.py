"""The command line of the exporter. COMMANDS lists its commands."""

import sys
from collections.abc import Sequence

from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Parser
from edge_tdn.process.program import run_program

COMMANDS = ("convert", "parity", "inspect", "ensemble", "quantize", "explain")  # in the order of the help
HELP = CommandHelp(
    description="""\
Convert PyTorch weights of a TDN to a model folder for edge-tdn, make it faster, and compare both. Use it on the machine
that has PyTorch; hosts need only the folder. Every command has a help of its own, with examples: edge-tdn-export
convert --help.
""",
    examples=(
        Example(
            "convert a published Something-Something model",
            "edge-tdn-export convert best.pth.tar models/ssv2 --segments 8 --labels labels.txt",
        ),
        Example("add INT8, calibrated on your videos", "edge-tdn-export quantize models/ssv2 --clips videos/"),
        Example(
            "compare every precision with PyTorch, on your videos", "edge-tdn-export parity models/ssv2 --clips videos/"
        ),
    ),
    exit_status={0: "", 1: "outside limits, too few clips, or any other error", 66: "", 71: "", 78: ""},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. Errors of the user are printed without a traceback."""

    def run() -> int:
        from edge_tdn_export.command_line import run_command

        return run_command("edge-tdn-export", lambda: _parser().parse_args(arguments))

    return run_program("edge-tdn-export", run)


def _parser() -> Parser:
    """Return the parser of all commands. Imports take seconds, and a signal must find the program ready for it."""
    from importlib import import_module

    from edge_tdn import __version__
    from edge_tdn.help.parser import program
    from edge_tdn.help.shell_commands import add_shell_commands

    parser, commands = program("edge-tdn-export", HELP, __version__)
    for name in COMMANDS:
        import_module(f"edge_tdn_export.commands.{name}").add_parser(commands)
    add_shell_commands(commands, _parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
