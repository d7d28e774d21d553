"""Clips whose label is known by construction and whose pictures are real: a window that moves over real video.

The labels are those of moves.py, and follow its rule: a window that moves to the right shows contents that go left,
and that is `left`; one that gets smaller shows contents that grow, `approach`; one that swings, `wave`. People and
things in the video move besides, as they do in front of a camera; spells in which the camera of the video itself moves
are left out, for there the window would not say what the contents do, and windows over bare ground, for there nobody
sees it.

`still` cannot be a window that stays: things move in it. Where the video has a window in which measurably nothing
moves, that is taken, with the noise and the encoder that it has (of several, the one with most in it). Elsewhere one
picture is frozen, and the noise of such a window is laid over it: so still clips show as much as the moving ones.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.capture.video_file import read_file
from edge_tdn.demo.scene import MOTIONS
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S, Picture
from edge_tdn.segments.preprocess import Preprocessor

MOST_SPELLS = 6  # of one video
SHORT_SIDE = 256  # pixels of the pictures that windows move over
STEADY = 0.02  # of the picture's size: what the video's own camera may move in a clip
SAME = 5.0  # grey levels, mean of a block of BLOCK pixels: what changes less does not move
EMPTY = 5.0  # grey levels of detail; with less, nobody sees where a window goes
TRIES = 5
BLOCK = 8
LIGHT = 3.0  # blocks: what changes over as many, or more, is light
WINDOW = (0.5, 0.7)  # of the picture's sides
WAY = (0.4, 1.0)  # of the room that the window has
GROWTH = (0.3, 0.9)  # natural logarithm
SWING = (0.05, 0.12)  # of the window's sides, half of the way
SWING_HZ = (0.9, 2.0)
_SIDEWAYS = {"left": (1, 0), "right": (-1, 0), "up": (0, 1), "down": (0, -1)}  # where the window goes

Spell = NDArray[np.uint8]  # [ticks, h, w, 3], RGB, at the model's frame rate


@dataclass(frozen=True, eq=False)
class Crop:
    frames: NDArray[np.uint8]  # [T, InputSpec.frames, H, W, 3], RGB
    label: int  # index into MOTIONS
    video: Path
    spell: int  # of the video; its crops show the same moments


def real_crops(
    videos: Sequence[Path], spec: InputSpec, seed: int = 1, most: int = MOST_SPELLS,
    left_out: Callable[[str], None] = lambda _: None,
) -> Iterator[Crop]:  # fmt: skip
    """A clip of every label, where it can be, from each of the first `most` spells of every video.

    The same seed gives the same clips. Pictures that are frozen come last, when all noise has been seen. `left_out`
    hears of every clip that cannot be, and why. SourceError: a video cannot be played.
    """
    frozen: list[tuple[Picture, Path, int]] = []
    noise: NDArray[np.int16] | None = None
    for number, video in enumerate(videos):
        for index, spell in enumerate(_spells(video, spec, most)):
            if not _is_steady(spell):
                for _ in MOTIONS:
                    left_out("the video's own camera moves")
                continue
            rng = np.random.default_rng((seed, number, index))
            still = _still(spell, rng)
            if still is None:
                frozen.append((_somewhere(spell, rng), video, index))
            else:
                noise = (still - still.mean(0)).round().astype(np.int16)
            for label, name in enumerate(MOTIONS):
                pictures = still if name == "still" else _moved(spell, name, spec, rng)
                if pictures is not None:
                    yield Crop(_clip(pictures, spec), label, video, index)
                elif name != "still":
                    left_out("only bare ground is seen")
    for picture, video, index in frozen:
        if noise is None:
            left_out("nothing is still in any video, and so there is no noise for frozen pictures")
        else:
            yield Crop(_clip(_noisy(picture, noise), spec), MOTIONS.index("still"), video, index)


def _spells(video: Path, spec: InputSpec, most: int) -> Iterator[Spell]:
    """Clips one after the other. Of a video that is too short for one, its pictures forth and back."""
    ticks: list[Picture] = []
    before: tuple[float, Picture] | None = None
    origin = given = tick = 0
    for frame in read_file(video):
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
        if given == most:
            return
    if not given and len(ticks) > 1:
        forth_and_back = [*ticks, *ticks[-2:0:-1]]
        yield np.stack([forth_and_back[k % len(forth_and_back)] for k in range(spec.ticks)])


def _shrunk(picture: Picture) -> Picture:
    scale = SHORT_SIDE / min(picture.shape[:2])
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _is_steady(spell: Spell) -> bool:
    """Whether the video's own camera stays: what most of the picture does, by optical flow."""
    small = [
        cv2.resize(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), (96, 64), interpolation=cv2.INTER_AREA) for p in spell[::4]
    ]
    way = np.zeros(2)
    for one, next_ in pairwise(small):
        flow = cv2.calcOpticalFlowFarneback(one, next_, None, 0.5, 3, 11, 3, 5, 1.1, 0)  # type: ignore[call-overload]
        way += np.median(flow.reshape(-1, 2), 0) / (96, 64)
    return bool(np.abs(way).max() < STEADY)


@dataclass(frozen=True, eq=False)
class _Window:
    """Where a window is at each tick."""

    x: NDArray[np.float64]  # its middle, from -1 to 1 of the room that it has
    y: NDArray[np.float64]
    side: NDArray[np.float64]  # in fractions of the picture

    def seen(self, picture: Picture, tick: int) -> Picture:
        """What it shows of a picture, always of one size."""
        height, width = picture.shape[:2]
        mean = float(self.side.mean())
        size = (round(width * mean), round(height * mean))
        corner = (1 - self.side[tick]) / 2 * (1 + np.array((self.x[tick], self.y[tick]))) * (width, height)
        scale = self.side[tick] * width / size[0]
        place = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(picture, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def _moved(spell: Spell, label: str, spec: InputSpec, rng: np.random.Generator) -> list[Picture] | None:
    """What a window sees that moves over the spell. None: now and then there is nothing that would show it."""
    for _ in range(TRIES):
        window = _window(label, len(spell), spec, rng)
        pictures = [window.seen(picture, tick) for tick, picture in enumerate(spell)]
        if min(_detail(picture) for picture in pictures[:: len(pictures) // 4]) >= EMPTY:
            return pictures
    return None


def _window(label: str, ticks: int, spec: InputSpec, rng: np.random.Generator) -> _Window:
    """One that moves as the label says: the other way than the contents."""
    u = np.linspace(0, 1, ticks)
    if rng.random() < 0.3:
        u = u * u * (3 - 2 * u)
    side = np.full(ticks, rng.uniform(*WINDOW))
    if label in _SIDEWAYS:
        way = rng.uniform(*WAY)
        along = rng.uniform(-1, 1) * (1 - way) + way * (2 * u - 1)
        across = rng.uniform(-0.9, 0.9) + rng.uniform(-0.1, 0.1) * u
        dx, dy = _SIDEWAYS[label]
        return _Window(*((dx * along, across) if dx else (across, dy * along)), side)
    if label == "wave":
        seconds = np.arange(ticks) / spec.frame_rate
        swing = rng.uniform(*SWING) * side[0] / ((1 - side[0]) / 2)
        to_and_fro = swing * np.sin(2 * math.pi * (rng.uniform(*SWING_HZ) * seconds + rng.random()))
        return _Window(to_and_fro + rng.uniform(-1, 1) * (1 - swing), np.full(ticks, rng.uniform(-1, 1)), side)
    growth = rng.uniform(*GROWTH) * (u if label == "approach" else 1 - u)
    side = rng.uniform(0.75, 1.0) * np.exp(-growth)
    fixed = (1 - side.max()) / (1 - side + 1e-9)  # its middle stays where the largest window has room
    return _Window(rng.uniform(-0.7, 0.7) * fixed, rng.uniform(-0.7, 0.7) * fixed, side)


def _detail(picture: Picture) -> float:
    """Grey levels, standard deviation, of what a picture shows beside light and noise."""
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (24, 24), interpolation=cv2.INTER_AREA)
    levels = small.astype(np.float32)
    return float((levels - cv2.GaussianBlur(levels, (0, 0), 4)).std())


def _still(spell: Spell, rng: np.random.Generator) -> Spell | None:
    """A window in which nothing moves, of several the one with most in it; None, where there is none."""
    height, width = spell.shape[1:3]
    side = rng.uniform(*WINDOW)
    h, w = round(side * height), round(side * width)
    changed = _change(spell)
    found: list[Spell] = []
    for y in np.linspace(0, height - h, 4).astype(int):
        for x in np.linspace(0, width - w, 4).astype(int):
            inside = changed[y // BLOCK : -(-(y + h) // BLOCK), x // BLOCK : -(-(x + w) // BLOCK)]
            if inside.max() < SAME:
                found.append(spell[:, y : y + h, x : x + w])
    return max(found, key=lambda window: float(window[0].std()), default=None)


def _somewhere(spell: Spell, rng: np.random.Generator) -> Picture:
    """Any window of any of its pictures."""
    height, width = spell.shape[1:3]
    side = rng.uniform(*WINDOW)
    h, w = round(side * height), round(side * width)
    y, x = rng.integers(height - h + 1), rng.integers(width - w + 1)
    return spell[rng.integers(len(spell)), y : y + h, x : x + w].copy()


def _noisy(picture: Picture, noise: NDArray[np.int16]) -> Spell:
    """The picture for as long as the noise, [ticks, h, w, 3], lasts."""
    rows, columns = -(-picture.shape[0] // noise.shape[1]), -(-picture.shape[1] // noise.shape[2])
    laid = np.tile(noise, (1, rows, columns, 1))[:, : picture.shape[0], : picture.shape[1]]
    pictures: Spell = np.clip(picture + laid, 0, 255).astype(np.uint8)
    return pictures


def _change(spell: Spell) -> NDArray[np.float32]:
    """Grey levels by which each block of BLOCK pixels differs at most from its mean over time, and so not its light."""
    height, width = spell.shape[1:3]
    blocks = np.stack([
        cv2.resize(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), (-(-width // BLOCK), -(-height // BLOCK)),
                   interpolation=cv2.INTER_AREA) for p in spell
    ]).astype(np.float32)  # fmt: skip
    changes = [change - cv2.GaussianBlur(change, (0, 0), LIGHT) for change in blocks - blocks.mean(0)]
    largest: NDArray[np.float32] = np.abs(changes).max(0)
    return largest


def _clip(pictures: Iterable[Picture], spec: InputSpec) -> NDArray[np.uint8]:
    resize = Preprocessor(spec)
    clip: NDArray[np.uint8] = np.stack([resize(picture) for picture in pictures])[spec.grid]
    return clip
