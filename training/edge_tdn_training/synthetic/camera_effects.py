"""What a camera makes of what it sees: lens, light, colours, noise, lost resolution, and what its encoder leaves.

Everything is drawn once for a clip; noise and light differ from frame to frame.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture

BLOCK = 8  # pixels: what an encoder codes, or leaves as it was
TILE = 64  # pixels by which the noise is larger than a picture: each frame has another part of it


class Camera:
    """One clip's camera. Frames are uint8 RGB [height, width, 3], in their order."""

    def __init__(self, rng: np.random.Generator, height: int, width: int, seconds: NDArray[np.float64], rough: float):
        """`seconds`: of every frame. `rough`: how likely each trouble with light and noise is, 1: usual."""
        self._rng = rng
        self._size = (width, height)
        self._lens = _lens(rng, height, width) if rng.random() < 0.2 else None
        self._coarse = rng.uniform(0.35, 0.8) if rng.random() < 0.2 else 1.0
        self._light = _light(rng, seconds, rough)
        self._bands = rng.uniform(0.02, 0.1) if rng.random() < 0.06 * rough else 0.0
        self._band_turn, self._band_rows = rng.uniform(0, 6.3, len(seconds)), rng.uniform(3, 20) / height
        self._grey = rng.random() < 0.08  # infrared, at night
        self._colours = _colours(rng)
        self._vignette = _vignette(rng, height, width) if rng.random() < 0.25 else None
        strength = rng.choice([0.0, rng.uniform(0.3, 2.5), rng.uniform(2.5, 8.0)], p=_shares(0.25, 0.55, 0.2 * rough))
        self._noise = _noise(rng, height, width, strength)
        self._shot = rng.uniform(0, 1)  # how much of the noise grows with the light
        self._encoder = Encoder(rng)

    def __call__(self, number: int, picture: Picture) -> Picture:
        """Frame `number` of the clip."""
        if self._lens is not None:
            picture = cv2.remap(picture, *self._lens, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
        if self._coarse < 1:
            small = cv2.resize(picture, None, fx=self._coarse, fy=self._coarse, interpolation=cv2.INTER_AREA)
            picture = cv2.resize(small, self._size, interpolation=cv2.INTER_LINEAR).astype(np.uint8)
        if self._grey:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)
        seen = cv2.LUT(picture, self._colours * np.float32(self._light[number]))
        if self._vignette is not None:
            seen = seen * self._vignette
        if self._bands:
            rows = np.arange(self._size[1], dtype=np.float32) * np.float32(self._band_rows)
            seen = (
                seen * (1 + np.float32(self._bands) * np.sin(rows + np.float32(self._band_turn[number])))[:, None, None]
            )
        if self._noise is not None:
            seen = self._noisy(np.asarray(seen, np.float32))
        return self._encoder(np.clip(seen, 0, 255).astype(np.uint8))

    def _noisy(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self._noise is not None
        height, width = seen.shape[:2]
        y, x = self._rng.integers(0, TILE, 2)
        noise = self._noise[y : y + height, x : x + width]
        if self._shot > 0.3:  # photons: the variance grows with the light
            light = np.maximum(seen, 0) * np.float32(1 / 128)
            noise = noise * np.sqrt(np.float32(1 - self._shot) + np.float32(self._shot) * light)
        return seen + noise


class Encoder:
    """Every frame a JPEG, or differences to the frame before between key frames, coarsely coded; or nothing at all.

    Between key frames, blocks that hardly differ are left as they were: still surfaces freeze, and are mended in jumps.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._kind = rng.choice(["none", "pictures", "differences"], p=[0.35, 0.25, 0.4])
        self._quality = int(rng.integers(30 if self._kind == "differences" else 15, 85))
        self._key_every = int(rng.choice([8, 12, 15, 25, 30, 60]))
        self._left = rng.uniform(0.5, 2.5)  # grey levels of a block's mean difference that are not worth coding
        self._number = int(rng.integers(self._key_every))
        self._decoded: Picture | None = None

    def __call__(self, picture: Picture) -> Picture:
        if self._kind == "none":
            return picture
        self._number += 1
        before = self._decoded
        if self._kind == "pictures" or before is None or self._number % self._key_every == 0:
            self._decoded = self._coded(picture)
        else:
            difference = cv2.addWeighted(picture, 0.5, before, -0.5, 128)
            height, width = picture.shape[:2]
            blocks = cv2.resize(cv2.absdiff(picture, before), (-(-width // BLOCK), -(-height // BLOCK)),
                                interpolation=cv2.INTER_AREA).max(2)  # fmt: skip
            same = cv2.resize((blocks < self._left).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            difference[same > 0] = 128
            self._decoded = cv2.addWeighted(self._coded(difference.astype(np.uint8)), 2, before, 1, -256).astype(
                np.uint8
            )
        return self._decoded

    def _coded(self, picture: Picture) -> Picture:
        _, code = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, self._quality))
        decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded.astype(np.uint8)


def _shares(*weights: float) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _light(rng: np.random.Generator, seconds: NDArray[np.float64], rough: float) -> NDArray[np.float64]:
    """Brightness of each frame, relative to the first: clouds, lamps that flicker or go on, gain that follows."""
    light = np.ones(len(seconds))
    if rng.random() < 0.2 * rough:  # slowly
        light *= np.exp(rng.normal(0, 0.25) * seconds / max(seconds[-1], 1e-6))
    if rng.random() < 0.25 * rough:  # from frame to frame
        light *= 1 + rng.uniform(0.003, 0.04) * rng.standard_normal(len(seconds))
    if rng.random() < 0.05 * rough:  # at once, and the exposure follows
        at, factor = rng.uniform(0, seconds[-1]), math.exp(rng.uniform(-0.8, 0.6))
        since = seconds - at
        light *= np.where(since > 0, factor ** np.exp(-np.clip(since, 0, None) * rng.choice([0.0, 2.0, 6.0])), 1.0)
    return light


def _colours(rng: np.random.Generator) -> NDArray[np.float32]:
    """Grey levels in -> out, [1, 256, 3]: gamma, white balance, contrast, darkness."""
    levels = np.linspace(0, 1, 256)[:, None]
    out = levels ** math.exp(rng.normal(0, 0.25))
    out = out * (1 + rng.normal(0, 0.06, 3))
    contrast = rng.uniform(0.7, 1.2)
    out = 0.5 + contrast * (out - 0.5) + rng.normal(0, 0.05)
    if rng.random() < 0.15:
        out = out * rng.uniform(0.45, 0.85)
    return (255 * out).astype(np.float32)[None]


def _vignette(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light: NDArray[np.float32] = (1 - rng.uniform(0.1, 0.35) * (x * x + y * y) / 2).astype(np.float32)[..., None]
    return light


def _lens(rng: np.random.Generator, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel comes from: barrel or pincushion."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    stretch = 1 + rng.uniform(-0.18, 0.12) * (x * x + y * y - 1)
    columns, rows = (x * stretch + 1) * (width - 1) / 2, (y * stretch + 1) * (height - 1) / 2
    return columns.astype(np.float32), rows.astype(np.float32)


def _noise(rng: np.random.Generator, height: int, width: int, strength: float) -> NDArray[np.float32] | None:
    """Grey levels to add, larger than a picture; more or less coloured, and in grains of more than a pixel."""
    if not strength:
        return None
    shape = (height + TILE, width + TILE)
    noise = rng.standard_normal((*shape, 1), np.float32) + np.float32(rng.uniform(0, 0.7)) * rng.standard_normal(
        (*shape, 3), np.float32
    )
    if rng.random() < 0.5:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.4, 1.0))
    scaled: NDArray[np.float32] = noise * np.float32(strength / noise.std())
    return scaled
