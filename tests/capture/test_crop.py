"""Rotation and region: the used part of a picture, with both decoders and as a camera delivers it."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.capture.crop import Crop
from edge_tdn.capture.video_file import read_file
from edge_tdn.config.zone_tables import WHOLE
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import BT601, Packed, Yuv420
from edge_tdn.messages import Picture, Rgbx
from tests.support.patterns import encode, quarter_colours, quarters, still
from tests.support.running_source import RunningSource

# Of an MP4's movie and of its track: ISO/IEC 14496-12, 6.2.2; 16.16, and 2.30 in the third column
IDENTITY = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
QUARTER = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 240 << 16, 0, 1 << 30)  # clockwise
QUARTERS = [0, 90, 180, 270]


def planes(picture: Picture, interleaved: bool) -> Yuv420:
    """Return the picture as a decoder delivers it."""
    height, width = picture.shape[:2]
    flat = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
    u, v = flat[height:].reshape(2, height // 2, width // 2)
    return Yuv420(flat[:height], [np.dstack([u, v])] if interleaved else [u, v], BT601)


def rgb(decoded: Packed | Yuv420) -> Picture:
    into: Rgbx = np.empty((*decoded.size, 4), np.uint8)
    decoded.rgbx(into)
    return into[..., :3]


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("rotate", QUARTERS)
def test_planes_are_rotated_and_cropped_as_pixels_are(rotate: int, interleaved: bool) -> None:
    """YUV planes give what NumPy makes of RGB: rotated first, then cropped."""
    picture = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8), (320, 240))
    whole = rgb(planes(picture, interleaved))
    crop = Crop(rotate, (0.25, 0.1, 0.5, 0.6))
    rotated = np.rot90(whole, -rotate // 90)
    height, width = rotated.shape[:2]
    expected = rotated[round(0.1 * height) : round(0.7 * height), width // 4 : width * 3 // 4]
    assert np.array_equal(rgb(crop(planes(picture, interleaved))), expected)
    rotated = np.rot90(picture, -rotate // 90)
    expected = rotated[round(0.1 * height) : round(0.7 * height), width // 4 : width * 3 // 4]
    assert np.array_equal(rgb(crop(Packed(picture))), expected)


def test_the_whole_picture_is_not_copied() -> None:
    picture = Packed(quarters(240, 320))
    assert Crop(0, WHOLE)(picture) is picture


def test_the_part_outside_the_region_takes_no_memory() -> None:
    """The recorder counts bytes: a quarter of a picture is a quarter of them, and keeps nothing else alive."""
    whole = planes(quarters(240, 320), interleaved=False)
    part = Crop(0, (0, 0, 0.5, 0.5))(whole)
    assert part.nbytes * 4 == whole.nbytes
    assert part.luma.base is None


SHARE = st.floats(0, 1)


@settings(max_examples=200)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(QUARTERS), SHARE, SHARE, SHARE, SHARE)
def test_no_region_is_empty_or_outside(
    height: int, width: int, rotate: int, left: float, top: float, wide: float, high: float
) -> None:
    region = (left, top, max(wide * (1 - left), 1e-9), max(high * (1 - top), 1e-9))
    luma = np.zeros((height, width), np.uint8)
    half = np.zeros(((height + 1) // 2, (width + 1) // 2), np.uint8)
    part = Crop(rotate, region)(Yuv420(luma, [half, half], BT601))
    rows, columns = part.size if rotate % 180 == 0 else part.size[::-1]
    assert min(2, height) <= rows <= height
    assert min(2, width) <= columns <= width
    assert rgb(part).shape == (*part.size, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
def test_a_camera_is_rotated_and_cropped(tmp_path: Path, decoder: str) -> None:
    """`replay` reads the same pixels."""
    pictures = still(quarters(240, 320), tmp_path, 2)
    path = encode(f"{pictures} ! videoconvert ! jpegenc ! avimux", tmp_path / "corners.avi")
    whole = (0.0, 0.0, 1.0, 1.0)
    lower = (0.0, 0.5, 1.0, 0.5)  # of the rotated picture
    for rotate, region, size, expected in (
        (90, whole, (320, 240), ["blue", "red", "white", "green"]),
        (180, whole, (240, 320), ["white", "blue", "green", "red"]),
        (270, whole, (320, 240), ["green", "white", "red", "blue"]),
        (90, lower, (160, 240), ["white", "green"] * 2),
        (0, (0.5, 0.0, 0.5, 1.0), (240, 160), ["green"] * 2 + ["white"] * 2),
    ):
        frames = RunningSource(path, decoder, rotate=rotate, region=region).end().frames
        assert len(frames) == 2
        assert frames[0].decoded.size == size
        assert quarter_colours(frames[0].picture) == expected
        for live, recorded in zip(frames, read_file(path, decoder, rotate, region), strict=True):  # type: ignore[arg-type]
            assert np.array_equal(live.picture, recorded.picture)


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
@pytest.mark.parametrize(("aspect", "size"), [("2/1", (240, 640)), ("8/9", (240, 284))])
def test_an_anamorphic_picture_has_square_pixels(
    tmp_path: Path, decoder: str, aspect: str, size: tuple[int, int]
) -> None:
    """As on a screen: rows are made longer, or shorter."""
    caps = f"video/x-raw,format=I420,width=320,height=240,pixel-aspect-ratio={aspect}"
    path = encode(f"videotestsrc num-buffers=3 ! {caps} ! x264enc ! mp4mux", tmp_path / "wide.mp4")
    assert [frame.decoded.size for frame in read_file(path, decoder)] == [size] * 3  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
def test_a_telephones_video_is_upright(tmp_path: Path, decoder: str) -> None:
    """Its frames are stored on their side, and the file declares it."""
    pictures = still(quarters(240, 320), tmp_path, 3)
    path = encode(f"{pictures} ! videoconvert ! video/x-raw,format=I420 ! x264enc ! mp4mux", tmp_path / "upright.mp4")
    movie, track, rest = path.read_bytes().split(IDENTITY)
    path.write_bytes(movie + IDENTITY + track + QUARTER + rest)
    frames = list(read_file(path, decoder))  # type: ignore[arg-type]
    assert frames[0].decoded.size == (320, 240)
    assert quarter_colours(frames[0].picture) == ["blue", "red", "white", "green"]
