"""A camera's pictures as its zones see them."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_tdn.capture.crop import Crop
from edge_tdn.capture.zone_view import FILL_LUMA, FILL_RGB, ZoneViews
from edge_tdn.media.colour import BT601, Colorimetry, Packed, Yuv420
from edge_tdn.media.outline import MIN_PIXELS, Outline
from edge_tdn.messages import Decoded, Frame, Picture, Rgbx

BT709 = Colorimetry(0.2126, 0.0722, full_range=True)
REGIONS = [(0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 0.45, 0.5), (0.5, 0.0, 0.5, 1.0), (0.31, 0.33, 0.3, 0.3)]
TRIANGLE = ((0.2, 0.1), (0.9, 0.5), (0.2, 0.9))
SIZES = [(120, 160), (121, 161), (101, 143)]


def i420(pixels: Picture, colorimetry: Colorimetry = BT601) -> Yuv420:
    height, width = pixels.shape[:2]
    half = (height + 1) // 2, (width + 1) // 2
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    u, v = (cv2.resize(pixels[..., channel], half[::-1]) for channel in (0, 2))
    return Yuv420(luma, [u, v], colorimetry)


def nv12(pixels: Picture) -> Yuv420:
    planes = i420(pixels)
    return Yuv420(planes.luma, [np.dstack(planes._chroma)], BT601)


FORMATS: dict[str, Callable[[Picture], Decoded]] = {
    "I420": i420,
    "I420 of BT.709": lambda pixels: i420(pixels, BT709),
    "NV12": nv12,
    "RGB": Packed,
    "BGR": lambda pixels: Packed(pixels, "BGR"),
}


class Converted:
    """A picture that counts the conversions of its pixels, and their bytes. Implements `Decoded`."""

    def __init__(self, picture: Decoded, counts: list[int]) -> None:
        self._picture, self.counts = picture, counts
        self.size, self.nbytes, self.luma = picture.size, picture.nbytes, picture.luma

    def view(self, rows: slice, columns: slice) -> Decoded:
        return Converted(self._picture.view(rows, columns), self.counts)

    def rgbx(self, into: Rgbx) -> None:
        self.counts.append(into.nbytes)
        self._picture.rgbx(into)

    def sampled(self, step: int) -> NDArray[np.uint8]:
        return self._picture.sampled(step)


def noise(height: int, width: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def frame(picture: Decoded) -> Frame:
    return Frame(picture, 7, 8, 9, 10, 11)


def rgb(picture: Decoded) -> Picture:
    into: Rgbx = np.zeros((*picture.size, 4), np.uint8)
    picture.rgbx(into)
    return into[..., :3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_zone_has_the_pixels_that_a_camera_cut_to_it_has(kind: str, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    parts = ZoneViews([Outline(region) for region in REGIONS]).split(frame(FORMATS[kind](pixels)))
    for region, part in zip(REGIONS[1:], parts[1:], strict=True):
        expected = Crop(region=region)(FORMATS[kind](pixels))  # type: ignore[arg-type]
        assert part.decoded.size == expected.size
        assert np.array_equal(rgb(part.decoded), rgb(expected))
        assert np.array_equal(part.decoded.luma, expected.luma)
        assert np.array_equal(part.decoded.sampled(3), expected.sampled(3))
        assert (part.pts_ns, part.received_ns, part.wall_ns, part.seq, part.stream) == (7, 8, 9, 10, 11)
    even = FORMATS[kind](pixels).view(*(slice(0, length // 2 * 2) for length in size))
    assert np.array_equal(rgb(parts[0].decoded), rgb(even)), "all but an odd row and column"
    assert np.array_equal(parts[0].decoded.luma, even.luma)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", FORMATS)
def test_what_lies_outside_of_a_polygon_has_no_effect(kind: str, size: tuple[int, int]) -> None:
    outline = Outline(REGIONS[0], TRIANGLE)
    outside = outline.outside(size)
    assert outside is not None
    assert 0.4 < outside.mean() < 0.6, "a triangle is half of its box"
    pixels, other = noise(*size), noise(*size)
    inside = np.zeros(size, bool)
    inside[outline.box(size)] = ~outside
    near = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # chroma is of four pixels
    other[~near] = noise(*size, seed=1)[~near]
    (one,), (two,) = (ZoneViews([outline]).split(frame(FORMATS[kind](picture))) for picture in (pixels, other))
    assert np.array_equal(rgb(one.decoded), rgb(two.decoded))
    assert np.array_equal(one.decoded.luma, two.decoded.luma)
    assert (rgb(one.decoded)[outside] == FILL_RGB).all()
    assert (one.decoded.luma[outside] == FILL_LUMA).all()
    box = FORMATS[kind](pixels).view(*outline.box(size))
    assert np.array_equal(rgb(one.decoded)[~outside], rgb(box)[~outside])
    assert np.array_equal(one.decoded.luma[~outside], box.luma[~outside])


def test_a_polygon_fills_no_other_zones_picture() -> None:
    """Zones share what is converted."""
    pixels = noise(120, 160)
    first, second = ZoneViews([Outline(REGIONS[0], TRIANGLE), Outline(REGIONS[0])]).split(frame(i420(pixels)))
    rgb(first.decoded)
    assert first.decoded.luma.shape != pixels.shape[:2]
    assert np.array_equal(rgb(second.decoded), rgb(i420(pixels)))
    assert np.array_equal(second.decoded.luma, i420(pixels).luma)


def test_a_frame_is_converted_once_for_all_zones_and_only_where_one_of_them_is() -> None:
    views = ZoneViews([Outline((0.0, 0.0, 0.25, 0.5)), Outline((0.25, 0.0, 0.25, 0.5))])
    counts: list[int] = []
    for _ in range(2):
        parts = views.split(frame(Converted(i420(noise(120, 160)), counts)))
        for part in parts * 2:
            rgb(part.decoded)
    assert counts == [60 * 80 * 4] * 2
    views.split(frame(Converted(i420(noise(120, 160)), counts)))
    assert len(counts) == 2, "a frame that no zone looks at is not converted"


def test_zones_follow_a_picture_that_changes_its_size() -> None:
    views = ZoneViews([Outline((0.5, 0.5, 0.5, 0.5)), Outline(REGIONS[0], TRIANGLE)])
    for size in ((120, 160), (240, 320), (120, 160)):
        half, triangle = views.split(frame(i420(noise(*size))))
        assert half.decoded.size == (size[0] // 2, size[1] // 2)
        assert rgb(triangle.decoded).shape == (*triangle.decoded.size, 3)
        assert triangle.decoded.size == pytest.approx((0.8 * size[0], 0.7 * size[1]), abs=2)


SHARE = st.floats(0, 1)


@settings(max_examples=200)
@given(st.integers(2, 70), st.integers(2, 70), st.lists(st.tuples(SHARE, SHARE), min_size=3, max_size=6))
def test_no_outline_leaves_the_picture(height: int, width: int, polygon: list[tuple[float, float]]) -> None:
    outline = Outline(REGIONS[0], tuple(polygon))
    rows, columns = outline.box((height, width))
    assert 0 <= rows.start < rows.stop <= height
    assert 0 <= columns.start < columns.stop <= width
    outside = outline.outside((height, width))
    assert outside is not None
    assert outside.shape == (rows.stop - rows.start, columns.stop - columns.start)
    corners = outline.corners((height, width))
    assert (corners >= 0).all()
    assert (corners < (width, height)).all()


def test_a_zone_of_too_few_pixels_is_named_with_its_size() -> None:
    """32 of 160 columns are enough, 30 are not."""
    size = (120, 160)
    assert Outline((0.0, 0.0, MIN_PIXELS / 160, 0.5)).too_small(size) == ""
    assert Outline((0.0, 0.0, 0.5, MIN_PIXELS / 120)).too_small(size) == ""
    reason = Outline((0.0, 0.0, 30 / 160, 0.5)).too_small(size)
    assert reason.startswith("30x60 pixels of the picture of 160x120; a zone needs at least 32x32: ")
    assert Outline((0.0, 0.0, 1.0, 1.0), TRIANGLE).too_small((36, 160)).startswith("112x28 pixels ")
