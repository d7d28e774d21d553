"""The log on stderr: its form for journald, a terminal and a file, without passwords, and with limited repetition."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from edge_tdn.process.log import RateLimitedLog, _JsonFormatter, escaped, flush_rate_limited, value

PROGRAM = r"""
import logging, os, threading, warnings
from edge_tdn.errors import EdgeTdnError
from edge_tdn.process.log import configure, report_error, set_up, value
from edge_tdn.process.passwords import hide, hide_in

set_up(logging.INFO)
configure("info", os.environ.get("TEST_FORMAT", "text"))
hide('s3cret/"9')
hide_in("rtsp://me:pa%20ss@host/x")
log = logging.getLogger("edge_tdn.service.camera")
log.debug("camera=yard below the level")
log.info("camera=yard event=start label=%s", value('a "b"\n<2>forged \u202e\x1b[31m\udcff ü'))
log.warning("broker=b:1 unreachable: rtsp://u:p@ss@h/x?password=top1 s3cret/\"9 s3cret%2F%229 bWU6cGEgc3M=")
try:
    raise ValueError("rtsp://u:p@ss@h\n<2>and s3cret/\"9")
except ValueError:
    log.exception("camera=yard failed")
logging.getLogger("paho").info("below the level")
logging.getLogger("paho").warning("of a library")
warnings.warn("pa ss is old")

def end():
    raise RuntimeError("pa ss in a thread")

worker = threading.Thread(target=end, name="a worker")
worker.start()
worker.join()
report_error(EdgeTdnError("wrong:\ns3cret/\"9 \x1b[31m"))
raise RuntimeError("s3cret/\"9 at the end")
"""
SECRETS = ('s3cret/"9', "s3cret%2F%229", 's3cret/\\"9', "p@ss", "pa ss", "pa%20ss", "top1", "bWU6cGEgc3M=")


def _stderr(*, terminal: bool = False, **environment: str) -> list[str]:
    """Return the lines of PROGRAM, which ends by an uncaught exception."""
    reading, writing = pty.openpty() if terminal else os.pipe()
    opened = os.fstat(writing)
    journal = environment.pop("journal", "")
    if journal:
        environment["JOURNAL_STREAM"] = f"{opened.st_dev}:{opened.st_ino + (journal == 'another')}"
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.Popen(command, stderr=writing, env={**os.environ, "TERM": "xterm", **environment})
    os.close(writing)
    output = b""
    try:
        while chunk := os.read(reading, 65536):
            output += chunk
    except OSError:  # how a terminal reports that its other end is closed
        pass
    os.close(reading)
    assert done.wait(60) == 1
    return output.decode().replace("\r\n", "\n").split("\n")[:-1]


def _line_with(lines: list[str], text: str) -> str:
    (line,) = [line for line in lines if text in line]
    return line


def test_journal_lines_have_a_priority_and_a_subject_and_no_time() -> None:
    lines = _stderr(journal="ours")
    assert all(re.match(r"<[2346]>\S", line) for line in lines), lines
    assert lines[0] == r'<6>camera=yard event=start label="a \"b\"\n<2>forged \u202e\x1b[31m\udcff ü"'
    assert lines[1] == "<4>broker=b:1 unreachable: rtsp://u:***@h/x?password=*** *** *** ***"
    assert lines[2] == "<3>camera=yard failed"
    trace = lines[3 : next(i for i, line in enumerate(lines) if "paho" in line)]
    assert trace[0] == "<3>camera=yard | Traceback (most recent call last):"
    assert all(line.startswith("<3>camera=yard | ") for line in trace)
    assert "<4>paho: of a library" in lines
    assert _line_with(lines, "thread=").startswith('<2>thread="a worker" failed')
    assert lines[-1] == "<2>| RuntimeError: *** at the end"
    first = lines.index("<3>edge-tdn: wrong:")
    assert lines[first + 1] == r"<3>*** \x1b[31m"
    assert not [line for line in lines if "below the level" in line]


@pytest.mark.parametrize("journal", ["", "another"])
def test_file_lines_have_a_date_and_no_control_characters(journal: str) -> None:
    lines = [line for line in _stderr(journal=journal) if not re.match(r"edge-tdn: |\*\*\* ", line)]
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (INFO|WARNING|ERROR|CRITICAL) "
    assert all(re.match(stamp, line) for line in lines), lines
    for line in lines:
        assert not re.search(r"[\x00-\x1f\u202e]", line)
        assert not [secret for secret in SECRETS if secret in line]
    assert len([line for line in lines if "***" in line]) == 6


def _without_duplicates(pairs: list[tuple[str, str]]) -> dict[str, str]:
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)


@pytest.mark.parametrize("journal", ["", "ours"])
def test_json_lines_are_objects_with_the_fields_of_their_message(journal: str) -> None:
    lines = _stderr(journal=journal, TEST_FORMAT="json")
    if journal:
        assert all(re.match(r"<[2346]>{", line) for line in lines), lines
        lines = [line[3:] for line in lines]
    for line in lines:
        assert not re.search(r"[\x00-\x1f\u202e]", line)
        assert not [secret for secret in SECRETS if secret in line]
    contents = [json.loads(line, object_pairs_hook=_without_duplicates) for line in lines]
    for content in contents:
        assert list(content)[:4] == ["time", "level", "logger", "message"]
        assert abs((datetime.now(UTC) - datetime.fromisoformat(content["time"])).total_seconds()) < 600
    start, lost, failed = contents[:3]
    assert start["message"] == 'camera=yard event=start label="a \\"b\\"\n<2>forged \u202e\x1b[31m\udcff ü"'
    fields = {"camera": "yard", "event": "start", "label": 'a "b"\n<2>forged \u202e\x1b[31m\udcff ü'}
    assert {key: start[key] for key in list(start)[4:]} == fields
    assert (start["level"], start["logger"]) == ("info", "edge_tdn.service.camera")
    assert (lost["level"], lost["broker"]) == ("warning", "b:1")
    assert (failed["level"], failed["message"], failed["camera"]) == ("error", "camera=yard failed", "yard")
    assert failed["exception"].startswith("Traceback (most recent call last):\n")
    assert [one["message"] for one in contents if one["logger"] == "paho"] == ["of a library"]
    ours = [one for one in contents if one["logger"] == "edge_tdn"]
    assert [one["thread"] for one in ours if "thread" in one] == ["a worker"]
    assert [one["message"] for one in ours if one["level"] == "error"] == ["wrong:", "*** \x1b[31m"]
    assert contents[-1]["level"] == "critical"
    assert contents[-1]["exception"].endswith("RuntimeError: *** at the end")


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("camera=a state=unreachable reason=\"no 'x' at y=1\"", {"state": "unreachable", "reason": "no 'x' at y=1"}),
        ("command=set id=7 refused: a=b id=8", {"command": "set", "id": "7", "a": "b"}),
        ("camera=a not recorded: full; id=barn/a/1 left_out=3", {"id": "barn/a/1", "left_out": "3"}),
        ("config=/etc/site.toml in force: changed: log.level; level=9", {"config": "/etc/site.toml"}),
        ("broker=localhost:1883 connected", {"broker": "localhost:1883"}),
        ("parity=1, =x y= http://h/?q=1 A=2", {"parity": "1"}),
    ],
)
def test_each_key_and_value_of_a_message_is_a_field_unless_the_line_has_one_of_that_name(
    message: str, fields: dict[str, str]
) -> None:
    content = json.loads(_JsonFormatter("file").line(logging.INFO, 0.0, "edge_tdn", message))
    assert (content["time"], content["level"], content["message"]) == ("1970-01-01T00:00:00.000Z", "info", message)
    assert {key: content.get(key) for key in fields} == fields
    if "level=9" in message or "A=2" in message:
        assert len(content) == 4 + len(fields)


@pytest.mark.parametrize("colour", [True, False])
def test_terminal_lines_have_the_time_and_colours_unless_no_color_is_set(colour: bool) -> None:
    lines = _stderr(terminal=True, **({} if colour else {"NO_COLOR": "1"}))
    lines = [line for line in lines if not re.match(r"edge-tdn: |\*\*\* ", line)]
    level = "\x1b\\[3\\dm[A-Z]+\x1b\\[0m" if colour else "[A-Z]+"
    assert all(re.match(rf"\d\d:\d\d:\d\d {level} [^\x1b]+$", line) for line in lines), lines


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('"', r'"\""'),
        ("\\", r'"\\"'),
        (None, "None"),
        (0.5, "0.5"),
        ("\n", '"\n"'),
    ],
)
def test_value_is_quoted_if_it_has_to_be(of: object, text: str) -> None:
    assert value(of) == text


def test_control_characters_are_escaped() -> None:
    assert escaped("a\r\n\t\0\u2066\u200b\ufeff\x9b") == r"a\r\n\t\x00\u2066\u200b\ufeff\x9b"
    assert escaped("Grüße, 北京 🙂") == "Grüße, 北京 🙂"


class RecordingHandler(logging.Handler):
    """Records the text of every line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines that are logged during a test."""
    handler, logger = RecordingHandler(), logging.getLogger("edge_tdn.test_log")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)


def test_repeated_lines_are_limited_and_the_newest_is_logged_with_the_count_of_the_others(logged: list[str]) -> None:
    now_s, at = 0.0, []
    limited = RateLimitedLog(logging.getLogger("edge_tdn.test_log"), every_s=20.0, burst=3, clock=lambda: now_s)
    for number in range(3000):
        now_s = number / 5
        if number % 2:
            limited.log(logging.INFO, "camera=%s state=%s", "yard", number)
        else:
            flush_rate_limited()
        at += [now_s] * (len(logged) - len(at))
    for start_s in at:
        assert sum(start_s <= other_s < start_s + 60 for other_s in at) <= 6
    assert at[:3] == [0.2, 0.6, 1.0], "a burst is logged at once"
    assert len(at) >= 600 / 20
    now_s += 20.0
    flush_rate_limited()
    assert logged[-1].startswith("camera=yard state=2999 ")
    left_out = sum(int(number) for number in re.findall(r" left_out=(\d+)$", "\n".join(logged), re.M))
    assert len(logged) + left_out == 1500
    flush_rate_limited(final=True)
    assert logged[-1].startswith("camera=yard state=2999 "), "nothing is logged twice"


def test_subjects_are_limited_separately_and_the_final_flush_logs_all(logged: list[str]) -> None:
    limited = RateLimitedLog(logging.getLogger("edge_tdn.test_log"), every_s=60.0)
    for number in range(3):
        for about in ("a", "b"):
            limited.log(logging.INFO, "%s %d%%", about, number, about=about)
    assert logged == ["a 0%", "b 0%"]
    limited.flush(final=True)
    assert logged[2:] == ["a 2% left_out=1", "b 2% left_out=1"]
