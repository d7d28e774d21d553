"""Backgrounds: pictures with the edges, textures and colours that rooms and streets have.

A network that saw one kind of texture alone would learn that texture. So a background is of one of several quite
different kinds (clouds of 1/f noise, overlapping leaves, rooms, streets, printed pages, patterns, photos if any are
given), and all of them get the same light: shading, grain, blur, colours. Pictures are uint8 RGB [height, width, 3].
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edge_tdn.messages import Picture
from edge_tdn_training.synthetic import paintings
from edge_tdn_training.synthetic.background_config import BackgroundConfig, LightConfig
from edge_tdn_training.synthetic.paintings import Painting
from edge_tdn_training.synthetic.photos import random_part
from edge_tdn_training.synthetic.textures import fractal

Backdrop = Callable[[np.random.Generator, int, int, BackgroundConfig, Sequence[Picture]], Picture]


def backdrop(
    rng: np.random.Generator, height: int, width: int, config: BackgroundConfig, photos: Sequence[Picture] = ()
) -> Picture:
    """Return a background of a random kind in random light; half of them are photos, if there are any."""
    if photos and rng.random() < config.photo_share:
        return random_part(rng, photos[int(rng.integers(len(photos)))], height, width, config.photo_part)
    kind = paintings.KINDS[rng.choice(len(paintings.KINDS), p=config.kind_shares)]
    return _lit(rng, kind(rng, height, width, config), config.light)


def busy_backdrop(
    rng: np.random.Generator, height: int, width: int, config: BackgroundConfig, photos: Sequence[Picture] = ()
) -> Picture:
    """Return a background that shows how it moves: not so smooth that a pan over it is invisible."""
    for _ in range(config.busy_tries):
        picture = backdrop(rng, height, width, config, photos)
        if _detail(picture, config.detail_distance) >= config.min_detail:
            return picture
    return _lit(rng, paintings.leaves(rng, height, width, config), config.light)


def _lit(rng: np.random.Generator, painting: Painting, config: LightConfig) -> Picture:
    """Return a painting as a picture: with grain, shading, focus, and more or less colour."""
    height, width = painting.shape[:2]
    rows, columns = config.shading_size
    grain = fractal(rng, height, width, rng.uniform(*config.grain_slope))
    light = fractal(rng, rows, columns, config.shading_slope) * rng.uniform(*config.shading)
    slant = np.linspace(-1, 1, columns) * rng.normal(0, config.slant_std)
    slant = slant + np.linspace(-1, 1, rows)[:, None] * rng.normal(0, config.slant_std)
    shade = np.asarray(cv2.resize(np.exp(light + slant).astype(np.float32), (width, height)), np.float32)
    shade = shade * (1 + grain * painting[..., 3] * np.float32(rng.uniform(*config.grain) / 255))
    if rng.random() < config.soft_share:
        painting = cv2.GaussianBlur(painting, (0, 0), rng.uniform(*config.soft)).astype(np.uint8)
    colours = painting[..., :3].astype(np.float32)
    grey = colours.mean(2, keepdims=True)
    picture = (grey + np.float32(rng.uniform(*config.saturation)) * (colours - grey)) * shade[..., None]
    contrast, middle = rng.uniform(*config.contrast), rng.uniform(*config.middle)
    picture = middle + contrast * (picture - picture.mean())
    if rng.random() < config.unfocused_share:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(*config.unfocused))
    lit: Picture = np.clip(picture, 0, 255).astype(np.uint8)
    return lit


def _detail(picture: Picture, distance: int) -> float:
    """Return the mean change in grey levels when the picture is moved by 1 / `distance` of its height.

    The smaller one of the changes across and along.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.int16)
    step = max(1, grey.shape[0] // distance)
    across = np.abs(grey[:, step:] - grey[:, :-step]).mean()
    along = np.abs(grey[step:] - grey[:-step]).mean()
    return float(min(across, along))
