"""A fresh Debian 12 in a folder, with nothing of this machine, and a copy of the project to build packages from."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT
from tests.support.waiting import PROGRAM_S

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def fresh_system(target: Path, *packages: str) -> None:
    """Unpack Debian's minimal system with these packages: into a new folder, or into an archive (NAME.tar).

    It trusts the authorities that this machine trusts, which may be those of a proxy before the package index.
    """
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include=ca-certificates,{','.join(packages)}"]
    command += [f"--customize-hook=copy-in {AUTHORITIES} /etc/ssl/certs"]
    command += ['--customize-hook=echo 127.0.0.1 localhost >"$1/etc/hosts"']  # as Debian's installer does
    command += [f"--customize-hook=printf '[global]\\ncert = {AUTHORITIES}\\n' >\"$1/etc/pip.conf\""]
    subprocess.run([*command, "bookworm", str(target)], check=True, capture_output=True, timeout=PROGRAM_S)


def run_in(root: Path, *command: str, status: int = 0) -> str:
    """Run a command in a system that is not booted, with this machine's network, and return its output.

    The folder /packages is `root`'s sibling of this name.
    """
    inside = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "--resolv-conf=replace-host"]
    inside += ["-D", str(root), f"--bind-ro={root.parent / 'packages'}:/packages"]
    done = subprocess.run([*inside, *command], capture_output=True, text=True, timeout=PROGRAM_S)
    assert done.returncode == status, f"{command}: {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


class Sources:
    """A copy of this checkout, without what git ignores."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0"):
            if (ROOT / name).is_file() and name:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)

    def make(self, *words: str) -> None:
        done = subprocess.run(["make", "-C", str(self.folder), *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def debian_package(self, version: str, own: str = "") -> Path:
        """Build the Debian package of another version; return its path. `own`: what follows the version, as +site1."""
        file = self.folder / "edge_tdn/__init__.py"
        lines = [line for line in file.read_text().splitlines() if not line.startswith("__version__ = ")]
        file.write_text("\n".join([*lines, f'__version__ = "{version}"', ""]))
        self.make("deb", "PYTHON=/usr/bin/python3", *([f"VERSION={version}{own}"] if own else []))
        (package,) = (self.folder / "dist").glob(f"edge-tdn_{version.replace('rc', '~rc')}{own}_*.deb")
        return package
