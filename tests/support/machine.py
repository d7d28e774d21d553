"""A real systemd in a container over an overlay of this machine, where `make install` has installed the project."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.waiting import PROGRAM_S, eventually

BOOT_S = 60.0
PYTHON = "/usr/bin/python3"  # services cannot read a home directory
NEEDED = ("systemd-nspawn", "nsenter", "mount", "make", "mosquitto", "mosquitto_sub")


class Machine:
    """A booted container without a network, until `close`. Skips the test where this machine cannot boot one."""

    def __init__(self, folder: Path) -> None:
        missing = [program for program in NEEDED if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")]
        if os.geteuid() != 0 or missing:
            pytest.skip(f"needs root and {' '.join(missing or NEEDED)}: make test-systemd, as root")
        upper, work, self.root = (folder / name for name in ("upper", "work", "root"))
        for path in (upper, work, self.root):
            path.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)], check=False)
        if mounted.returncode:
            pytest.skip("no overlay of / can be mounted here")
        self._container: subprocess.Popen[bytes] | None = None
        try:
            self.make("install")
            (self.root / "etc/machine-id").write_text("")
            self._boot()
        except BaseException:
            self.close()
            raise

    def make(self, target: str) -> None:
        command = ["make", "-C", str(ROOT), target, f"DESTDIR={self.root}", f"PYTHON={PYTHON}"]
        subprocess.run(command, check=True, capture_output=True, timeout=600)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside and return its output."""
        assert self._container
        (pid,) = _children(self._container.pid)
        entered = ["nsenter", "-t", str(pid), *("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"), *command]
        done = subprocess.run(entered, check=False, capture_output=True, text=True, timeout=PROGRAM_S)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def site(self, name: str, text: str) -> str:
        """Write a site file and return the name of its unit."""
        (self.root / f"etc/edge-tdn/{name}.toml").write_text(text)
        return f"edge-tdn@{name}.service"

    def drop_in(self, unit: str, name: str) -> None:
        """Add one of the example drop-ins that were installed beside the unit."""
        folder = self.root / f"etc/systemd/system/{unit}.d"
        folder.mkdir()
        shutil.copyfile(self.root / "usr/local/share/doc/edge-tdn" / name, folder / name)
        self.run("systemctl", "daemon-reload")

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
        if self._container:
            self._container.terminate()
            self._container.wait(60)
        subprocess.run(["umount", str(self.root)], check=False)

    def _boot(self) -> None:
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "-D", str(self.root), "--private-network"]
        command += ["--console=passive", "/lib/systemd/systemd"]
        self._container = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        container = self._container.pid
        self.until(lambda: bool(_children(container)), BOOT_S)
        up = ("running", "degraded")
        self.until(lambda: self.run("systemctl", "is-system-running", check=False).strip() in up, BOOT_S)
        self.run("systemd-sysusers")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
