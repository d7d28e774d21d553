"""What the daemon says on stderr: one line each, without passwords, and not the same thing all the time.

A line begins with what it is about, as key=value: `camera=yard state=streaming`, `broker=localhost:1883 connected`.
Under systemd journald adds the time; on a terminal a line has the time of day, in a file the date too.
"""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TextIO
from weakref import WeakSet

from edge_tdn.process.passwords import without_password

OURS = "edge_tdn"
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}  # of syslog
COLOURS = {logging.CRITICAL: 31, logging.ERROR: 31, logging.WARNING: 33, logging.INFO: 32, logging.DEBUG: 36}
TIMES = {"journal": "", "terminal": "%H:%M:%S", "file": "%Y-%m-%dT%H:%M:%S%z"}
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")  # or misleading
SUBJECT = re.compile(r"(?:camera|broker)=\S+ ")
PLAIN = re.compile(r'[^\s"=\\]+')


# -------------------------------------------------------------------------------------------------------------- lines


def value(of: object) -> str:
    """As it may stand behind `key=`: quoted where it must be."""
    text = str(of)
    return text if PLAIN.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def set_up(level: int, stream: TextIO | None = None) -> None:
    """Lines of `level` and above go to `stream` (stderr); of other libraries warnings alone, unless all is asked for.

    A program that has set up its own logging before keeps it.
    """
    stream = stream or sys.stderr
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(_kind(stream)))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
    logging.getLogger(OURS).setLevel(level)
    logging.captureWarnings(True)
    log = logging.getLogger(OURS)

    def uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, traceback)
        else:
            log.critical("unexpected: %s", kind.__name__, exc_info=(kind, error, traceback))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "?"
        if args.exc_value:
            log.critical("thread=%s failed", value(name), exc_info=args.exc_value)

    def unraisable(args: Any) -> None:
        log.error("unexpected: %s", args.err_msg or "in a callback", exc_info=args.exc_value)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, of_thread, unraisable


def complain(error: Exception) -> None:
    """What ends the program, to whoever started it: one line, or one for each fault."""
    before = f"<{PRIORITIES[logging.ERROR]}>" if _kind(sys.stderr) == "journal" else ""
    for line in f"edge-tdn: {without_password(str(error))}".split("\n"):
        sys.stderr.write(f"{before}{shown(line)}\n")


def _kind(stream: TextIO) -> Literal["journal", "terminal", "file"]:
    try:
        opened = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it has no descriptor
        return "file"
    if os.environ.get("JOURNAL_STREAM") == f"{opened.st_dev}:{opened.st_ino}":
        return "journal"
    return "terminal" if stream.isatty() else "file"


class _Formatter(logging.Formatter):
    """One line a record; a traceback is one line each, all about the same."""

    def __init__(self, kind: Literal["journal", "terminal", "file"]) -> None:
        super().__init__(datefmt=TIMES[kind])
        self._kind = kind
        self._coloured = kind == "terminal" and not os.environ.get("NO_COLOR")

    def format(self, record: logging.LogRecord) -> str:
        text = without_password(record.getMessage())
        if not record.name.startswith(OURS):
            text = f"{record.name}: {text}"
        lines = [text]
        if record.exc_info and record.exc_info[0]:
            found = SUBJECT.match(text)
            trace = without_password(self.formatException(record.exc_info)).splitlines()
            lines += [f"{found[0] if found else ''}| {line}" for line in trace]
        before = self._before(record)
        return "\n".join(before + shown(line) for line in lines)

    def _before(self, record: logging.LogRecord) -> str:
        if self._kind == "journal":  # see sd-daemon(3)
            return f"<{PRIORITIES.get(record.levelno, 6)}>"
        level = record.levelname
        if self._coloured:
            level = f"\x1b[{COLOURS.get(record.levelno, 0)}m{level}\x1b[0m"
        return f"{self.formatTime(record, self.datefmt)} {level} "


def shown(text: str) -> str:
    """On one line, and nothing in it that a terminal would obey."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


# ------------------------------------------------------------------------------------------------------------- limits


Line = tuple[int, str, tuple[object, ...]]  # level, template, arguments


@dataclass
class _Alike:
    """Lines about one thing."""

    paid_s: float = float("-inf")  # monotonic seconds: until then the lines that were said count
    waits: Line | None = None  # the newest that was not said
    left_out: int = 0  # those before it


class Limited:
    """A logger for what may come again and again.

    Of lines about one thing `burst` are said at once, after that one every `every_s`: the newest, which tells how many
    were left out. What waits is said by `catch_up`, so that the log ends with what is so.
    """

    def __init__(
        self, log: logging.Logger, every_s: float, burst: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._every_s, self._burst, self._clock = log, every_s, burst, clock
        self._things: dict[str, _Alike] = {}
        self._lock = threading.Lock()
        with _limited_lock:
            _limited.add(self)

    def log(
        self, level: int, template: str, *arguments: object, about: str = "", exc_info: BaseException | None = None
    ) -> None:
        """As of a Logger. `about`: among others, which thing it is; their number must be bounded."""
        with self._lock:
            alike = self._things.setdefault(about, _Alike())
            alike.left_out += alike.waits is not None
            if self._clock() >= self._free_s(alike):
                self._say(alike, (level, template, arguments), exc_info)
            else:
                alike.waits = level, template, arguments

    def catch_up(self, finally_: bool = False) -> None:
        """Says what waits, where its time has come. `finally_`: there is no later."""
        with self._lock:
            for alike in self._things.values():
                if alike.waits and (finally_ or self._clock() >= self._free_s(alike)):
                    self._say(alike, alike.waits)

    def _free_s(self, alike: _Alike) -> float:
        return alike.paid_s - (self._burst - 1) * self._every_s

    def _say(self, alike: _Alike, line: Line, exc_info: BaseException | None = None) -> None:
        level, template, arguments = line
        more = f" left_out={alike.left_out}" if alike.left_out else ""
        alike.paid_s = max(alike.paid_s, self._clock()) + self._every_s
        alike.waits, alike.left_out = None, 0
        self._log.log(level, f"{template}{more}", *arguments, exc_info=exc_info)


_limited: "WeakSet[Limited]" = WeakSet()
_limited_lock = threading.Lock()


def catch_up(finally_: bool = False) -> None:
    """Every Limited's. To be called now and then, and with `finally_` at the end."""
    with _limited_lock:
        all_of_them = list(_limited)
    for limited in all_of_them:
        limited.catch_up(finally_)
