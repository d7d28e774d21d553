"""Camera pixels to model pixels, against Pillow, which the published sampling uses."""

import numpy as np
import pytest
from edge_tdn_export.parity.preprocessing import resize as published
from PIL import Image

from edge_tdn.manifest import InputSpec
from edge_tdn.segments.preprocess import Preprocessor
from edge_tdn.segments.resize import VECTORS, by_pillow, resizer

CROP = InputSpec(
    segments=8, height=224, width=224, resize="short_side_centre_crop", short_side=256, frame_rate=12, segment_stride=5
)
UNCROPPED = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=4)


def picture(height: int, width: int) -> np.ndarray:
    """Return a soft scene with some texture, as cameras see it."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / (9 + 3 * c)) * np.cos(y / (13 - 2 * c)) for c in range(3)], -1)
    noise = np.random.default_rng(0).normal(0, 1.5, (height, width, 3))
    return np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(480, 640), (720, 1280), (640, 480), (1080, 1920), (321, 479), (100, 130), (700, 256), (256, 999)]
)
def test_resizing_and_cropping_match_the_published_transforms(size: tuple[int, int]) -> None:
    image = picture(*size)
    h, w = size
    short = min(h, w)
    ow, oh = (256, int(256 * h / w)) if w == short else (int(256 * w / h), 256)
    resized = np.asarray(Image.fromarray(image).resize((ow, oh), Image.Resampling.BILINEAR))
    top, left = round((oh - 224) / 2), round((ow - 224) / 2)
    off = np.abs(Preprocessor(CROP)(image).astype(int) - resized[top : top + 224, left : left + 224])
    assert off.max() <= 1
    assert off.mean() < 0.02


@pytest.mark.skipif(not VECTORS, reason="this processor has no wheel of cykooz-resizer: Pillow resizes")
@pytest.mark.parametrize("noise", [0, 40])
@pytest.mark.parametrize(
    ("size", "to"),
    [
        ((480, 640), (341, 256)),
        ((480, 640), (96, 96)),
        ((1080, 1920), (455, 256)),
        ((1920, 1080), (256, 455)),
        ((1, 700), (96, 96)),
        ((1500, 2000), (150, 112)),
        ((256, 455), (455, 256)),
    ],
)
def test_the_fast_filter_is_pillows(size: tuple[int, int], to: tuple[int, int], noise: float) -> None:
    rng = np.random.default_rng(1)
    rgbx = np.dstack([picture(*size), np.zeros(size, np.uint8)])
    rgbx = np.clip(rgbx + rng.normal(0, noise, rgbx.shape), 0, 255).astype(np.uint8)
    middle = slice(to[0] // 4, to[0] // 2)
    off = np.abs(resizer()(rgbx, *to, middle).astype(int) - by_pillow(rgbx, *to, middle))[..., :3]
    assert off.shape == (to[1], to[0] // 2 - to[0] // 4, 3)
    assert off.max() <= 1
    assert off.mean() < 0.02


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (100, 130)])
@pytest.mark.parametrize("spec", [CROP, UNCROPPED])
def test_a_processor_without_the_fast_filter_uses_pillow(
    size: tuple[int, int], spec: InputSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_tdn.segments.resize.VECTORS", False)
    slow, image = Preprocessor(spec), picture(*size)
    assert np.array_equal(slow(image), published(image, spec))


def test_the_centre_is_cropped() -> None:
    image = np.zeros((256, 456, 3), np.uint8)
    image[:, 228:] = 200
    cropped = Preprocessor(CROP)(image)
    assert cropped[:, :112].max() == 0
    assert cropped[:, 112:].min() == 200


@pytest.mark.parametrize("size", [(96, 96), (480, 640), (1, 1), (16, 2000), (50, 50), (2304, 4096)])
@pytest.mark.parametrize("spec", [CROP, UNCROPPED])
def test_every_size_becomes_the_models_size(size: tuple[int, int], spec: InputSpec) -> None:
    out = Preprocessor(spec)(np.full((*size, 3), 77, np.uint8))
    assert out.shape == (spec.height, spec.width, 3)
    assert out.dtype == np.uint8
    assert np.all(out == 77)


def test_resizing_without_a_crop_keeps_the_whole_picture() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :10], image[:, -10:] = 250, 100
    out = Preprocessor(UNCROPPED)(image)
    assert out[48, 0, 0] == 250
    assert out[48, -1, 0] == 100
