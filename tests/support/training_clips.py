"""Small real videos for training: a bright bar that crosses a grey picture, to the left or to the right."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from edge_tdn_training.data.augment import decoded_short_side
from edge_tdn_training.data.dataset import open_data
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.video_cache import decode
from numpy.typing import NDArray

from edge_tdn.manifest import InputSpec
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture

RATE = 12
HEIGHT, WIDTH = 80, 112
SPEC = InputSpec(
    segments=4, height=64, width=64, resize="short_side_centre_crop", short_side=72, frame_rate=RATE, segment_stride=3
)


def make_clips(folder: Path, each: int = 4, frames: int = 24) -> Path:
    """Create a data set of the classes left and right, with `each` videos of each, and their mirror images."""
    for n in range(each):
        for label in ("left", "right"):
            write_video(_crossing(label, frames, np.random.default_rng(n)), RATE, folder / label / f"take-{n}.mp4")
    (folder / "dataset.toml").write_text('[flip]\nleft = "right"\n')
    return folder


def _crossing(label: str, frames: int, rng: np.random.Generator) -> Iterator[Picture]:
    ground = rng.integers(40, 120)
    for n in range(frames):
        picture = np.full((HEIGHT, WIDTH, 3), ground, np.uint8)
        x = round(WIDTH / 4 + WIDTH / 2 * n / frames)
        picture[:, x - 4 : x + 4] = 250
        yield picture if label == "right" else picture[:, ::-1]


def decode_clips(folder: Path, cache: Path) -> DecodedDataSet:
    """Return the frames of a data set at the rate and size of SPEC."""
    return decode(open_data(folder), SPEC.frame_rate, decoded_short_side(SPEC), cache)


def moves(clip: NDArray[np.uint8]) -> str:
    """Return the direction of the bar in a clip uint8 [T, 5, H, W, 3], while the crop shows it."""
    columns = clip.astype(np.float64).mean((-3, -1)).reshape(-1, clip.shape[-2])  # [T * 5, W]
    shown = columns[columns.max(1) - columns.min(1) > 60].argmax(1)
    return "right" if shown[-1] > shown[0] else "left"
