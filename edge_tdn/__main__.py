"""The program `edge-tdn`. Its commands are in edge_tdn/cli."""

import sys
from collections.abc import Sequence

from edge_tdn.process.program import run_program


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: see cli/command_line.py."""

    def run() -> int:
        from edge_tdn.cli.command_line import run_command  # takes long: signals wait meanwhile

        return run_command(arguments)

    return run_program("edge-tdn", run)


if __name__ == "__main__":
    sys.exit(main())
