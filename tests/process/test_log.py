"""What stands on stderr: its form for journald, a terminal and a file; what is never in it; how often."""

import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.process import passwords
from edge_tdn.process.log import Limited, catch_up, shown, value
from edge_tdn.process.passwords import hide, hide_in, without_password

PROGRAM = r"""
import logging, threading, warnings
from edge_tdn.errors import EdgeTdnError
from edge_tdn.process.log import complain, set_up, value
from edge_tdn.process.passwords import hide, hide_in

set_up(logging.INFO)
hide('s3cret/"9')
hide_in("rtsp://me:pa%20ss@host/x")
log = logging.getLogger("edge_tdn.service.camera")
log.debug("camera=yard not asked for")
log.info("camera=yard event=start label=%s", value('a "b"\n<2>forged \u202e\x1b[31m\udcff ü'))
log.warning("broker=b:1 unreachable: rtsp://u:p@ss@h/x?password=top1 s3cret/\"9 s3cret%2F%229 bWU6cGEgc3M=")
try:
    raise ValueError("rtsp://u:p@ss@h\n<2>and s3cret/\"9")
except ValueError:
    log.exception("camera=yard failed")
logging.getLogger("paho").info("not asked for")
logging.getLogger("paho").warning("of a library")
warnings.warn("pa ss is old")

def end():
    raise RuntimeError("pa ss in a thread")

worker = threading.Thread(target=end, name="a worker")
worker.start()
worker.join()
complain(EdgeTdnError("wrong:\ns3cret/\"9 \x1b[31m"))
raise RuntimeError("s3cret/\"9 at the end")
"""
SECRETS = ('s3cret/"9', "s3cret%2F%229", 's3cret/\\"9', "p@ss", "pa ss", "pa%20ss", "top1", "bWU6cGEgc3M=")


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hidden", {})


def _stderr(*, terminal: bool = False, **environment: str) -> list[str]:
    """The lines of PROGRAM, which ends by an exception that nobody expected."""
    reading, writing = pty.openpty() if terminal else os.pipe()
    opened = os.fstat(writing)
    journal = environment.pop("journal", "")
    if journal:
        environment["JOURNAL_STREAM"] = f"{opened.st_dev}:{opened.st_ino + (journal == 'another')}"
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.Popen(command, stderr=writing, env={**os.environ, "TERM": "xterm", **environment})
    os.close(writing)
    said = b""
    try:
        while chunk := os.read(reading, 65536):
            said += chunk
    except OSError:  # a terminal's way to say that nobody is there any more
        pass
    os.close(reading)
    assert done.wait(60) == 1
    return said.decode().replace("\r\n", "\n").split("\n")[:-1]


def _about(lines: list[str], text: str) -> str:
    (line,) = [line for line in lines if text in line]
    return line


def test_the_journal_has_a_priority_a_subject_and_no_time() -> None:
    lines = _stderr(journal="ours")
    assert all(re.match(r"<[2346]>\S", line) for line in lines), lines
    assert lines[0] == r'<6>camera=yard event=start label="a \"b\"\n<2>forged \u202e\x1b[31m\udcff ü"'
    assert lines[1] == "<4>broker=b:1 unreachable: rtsp://u:***@h/x?password=*** *** *** ***"
    assert lines[2] == "<3>camera=yard failed"
    trace = lines[3 : next(i for i, line in enumerate(lines) if "paho" in line)]
    assert trace[0] == "<3>camera=yard | Traceback (most recent call last):"
    assert all(line.startswith("<3>camera=yard | ") for line in trace)
    assert "<4>paho: of a library" in lines
    assert _about(lines, "thread=").startswith('<2>thread="a worker" failed')
    assert lines[-1] == "<2>| RuntimeError: *** at the end"
    first = lines.index("<3>edge-tdn: wrong:")
    assert lines[first + 1] == r"<3>*** \x1b[31m"
    assert not [line for line in lines if "not asked for" in line]


@pytest.mark.parametrize("journal", ["", "another"])
def test_a_file_has_the_date_and_nothing_that_is_not_one_line(journal: str) -> None:
    lines = [line for line in _stderr(journal=journal) if not re.match(r"edge-tdn: |\*\*\* ", line)]
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (INFO|WARNING|ERROR|CRITICAL) "
    assert all(re.match(stamp, line) for line in lines), lines
    for line in lines:
        assert not re.search(r"[\x00-\x1f\u202e]", line)
        assert not [secret for secret in SECRETS if secret in line]
    assert len([line for line in lines if "***" in line]) == 6


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_has_the_time_and_colours_unless_they_are_not_wanted(colour: bool) -> None:
    lines = _stderr(terminal=True, **({} if colour else {"NO_COLOR": "1"}))
    lines = [line for line in lines if not re.match(r"edge-tdn: |\*\*\* ", line)]
    level = "\x1b\\[3\\dm[A-Z]+\x1b\\[0m" if colour else "[A-Z]+"
    assert all(re.match(rf"\d\d:\d\d:\d\d {level} [^\x1b]+$", line) for line in lines), lines


@pytest.mark.parametrize(
    ("of", "said"),
    [("plain", "plain"), ("", '""'), ("two words", '"two words"'), ("a=b", '"a=b"'), ('"', r'"\""'), ("\\", r'"\\"'),
     (None, "None"), (0.5, "0.5"), ("\n", '"\n"')],
)  # fmt: skip
def test_a_value_is_quoted_where_it_must_be(of: object, said: str) -> None:
    assert value(of) == said


def test_what_cannot_be_seen_is_shown() -> None:
    assert shown("a\r\n\t\0\u2066\u200b\ufeff\x9b") == r"a\r\n\t\x00\u2066\u200b\ufeff\x9b"
    assert shown("Grüße, 北京 🙂") == "Grüße, 北京 🙂"


# Passwords

LETTERS = st.characters(blacklist_characters="*", blacklist_categories=["Cs"])


@given(st.text(LETTERS, min_size=passwords.WHOLE_WORD), st.text(LETTERS), st.text(LETTERS))
def test_a_hidden_password_is_in_no_text(secret: str, before: str, behind: str) -> None:
    passwords._hidden.clear()
    hide(secret, "me")
    for form in (secret, repr(secret), passwords.quote(secret, safe=""), passwords.json.dumps(secret)):
        assert secret not in without_password(f"{before}{form}{behind}")


def test_a_short_password_is_hidden_where_it_stands_alone() -> None:
    hide("on")
    assert without_password("connection of on, 'on' on:on") == "connection of ***, '***' ***:***"


def test_a_password_of_an_address_is_hidden_wherever_a_library_puts_it() -> None:
    for address in ("rtsp://me:s%40cret1@h/x", "http://h/x?pwd=s3cret2", 'gst: rtspsrc user-pw="s3cret 3" ! x'):
        hide_in(address)
    said = without_password("user me password s@cret1 or s%40cret1 (bWU6c0BjcmV0MQ==), s3cret2, s3cret 3")
    assert said == "user me password *** or *** (***), ***, ***"
    hide_in("rtsp://host:554/live")
    assert without_password("rtsp://host:554/live") == "rtsp://host:554/live"


def test_between_two_addresses_nothing_is_hidden() -> None:
    text = "http://u:p@h/x: Not Found (404), URL: http://u:p@h/x, Redirect to: a@b"
    assert "Not Found (404), URL: http://u:***@" in without_password(text)
    assert without_password("rtsp://u:a://b@h/x") == "rtsp://u:***@h/x"


# Limits


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("edge_tdn.test_log")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_who_flaps_has_six_lines_a_minute_the_last_is_so_and_the_rest_is_counted(lines: Lines) -> None:
    now_s, at = 0.0, []
    limited = Limited(logging.getLogger("edge_tdn.test_log"), every_s=20.0, burst=3, clock=lambda: now_s)
    for number in range(3000):
        now_s = number / 5
        if number % 2:
            limited.log(logging.INFO, "camera=%s state=%s", "yard", number)
        else:
            catch_up()
        at += [now_s] * (len(lines.said) - len(at))
    for moment in at:
        assert sum(moment <= other < moment + 60 for other in at) <= 6
    assert at[:3] == [0.2, 0.6, 1.0], "the first are said at once"
    assert len(at) >= 600 / 20
    now_s += 20.0
    catch_up()
    assert lines.said[-1].startswith("camera=yard state=2999 ")
    left_out = sum(int(number) for number in re.findall(r" left_out=(\d+)$", "\n".join(lines.said), re.M))
    assert len(lines.said) + left_out == 1500
    catch_up(finally_=True)
    assert lines.said[-1].startswith("camera=yard state=2999 "), "nothing is said twice"


def test_one_thing_does_not_crowd_out_another_and_the_end_waits_for_nobody(lines: Lines) -> None:
    limited = Limited(logging.getLogger("edge_tdn.test_log"), every_s=60.0)
    for number in range(3):
        for about in ("a", "b"):
            limited.log(logging.INFO, "%s %d%%", about, number, about=about)
    assert lines.said == ["a 0%", "b 0%"]
    limited.catch_up(finally_=True)
    assert lines.said[2:] == ["a 2% left_out=1", "b 2% left_out=1"]
