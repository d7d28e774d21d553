"""A booted overlay of this machine, where `make install` has installed the project."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.booted import Booted, skip_without

PYTHON = "/usr/bin/python3"  # services cannot read a home directory


class Machine(Booted):
    """A booted container until `close`. Skips the test where this machine cannot boot one."""

    def __init__(self, folder: Path) -> None:
        skip_without(("make", "mosquitto", "mosquitto_sub"), "test-systemd")
        upper, work, root = (folder / name for name in ("upper", "work", "root"))
        for path in (upper, work, root):
            path.mkdir()
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)], check=False)
        if mounted.returncode:
            pytest.skip("no overlay of / can be mounted here")
        try:
            command = ["make", "-C", str(ROOT), "install", f"DESTDIR={root}", f"PYTHON={PYTHON}"]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            subprocess.run(["systemd-sysusers", f"--root={root}"], check=True, capture_output=True)
            super().__init__(root)
        except BaseException:
            subprocess.run(["umount", str(root)], check=False)
            raise

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

    def close(self) -> None:
        super().close()
        subprocess.run(["umount", str(self.root)], check=False)
