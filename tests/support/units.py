"""The systemd units, and systemd-analyze, which verifies them without an installation."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

UNITS = ROOT / "systemd"


def unit_text() -> str:
    """Return the template unit, with a program and a folder that exist on every host."""
    text = (UNITS / "edge-tdn@.service").read_text()
    return text.replace("/usr/local/bin/edge-tdn", "/bin/true").replace("/usr/local/share", "/usr/share")


def write_unit(folder: Path, drop_in: str) -> Path:
    """Write an instance of the template unit, with the text of a drop-in or an empty one, and return its path."""
    unit = folder / "edge-tdn@yard.service"
    unit.write_text(unit_text())
    (folder / f"{unit.name}.d").mkdir()
    (folder / f"{unit.name}.d/site.conf").write_text(drop_in)
    return unit


def verify(unit: Path) -> None:
    """Assert that systemd accepts a unit without a warning. Skips the test where systemd-analyze is missing."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: make test-packages")
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
