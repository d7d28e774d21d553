"""Ask the terminal how it can show pictures; its answers decide, not its name.

One question for each ability, and last one that every terminal answers: what is not answered before that is not there.
"""

import contextlib
import fcntl
import os
import re
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Iterator, Mapping

from edge_tdn.cli.terminal_pictures import Graphics, KittyGraphics, SixelGraphics

KITTY_QUESTION = "\x1b_Gi=1117,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"  # may I send one pixel?
CELL_QUESTION = "\x1b[16t"  # size of a character, pixels
LAST_QUESTION = "\x1b[c"  # primary device attributes
KITTY_YES = re.compile(rb"\x1b_G[^\x1b]*;OK\x1b\\")
CELL_ANSWER = re.compile(rb"\x1b\[6;(\d+);(\d+)t")
LAST_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")
SIXELS = b"4"  # among the device attributes
SILENT = ("dumb", "unknown", "linux", "")  # values of TERM: such terminals print questions, or never answer


def find_graphics(timeout_s: float, environment: Mapping[str, str] = os.environ) -> Graphics | None:
    """Return what draws pictures in the terminal of standard input and output; None: it has no graphics.

    `timeout_s`: for all answers.
    """
    if environment.get("TERM", "") in SILENT or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    # tmux and screen take kitty's sequences for a window title
    inside = "TMUX" in environment or environment["TERM"].startswith(("screen", "tmux"))
    questions = ("" if inside else KITTY_QUESTION) + CELL_QUESTION + LAST_QUESTION
    answers = _ask(questions.encode(), timeout_s)
    cell = _cell(answers)
    if KITTY_YES.search(answers):
        return KittyGraphics(cell)
    attributes = LAST_ANSWER.search(answers)
    if attributes and SIXELS in attributes[1].split(b";")[1:] and all(cell):
        return SixelGraphics(cell)
    return None


def _ask(questions: bytes, timeout_s: float) -> bytes:
    """Write questions and return what arrives up to the answer of the last one; what it was if none comes in time."""
    answers, deadline = b"", time.monotonic() + timeout_s
    source, target = sys.stdin.fileno(), sys.stdout.fileno()
    try:
        if os.tcgetpgrp(source) != os.getpgrp():
            return b""  # in the background, where a program must not change the terminal
    except OSError:  # not our controlling terminal
        pass
    try:
        with _without_echo(source):
            sys.stdout.flush()
            os.write(target, questions)
            while not LAST_ANSWER.search(answers):
                ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
                received = os.read(source, 1024) if ready else b""
                if not received:
                    break
                answers += received
    except (OSError, termios.error):  # the terminal has gone; the view will notice
        return b""
    return answers


@contextlib.contextmanager
def _without_echo(terminal: int) -> Iterator[None]:
    """Have the terminal deliver characters at once, and not print them."""
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _cell(answers: bytes) -> tuple[int, int]:
    """Return width and height of a character in pixels, as answered, or as the terminal's driver has it; or zeros."""
    if answer := CELL_ANSWER.search(answers):
        return int(answer[2]), int(answer[1])
    try:
        packed = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return 0, 0
    rows, columns, width, height = struct.unpack("HHHH", packed)
    return (width // columns, height // rows) if rows and columns else (0, 0)
