"""Files that this process, or a service with its own user, is not permitted to read, and what to do about them."""

import os
import shlex
import stat
from pathlib import Path

HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))  # from a unit with ProtectHome=yes
SERVED = Path("/etc/edge-tdn")  # configuration of an installed host
SERVED_MODELS = SERVED / "models"
SERVICES = "a service cannot read below /home and /root, and reads as its own user"
SECRET_REMEDY = (  # for a password or a key, which must not be readable by every user
    f"{SERVICES}: put the file into /etc/credstore, and name it as credential:NAME, see `edge-tdn docs operate`"
)


def is_hidden(path: Path) -> bool:
    """Return whether a path, or what it links to, is in a folder that services cannot look into."""
    return any(one.is_relative_to(folder) for one in (path.absolute(), path.resolve()) for folder in HIDDEN)


def is_unreadable(path: Path, homes_hidden: bool = True) -> bool:
    """Return whether a service with its own user can probably not read a path: a file, or a folder and its files.

    What belongs to another user or group than root and this user may be that of the service. `homes_hidden`: the
    service cannot look into HIDDEN.
    """
    whole = path.resolve()
    is_folder = os.path.isdir(whole)  # noqa: PTH112  (False, too, where this user may not look)
    return _is_out_of_reach(path, homes_hidden) or any(
        map(_is_closed, (whole, *(whole.rglob("*") if is_folder else ())))
    )


def copy_commands(path: Path, folder: Path) -> str:
    """Return the commands that copy a file or a folder into `folder`, readable by every user."""
    words = ["mkdir", "-p", folder], ["cp", "-r", path, f"{folder}/"], ["chmod", "-R", "a+rX", folder / path.name]
    return " && ".join(shlex.join(["sudo", *map(str, one)]) for one in words)


def remedy(path: Path, folder: Path = SERVED) -> str:
    """Return how a service can read a path: by its mode, or where that is not enough from a copy in `folder`."""
    path = path.absolute()
    if _is_out_of_reach(path):
        return f"{SERVICES}: `{copy_commands(path, folder)}`, and name {folder / path.name}"
    return f"{SERVICES}: `sudo chmod -R a+rX {shlex.quote(str(path))}`"


def _is_out_of_reach(path: Path, homes_hidden: bool = True) -> bool:
    return (homes_hidden and is_hidden(path)) or any(map(_is_closed, path.resolve().parents))


def _is_closed(path: Path) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    mode, is_folder = status.st_mode, stat.S_ISDIR(status.st_mode)
    if mode & (stat.S_IXOTH if is_folder else stat.S_IROTH):
        return False
    if status.st_gid not in (0, os.getgid()) and mode & (stat.S_IXGRP if is_folder else stat.S_IRGRP):
        return False
    return status.st_uid in (0, os.getuid())
