"""The picture of `edge-tdn zones`: a camera's picture with a grid of its shares, its zones, and a list of them.

Every text has a background of its own, so that it is legible on any picture. The font comes with
Pillow.
"""

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_tdn.media.outline import Outline
from edge_tdn.messages import Picture

SIDE = 1280  # pixels of the longer side of the picture as it is drawn; sizes are stated in the camera's pixels
TEXT, LINE = 19, 28  # pixels: height of the letters, and from one line to the next
EDGE, PAD, GAP = 50, 14, 6  # pixels: the edges with the shares; around texts; between two of them
GROUND, INK, DIM, ALERT = (24, 27, 32), (236, 239, 243), (158, 166, 176), (255, 124, 104)
TENTHS = range(1, 10)
GRID_DARK, GRID_LIGHT = 0.62, 0.55  # share of the picture beside a line of the grid, and of white on the line
FIRST_HUE, HUE_STEP = 0.11, 0.381966  # the golden angle: however many zones there are, each has a colour of its own
TINT = 0.08  # of a zone's colour within its outline

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont  # the latter where Pillow was built without FreeType
Box = tuple[float, float, float]  # left, top and right, pixels


@dataclass(frozen=True)
class DrawnZone:
    """A zone in the picture of its camera."""

    name: str
    outline: Outline
    size: tuple[int, int]  # height and width of the camera's picture

    @property
    def pixels(self) -> str:
        """Its width and height in the camera's pixels."""
        height, width = self.outline.pixels(self.size)
        return f"{width}x{height}"

    @property
    def trouble(self) -> str:
        """The reason why it is too small; empty: it is not."""
        return self.outline.too_small(self.size)


ColouredZone = tuple[DrawnZone, Colour]


def draw_zones(picture: Picture, zones: Sequence[DrawnZone]) -> bytes:
    """Return a PNG of a camera's picture, uint8 [H, W, 3], with a grid of its shares and the zones."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    pixels: Picture = np.ascontiguousarray(shown, np.uint8)
    _draw_grid(pixels)
    coloured = [(zone, zone_colour(number)) for number, zone in enumerate(zones)]
    _draw_outlines(pixels, coloured)
    font = ImageFont.load_default(TEXT)
    rows = [row for zone, colour in coloured for row in _rows(zone, colour, font, size[0])]
    legend = 2 * PAD + LINE * len(rows) if rows else PAD
    canvas = Image.new("RGB", (EDGE + size[0] + PAD, EDGE + size[1] + legend), GROUND)
    canvas.paste(Image.fromarray(pixels), (EDGE, EDGE))
    drawing = ImageDraw.Draw(canvas)
    _write_shares(drawing, font, size)
    _write_names(drawing, font, size, coloured)
    for number, (swatch, text, ink) in enumerate(rows):
        top = EDGE + size[1] + PAD + number * LINE
        if swatch:
            drawing.rounded_rectangle((EDGE, top + 5, EDGE + LINE - 10, top + LINE - 5), 4, swatch)
        drawing.text((EDGE + LINE, top + LINE / 2), text, ink, font, anchor="lm")
    good, png = cv2.imencode(".png", cv2.cvtColor(np.asarray(canvas), cv2.COLOR_RGB2BGR))
    assert good  # nothing in it can fail but memory
    return png.tobytes()


def zone_colour(number: int) -> Colour:
    """Return the colour of a zone, by its number."""
    red, green, blue = colorsys.hsv_to_rgb((FIRST_HUE + number * HUE_STEP) % 1, 0.72, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_grid(pixels: Picture) -> None:
    """Draw a light line on a dark one at every tenth, so that the picture stays visible."""
    for picture in (pixels, pixels.transpose(1, 0, 2)):
        for tenth in TENTHS:
            at = round(tenth / 10 * (len(picture) - 1))
            picture[at - 1 : at + 2] = (picture[at - 1 : at + 2] * GRID_DARK).astype(np.uint8)
            picture[at] = (picture[at] * (1 - GRID_LIGHT) + 255 * GRID_LIGHT).astype(np.uint8)


def _draw_outlines(pixels: Picture, zones: Sequence[ColouredZone]) -> None:
    """Tint the zones, and draw a line in the colour of each, on a dark one."""
    height, width = pixels.shape[:2]
    shapes = [(zone.outline.corners((height, width)).astype(np.int32), colour) for zone, colour in zones]
    for corners, colour in shapes:
        tinted = cv2.fillPoly(pixels.copy(), [corners], colour)
        cv2.addWeighted(tinted, TINT, pixels, 1 - TINT, 0, pixels)
    for corners, colour in shapes:
        for ink, thickness in (((0, 0, 0), 7), (colour, 3)):
            cv2.polylines(pixels, [corners], True, ink, thickness, cv2.LINE_AA)


def _rows(zone: DrawnZone, colour: Colour, font: Font, room: int) -> Iterator[tuple[Colour | None, str, Colour]]:
    """Yield the lines of the list below the picture: a colour or none, a text, and its ink."""
    outline = zone.outline
    shape = f"polygon = {_shares(*outline.polygon)}" if outline.polygon else f"region = {list(outline.region)}"
    described = f"{zone.name}: {zone.pixels} pixels, {shape}"
    for number, line in enumerate(_wrapped(described, font, room - LINE)):
        yield None if number else colour, line, INK
    for line in _wrapped(zone.trouble, font, room - LINE):
        yield None, line, ALERT


def _wrapped(text: str, font: Font, room: float) -> list[str]:
    """Return the lines of a text, wrapped to a width in pixels."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and font.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        elif word:
            lines.append(word)
    return lines


def _write_shares(drawing: ImageDraw.ImageDraw, font: Font, size: tuple[int, int]) -> None:
    """Write the shares above the picture and on its left."""
    width, height = size
    for tenth in TENTHS:
        share = tenth / 10
        x, y = EDGE + round(share * (width - 1)), EDGE + round(share * (height - 1))
        drawing.text((x, EDGE - 12), f"{share:.1f}", INK, font, anchor="ms")
        drawing.line((x, EDGE - 7, x, EDGE - 1), DIM)
        drawing.text((EDGE - 12, y), f"{share:.1f}", INK, font, anchor="rm")
        drawing.line((EDGE - 7, y, EDGE - 1, y), DIM)
    drawing.text((EDGE - 12, EDGE - 12), "0", DIM, font, anchor="rs")


def _write_names(
    drawing: ImageDraw.ImageDraw, font: Font, size: tuple[int, int], zones: Sequence[ColouredZone]
) -> None:
    """Write name and size into the upper left corner of each zone, or beside a small one, without overlaps."""
    width, height = size
    taken: list[Box] = []
    for zone, colour in zones:
        text = f"{zone.name}  {zone.pixels}"
        across = font.getlength(text) + PAD
        corners = zone.outline.corners((height, width))
        x, y = min(corners.tolist(), key=sum)
        top, bottom = corners[:, 1].min(), corners[:, 1].max()
        if bottom - top < 2 * LINE:
            y = bottom + GAP if bottom + GAP + LINE <= height else top - GAP - LINE
        left, top = max(0, min(x, width - across)), max(0, min(y, height - LINE))
        while any(left < other[2] and left + across > other[0] and abs(top - other[1]) < LINE for other in taken):
            top += LINE + GAP
        taken.append((left, top, left + across))
        drawing.rectangle((EDGE + left, EDGE + top, EDGE + left + across, EDGE + top + LINE), colour, (0, 0, 0))
        drawing.text((EDGE + left + PAD / 2, EDGE + top + LINE / 2), text, (0, 0, 0), font, anchor="lm")


def _shares(*corners: tuple[float, float]) -> str:
    return str([list(corner) for corner in corners])
