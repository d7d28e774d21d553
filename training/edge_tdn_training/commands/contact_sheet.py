"""`edge-tdn-train show-motion`: clips as a picture to look at, a row each. Would a person give the same label?"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

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

EPILOG = """training clips of the motion model, numbers 100 to 129, and clips of one label (the clips of seed 1 begin at
number 16777216, held-out clips at 4294967296):
  edge-tdn-train show-motion sheet.png --first 100 --rows 30
  edge-tdn-train show-motion sheet.png --label recede

windows that move over real videos, on which the model is evaluated:
  edge-tdn-train show-motion sheet.png --crops videos/
"""

NamedFrames = tuple[str, str, NDArray[np.uint8]]  # name, label, clip


def add_parser(commands: Any) -> None:
    """Add the subcommand `show-motion`."""
    parser = commands.add_parser(
        "show-motion",
        description="Draw the clips on which the shipped model is trained or evaluated, one per row, as a PNG.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    parser.add_argument("sheet", type=Path, metavar="PNG", help="the picture to write")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first clip (default: 0)")
    parser.add_argument("--rows", type=int, default=24, metavar="N", help="number of clips (default: 24)")
    parser.add_argument("--label", choices=MOTIONS, help="show clips of this label only")
    parser.add_argument("--backdrops", type=Path, metavar="DIR", help="videos whose pictures become backgrounds")
    parser.add_argument("--crops", type=Path, metavar="DIR", help="show windows that move over real videos instead")
    parser.add_argument(
        "--model", default="motion", help="model that defines size and frame rate of the clips (default: motion)"
    )


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
