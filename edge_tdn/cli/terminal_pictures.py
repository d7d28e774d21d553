"""Pictures in a terminal: kitty's graphics protocol, sixels, and half blocks where it has neither.

kitty     https://sw.kovidgoyal.net/kitty/graphics-protocol/: a PNG, which the terminal scales to a number of cells
sixels    bands of six rows; every colour of a band is a line of characters, whose six bits are pixels below each other
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from edge_tdn.messages import Picture

CELL_HEIGHT = 2.0  # of a character, relative to its width, where the terminal does not report its cells
KITTY_ID = 1117  # of our only image; a new one replaces it together with what shows it
KITTY_CHUNK = 4096  # characters of base64 in one sequence
MAX_SIXEL_WIDTH, SIXEL_COLOURS = 480, 128  # pixels; more cost the processor more than they show
SIXEL_BAND = 6  # rows
LONG_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)


@dataclass(frozen=True)
class PicturePlace:
    """Cells of the terminal; row and column of the first one count from 1."""

    row: int
    column: int
    columns: int
    rows: int


class KittyGraphics:
    """Draws by kitty's protocol, which kitty, Ghostty, Konsole, WezTerm and iTerm2 have."""

    max_columns: int | None = None
    replaced_by_text = False

    def __init__(self, cell: tuple[int, int]) -> None:
        """`cell`: width and height of a character, pixels; zeros: not known."""
        self.cell_height = cell[1] / cell[0] if all(cell) else CELL_HEIGHT

    def draw(self, picture: Picture, place: PicturePlace) -> str:
        """Return the sequence that shows a picture in place of the one before."""
        done, png = cv2.imencode(".png", picture[..., ::-1], (cv2.IMWRITE_PNG_COMPRESSION, 1))
        assert done, "PNG is part of OpenCV"
        data = b64encode(png.tobytes()).decode()
        chunks = [data[start : start + KITTY_CHUNK] for start in range(0, len(data), KITTY_CHUNK)]
        first = f"a=T,f=100,i={KITTY_ID},p=1,c={place.columns},r={place.rows},C=1,q=2,"
        parts = [
            f"\x1b_G{first if number == 0 else ''}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
            for number, chunk in enumerate(chunks)
        ]
        return f"\x1b[{place.row};{place.column}H{''.join(parts)}"

    def clear(self) -> str:
        """Return the sequence that removes the picture; text does not."""
        return f"\x1b_Ga=d,d=I,i={KITTY_ID},q=2\x1b\\"


class SixelGraphics:
    """Draws sixels, which xterm, foot, mlterm, WezTerm, Konsole, Windows Terminal and tmux can have."""

    replaced_by_text = True  # which is written under the picture, too

    def __init__(self, cell: tuple[int, int]) -> None:
        """`cell`: width and height of a character, pixels."""
        self._cell = cell
        self.cell_height = cell[1] / cell[0]
        self.max_columns: int | None = MAX_SIXEL_WIDTH // cell[0]

    def draw(self, picture: Picture, place: PicturePlace) -> str:
        """Return the sequence that shows a picture in whole bands within the place."""
        height = place.rows * self._cell[1] // SIXEL_BAND * SIXEL_BAND
        pixels = cv2.resize(picture, (place.columns * self._cell[0], height), interpolation=cv2.INTER_LINEAR)
        return f"\x1b[{place.row};{place.column}H{''.join(_sixels(pixels.astype(np.uint8)))}"

    def clear(self) -> str:
        """Return nothing: the text that is written next replaces the picture."""
        return ""


Graphics = KittyGraphics | SixelGraphics


class HalfBlocks:
    """A picture as characters: a character's colour is its upper pixel, its background the lower one."""

    def __init__(self, picture: Picture, columns: int, rows: int) -> None:
        self._pixels = cv2.resize(picture, (columns, 2 * rows), interpolation=cv2.INTER_AREA)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for upper, lower in zip(self._pixels[::2].tolist(), self._pixels[1::2].tolist(), strict=True):
            for above, below in zip(upper, lower, strict=True):
                yield Segment("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
            yield Segment.line()


def _sixels(pixels: Picture) -> Iterator[str]:
    indexed = Image.fromarray(pixels).quantize(SIXEL_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    indices = np.asarray(indexed)  # [H, W]
    yield f'\x1bP0;1;0q"1;1;{pixels.shape[1]};{pixels.shape[0]}'
    palette = np.rint(np.array(indexed.getpalette() or []).reshape(-1, 3) / 2.55).astype(int)  # per cent
    yield from (f"#{number};2;{red};{green};{blue}" for number, (red, green, blue) in enumerate(palette.tolist()))
    yield "-".join(_band(indices[top : top + SIXEL_BAND]) for top in range(0, len(indices), SIXEL_BAND))
    yield "\x1b\\"


def _band(indices: np.ndarray) -> str:
    """Return six rows of pixels, given as indices of the palette: one line for each colour, above each other."""
    weights = 1 << np.arange(len(indices))[:, None]
    lines = []
    for colour in np.unique(indices):
        characters = (63 + ((indices == colour) * weights).sum(0)).astype(np.uint8).tobytes()
        short = LONG_RUN.sub(lambda run: b"!%d%b" % (len(run[0]), run[1]), characters)
        lines.append(f"#{colour}{short.decode()}")
    return "$".join(lines)
