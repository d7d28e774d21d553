"""Clips as one picture: a row for each, with its name and the middle frames of its segments."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from edge_tdn_export.convert.model_folder import write_at_once
from numpy.typing import NDArray
from PIL import Image

from edge_tdn.messages import CENTRE

NAME_WIDTH_PX, GAP_PX, LINE_PX = 150, 2, 20
MAX_WRONG_CLIPS = 60  # that a sheet shows, of each kind of clips
INK, PAPER = (20, 20, 20), 255

Row = tuple[str, NDArray[np.uint8]]  # its name, of several lines, and a clip: uint8 [T, 5, H, W, 3], RGB


def write_sheet(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG of one or more clips of the same size. ModelError: it cannot be written there."""
    sheet = np.concatenate([_row(name, frames) for name, frames in rows])
    Image.fromarray(sheet).save(content := io.BytesIO(), "PNG")
    write_at_once(path, content.getvalue())


def _row(name: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    title = np.full((frames.shape[2], NAME_WIDTH_PX, 3), PAPER, np.uint8)
    for number, line in enumerate(name.split("\n")):
        place = (4, 24 + LINE_PX * number)
        cv2.putText(title, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    pictures = [title, *frames[:, CENTRE]]
    return np.concatenate([np.pad(picture, ((0, GAP_PX), (0, GAP_PX), (0, 0))) for picture in pictures], 1)
