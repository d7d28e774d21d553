"""Names of clips that are recorded one by one: all of one camera and one hour are of one recording."""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

HOUR = "%Y%m%dT%H"
SECONDS = 3600  # of an hour


def hour_session(camera: str, at: datetime) -> str:
    """Return the start of the names of all clips of a camera and an hour: `20260301T124733Z`.

    Minutes and seconds stand for the camera, so that its clips are independent of those of another one, and the names
    fit the rule of `dataset.toml`.
    """
    minute, second = divmod(crc32(camera.encode()) % SECONDS, 60)
    return f"{at.astimezone(UTC).strftime(HOUR)}{minute:02}{second:02}Z"


class ClipNumbers:
    """The numbers of clips: none is given twice, not even to two that are made at once, or after one was discarded.

    Any thread may use it.
    """

    def __init__(self, *folders: Path) -> None:
        """`folders`: whose folders are classes."""
        self._folders = folders
        self._free: dict[str, int] = {}  # by session: the first number that was not given
        self._lock = threading.Lock()

    def reserve(self, session: str, count: int = 1) -> int:
        """Return the first of so many numbers for clips of a session."""
        with self._lock:
            first = max(self._free.get(session, 1), _last_number(self._folders, session) + 1)
            self._free[session] = first + count
            return first


def _last_number(folders: Iterable[Path], session: str) -> int:
    """Return the highest number among the clips of a session; 0: there are none."""
    numbers = [0]
    for folder in folders:
        for path in folder.glob(f"*/{session}-*"):
            digits = path.name.removeprefix(f"{session}-").partition(".")[0]
            if digits.isascii() and digits.isdigit():
                numbers.append(int(digits))
    return max(numbers)
