"""The banner of a snapshot: legible on any picture, with any label."""

import cv2
import numpy as np
import pytest

from edge_tdn.media.colour import Packed
from edge_tdn.media.outline import Outline
from edge_tdn.recording.snapshot import banner_text, draw, legible


def test_a_label_that_the_font_lacks_is_replaced_by_its_number() -> None:
    assert legible("Pretending to put [something]") == "Pretending to put [something]"
    assert legible("Öffnet die Tür") == "Offnet die Tur"
    assert [legible(label) for label in ("走路", "Дверь", "walk 走", "")] == [""] * 4
    assert banner_text("Öffnet die Tür", 12) == "Offnet die Tur"
    assert (banner_text("走路", 12), banner_text("走路", 12, "gate")) == ("label 12", "gate: label 12")
    grey = Packed(np.full((240, 320, 3), 128, np.uint8))
    assert draw(grey, "label 12", 0.5) != draw(grey, "label 13", 0.5)


@pytest.mark.parametrize("size", [(120, 160), (480, 640), (2160, 3840), (16, 16)])
@pytest.mark.parametrize("background", [0, 255])
def test_the_banner_is_legible_on_any_picture_of_any_size(size: tuple[int, int], background: int) -> None:
    pixels = np.full((*size, 3), background, np.uint8)
    jpeg = draw(Packed(pixels), "Pretending to put something behind something else, but failing", 0.87)
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert grey.shape == size
    if size == (16, 16):
        return  # no room for a word; it is a picture nevertheless
    rows = np.flatnonzero((grey > background + 100).any(axis=1) if background == 0 else (grey < 100).any(axis=1))
    assert (np.abs(grey[: rows[0] - 8].astype(int) - background) < 3).all(), "the rest of the picture is as it was"
    assert 0.03 < (size[0] - rows[0]) / size[0] < 0.2
    banner = grey[rows[0] :]
    assert banner.min() < 90
    assert banner.max() > 225
    columns = np.flatnonzero((banner > 180).any(axis=0))
    assert columns[0] < 0.1 * size[1]
    assert columns[-1] > 0.9 * size[1]
    assert size[1] - columns[-1] > 2, "a margin"


@pytest.mark.parametrize("size", [(240, 320), (2160, 3840)])
@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("polygon", [(), ((0.25, 0.2), (0.75, 0.2), (0.5, 0.7))], ids=["rectangle", "polygon"])
def test_the_outline_of_a_zone_is_visible_on_any_picture_and_hides_nothing_else(
    polygon: tuple[tuple[float, float], ...], background: int, size: tuple[int, int]
) -> None:
    picture = Packed(np.full((*size, 3), background, np.uint8))
    outline = Outline((0.25, 0.2, 0.5, 0.5), polygon)
    with_it, without = (
        cv2.imdecode(np.frombuffer(draw(picture, "wave", 0.5, one), np.uint8), cv2.IMREAD_COLOR).astype(int)
        for one in (outline, None)
    )
    line = np.zeros(size, np.uint8)
    cv2.polylines(line, [outline.corners(size).astype(np.int32)], True, 1, 1)
    changed = np.abs(with_it - without).max(axis=2) > 60
    assert changed[line > 0].mean() > 0.95
    green = with_it[line > 0].mean(axis=0)
    assert green[1] > max(green[0], green[2]) + 25, "on black and on white"
    reach = max(9, size[0] // 40)  # the line, its dark edge, and what the JPEG makes of them
    assert not changed[cv2.dilate(line, np.ones((reach, reach), np.uint8)) == 0].any()
