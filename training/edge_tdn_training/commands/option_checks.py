"""The check of a command's numbers, with one wording for all commands."""

import argparse
from collections.abc import Mapping

from edge_tdn.errors import ConfigError

MAX_WORKERS = 1000
Range = tuple[int, int | None]  # smallest and largest value; None: no limit


def check_ranges(options: argparse.Namespace, ranges: Mapping[str, Range]) -> None:
    """ConfigError: an option, by its name in `options`, is out of its range. None is not checked."""
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if value is None or (low <= value and (high is None or value <= high)):
            continue
        allowed = f"{low} or more" if high is None else f"from {low} to {high}"
        raise ConfigError(f"--{name.replace('_', '-')} {value}: must be {allowed}")
