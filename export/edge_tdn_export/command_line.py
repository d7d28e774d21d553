"""The part that the command lines of exporter and trainer share: errors without a traceback, a clean interrupt."""

import argparse
import importlib.util
import io
import os
import sys
from collections.abc import Callable

from edge_tdn.errors import ConfigError, DeviceError, EdgeTdnError, last_line
from edge_tdn.process.program import INTERRUPTED, release_signals
from edge_tdn.shell import install_extra
from edge_tdn_export.interrupts import interruptible
from edge_tdn_export.progress_lines import ProgressLines

OWN = ("edge_tdn", "edge_tdn_export", "edge_tdn_training")  # a module of these that is missing is a fault of ours
EXTRA = "export"  # the extra of pyproject.toml that both programs need
NAMES = {  # of the packages that it installs, by module
    "jinja2": "Jinja2",
    "matplotlib": "Matplotlib",
    "nncf": "NNCF",
    "onnx": "ONNX",
    "onnxruntime": "ONNX Runtime",
    "onnxscript": "ONNX Script",
    "safetensors": "safetensors",
    "torch": "PyTorch",
}


def require_extra() -> None:
    """Raise ModuleNotFoundError, which `run_command` prints, if a package of the extra is missing: before long work."""
    for module in NAMES:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def run_command(program: str, parse: Callable[[], argparse.Namespace]) -> int:
    """Parse the command line, call `options.run(options)` and return the exit status.

    Errors that a user can fix are printed with their notes, without a traceback: an EdgeTdnError, a file or a disk that
    fails, too little memory, a missing package. Ctrl-C and SIGTERM end the command with status 130; then
    `options.stopped`, where the command sets it, is the message that describes what was kept. With `--progress json`
    the error is a line of JSON.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name in another encoding must not end a training
        sys.stdout.reconfigure(errors="backslashreplace")
    options = argparse.Namespace()

    def failed(message: str, error: BaseException, status: int) -> int:
        if getattr(options, "progress", "text") == "json":
            _report_error(message, error, status)
        else:
            _print_error(f"{program}: {message}", error)
        return status

    try:
        with interruptible():
            release_signals()
            options = parse()  # may import torch, which takes seconds
            status: int = options.run(options)
    except EdgeTdnError as error:
        return failed(str(error), error, error.exit_status)
    except BrokenPipeError:  # the reader has closed the pipe, as in `edge-tdn-export inspect motion | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return failed(str(error), error, EdgeTdnError.exit_status)
    except MemoryError as error:
        return failed("not enough memory", error, DeviceError.exit_status)
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        if not module or module in OWN:
            raise
        package = NAMES.get(module, module)
        missing = isinstance(error, ModuleNotFoundError)
        reason = f"{package} is not installed" if missing else f"{package} cannot be imported: {last_line(error)}"
        return failed(f"needs the {EXTRA} extra ({reason}): {install_extra(EXTRA)}", error, ConfigError.exit_status)
    except KeyboardInterrupt as error:
        return failed(getattr(options, "stopped", "stopped, nothing written"), error, INTERRUPTED)
    return status


def _print_error(message: str, error: BaseException) -> None:
    for line in (message, *getattr(error, "__notes__", ())):
        print(line, file=sys.stderr)  # noqa: T201


def _report_error(message: str, error: BaseException, status: int) -> None:
    """Report an error as lines of JSON; see progress_lines.py."""
    lines = ProgressLines(sys.stdout)
    for note in getattr(error, "__notes__", ()):
        lines.note(note)
    lines.failed(message, status)
