"""A picture of an action for people: label and score in a banner, JPEG.

The font comes with Pillow: no machine lacks it, but it has the Latin alphabet only. Accents are left out; a label with
any other letter stands there as its number, "label 7".
"""

import unicodedata
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_tdn.messages import Decoded, Rgbx

QUALITY = 85  # above, files grow faster than anybody sees: 95 is twice as large
SCRIM = 0.3  # of the picture's brightness remains under the text: white on it is legible, whatever was there
TEXT_SHARE = 1 / 20  # height of the text, of the picture's shorter side ...
TEXT_LEAST = 11  # ... but so many pixels
SMALLEST = 0.7  # a long label is written so much smaller before it is cut
WHITE, GREEN = (255, 255, 255), (130, 230, 130)
NO_GLYPH = "\U0010ffff"  # no font has it

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont  # the latter where Pillow was built without FreeType


def draw(picture: Decoded, label: str, index: int, score: float) -> bytes:
    """The JPEG. `index`: the label's number; `score`: 0 to 1."""
    height, width = picture.size
    pixels: Rgbx = np.empty((height, width, 4), np.uint8)
    picture.rgbx(pixels)
    _banner(pixels, legible(label) or f"label {index}", f"{score:.0%}")
    good, jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert good  # there is nothing in it that could fail but memory
    return jpeg.tobytes()


def legible(label: str) -> str:
    """The label as the font can write it; empty if it cannot."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", label) if not unicodedata.combining(c)).strip()
    return plain if all(map(_has_glyph, plain)) else ""


def _banner(pixels: Rgbx, label: str, score: str) -> None:
    """Darkens the lowest rows, and writes the label on the left, the score on the right."""
    height, width = pixels.shape[:2]
    size = max(TEXT_LEAST, round(min(height, width) * TEXT_SHARE))
    margin = size // 2
    font = _font(size)
    room = width - 3 * margin - font.getlength(score)
    if (length := font.getlength(label)) > room:
        font = _font(max(TEXT_LEAST, round(size * max(SMALLEST, room / length))))
        room = width - 3 * margin - font.getlength(score)
        label = _cut(label, font, room)
    rows = pixels[-(size + 2 * margin) :]
    strip = Image.fromarray(cv2.convertScaleAbs(rows, alpha=SCRIM)[..., :3])
    baseline = len(rows) - margin - size // 6
    drawing = ImageDraw.Draw(strip)
    drawing.text((margin, baseline), label, WHITE, font, anchor="ls")
    drawing.text((width - margin, baseline), score, GREEN, font, anchor="rs")
    rows[..., :3] = np.asarray(strip)


def _cut(label: str, font: Font, room: float) -> str:
    """As much of the label as there is room for."""
    if font.getlength(label) <= room:
        return label
    while label and font.getlength(f"{label}…") > room:
        label = label[:-1].rstrip()
    return f"{label}…" if label else ""


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


@cache
def _has_glyph(character: str) -> bool:
    font = _font(TEXT_LEAST)
    mask, missing = font.getmask(character), font.getmask(NO_GLYPH)
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))
