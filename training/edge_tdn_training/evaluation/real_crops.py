"""Clips of real pictures whose label is known by construction: a window that moves over real video.

The labels follow the rule of synthetic/motions.py. A window that moves to the right shows contents that go left, and
that is `left`; one that gets smaller shows contents that grow, `approach`; one that swings, `wave`. People and things
in the video move as well, as they do in front of a camera. Left out are parts of a video in which its own camera moves,
because the window does not determine there what the contents do, and windows over bare ground, where the motion is
invisible.

`still` cannot be a window that stays: things move in it. If the video has a window in which measurably nothing moves,
that is used, with its noise and its encoder (of several, the one with most detail). Otherwise one picture is frozen,
and the noise of such a window is added to it: so still clips show as much as the moving ones.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.capture.picture_folder import AS_FOUND
from edge_tdn.capture.video_file import read_file
from edge_tdn.demo.scene import MOTIONS
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S, Picture
from edge_tdn.segments.preprocess import Preprocessor

MAX_PARTS = 6  # of one video
SHORT_SIDE_PX = 256  # of the pictures that windows move over
MAX_CAMERA_MOTION = 0.02  # of the picture's size, in a clip: more, and the video's own camera moves
MAX_STILL_CHANGE = 5.0  # grey levels, mean of a block: a block that changes less does not move
MIN_DETAIL = 5.0  # grey levels, standard deviation: with less, motion is invisible
MAX_TRIES = 5
BLOCK_PX = 8
LIGHT_BLOCKS = 3.0  # a change over as many blocks is a change of the light
EASED_SHARE = 0.3  # windows that are slow at both ends
WINDOW = (0.5, 0.7)  # of the picture's sides
WAY = (0.4, 1.0)  # of the room that the window has
GROWTH = (0.3, 0.9)  # natural logarithm
GROWING_WINDOW = (0.75, 1.0)  # largest size of a window that changes its size
SWING = (0.05, 0.12)  # of the window's sides, half of the way
SWING_HZ = (0.9, 2.0)
FLOW_SIZE = (96, 64)  # pixels of the pictures whose optical flow is measured
GRID = 4  # rows and columns of windows that are tried for `still`
_WINDOW_DIRECTIONS = {"left": (1, 0), "right": (-1, 0), "up": (0, 1), "down": (0, -1)}

Part = NDArray[np.uint8]  # [ticks, h, w, 3], RGB, at the model's frame rate: as much of a video as a clip spans


@dataclass(frozen=True, eq=False)
class WindowClip:
    """A clip of a window that moves over a part of a video."""

    frames: NDArray[np.uint8]  # [T, InputSpec.frames, H, W, 3], RGB
    label: int  # index into MOTIONS
    video: Path
    part: int  # number of the part of the video; its clips show the same moments


def real_crops(
    videos: Sequence[Path],
    spec: InputSpec,
    seed: int = 1,
    max_parts: int = MAX_PARTS,
    left_out: Callable[[str], None] = lambda _: None,
) -> Iterator[WindowClip]:
    """Yield a clip of every label, where possible, from each of the first parts of every video.

    The same seed gives the same clips. Frozen pictures come last, when the noise of all videos is known. `left_out` is
    called with the reason for every clip that is impossible. SourceError: a video cannot be played.
    """
    frozen: list[tuple[Picture, Path, int]] = []
    noise: NDArray[np.int16] | None = None
    for number, video in enumerate(videos):
        for index, part in enumerate(_parts(video, spec, max_parts)):
            if not _is_steady(part):
                for _ in MOTIONS:
                    left_out("the video's own camera moves")
                continue
            rng = np.random.default_rng((seed, number, index))
            still = _still(part, rng)
            if still is None:
                frozen.append((_any_window(part, rng), video, index))
            else:
                noise = (still - still.mean(0)).round().astype(np.int16)
            for label, name in enumerate(MOTIONS):
                pictures = still if name == "still" else _moved(part, name, spec, rng)
                if pictures is not None:
                    yield WindowClip(_clip(pictures, spec), label, video, index)
                elif name != "still":
                    left_out("only bare ground is visible")
    for picture, video, index in frozen:
        if noise is None:
            left_out("no video has a still window, so there is no noise for frozen pictures")
        else:
            yield WindowClip(_clip(_noisy(picture, noise), spec), MOTIONS.index("still"), video, index)


def _parts(video: Path, spec: InputSpec, limit: int) -> Iterator[Part]:
    """Yield consecutive parts of a video. A video shorter than a clip is played forwards and backwards."""
    ticks: list[Picture] = []
    before: tuple[float, Picture] | None = None
    origin = given = tick = 0
    for frame in read_file(video, pictures=AS_FOUND.at(spec.frame_rate)):
        if before is None:
            origin = frame.pts_ns
        now = (frame.pts_ns - origin) * spec.frame_rate / NS_PER_S
        picture = _shrunk(frame.picture)
        while tick <= now:
            nearer = before is not None and tick - before[0] < now - tick
            ticks.append(before[1] if nearer and before is not None else picture)
            tick += 1
        before = (now, picture)
        if len(ticks) >= spec.ticks:
            yield np.stack(ticks[: spec.ticks])
            del ticks[: spec.ticks]
            given += 1
        if given == limit:
            return
    if not given and len(ticks) > 1:
        forth_and_back = [*ticks, *ticks[-2:0:-1]]
        yield np.stack([forth_and_back[k % len(forth_and_back)] for k in range(spec.ticks)])


def _shrunk(picture: Picture) -> Picture:
    scale = SHORT_SIDE_PX / min(picture.shape[:2])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _is_steady(part: Part) -> bool:
    """Return whether the video's own camera stays where it is, by the optical flow of most of the picture."""
    small = [
        cv2.resize(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), FLOW_SIZE, interpolation=cv2.INTER_AREA) for p in part[::4]
    ]
    way = np.zeros(2)
    for one, next_ in pairwise(small):
        flow = cv2.calcOpticalFlowFarneback(one, next_, None, 0.5, 3, 11, 3, 5, 1.1, 0)  # type: ignore[call-overload]
        way += np.median(flow.reshape(-1, 2), 0) / FLOW_SIZE
    return bool(np.abs(way).max() < MAX_CAMERA_MOTION)


@dataclass(frozen=True, eq=False)
class _Window:
    """The place and size of a window at each tick."""

    x: NDArray[np.float64]  # its middle, from -1 to 1 of the room that it has
    y: NDArray[np.float64]
    side: NDArray[np.float64]  # in fractions of the picture

    def seen(self, picture: Picture, tick: int) -> Picture:
        """Return the contents of the window, always in the same size."""
        height, width = picture.shape[:2]
        mean = float(self.side.mean())
        size = (round(width * mean), round(height * mean))
        corner = (1 - self.side[tick]) / 2 * (1 + np.array((self.x[tick], self.y[tick]))) * (width, height)
        scale = self.side[tick] * width / size[0]
        place = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(picture, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def _moved(part: Part, label: str, spec: InputSpec, rng: np.random.Generator) -> list[Picture] | None:
    """Return the contents of a window that moves; None: no window that was tried shows enough detail."""
    for _ in range(MAX_TRIES):
        window = _window(label, len(part), spec, rng)
        pictures = [window.seen(picture, tick) for tick, picture in enumerate(part)]
        if min(_detail(picture) for picture in pictures[:: len(pictures) // 4]) >= MIN_DETAIL:
            return pictures
    return None


def _window(label: str, ticks: int, spec: InputSpec, rng: np.random.Generator) -> _Window:
    """Return a window that moves opposite to the contents of the label."""
    u = np.linspace(0, 1, ticks)
    if rng.random() < EASED_SHARE:
        u = u * u * (3 - 2 * u)
    side = np.full(ticks, rng.uniform(*WINDOW))
    if label in _WINDOW_DIRECTIONS:
        way = rng.uniform(*WAY)
        along = rng.uniform(-1, 1) * (1 - way) + way * (2 * u - 1)
        across = rng.uniform(-0.9, 0.9) + rng.uniform(-0.1, 0.1) * u
        dx, dy = _WINDOW_DIRECTIONS[label]
        return _Window(*((dx * along, across) if dx else (across, dy * along)), side)
    if label == "wave":
        seconds = np.arange(ticks) / spec.frame_rate
        swing = rng.uniform(*SWING) * side[0] / ((1 - side[0]) / 2)
        to_and_fro = swing * np.sin(2 * math.pi * (rng.uniform(*SWING_HZ) * seconds + rng.random()))
        return _Window(to_and_fro + rng.uniform(-1, 1) * (1 - swing), np.full(ticks, rng.uniform(-1, 1)), side)
    growth = rng.uniform(*GROWTH) * (u if label == "approach" else 1 - u)
    side = rng.uniform(*GROWING_WINDOW) * np.exp(-growth)
    fixed = (1 - side.max()) / (1 - side + 1e-9)  # its middle stays where the largest window has room
    return _Window(rng.uniform(-0.7, 0.7) * fixed, rng.uniform(-0.7, 0.7) * fixed, side)


def _detail(picture: Picture) -> float:
    """Return the standard deviation in grey levels of the contents of a picture, without its light and noise."""
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (24, 24), interpolation=cv2.INTER_AREA)
    levels = small.astype(np.float32)
    return float((levels - cv2.GaussianBlur(levels, (0, 0), 4)).std())


def _still(part: Part, rng: np.random.Generator) -> Part | None:
    """Return a window in which nothing moves, of several the one with most detail; None: there is none."""
    height, width = part.shape[1:3]
    side = rng.uniform(*WINDOW)
    h, w = round(side * height), round(side * width)
    changed = _change(part)
    found: list[Part] = []
    for y in np.linspace(0, height - h, GRID).astype(int):
        for x in np.linspace(0, width - w, GRID).astype(int):
            inside = changed[y // BLOCK_PX : -(-(y + h) // BLOCK_PX), x // BLOCK_PX : -(-(x + w) // BLOCK_PX)]
            if inside.max() < MAX_STILL_CHANGE:
                found.append(part[:, y : y + h, x : x + w])
    return max(found, key=lambda window: float(window[0].std()), default=None)


def _any_window(part: Part, rng: np.random.Generator) -> Picture:
    """Return a random window of a random picture."""
    height, width = part.shape[1:3]
    side = rng.uniform(*WINDOW)
    h, w = round(side * height), round(side * width)
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    return part[rng.integers(len(part)), y : y + h, x : x + w].copy()


def _noisy(picture: Picture, noise: NDArray[np.int16]) -> Part:
    """Return the picture once for each picture of the noise [ticks, h, w, 3], which is added to it."""
    rows, columns = -(-picture.shape[0] // noise.shape[1]), -(-picture.shape[1] // noise.shape[2])
    laid = np.tile(noise, (1, rows, columns, 1))[:, : picture.shape[0], : picture.shape[1]]
    pictures: Part = np.clip(picture + laid, 0, 255).astype(np.uint8)
    return pictures


def _change(part: Part) -> NDArray[np.float32]:
    """Return the largest difference in grey levels of each block from its mean over time, without changes of light."""
    height, width = part.shape[1:3]
    size = (-(-width // BLOCK_PX), -(-height // BLOCK_PX))
    grey = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in part)
    blocks = np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in grey]).astype(np.float32)
    changes = [change - cv2.GaussianBlur(change, (0, 0), LIGHT_BLOCKS) for change in blocks - blocks.mean(0)]
    largest: NDArray[np.float32] = np.abs(changes).max(0)
    return largest


def _clip(pictures: Iterable[Picture], spec: InputSpec) -> NDArray[np.uint8]:
    """Return the pictures of all ticks as a clip, resized as in the live path: uint8 [T, 5, H, W, 3]."""
    resize = Preprocessor(spec)
    clip: NDArray[np.uint8] = np.stack([resize(picture) for picture in pictures])[spec.grid]
    return clip
