"""Noise and colours, of which backgrounds and surfaces are made."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn_training.synthetic.background_config import PaletteConfig

Colour = tuple[float, float, float, float]  # RGB and grain (roughness of the surface), 0 to 255


def fractal(rng: np.random.Generator, height: int, width: int, slope: float) -> NDArray[np.float32]:
    """Return noise whose amplitude falls as 1/f^slope: float32 [height, width], mean 0, standard deviation 1."""
    total = np.zeros((height, width), np.float32)
    side = min(height, width)
    cells = 2
    while cells <= side:
        coarse = rng.standard_normal((-(-cells * height // side), -(-cells * width // side)), np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(cells**-slope)
        cells *= 2
    mean, deviation = cv2.meanStdDev(total)
    normal: NDArray[np.float32] = (total - np.float32(mean[0, 0])) / np.float32(max(deviation[0, 0], 1e-6))
    return normal


def palette(rng: np.random.Generator, count: int, config: PaletteConfig) -> list[Colour]:
    """Return colours that may be side by side in one picture, each with its grain."""
    hue, spread = rng.uniform(*config.hue), rng.choice(config.spreads)
    colours = []
    for _ in range(count):
        vivid = rng.random() < config.vivid_share
        saturation = rng.uniform(*config.vivid) if vivid else rng.uniform(*config.greyish)
        value = [(hue + rng.normal(0, spread)) % config.hue[1], saturation, rng.uniform(*config.brightness)]
        r, g, b = (float(v) for v in cv2.cvtColor(np.array([[value]]).astype(np.uint8), cv2.COLOR_HSV2RGB)[0, 0])
        colours.append((r, g, b, float(255 * rng.beta(config.grain_alpha, config.grain_beta))))
    return colours


def vary(rng: np.random.Generator, colours: list[Colour], config: PaletteConfig) -> Colour:
    """Return one of the colours, a little lighter or darker."""
    r, g, b, grain = colours[rng.integers(len(colours))]
    light = rng.normal(0, config.variation_std)
    r, g, b = (min(255.0, max(0.0, level + light)) for level in (r, g, b))
    return r, g, b, grain
