"""The part that the command lines of exporter and trainer share: errors without a traceback, a clean interrupt."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from edge_tdn.errors import ConfigError, EdgeTdnError, last_line

INTERRUPTED = 130  # exit status after Ctrl-C or SIGTERM
EXTRA = {  # modules that the extra `export` installs, and their names
    "jinja2": "Jinja2",
    "matplotlib": "Matplotlib",
    "nncf": "NNCF",
    "onnx": "ONNX",
    "onnxruntime": "ONNX Runtime",
    "onnxscript": "ONNX Script",
    "safetensors": "safetensors",
    "torch": "PyTorch",
}


def run_command(program: str, parse: Callable[[], argparse.Namespace]) -> int:
    """Parse the command line, call `options.command(options)` and return the exit status.

    An EdgeTdnError, an OSError and a missing package of the extra `export` are printed without a traceback. Ctrl-C and
    SIGTERM end the command with status 130; then `options.stopped`, where the command sets it, is the message that
    describes what was kept.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    options = argparse.Namespace()
    try:
        options = parse()  # may import torch, which takes seconds
        status: int = options.command(options)
    except EdgeTdnError as error:
        _print_error(f"{program}: {error}")
        return error.exit_status
    except ImportError as error:
        package = EXTRA.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        what = (
            f"needs {package}"
            if isinstance(error, ModuleNotFoundError)
            else f"cannot import {package} ({last_line(error)})"
        )
        _print_error(f"{program} {what}: install the extra `export` (in a checkout: make test)")
        return ConfigError.exit_status
    except BrokenPipeError:  # the reader has closed the pipe, as in `edge-tdn-export inspect motion | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _print_error(f"{program}: {where}{error.strerror or error}")
        return EdgeTdnError.exit_status
    except KeyboardInterrupt:
        _print_error(f"{program}: {getattr(options, 'stopped', 'stopped, nothing written')}")
        return INTERRUPTED
    return status


def _print_error(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
