"""Commands that are printed for the user: they can be pasted into a shell, whatever the names of files are."""

import json
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

PROJECT = "edge-tdn"


def command(program: str, *words: str | Path) -> str:
    """Return a command line of which a shell makes these words again.

    `program`: one of the project's; where the shell would not find it, the path of the installed one. A path that
    begins with a dash gets `./`, so that it is not taken for an option.
    """
    beside = Path(sys.executable).with_name(program)
    found = program if shutil.which(program) or not beside.exists() else str(beside)
    return shlex.join([found, *map(_word, words)])


def _word(word: str | Path) -> str:
    return f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)


def install(package: str) -> str:
    """Return the command that installs a package beside the running program."""
    return shlex.join([*_pip(), package])


def install_extra(extra: str) -> str:
    """Return the command that installs an extra of this project, from where the project itself was installed."""
    try:
        origin = json.loads(distribution(PROJECT).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    address = urlsplit(origin.get("url", ""))
    source = Path(unquote(address.path))
    if address.scheme != "file" or not source.exists():  # from an index
        return shlex.join([*_pip(), f"{PROJECT}[{extra}]"])
    pinned = source / "constraints.txt"
    options = ["-c", str(pinned)] if pinned.is_file() else []
    editable = ["-e"] if origin.get("dir_info", {}).get("editable") else []
    return shlex.join([*_pip(), *options, *editable, f"{source}[{extra}]"])


def _pip() -> list[str]:
    return [sys.executable, "-m", "pip", "install"]
