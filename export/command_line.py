"""What the command lines of exporter and trainer have in common: errors without a traceback, a clean end."""

import argparse
import signal
import sys
from types import FrameType

from edge_tdn.errors import EdgeTdnError


def run_command(program: str, options: argparse.Namespace) -> int:
    """Runs `options.command`; its exit status. Errors that a user can mend are said without a traceback.

    Ctrl-C and SIGTERM end it with 130, and `options.stopped`, if it is there, says what becomes of what was done.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status: int = options.command(options)
    except EdgeTdnError as error:
        _say(program, str(error))
        return error.exit_status
    except KeyboardInterrupt:
        _say(program, getattr(options, "stopped", "stopped, nothing written"))
        return 130
    return status


def _say(program: str, what: str) -> None:
    print(f"{program}: {what}", file=sys.stderr)  # noqa: T201


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
