"""`edge-tdn-train show-motion`: clips as a picture to look at, a row each. Would a person give the same label?"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from edge_tdn_export.clips import find_videos
from numpy.typing import NDArray

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec, find_model, open_model
from edge_tdn.output import check_output_file
from edge_tdn_training.commands.option_checks import check_ranges
from edge_tdn_training.evaluation.clip_sheet import write_sheet
from edge_tdn_training.evaluation.real_crops import real_crops
from edge_tdn_training.synthetic.clips import generate_clip
from edge_tdn_training.synthetic.photos import read_photos

NamedFrames = tuple[str, str, NDArray[np.uint8]]  # name, label, clip


def run(options: argparse.Namespace) -> int:
    """Write the picture; return the exit status 0. EdgeTdnError: the model, the videos or the path are wrong."""
    check_ranges(options, {"first": (0, None), "rows": (1, None)})
    check_output_file(options.sheet)
    spec = open_model(find_model(options.model, Path.cwd())).manifest.input
    clips = _crops(options, spec) if options.crops else _generated(options, spec)
    shown = ((f"{name}\n{label}", frames) for name, label, frames in clips if options.label in (None, label))
    rows = list(islice(shown, options.rows))
    if not rows:
        raise ConfigError(f"{options.crops}: no clip to show: its videos are too short, or their cameras move")
    write_sheet(rows, options.sheet)
    return 0


def _generated(options: argparse.Namespace, spec: InputSpec) -> Iterator[NamedFrames]:
    photos = read_photos(options.backdrops) if options.backdrops else ()
    number = options.first
    while True:
        one = generate_clip(number, spec, photos)
        yield str(number), MOTIONS[one.label], one.frames
        number += 1


def _crops(options: argparse.Namespace, spec: InputSpec) -> Iterator[NamedFrames]:
    for crop in islice(real_crops(find_videos(options.crops), spec), options.first, None):
        yield crop.video.stem, MOTIONS[crop.label], crop.frames
