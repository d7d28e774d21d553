"""The command line of the exporter: edge-tdn-export convert | ensemble | quantize | parity | inspect | explain."""

import argparse
import logging
import sys
from collections.abc import Sequence

from edge_tdn_export.command_line import run_command
from edge_tdn_export.commands import convert, ensemble, explain, inspect, parity, quantize

COMMANDS = (convert, parity, inspect, ensemble, quantize, explain)
EXIT_STATUS = """\
exit status: 0 done; 1 outside limits, or too few clips; 66 the video cannot be played; 71 device out of memory;
78 configuration, model or file wrong; 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. Errors of the user are printed without a traceback."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    return run_command("edge-tdn-export", lambda: _parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-tdn-export",
        description="Convert PyTorch weights of a TDN to a model folder for edge-tdn, and compare both.",
        epilog=f"{convert.EXAMPLES}\n{EXIT_STATUS}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
