"""Options for reading lists of videos and folders of pictures, the same for all commands of exporter and trainer."""

import argparse
from pathlib import Path
from typing import Any

from edge_tdn.capture.picture_folder import EXAMPLE, Pictures, parse_names
from edge_tdn.errors import ConfigError
from edge_tdn_export.video_files import Reading

LABELS_HELP = (
    "labels in the order of the logits: one per line, numbered (classInd.txt of UCF101), or JSON with a number for "
    "each (Something-Something)"
)
MAX_RATE = 1000.0  # pictures per second


def add_video_options(parser: argparse.ArgumentParser, labels: bool = False) -> None:
    """Add the options. `labels`: the command needs the labels of a list."""
    group = parser.add_argument_group("lists of videos, and folders of numbered pictures as videos")
    add: Any = group.add_argument
    add("--videos-in", type=Path, metavar="DIR", help="folder where the paths of a list begin (default: the list's)")
    if labels:
        add(
            "--labels-of-list",
            type=Path,
            metavar="FILE",
            help="labels that the numbers of a list refer to (default: labels.txt, classInd.txt, category.txt or "
            "*labels.json beside it)",
        )
    add(
        "--picture-names",
        metavar="PATTERN",
        help=f"names of the pictures, such as {EXAMPLE} (default: as found; needed only where a folder has several)",
    )
    add(
        "--picture-rate",
        type=float,
        metavar="FPS",
        help="pictures per second (default: the model's frame rate, so that each picture is used, as published)",
    )


def reading(options: argparse.Namespace) -> Reading:
    """Return how to read lists and folders. ConfigError: an option is wrong."""
    if options.videos_in and not options.videos_in.is_dir():
        raise ConfigError(f"--videos-in {options.videos_in}: no such folder")
    rate = options.picture_rate
    if rate is not None and not 0 < rate <= MAX_RATE:
        raise ConfigError(f"--picture-rate {rate:g}: must be more than 0, and at most {MAX_RATE:g}")
    names = options.picture_names
    try:
        pictures = Pictures(None if names is None else parse_names(names), rate or 0.0)
    except ConfigError as error:
        raise ConfigError(f"--picture-names: {error}") from error
    return Reading(options.videos_in, getattr(options, "labels_of_list", None), pictures)
