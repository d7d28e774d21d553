"""Clips for the eye: a row each, its label and its segments' middle frames. Would a person say the same?

edge-tdn-train show-motion sheet.png
"""

import argparse
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_tdn_export.clips import find_videos
from edge_tdn_export.convert.model_folder import write_at_once
from numpy.typing import NDArray
from PIL import Image

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec, find_model, open_model
from edge_tdn.messages import CENTRE
from edge_tdn_training.evaluation.real_crops import real_crops
from edge_tdn_training.synthetic.backgrounds import read_photos
from edge_tdn_training.synthetic.clips import lesson

NAME_WIDTH, GAP = 150, 2  # pixels
INK, PAPER = (20, 20, 20), 255
EPILOG = """clips such as the motion model learns from, numbers 100 to 129, and of one label (a training of seed 1
begins with number 16777216, what is held out with 4294967296):
  edge-tdn-train show-motion sheet.png --first 100 --rows 30
  edge-tdn-train show-motion sheet.png --label recede

windows that move over real videos, which it is judged by:
  edge-tdn-train show-motion sheet.png --crops videos/
"""

Row = tuple[str, NDArray[np.uint8]]  # what to write beside it, and a clip: uint8 [T, 5, H, W, 3], RGB


def write_sheet(rows: Sequence[Row], path: Path) -> None:
    """A PNG of clips of one size, at least one. ModelError: it cannot be written there."""
    sheet = np.concatenate([_row(name, frames) for name, frames in rows])
    Image.fromarray(sheet).save(content := io.BytesIO(), "PNG")
    write_at_once(path, content.getvalue())


def _row(name: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    title = np.full((frames.shape[2], NAME_WIDTH, 3), PAPER, np.uint8)
    for number, line in enumerate(name.split("\n")):
        cv2.putText(title, line, (4, 24 + 20 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    pictures = [title, *frames[:, CENTRE]]
    return np.concatenate([np.pad(picture, ((0, GAP), (0, GAP), (0, 0))) for picture in pictures], 1)


def add_parser(commands: Any) -> None:
    """Adds the subcommand `show-motion`."""
    parser = commands.add_parser(
        "show-motion", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.set_defaults(command=run)
    parser.add_argument("sheet", type=Path, metavar="PNG", help="the picture to write")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first clip (default: 0)")
    parser.add_argument("--rows", type=int, default=24, metavar="N", help="how many (default: 24)")
    parser.add_argument("--label", choices=MOTIONS, help="only these")
    parser.add_argument("--backdrops", type=Path, metavar="DIR", help="videos whose pictures become backdrops, too")
    parser.add_argument("--crops", type=Path, metavar="DIR", help="real videos: windows that move over them, instead")
    parser.add_argument("--model", default="motion", help="whose size and frame rate they have (default: motion)")


def run(options: argparse.Namespace) -> int:
    """Writes the picture; exit status 0. EdgeTdnError: the model, the videos or the picture's place do not do."""
    for name, least in (("first", 0), ("rows", 1)):
        if getattr(options, name) < least:
            raise ConfigError(f"--{name} {getattr(options, name)}: must be {least} or more")
    spec = open_model(find_model(options.model, Path.cwd())).manifest.input
    clips = _crops(options, spec) if options.crops else _lessons(options, spec)
    wanted = ((f"{name}\n{label}", frames) for name, label, frames in clips if options.label in (None, label))
    rows = list(islice(wanted, options.rows))
    if not rows:
        raise ConfigError(f"{options.crops}: not one clip to show; its videos are too short, or their cameras move")
    write_sheet(rows, options.sheet)
    return 0


def _lessons(options: argparse.Namespace, spec: InputSpec) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    photos = read_photos(options.backdrops) if options.backdrops else ()
    number = options.first
    while True:
        one = lesson(number, spec, photos)
        yield str(number), MOTIONS[one.label], one.frames
        number += 1


def _crops(options: argparse.Namespace, spec: InputSpec) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    for crop in islice(real_crops(find_videos(options.crops), spec), options.first, None):
        yield crop.video.stem, MOTIONS[crop.label], crop.frames
