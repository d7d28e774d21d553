"""The command line `edge-tdn` in tests: its options, its refusals, a configuration for it."""

import argparse
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from edge_tdn.cli.command_line import parser
from tests.support.site import write_text

Run = Callable[..., subprocess.CompletedProcess[str]]


def parse(*arguments: str | Path) -> argparse.Namespace:
    """Return the options of a command as its own parser reads them."""
    return parser().parse_args([*map(str, arguments)])


def camera_site(folder: Path, text: str = "", source: str = "demo:") -> Path:
    """Write site.toml with `text` and one camera, `a`, and return its path."""
    return write_text(folder, f'{text}\n[[camera]]\nname = "a"\nsource = "{source}"\n')


def assert_refused(result: subprocess.CompletedProcess[str], status: int, *parts: str) -> None:
    """Assert that a command ended with `status` and an error, without a traceback, that contains all `parts`."""
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert re.search("^edge-tdn: ", result.stderr, re.M)
    for part in parts:
        assert part in result.stderr, result.stderr
