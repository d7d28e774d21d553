"""The command line of the exporter. COMMANDS lists its commands."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_tdn.process.program import run_program

if TYPE_CHECKING:
    import argparse

COMMANDS = ("convert", "parity", "inspect", "ensemble", "quantize", "explain")  # in the order of the help
EXIT_STATUS = """\
exit status: 0 done; 1 outside limits, or too few clips; 66 the video cannot be played; 71 device out of memory;
78 configuration, model or file wrong; 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. Errors of the user are printed without a traceback."""

    def run() -> int:
        import logging

        from edge_tdn_export.command_line import run_command

        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        return run_command("edge-tdn-export", lambda: _parser().parse_args(arguments))

    return run_program("edge-tdn-export", run)


def _parser() -> "argparse.ArgumentParser":
    """Return the parser of all commands. Imports take seconds, and a signal must find the program ready for it."""
    import argparse
    from importlib import import_module

    modules = [import_module(f"edge_tdn_export.commands.{name}") for name in COMMANDS]
    parser = argparse.ArgumentParser(
        prog="edge-tdn-export",
        description="Convert PyTorch weights of a TDN to a model folder for edge-tdn, and compare both.",
        epilog=f"{modules[0].EXAMPLES}\n{EXIT_STATUS}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in modules:
        module.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
