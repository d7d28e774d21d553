"""Decoded pictures become RGB by the standards, whatever the decoder's layout."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.capture.video_file import read_file
from edge_tdn.manifest import InputSpec
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import BT601, Colorimetry, Packed, Yuv420
from edge_tdn.messages import Decoded, Frame
from edge_tdn.segments.preprocess import Preprocessor

BT709 = Colorimetry(0.2126, 0.0722, full_range=False)
JPEG = Colorimetry(0.299, 0.114, full_range=True)
HD = Colorimetry(0.2126, 0.0722, full_range=True)


def planes(height: int, width: int, seed: int = 0, pad: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random Y, U and V whose rows are padded by `pad` bytes."""
    rng = np.random.default_rng(seed)
    half = ((height + 1) // 2, (width + 1) // 2)
    y, u, v = (rng.integers(0, 256, (h, w + pad), np.uint8)[:, :w] for h, w in ((height, width), half, half))
    return y, u, v


def rgb(decoded: Decoded) -> np.ndarray:
    return Frame(decoded, 0, 0, 0, 1, 1).picture


def expected_rgb(y: np.ndarray, u: np.ndarray, v: np.ndarray, c: Colorimetry) -> np.ndarray:
    """Return RGB in floating point: luma is the weighted sum of R, G, B, chroma the scaled distance of B and R."""
    u, v = (plane.repeat(2, 0).repeat(2, 1)[: y.shape[0], : y.shape[1]] / 1.0 - 128 for plane in (u, v))
    luma = y / 255.0 if c.full_range else (y - 16.0) / 219
    scale = 255.0 if c.full_range else 224.0
    red, blue = luma + 2 * (1 - c.kr) * v / scale, luma + 2 * (1 - c.kb) * u / scale
    green = (luma - c.kr * red - c.kb * blue) / (1 - c.kr - c.kb)
    return np.clip(255 * np.stack([red, green, blue], -1), 0, 255)


@settings(max_examples=40)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 40),
    pad=st.integers(0, 9),
    interleaved=st.booleans(),
    colorimetry=st.sampled_from([BT601, BT709, JPEG, HD]),
    seed=st.integers(0, 99),
)
def test_every_size_layout_and_standard_is_within_one_level(
    height: int, width: int, pad: int, interleaved: bool, colorimetry: Colorimetry, seed: int
) -> None:
    y, u, v = planes(height, width, seed, pad)
    if not colorimetry.full_range:
        np.maximum(y, 16, out=y)  # blacker than black is outside the standard; OpenCV takes it for black
    decoded = Yuv420(y, [np.stack([u, v], -1)] if interleaved else [u, v], colorimetry)
    assert decoded.size == (height, width)
    assert np.abs(rgb(decoded) - expected_rgb(y, u, v, colorimetry)).max() <= 1


def test_luma_is_not_copied() -> None:
    y, u, v = planes(8, 8)
    assert np.shares_memory(Yuv420(y, [u, v], BT601).luma, y)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_packed_pixels_keep_their_colours(order: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    decoded = Packed(pixels if order == "RGB" else pixels[..., ::-1].copy(), order)  # type: ignore[arg-type]
    assert np.array_equal(rgb(decoded), pixels)
    assert np.abs(decoded.luma - pixels @ [0.299, 0.587, 0.114]).max() <= 1
    assert decoded.size == (5, 7)


def test_a_frame_is_converted_once_and_only_on_access() -> None:
    class Counted(Packed):
        conversions = 0

        def rgbx(self, into: np.ndarray) -> None:
            self.conversions += 1
            super().rgbx(into)

    decoded = Counted(np.full((4, 4, 3), 9, np.uint8))
    frame = Frame(decoded, 0, 0, 0, 1, 1)
    assert decoded.conversions == 0
    assert frame.picture is frame.picture
    assert decoded.conversions == 1


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (321, 479), (224, 224), (640, 480)])
@pytest.mark.parametrize("rule", ["stretch", "short_side_centre_crop"])
def test_a_decoded_picture_is_resized_like_its_rgb(size: tuple[int, int], rule: str) -> None:
    """Equal to the bit, also after a picture of another size, and not overwritten by the next."""
    keys = {"segments": 8, "height": 224, "width": 224, "resize": rule, "frame_rate": 12, "segment_stride": 5}
    spec = InputSpec.model_validate(keys | ({} if rule == "stretch" else {"short_side": 256}))
    preprocess = Preprocessor(spec)
    preprocess.decoded(Packed(np.zeros((50, 60, 3), np.uint8)))
    y, u, v = planes(*size)
    decoded = Yuv420(y, [u, v], BT601)
    got = preprocess.decoded(decoded)
    preprocess.decoded(Packed(np.zeros((*size, 3), np.uint8)))
    assert np.array_equal(got, Preprocessor(spec)(rgb(decoded)))


@pytest.mark.data
@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
@pytest.mark.parametrize("clip", ["car-detection.mp4", "sam2_01_dog.mp4", "asl_reel.mp4", "asl_gestures/again.mkv"])
def test_real_clips_have_ffmpegs_colours(data: Path, clip: str, compare: Callable[..., tuple[float, int]]) -> None:
    """BT.601, BT.709, padded rows, all 256 levels. The remaining difference is FFmpeg's own rounding down."""
    average, largest = compare(data / "videos" / clip)
    assert average < 1.35
    assert largest <= 4


@pytest.fixture
def compare() -> Callable[[Path], tuple[float, int]]:
    """compare(path) -> mean and largest difference between GStreamer's and OpenCV's frames, in grey levels."""

    def difference(path: Path) -> tuple[float, int]:
        pairs = zip(read_file(path, "gstreamer"), read_file(path, "opencv"), strict=False)
        errors = [np.abs(g.picture.astype(int) - o.picture) for g, o in islice(pairs, 0, 30, 7)]
        return float(np.mean(errors)), int(np.max(errors))

    return difference
