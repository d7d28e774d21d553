"""The part that the command lines of exporter and trainer share: errors without a traceback, a clean interrupt."""

import argparse
import signal
import sys
from collections.abc import Callable
from types import FrameType

from edge_tdn.errors import EdgeTdnError

INTERRUPTED = 130  # exit status after Ctrl-C or SIGTERM


def run_command(program: str, parse: Callable[[], argparse.Namespace]) -> int:
    """Parse the command line, call `options.command(options)` and return the exit status.

    An EdgeTdnError is printed without a traceback. Ctrl-C and SIGTERM end the command with status 130; then
    `options.stopped`, where the command sets it, is the message that describes what was kept.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    options = argparse.Namespace()
    try:
        options = parse()  # may import torch, which takes seconds
        status: int = options.command(options)
    except EdgeTdnError as error:
        _complain(program, str(error))
        return error.exit_status
    except KeyboardInterrupt:
        _complain(program, getattr(options, "stopped", "stopped, nothing written"))
        return INTERRUPTED
    return status


def _complain(program: str, message: str) -> None:
    print(f"{program}: {message}", file=sys.stderr)  # noqa: T201


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
