"""The outbox's folder: where it is, and the lock that keeps a second daemon out of it."""

import fcntl
from io import TextIOWrapper
from pathlib import Path

from edge_tdn.errors import ConfigError
from edge_tdn.process.state_folder import state_folder

LOCK = "outbox.lock"


def outbox_folder(configured: str, host: str, base: Path) -> Path | None:
    """Return [outbox] folder as a path, or None if it is "off".

    "auto" is a folder named after the host in the state directory of systemd, or else of the user. Any other folder is
    relative to `base`.
    """
    if configured == "off":
        return None
    if configured != "auto":
        return base / configured
    return state_folder() / host


def lock_folder(folder: Path) -> TextIOWrapper | None:
    """Create the folder if it is missing and lock it until the returned file is closed or the process ends.

    Return None if the disk refuses that. Raise ConfigError if it is not a folder, or if another daemon holds the lock.
    """
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"{folder}: outbox.folder is not a folder; delete the file or name another folder") from error
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(
            f"{folder}: another edge-tdn keeps its events there; give this one another `host`, or stop the other"
        ) from error
    return file


def is_locked(folder: Path) -> bool:
    """Return whether a daemon on this machine, in this container or another one, has locked the folder."""
    try:
        with (folder / LOCK).open() as file:  # unlocked at once, before a daemon that starts finds it locked
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def lock_holder_pid(folder: Path) -> int | None:
    """Return the process id of the daemon that has locked the folder, or None if it is not locked.

    The id is 0 for a daemon in another container. The lock itself is not tried: a daemon that starts at this moment
    must find it free.
    """
    try:
        inode = (folder / LOCK).stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    locks = (line.split() for line in lines if "FLOCK" in line and "->" not in line)
    return next((int(fields[4]) for fields in locks if fields[5].endswith(f":{inode}")), None)
