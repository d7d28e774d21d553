"""Where a command writes its results: checked before the work begins, folders created, files written completely."""

import os
from pathlib import Path

from edge_tdn.errors import ConfigError


def check_output_folder(folder: Path) -> None:
    """Check that a folder, which may not exist yet, can be written to. ConfigError: it cannot."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise ConfigError(f"{folder}: {existing} is not a folder; choose another place for the results")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder}: this user cannot write to {existing}; choose another place for the results")


def check_output_file(path: Path) -> None:
    """Check that a file can be written, in a folder that may not exist yet. ConfigError: it cannot."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; name a file")
    if path.is_file() or not path.exists():  # a device or a pipe is written to where it is
        check_output_folder(Path(os.path.realpath(path)).parent)


def check_picture_name(path: Path, option: str) -> None:
    """Check the name of a PNG that an option names. ConfigError: it has the ending of another format."""
    if path.suffix.lower() not in ("", ".png"):
        raise ConfigError(f"{path}: {option} writes a PNG; choose a name that ends in .png")


def write_output(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, and create its folder. A device or a pipe is written to, not replaced."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path = Path(os.path.realpath(path))  # so that a link is not replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
