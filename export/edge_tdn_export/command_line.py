"""What the command lines of exporter and trainer have in common: errors without a traceback, a clean end."""

import argparse
import signal
import sys
from collections.abc import Callable
from types import FrameType

from edge_tdn.errors import EdgeTdnError


def run_command(program: str, parse: Callable[[], argparse.Namespace]) -> int:
    """Runs the `command` of the parsed options; its exit status. Errors that a user can mend have no traceback.

    Ctrl-C and SIGTERM end it with 130, and the options' `stopped`, if it is there, says what becomes of what was done.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    options = argparse.Namespace()
    try:
        options = parse()  # which may import torch, and take seconds
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
