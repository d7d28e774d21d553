"""The part that the command lines of exporter and trainer share: errors without a traceback, a clean interrupt."""

import argparse
import io
import signal
import sys
from collections.abc import Callable
from types import FrameType

from edge_tdn.errors import ConfigError, EdgeTdnError, last_line
from edge_tdn.shell import install_extra

INTERRUPTED = 130  # exit status after Ctrl-C or SIGTERM
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


def run_command(program: str, parse: Callable[[], argparse.Namespace]) -> int:
    """Parse the command line, call `options.command(options)` and return the exit status.

    An EdgeTdnError, with its notes, and a missing package are printed without a traceback. Ctrl-C and SIGTERM end the
    command with status 130; then `options.stopped`, where the command sets it, is the message that describes what was
    kept.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name in another encoding must not end a training
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _interrupt)
    options = argparse.Namespace()
    try:
        options = parse()  # may import torch, which takes seconds
        status: int = options.command(options)
    except EdgeTdnError as error:
        _print_error("\n".join([f"{program}: {error}", *getattr(error, "__notes__", ())]))
        return error.exit_status
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        if not module or module in OWN:
            raise
        package = NAMES.get(module, module)
        missing = isinstance(error, ModuleNotFoundError)
        reason = f"{package} is not installed" if missing else f"{package} cannot be imported: {last_line(error)}"
        _print_error(f"{program}: needs the {EXTRA} extra ({reason}): {install_extra(EXTRA)}")
        return ConfigError.exit_status
    except KeyboardInterrupt:
        _print_error(f"{program}: {getattr(options, 'stopped', 'stopped, nothing written')}")
        return INTERRUPTED
    return status


def _print_error(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
