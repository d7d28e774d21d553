"""Commands that are printed for the user: they can be pasted into a shell, whatever the names of files are."""

import getpass
import importlib.util
import json
import os
import shlex
import shutil
import socket
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PROJECT = "edge-tdn"
ENVIRONMENT = "~/edge-tdn-env"  # of a user whose edge-tdn is a Debian package


def command(program: str, *words: str | Path) -> str:
    """Return a command line of which a shell makes these words again.

    `program`: one of the project's; where the shell would find none, or that of another environment, the path of the
    one beside this program. A path that begins with a dash gets `./`, so that it is not taken for an option.
    """
    beside = Path(sys.executable).with_name(program)
    in_path = shutil.which(program)
    found = program if not beside.exists() or (in_path and beside.samefile(in_path)) else str(beside)
    return shlex.join([found, *map(_word, words)])


def remote_path(path: Path) -> str:
    """Return `user@host:path`: a path of this machine as `scp` takes it on another one."""
    address = f"{socket.gethostname()}:{path}"
    with suppress(KeyError, OSError):  # in a container this user may have no name
        address = f"{getpass.getuser()}@{address}"
    return address


def _word(word: str | Path) -> str:
    return f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)


def install(package: str) -> str:
    """Return the command that installs a package beside the running program."""
    if _record("INSTALLER") == "dpkg":
        return _in_own_environment(str(_source() or PROJECT), package)
    return f"{_pip_install()} {shlex.quote(package)}"


def install_extra(extra: str) -> str:
    """Return the command that installs an extra of this project, from where the project itself was installed."""
    source = _source()
    if not source:  # from an index
        return f"{_pip_install()} {shlex.quote(f'{PROJECT}[{extra}]')}"
    if _record("INSTALLER") == "dpkg":
        return _in_own_environment(f"{source}[{extra}]")
    pinned = source / "constraints.txt"
    options = ["-c", str(pinned)] if pinned.is_file() else []
    editable = ["-e"] if _origin().get("dir_info", {}).get("editable") else []
    return f"{_pip_install()} {shlex.join([*options, *editable, f'{source}[{extra}]'])}"


def _pip_install() -> str:
    """Return the command that installs packages in this environment. One that is made by uv or pipx may have no pip."""
    sudo = [] if os.access(sysconfig.get_path("purelib"), os.W_OK) else ["sudo"]
    python = shlex.join([*sudo, sys.executable])
    if importlib.util.find_spec("pip"):
        return f"{python} -m pip install"
    if shutil.which("uv"):
        return shlex.join([*sudo, "uv", "pip", "install", "--python", sys.executable])
    return f"{python} -m ensurepip && {python} -m pip install"


def _in_own_environment(*packages: str) -> str:
    """Return the command that makes an environment of the user's: that of the Debian package belongs to dpkg."""
    return f"python3 -m venv {ENVIRONMENT} && {ENVIRONMENT}/bin/pip install {shlex.join(packages)}"


def _source() -> Path | None:
    """Return the checkout or the wheel that the project was installed from, or None if it is not on this machine."""
    address = urlsplit(_origin().get("url", ""))
    source = Path(unquote(address.path))
    return source if address.scheme == "file" and source.exists() else None


def _origin() -> dict[str, Any]:
    """Return what the installer recorded about the project's origin (PEP 610)."""
    try:
        origin: dict[str, Any] = json.loads(_record("direct_url.json") or "{}")
    except ValueError:
        return {}
    return origin


def _record(name: str) -> str:
    """Return one of the files that the installer keeps about the project (PEP 376), or an empty text."""
    try:
        return (distribution(PROJECT).read_text(name) or "").strip()
    except PackageNotFoundError:
        return ""
