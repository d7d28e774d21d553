"""A folder of clips to learn from: a folder for each class, and `dataset.toml`, which defines the recordings.

    clips/
    ├── dataset.toml            which clips are of one recording
    ├── background/*.mp4        everything that must not be published as an action
    └── door open/*.mp4         an action; the folder's name is its label

`edge-tdn record` fills it on the camera host, the trainer reads it.
"""

import re
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.label_file import parse_labels
from edge_tdn.output import write_output

BACKGROUND = "background"
DESCRIPTION = "dataset.toml"
FOLDER_NAMES = "not a valid folder name: use no / and no dot at its start"
SESSION = "%Y%m%dT%H%M%SZ"  # start of the names of all clips of one call
ONE_RECORDING = "source = '([0-9]{8}T[0-9]{6}Z)-[0-9]+'  # clips of one call of edge-tdn record\n"


def is_background(label: str) -> bool:
    """Return whether a class is the background, by its name in upper or lower case."""
    return label.casefold() == BACKGROUND


def is_folder_name(label: str) -> bool:
    """Return whether a label can be the name of a folder that is a class."""
    return bool(label) and "/" not in label and not label.startswith(".")


def class_name(folder: Path) -> str:
    """Return the name of a class's folder, which need not exist. ConfigError: not a valid line of labels.txt."""
    name = folder.name
    try:
        fits = parse_labels(folder, name.encode()) == (name,)
    except (UnicodeEncodeError, ModelError):
        fits = False
    if not fits:
        raise ConfigError(
            f"{name!r} in {folder.parent}: not a valid class name: use one line of UTF-8 without blanks around it"
        )
    return name


def count_clips(out: Path) -> dict[str, int]:
    """Return the number of files in the folder of each class that has any, in the order of their names."""
    folders = [folder for folder in sorted(out.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    counts = {one.name: sum(not path.name.startswith(".") for path in one.iterdir()) for one in folders}
    return {name: count for name, count in counts.items() if count}


@contextmanager
def open_class(folder: Path) -> Iterator[str]:
    """Create a class's folder, and reserve the names of one call's clips in it; yield what these names begin with.

    It is the current second, or the next one that no other call has. At the end, a folder without a clip is removed.
    ConfigError: the folder cannot be created or written to.
    """
    try:
        reservation = _reserve(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; choose another folder with --out") from error
    try:
        yield reservation.name.removeprefix(".")
    finally:
        with suppress(OSError):  # the folder stays if it contains a clip, or another call records into it
            reservation.unlink()
            folder.rmdir()


def _reserve(folder: Path) -> Path:
    """Create the hidden file that reserves a second for one call."""
    at_s = time.time()
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        session = time.strftime(SESSION, time.gmtime(at_s))
        reservation = folder / f".{session}"
        try:
            reservation.touch(exist_ok=False)
        except FileNotFoundError:  # another call has just removed the empty folder
            continue
        except FileExistsError:
            at_s += 1
            continue
        if not any(folder.glob(f"{session}-*")):
            return reservation
        reservation.unlink()
        at_s += 1


def describe_recording(folder: Path, first: str, second: str) -> str:
    """Create `dataset.toml` with the rule that clips of one call are of one recording.

    `folder`: of a class. `first`, `second`: names of two clips of one call. An existing `dataset.toml` is not changed:
    if by its rule they are of different recordings, return a note on what to write there.
    """
    description = folder.parent / DESCRIPTION
    described = description.exists()
    recording = recording_of(description, read_description(description).get("source"))
    if not described:
        try:
            write_output(description, ONE_RECORDING.encode())
        except OSError as error:
            raise ConfigError(f"{description}: {error.strerror}; choose another folder with --out") from error
    if described and recording(folder / first) != recording(folder / second):
        return (
            f"{description} does not define these clips as one recording: some would be evaluated on while others are "
            f"trained on; change its `source`, or if it has none, add this line at the top:\n{ONE_RECORDING}"
        )
    return ""


def read_description(path: Path) -> dict[str, Any]:
    """Return the keys of `dataset.toml`; none if the file does not exist. ConfigError: it is not valid TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig")) if path.exists() else {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def recording_of(path: Path, pattern: object) -> Callable[[Path], str]:
    """Return a function from a video's path to its recording: by the file's name alone, in whichever class it is.

    `pattern`: `source` of the `dataset.toml` at `path`; None: every file is a recording of its own. ConfigError: it is
    not a regular expression with one group.
    """
    if pattern is None:
        return Path.as_posix
    if not isinstance(pattern, str):
        raise ConfigError(f"{path}: source: {pattern!r} is not a text; expected: a regular expression")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{path}: source: {pattern!r} is not a regular expression: {error}") from error
    if compiled.groups != 1:
        raise ConfigError(f"{path}: source: {pattern!r}: must have one group, the recording: '(.+)-[0-9]+'")

    def recording(video: Path) -> str:
        found = compiled.fullmatch(video.stem)
        return found[1] if found and found[1] is not None else video.as_posix()

    return recording
