"""A terminal for programs in tests: pyte emulates its text, and pictures by kitty's protocol or sixels are decoded."""

import base64
import contextlib
import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pyte
from numpy.typing import NDArray
from PIL import Image

from edge_tdn.messages import Picture
from tests.support.waiting import PROGRAM_S

Kind = Literal["text", "kitty", "sixel"]
CELL = 10, 20  # width and height of a character, pixels
ATTRIBUTES = {"text": "62;22", "kitty": "62;22", "sixel": "62;4;22"}  # 4: sixels
GRAPHICS = re.compile(
    rb"\x1b_G(?P<kitty>[^\x1b]*)\x1b\\|\x1bP(?P<sixel>[^\x1b]*)\x1b\\|\x1b\[(?P<query>16t|c)|\x1b\[\?2026(?P<update>[hl])"
)
UNFINISHED = re.compile(rb"\x1b(_G[^\x1b]*|P[^\x1b]*|\[[\d;?]*)?\x1b?$")
BLOCK = "▀"
# Makes the terminal that of the session, then becomes the program: code between fork and exec may hang beside threads.
OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class ShownPicture:
    """A picture on the screen: its pixels, and the cells that it covers; row and column count from 0."""

    pixels: Picture
    row: int
    column: int
    columns: int
    rows: int


class Terminal:
    """Runs a program. The reader thread owns the screen and the pictures; `view` locks them."""

    def __init__(
        self, command: Sequence[str], columns: int, lines: int, kind: Kind = "text", environment: Mapping[str, str] = {}
    ) -> None:
        """`environment`: added to ours, without COLUMNS, LINES and what describes our own terminal."""
        self._kind = kind
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._rest, self._chunks = b"", ""
        self._keys: dict[str, str] = {}
        self._picture: ShownPicture | None = None
        self._updating = False
        self._lock = threading.Lock()
        self._leader, follower = pty.openpty()
        self._set_size(columns, lines)
        own = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TMUX", "NO_COLOR")
        }
        own |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *command],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=own,
            start_new_session=True,
        )
        os.close(follower)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> list[str]:
        """The text on the screen, without blanks at the ends of lines."""
        return self.view[1]

    @property
    def picture(self) -> ShownPicture | None:
        """The picture on the screen: graphics, or half blocks; None in the middle of an update too."""
        return self.view[0]

    @property
    def view(self) -> tuple[ShownPicture | None, list[str]]:
        """The picture and the text, both of the same moment; without a picture in the middle of an update."""
        with self._lock:
            picture = None if self._updating else self._picture or self._half_blocks()
            return picture, [line.rstrip() for line in self._screen.display]

    def resize(self, columns: int, lines: int) -> None:
        """Change the size; the program receives SIGWINCH. Sixels do not survive, as in most terminals."""
        with self._lock:
            self._screen.resize(lines, columns)
            if self._kind == "sixel":
                self._picture = None
            self._set_size(columns, lines)

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status of the program."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(PROGRAM_S)
        self._reader.join()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._leader)

    def _set_size(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, columns * CELL[0], lines * CELL[1])
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, size)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(self._leader, 65536):
                with self._lock:
                    self._take(self._rest + data)

    def _take(self, data: bytes) -> None:
        end = 0
        for found in GRAPHICS.finditer(data):
            self._stream.feed(data[end : found.start()])
            end = found.end()
            if found["update"] is not None:
                self._updating = found["update"] == b"h"
            elif found["query"] is not None:
                self._answer(found["query"])
            elif found["kitty"] is not None:
                self._kitty(found["kitty"].decode())
            else:
                self._show(decode_sixels(found["sixel"].decode()), None, None)
        unfinished = UNFINISHED.search(data, end)
        self._rest = data[unfinished.start() :] if unfinished else b""
        self._stream.feed(data[end : len(data) - len(self._rest)])

    def _answer(self, query: bytes) -> None:
        if query == b"c":
            os.write(self._leader, f"\x1b[?{ATTRIBUTES[self._kind]}c".encode())
        else:
            os.write(self._leader, f"\x1b[6;{CELL[1]};{CELL[0]}t".encode())

    def _kitty(self, sequence: str) -> None:
        """Take one sequence of kitty's protocol: a question, a picture in chunks, or its removal."""
        if self._kind != "kitty":
            assert "a=q" in sequence, "a terminal without the protocol only receives the question"
            return
        head, _, payload = sequence.partition(";")
        keys = dict(pair.split("=") for pair in head.split(","))
        if keys.get("a") == "q":
            os.write(self._leader, f"\x1b_Gi={keys['i']};OK\x1b\\".encode())
        elif keys.get("a") == "d":
            self._picture = None
        else:
            self._keys = self._keys if self._chunks else keys
            self._chunks += payload
            if keys.get("m", "0") == "0":
                image = Image.open(io.BytesIO(base64.b64decode(self._chunks)))
                assert (image.format, self._keys["f"], self._keys["a"]) == ("PNG", "100", "T")
                self._show(np.asarray(image.convert("RGB")), int(self._keys["c"]), int(self._keys["r"]))
                self._chunks = ""

    def _show(self, pixels: Picture, columns: int | None, rows: int | None) -> None:
        """Show a picture at the cursor; one without a size in cells covers those that its pixels need."""
        cursor = self._screen.cursor
        columns, rows = columns or -(-pixels.shape[1] // CELL[0]), rows or -(-pixels.shape[0] // CELL[1])
        self._picture = ShownPicture(pixels, cursor.y, cursor.x, columns, rows)

    def _half_blocks(self) -> ShownPicture | None:
        cells = [
            (y, x)
            for y in range(self._screen.lines)
            for x in range(self._screen.columns)
            if self._screen.buffer[y][x].data == BLOCK
        ]
        top, bottom = min((y for y, _ in cells), default=0), max((y for y, _ in cells), default=-1)
        left, right = min((x for _, x in cells), default=0), max((x for _, x in cells), default=-1)
        rows, columns = bottom - top + 1, right - left + 1
        if not cells or len(cells) < rows * columns:  # none, or it is being drawn
            return None
        pixels = np.zeros((2 * rows, columns, 3), np.uint8)
        for y, x in cells:
            cell = self._screen.buffer[y][x]
            for row, colour in enumerate((cell.fg, cell.bg)):
                pixels[2 * (y - top) + row, x - left] = list(bytes.fromhex(colour))
        return ShownPicture(pixels, top, left, columns, rows)


def decode_sixels(text: str) -> Picture:
    """Return the picture of a sixel sequence between its introducer and its terminator, uint8 RGB [H, W, 3]."""
    head = re.match(r'[0-9;]*q"1;1;(\d+);(\d+)', text)
    assert head, text[:40]
    width, height = int(head[1]), int(head[2])
    palette: dict[int, NDArray[np.uint8]] = {}
    pixels = np.zeros((height, width, 3), np.uint8)
    x = top = colour = 0
    for part in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)(.)|([?-~])|([$-])", text[head.end() :]):
        if part[1]:
            palette[int(part[1])] = np.rint(np.array([part[2], part[3], part[4]], float) * 2.55).astype(np.uint8)
        elif part[5]:
            colour = int(part[5])
        elif part[9]:
            x, top = 0, top + 6 * (part[9] == "-")
        else:
            count, bits = int(part[6] or 1), ord(part[7] or part[8]) - 63
            for bit in range(6):
                if bits >> bit & 1:
                    assert top + bit < height
                    assert x + count <= width
                    pixels[top + bit, x : x + count] = palette[colour]
            x += count
    return pixels
