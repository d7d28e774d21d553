"""The banner of a snapshot: legible on any picture, with any label."""

import cv2
import numpy as np
import pytest

from edge_tdn.media.colour import Packed
from edge_tdn.recording.snapshot import draw, legible


def test_a_label_that_the_font_lacks_is_replaced_by_its_number() -> None:
    assert legible("Pretending to put [something]") == "Pretending to put [something]"
    assert legible("Öffnet die Tür") == "Offnet die Tur"
    assert [legible(label) for label in ("走路", "Дверь", "walk 走", "")] == [""] * 4
    grey = Packed(np.full((240, 320, 3), 128, np.uint8))
    assert draw(grey, "走路", 12, 0.5) == draw(grey, "label 12", 12, 0.5)
    assert draw(grey, "走路", 12, 0.5) != draw(grey, "label 13", 12, 0.5)


@pytest.mark.parametrize("size", [(120, 160), (480, 640), (2160, 3840), (16, 16)])
@pytest.mark.parametrize("background", [0, 255])
def test_the_banner_is_legible_on_any_picture_of_any_size(size: tuple[int, int], background: int) -> None:
    pixels = np.full((*size, 3), background, np.uint8)
    jpeg = draw(Packed(pixels), "Pretending to put something behind something else, but failing", 3, 0.87)
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
