"""The log on stderr: one line a record, without passwords, and with a limit on repeated lines.

A line begins with its subject, as key=value: `camera=yard state=streaming`, `broker=localhost:1883 connected`. Under
systemd, journald adds the time; on a terminal a line has the time of day, in a file the date too. As JSON, a line is an
object with the time, the level, the logger, the message, each key=value of it, and the traceback if there is one.
"""

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO
from weakref import WeakSet

from edge_tdn.process.passwords import without_password

OURS = "edge_tdn"
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}  # of syslog
COLOURS = {logging.CRITICAL: 31, logging.ERROR: 31, logging.WARNING: 33, logging.INFO: 32, logging.DEBUG: 36}
TIMES = {"journal": "", "terminal": "%H:%M:%S", "file": "%Y-%m-%dT%H:%M:%S%z"}
UNPRINTABLE = re.compile(  # or misleading
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
SUBJECT = re.compile(r"(?:camera|broker)=\S+ ")
PLAIN = re.compile(r'[^\s"=\\]+')
FIELD = re.compile(  # key, quoted value, plain value; a comma, semicolon or colon may follow
    r'(?<!\S)([a-z]\w*)=(?:"((?:[^"\\]|\\.)*)"|([^\s"=]+?))(?=[,;:]?(?:\s|$))'
)
Kind = Literal["journal", "terminal", "file"]
Format = Literal["text", "json"]


# -------------------------------------------------------------------------------------------------------------- lines


def value(of: object) -> str:
    """Return the text of a value for `key=value`, quoted if it has to be."""
    text = str(of)
    return text if PLAIN.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def set_up(level: int, stream: TextIO | None = None) -> None:
    """Log to `stream` (stderr) from `level` on; of other libraries only warnings, unless `level` is higher.

    Nothing changes if the program has set up its own logging before. Uncaught exceptions are logged, too.
    """
    stream = stream or sys.stderr
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(_kind(stream)))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])
    logging.getLogger(OURS).setLevel(level)
    _set_up[:] = [(handler, level)]
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


def configure(level: Literal["debug", "info", "warning", "error"], form: Format) -> None:
    """Change the level and the format of the log that `set_up` began; at the level debug it stays there."""
    for handler, first_level in _set_up:
        number = logging.getLevelNamesMapping()[level.upper()]
        logging.getLogger(OURS).setLevel(logging.DEBUG if first_level == logging.DEBUG else number)
        logging.getLogger().setLevel(max(number, logging.WARNING))
        kind = _kind(handler.stream)
        handler.setFormatter(_JsonFormatter(kind) if form == "json" else _Formatter(kind))


def report_error(error: Exception) -> None:
    """Write the error that ends the program to stderr: one line, or one for each fault."""
    lines = without_password(str(error)).split("\n")
    formatter = _set_up[0][0].formatter if _set_up else None
    if isinstance(formatter, _JsonFormatter):
        shown = [formatter.line(logging.ERROR, time.time(), OURS, line) for line in lines]
    else:
        prefix = f"<{PRIORITIES[logging.ERROR]}>" if _kind(sys.stderr) == "journal" else ""
        shown = [prefix + escaped(line) for line in (f"edge-tdn: {lines[0]}", *lines[1:])]
    for line in shown:
        sys.stderr.write(f"{line}\n")


_set_up: list[tuple["logging.StreamHandler[TextIO]", int]] = []  # the handler of `set_up` and its level; at most one


def _kind(stream: TextIO) -> Kind:
    try:
        opened = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file of the system
        return "file"
    if os.environ.get("JOURNAL_STREAM") == f"{opened.st_dev}:{opened.st_ino}":
        return "journal"
    return "terminal" if stream.isatty() else "file"


class _Formatter(logging.Formatter):
    """Formats a record as one line, and a traceback as further lines with the same subject."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(datefmt=TIMES[kind])
        self._kind = kind
        self._coloured = kind == "terminal" and not os.environ.get("NO_COLOR")

    def format(self, record: logging.LogRecord) -> str:
        text = without_password(record.getMessage())
        if not record.name.startswith(OURS):
            text = f"{record.name}: {text}"
        lines = [text]
        if record.exc_info and record.exc_info[0]:
            subject = SUBJECT.match(text)
            trace = without_password(self.formatException(record.exc_info)).splitlines()
            lines += [f"{subject[0] if subject else ''}| {line}" for line in trace]
        prefix = self._prefix(record)
        return "\n".join(prefix + escaped(line) for line in lines)

    def _prefix(self, record: logging.LogRecord) -> str:
        if self._kind == "journal":  # see sd-daemon(3)
            return f"<{PRIORITIES.get(record.levelno, 6)}>"
        level = record.levelname
        if self._coloured:
            level = f"\x1b[{COLOURS.get(record.levelno, 0)}m{level}\x1b[0m"
        return f"{self.formatTime(record, self.datefmt)} {level} "


class _JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON. For journald it begins with its priority."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self._kind = kind

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        return self.line(record.levelno, record.created, record.name, record.getMessage(), trace)

    def line(self, level: int, at_s: float, logger: str, message: str, trace: str = "") -> str:
        """Return a line. `at_s`: seconds since 1970 UTC; `trace`: the traceback."""
        text = without_password(message)
        moment = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        content = {"time": moment, "level": logging.getLevelName(level).lower(), "logger": logger, "message": text}
        if trace:
            content["exception"] = without_password(trace)
        for found in FIELD.finditer(text):
            content.setdefault(found[1], re.sub(r"\\(.)", r"\1", found[2]) if found[3] is None else found[3])
        prefix = f"<{PRIORITIES.get(level, 6)}>" if self._kind == "journal" else ""  # see sd-daemon(3)
        return prefix + UNPRINTABLE.sub(
            lambda found: json.dumps(found[0])[1:-1], json.dumps(content, ensure_ascii=False)
        )


def escaped(text: str) -> str:
    """Return the text on one line, with control characters as escape sequences: no terminal may obey them."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


# ------------------------------------------------------------------------------------------------------------- limits


Line = tuple[int, str, tuple[object, ...]]  # level, template, arguments


@dataclass
class _Subject:
    """The lines about one subject."""

    paid_until_s: float = float("-inf")  # monotonic seconds that are used up by the lines so far, `every_s` each
    waiting: Line | None = None  # the newest line that was not logged
    left_out: int = 0  # lines before it that were not logged


class RateLimitedLog:
    """A logger for lines that may come again and again. Any thread may use it.

    Of the lines about one subject, `burst` are logged at once, and after that one every `every_s`: the newest, with the
    number of lines that were left out. `flush` logs the newest when its time has come, so that the log ends with the
    current state.
    """

    def __init__(
        self, log: logging.Logger, every_s: float, burst: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._every_s, self._burst, self._clock = log, every_s, burst, clock
        self._subjects: dict[str, _Subject] = {}
        self._lock = threading.Lock()  # of the subjects
        with _all_lock:
            _all.add(self)

    def log(
        self, level: int, template: str, *arguments: object, about: str = "", exc_info: BaseException | None = None
    ) -> None:
        """Log a line as a Logger does, or keep it until `flush`. `about`: its subject, of which there must be few."""
        with self._lock:
            subject = self._subjects.setdefault(about, _Subject())
            subject.left_out += subject.waiting is not None
            if self._clock() >= self._due_s(subject):
                self._write(subject, (level, template, arguments), exc_info)
            else:
                subject.waiting = level, template, arguments

    def flush(self, final: bool = False) -> None:
        """Log the waiting lines whose time has come; all of them if `final`."""
        with self._lock:
            for subject in self._subjects.values():
                if subject.waiting and (final or self._clock() >= self._due_s(subject)):
                    self._write(subject, subject.waiting)

    def _due_s(self, subject: _Subject) -> float:
        return subject.paid_until_s - (self._burst - 1) * self._every_s

    def _write(self, subject: _Subject, line: Line, exc_info: BaseException | None = None) -> None:
        level, template, arguments = line
        suffix = f" left_out={subject.left_out}" if subject.left_out else ""
        subject.paid_until_s = max(subject.paid_until_s, self._clock()) + self._every_s
        subject.waiting, subject.left_out = None, 0
        self._log.log(level, f"{template}{suffix}", *arguments, exc_info=exc_info)


_all: "WeakSet[RateLimitedLog]" = WeakSet()
_all_lock = threading.Lock()


def flush_rate_limited(final: bool = False) -> None:
    """Flush every RateLimitedLog. Call it about once a second, and with `final` at the end."""
    with _all_lock:
        logs = list(_all)
    for log in logs:
        log.flush(final)
