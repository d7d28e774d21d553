"""Clips for the eye: a row each, its label and its segments' middle frames. Would a person say the same?"""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_tdn.errors import ConfigError
from edge_tdn.messages import CENTRE

NAME_WIDTH, GAP = 150, 2  # pixels
INK, PAPER = (20, 20, 20), 255


def write_sheet(rows: Iterable[tuple[str, NDArray[np.uint8]]], path: Path) -> None:
    """A PNG of clips and what to write beside them: uint8 [T, 5, H, W, 3], RGB.

    ConfigError: the file cannot be written there.
    """
    sheet = np.concatenate([_row(name, frames) for name, frames in rows])
    beside = path.with_name(f".{path.name}.new")
    try:
        Image.fromarray(sheet).save(beside, "PNG")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error


def _row(name: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = frames.shape[2]
    title = np.full((height, NAME_WIDTH, 3), PAPER, np.uint8)
    for number, line in enumerate(name.split("\n")):
        cv2.putText(title, line, (4, 24 + 20 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    strip = np.concatenate([np.pad(f, ((0, GAP), (0, GAP), (0, 0))) for f in frames[:, CENTRE]], 1)
    return np.concatenate([np.pad(title, ((0, GAP), (0, 0), (0, 0))), strip], 1)
