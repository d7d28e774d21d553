"""Camera pixels to model pixels, against Pillow, which the published sampling uses."""

import numpy as np
import pytest
from PIL import Image

from edge_tdn.manifest import InputSpec
from edge_tdn.preprocess import Preprocessor

CROP = InputSpec(
    segments=8, height=224, width=224, resize="short_side_centre_crop", short_side=256, frame_rate=12, segment_stride=5
)
STRETCH = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=4)


def picture(height: int, width: int) -> np.ndarray:
    """A soft scene with some texture, as cameras see."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / (9 + 3 * c)) * np.cos(y / (13 - 2 * c)) for c in range(3)], -1)
    noise = np.random.default_rng(0).normal(0, 1.5, (height, width, 3))
    return np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "size", [(480, 640), (720, 1280), (640, 480), (1080, 1920), (321, 479), (100, 130), (700, 256), (256, 999)]
)
def test_shrinking_and_cropping_is_what_the_published_transforms_do(size: tuple[int, int]) -> None:
    image = picture(*size)
    h, w = size
    short = min(h, w)
    ow, oh = (256, int(256 * h / w)) if w == short else (int(256 * w / h), 256)
    resized = np.asarray(Image.fromarray(image).resize((ow, oh), Image.Resampling.BILINEAR))
    top, left = round((oh - 224) / 2), round((ow - 224) / 2)
    assert np.array_equal(Preprocessor(CROP)(image), resized[top : top + 224, left : left + 224])


def test_the_centre_is_cropped() -> None:
    image = np.zeros((256, 456, 3), np.uint8)
    image[:, 228:] = 200
    cropped = Preprocessor(CROP)(image)
    assert cropped[:, :112].max() == 0
    assert cropped[:, 112:].min() == 200


@pytest.mark.parametrize("size", [(96, 96), (480, 640), (1, 1), (16, 2000), (50, 50), (2304, 4096)])
@pytest.mark.parametrize("spec", [CROP, STRETCH])
def test_every_size_becomes_the_models_size(size: tuple[int, int], spec: InputSpec) -> None:
    out = Preprocessor(spec)(np.full((*size, 3), 77, np.uint8))
    assert out.shape == (spec.height, spec.width, 3)
    assert out.dtype == np.uint8
    assert np.all(out == 77)


def test_stretching_keeps_the_whole_picture() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :10], image[:, -10:] = 250, 100
    out = Preprocessor(STRETCH)(image)
    assert out[48, 0, 0] == 250
    assert out[48, -1, 0] == 100
