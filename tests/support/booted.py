"""A real systemd in a container over a folder that has a whole system."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.waiting import PROGRAM_S, eventually

BOOT_S = 60.0
NEEDED = ("systemd-nspawn", "nsenter", "mount")


def skip_without(programs: Sequence[str], target: str) -> None:
    """Skip the test unless it runs as root and these programs are installed. `target`: of make, which installs them."""
    needed = (*NEEDED, *programs)
    missing = [program for program in needed if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {' '.join(missing or needed)}: make {target}, as root")


class Booted:
    """A booted container without a network, until `close`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "etc/machine-id").write_text("")
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "-D", str(root), "--private-network"]
        command += ["--console=passive", "/lib/systemd/systemd"]
        self._container = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            container = self._container.pid
            self.until(lambda: bool(_children(container)), BOOT_S)
            up = ("running", "degraded")
            self.until(lambda: self.run("systemctl", "is-system-running", check=False).strip() in up, BOOT_S)
        except BaseException:
            self.close()
            raise

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside and return its output."""
        (pid,) = _children(self._container.pid)
        entered = ["nsenter", "-t", str(pid), *("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"), *command]
        done = subprocess.run(entered, check=False, capture_output=True, text=True, timeout=PROGRAM_S)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, key: str) -> str:
        return self.run("systemctl", "show", "--value", "-p", key, unit).strip()

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager")

    def until(self, condition: Callable[[], bool], within_s: float) -> float:
        """Wait for `condition` and return how many seconds it took."""
        began = time.monotonic()
        eventually(condition, within_s)
        return time.monotonic() - began

    def close(self) -> None:
        self._container.terminate()
        self._container.wait(60)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
