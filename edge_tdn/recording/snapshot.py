"""A snapshot of an action: a JPEG with label and score in a banner, and the outline of its zone.

The font comes with Pillow, so that no machine lacks it, but it has the Latin alphabet only. Accents are left out; a
label with any other letter is shown by its number, "label 7".
"""

import unicodedata
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_tdn.media.outline import Outline
from edge_tdn.messages import Decoded, Rgbx

QUALITY = 85  # of the JPEG; at 95 files are twice as large, without a visible difference
BACKDROP = 0.3  # share of the picture's brightness that remains under the text, so that white is legible on it
TEXT_SHARE = 1 / 20  # height of the text, of the picture's shorter side ...
MIN_TEXT_PX = 11  # ... but at least this
MIN_SHRINK = 0.7  # a long label shrinks down to this before it is cut
LINE_SHARE = 1 / 240  # thickness of an outline, of the picture's shorter side
WHITE, GREEN, BLACK = (255, 255, 255), (130, 230, 130), (0, 0, 0)
NO_GLYPH = "\U0010ffff"  # no font has it

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont  # the latter where Pillow was built without FreeType


def draw(picture: Decoded, text: str, score: float, outline: Outline | None = None) -> bytes:
    """Return the JPEG. `text`: see `banner_text`; `score`: 0 to 1; `outline`: of the zone, None for none."""
    height, width = picture.size
    pixels: Rgbx = np.empty((height, width, 4), np.uint8)
    picture.rgbx(pixels)
    if outline:
        draw_outline(pixels, outline)
    _draw_banner(pixels, text, f"{score:.0%}")
    good, jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert good  # nothing in it can fail but memory
    return jpeg.tobytes()


def banner_text(label: str, index: int, zone: str | None = None) -> str:
    """Return the text of a banner: zone and label as the font can write them. `index`: the label's number."""
    shown = legible(label) or f"label {index}"
    return f"{zone}: {shown}" if zone else shown


def draw_outline(pixels: Rgbx, outline: Outline) -> None:
    """Draw the outline of a zone: a line on a dark one, so that it is visible on any picture."""
    height, width = pixels.shape[:2]
    corners = outline.corners((height, width)).astype(np.int32)
    thickness = max(1, round(min(height, width) * LINE_SHARE))
    for colour, thick in ((BLACK, 3 * thickness), (GREEN, thickness)):
        cv2.polylines(pixels, [corners], True, (*colour, 255), thick, cv2.LINE_AA)


def legible(label: str) -> str:
    """Return the label as the font can write it; empty if it cannot."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", label) if not unicodedata.combining(c)).strip()
    return plain if all(map(_has_glyph, plain)) else ""


def _draw_banner(pixels: Rgbx, text: str, score: str) -> None:
    """Darken the lowest rows, and write the text on the left, the score on the right."""
    height, width = pixels.shape[:2]
    size = max(MIN_TEXT_PX, round(min(height, width) * TEXT_SHARE))
    margin = size // 2
    font = _font(size)
    room = width - 3 * margin - font.getlength(score)
    if (length := font.getlength(text)) > room:
        font = _font(max(MIN_TEXT_PX, round(size * max(MIN_SHRINK, room / length))))
        room = width - 3 * margin - font.getlength(score)
        text = _cut(text, font, room)
    rows = pixels[-(size + 2 * margin) :]
    strip = Image.fromarray(cv2.convertScaleAbs(rows, alpha=BACKDROP)[..., :3])
    baseline = len(rows) - margin - size // 6
    drawing = ImageDraw.Draw(strip)
    drawing.text((margin, baseline), text, WHITE, font, anchor="ls")
    drawing.text((width - margin, baseline), score, GREEN, font, anchor="rs")
    rows[..., :3] = np.asarray(strip)


def _cut(text: str, font: Font, room: float) -> str:
    """Return as much of the text as there is room for, in pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1].rstrip()
    return f"{text}…" if text else ""


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


@cache
def _has_glyph(character: str) -> bool:
    font = _font(MIN_TEXT_PX)
    mask, missing = font.getmask(character), font.getmask(NO_GLYPH)
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))
