"""Check the folders that a configuration names for writing. One that is absent now may be mounted later."""

import os
from pathlib import Path

from edge_tdn.config.fault import Keys
from edge_tdn.config.table import ConfigTable
from edge_tdn.errors import ConfigError

WRITABLE = (
    "a service cannot write below /home and /root: name a folder such as /srv/edge-tdn, and let the unit write there "
    "with ReadWritePaths=, see `edge-tdn docs operate`"
)


def check_folder(table: ConfigTable, keys: Keys, value: str, base: Path) -> None:
    """Raise ConfigError if a folder cannot be one, or this user may not look for it.

    `keys`, `value`: that name it. `base`: the folder that relative paths start from.
    """
    folder = base / value
    try:
        folder.exists()
    except OSError as error:
        raise ConfigError(table.fault(keys, value, f"{folder}: {error.strerror}; {WRITABLE}")) from error
    check_no_file(table, keys, value, folder)


def check_no_file(table: ConfigTable, keys: Keys, value: str, folder: Path) -> None:
    """Raise ConfigError if a file is where a folder, or one above it, has to be. `keys`, `value`: that name it."""
    existing = existing_parent(folder)
    if not existing.is_dir():
        raise ConfigError(table.fault(keys, value, f"{existing} is a file; allowed: a folder, or a new name"))


def existing_parent(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists. What is closed to this user does not exist for it."""
    return next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))  # noqa: PTH110


def is_writable(folder: Path) -> bool:
    """Return whether this user may write to a folder, or create it."""
    return os.access(existing_parent(folder), os.W_OK | os.X_OK)
