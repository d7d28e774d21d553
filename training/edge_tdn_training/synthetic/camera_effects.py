"""The effects of a camera on what it sees: lens, light, colours, noise, lost resolution, and traces of its encoder.

Everything is drawn once for a clip; noise and light differ from frame to frame.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture
from edge_tdn_training.synthetic.camera_config import (
    CameraEffectsConfig,
    ColourConfig,
    EncoderConfig,
    LensConfig,
    LightChangeConfig,
    NoiseConfig,
)
from edge_tdn_training.synthetic.ranges import ANY_PHASE


@dataclass(frozen=True, eq=False)
class _Bands:
    """Dark bands that lamps on the mains leave in the picture."""

    strength: float  # 0: none
    turns: NDArray[np.float64]  # phase in each frame
    rows: float  # radians a row


class CameraEffects:
    """The camera of one clip, called for its frames in order. Frames are uint8 RGB [height, width, 3]."""

    def __init__(
        self,
        rng: np.random.Generator,
        height: int,
        width: int,
        seconds: NDArray[np.float64],
        roughness: float,
        config: CameraEffectsConfig,
    ) -> None:
        """`seconds`: of every frame. `roughness`: factor of the probability of trouble with light and noise."""
        lens, noise = config.lens, config.noise
        self._rng = rng
        self._size = (width, height)
        self._lens = _lens(rng, height, width, lens) if rng.random() < lens.distorted_share else None
        self._resolution = rng.uniform(*lens.coarse) if rng.random() < lens.coarse_share else 1.0
        self._light = _light(rng, seconds, roughness, config.light)
        strength = rng.uniform(*lens.bands) if rng.random() < lens.band_share * roughness else 0.0
        turns = rng.uniform(*ANY_PHASE, len(seconds))
        self._bands = _Bands(strength, turns, rng.uniform(*lens.band_count) / height)
        self._grey = rng.random() < lens.night_share
        self._colours = _colours(rng, config.colours)
        self._vignette = _vignette(rng, height, width, lens) if rng.random() < lens.vignette_share else None
        self._noise = _Noise(rng, height, width, roughness, noise)
        self._encoder = VideoEncoder(rng, config.encoder)

    def __call__(self, number: int, picture: Picture) -> Picture:
        """Return frame `number` of the clip as the camera transmits it."""
        if self._lens is not None:
            picture = cv2.remap(picture, *self._lens, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
        if self._resolution < 1:
            scale = self._resolution
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            picture = cv2.resize(small, self._size, interpolation=cv2.INTER_LINEAR).astype(np.uint8)
        if self._grey:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)
        seen = cv2.LUT(picture, self._colours * np.float32(self._light[number]))
        if self._vignette is not None:
            seen = seen * self._vignette
        if self._bands.strength:
            rows = np.arange(self._size[1], dtype=np.float32) * np.float32(self._bands.rows)
            wave = np.sin(rows + np.float32(self._bands.turns[number]))
            seen = seen * (1 + np.float32(self._bands.strength) * wave)[:, None, None]
        seen = self._noise.added(np.asarray(seen, np.float32)) if self._noise.levels is not None else seen
        return self._encoder(np.clip(seen, 0, 255).astype(np.uint8))


class _Noise:
    """The noise of the sensor, of which a part grows with the light."""

    def __init__(
        self, rng: np.random.Generator, height: int, width: int, roughness: float, config: NoiseConfig
    ) -> None:
        self._rng, self._config = rng, config
        none, weak, strong = config.shares
        shares = _normalised(none, weak, strong * roughness)
        strength = rng.choice([0.0, rng.uniform(*config.weak), rng.uniform(*config.strong)], p=shares)
        self.levels = _noise(rng, height, width, strength, config)  # larger than a picture; None: no noise
        self._shot = rng.uniform(*config.shot)

    def added(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add a random part of the noise to a picture float32 [height, width, 3]."""
        assert self.levels is not None
        height, width = seen.shape[:2]
        y, x = self._rng.integers(0, self._config.tile_px, 2)
        noise = self.levels[y : y + height, x : x + width]
        if self._shot > self._config.min_shot:  # photons: the variance grows with the light
            light = np.maximum(seen, 0) * np.float32(1 / self._config.reference_level)
            noise = noise * np.sqrt(np.float32(1 - self._shot) + np.float32(self._shot) * light)
        return seen + noise


class VideoEncoder:
    """An encoder that leaves its traces: every frame a JPEG, coarse differences between key frames, or nothing.

    Between key frames, blocks that hardly differ are left as they were: still surfaces freeze, and are updated in
    jumps.
    """

    def __init__(self, rng: np.random.Generator, config: EncoderConfig) -> None:
        self._block = config.block_px
        self.kind = str(rng.choice(["none", "pictures", "differences"], p=config.kind_shares))
        lowest = config.min_difference_quality if self.kind == "differences" else config.min_picture_quality
        self._quality = int(rng.integers(lowest, config.max_quality))
        self._key_interval = int(rng.choice(config.key_intervals))
        self._skipped = rng.uniform(*config.skipped)
        self._number = int(rng.integers(self._key_interval))
        self._decoded: Picture | None = None

    def __call__(self, picture: Picture) -> Picture:
        """Return the next frame as a decoder shows it."""
        if self.kind == "none":
            return picture
        self._number += 1
        before = self._decoded
        if self.kind == "pictures" or before is None or self._number % self._key_interval == 0:
            self._decoded = self._coded(picture)
        else:
            difference = cv2.addWeighted(picture, 0.5, before, -0.5, 128)
            height, width = picture.shape[:2]
            size = (-(-width // self._block), -(-height // self._block))
            blocks = cv2.resize(cv2.absdiff(picture, before), size, interpolation=cv2.INTER_AREA).max(2)
            same = cv2.resize(
                (blocks < self._skipped).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
            )
            difference[same > 0] = 128
            coded = self._coded(difference.astype(np.uint8))
            self._decoded = cv2.addWeighted(coded, 2, before, 1, -256).astype(np.uint8)
        return self._decoded

    def _coded(self, picture: Picture) -> Picture:
        _, code = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, self._quality))
        decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded.astype(np.uint8)


def _normalised(*weights: float) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _light(
    rng: np.random.Generator, seconds: NDArray[np.float64], roughness: float, config: LightChangeConfig
) -> NDArray[np.float64]:
    """Return the brightness of each frame: clouds, lamps that flicker or are switched, exposure that follows."""
    light = np.ones(len(seconds))
    if rng.random() < config.slow_share * roughness:
        light *= np.exp(rng.normal(0, config.slow_std) * seconds / max(seconds[-1], 1e-6))
    if rng.random() < config.flicker_share * roughness:
        light *= 1 + rng.uniform(*config.flicker) * rng.standard_normal(len(seconds))
    if rng.random() < config.switch_share * roughness:
        at, factor = rng.uniform(0, seconds[-1]), math.exp(rng.uniform(*config.switch))
        since = seconds - at
        recovered = np.exp(-np.clip(since, 0, None) * rng.choice(config.recovery_rates))
        light *= np.where(since > 0, factor**recovered, 1.0)
    return light


def _colours(rng: np.random.Generator, config: ColourConfig) -> NDArray[np.float32]:
    """Return a table of grey levels, [1, 256, 3]: gamma, white balance, contrast, darkness."""
    levels = np.linspace(0, 1, 256)[:, None]
    out = levels ** math.exp(rng.normal(0, config.gamma_std))
    out = out * (1 + rng.normal(0, config.white_balance_std, 3))
    contrast = rng.uniform(*config.contrast)
    out = 0.5 + contrast * (out - 0.5) + rng.normal(0, config.offset_std)
    if rng.random() < config.dark_share:
        out = out * rng.uniform(*config.darkness)
    return (255 * out).astype(np.float32)[None]


def _vignette(rng: np.random.Generator, height: int, width: int, config: LensConfig) -> NDArray[np.float32]:
    """Return the light that reaches each pixel, [height, width, 1]."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light: NDArray[np.float32] = (1 - rng.uniform(*config.vignette) * (x * x + y * y) / 2).astype(np.float32)[..., None]
    return light


def _lens(
    rng: np.random.Generator, height: int, width: int, config: LensConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the column and row that each pixel comes from: barrel or pincushion distortion."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    scale = 1 + rng.uniform(*config.distortion) * (x * x + y * y - 1)
    columns, rows = (x * scale + 1) * (width - 1) / 2, (y * scale + 1) * (height - 1) / 2
    return columns.astype(np.float32), rows.astype(np.float32)


def _noise(
    rng: np.random.Generator, height: int, width: int, strength: float, config: NoiseConfig
) -> NDArray[np.float32] | None:
    """Return grey levels to add, larger than a picture: more or less coloured, in grains of a pixel or more."""
    if not strength:
        return None
    shape = (height + config.tile_px, width + config.tile_px)
    grey = rng.standard_normal((*shape, 1), np.float32)
    noise = grey + np.float32(rng.uniform(*config.colour)) * rng.standard_normal((*shape, 3), np.float32)
    if rng.random() < config.grainy_share:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(*config.grain))
    scaled: NDArray[np.float32] = noise * np.float32(strength / noise.std())
    return scaled
