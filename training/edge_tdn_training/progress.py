"""Bars of what goes one by one: videos that are decoded, steps of an epoch."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge_tdn.manifest import InputSpec
from edge_tdn_training.data.augment import decoded_short_side
from edge_tdn_training.data.dataset import DataSet
from edge_tdn_training.data.decoded import Decoded, decode


def counted(shown: bool = True) -> Progress:
    """So many of so many, and how long it will take. What is printed through its console stays above it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True, markup=False, highlight=False), disable=not shown)


def decode_shown(data: DataSet, spec: InputSpec, cache: Path, shown: bool = True) -> Decoded:
    """The frames that a network of this input looks at, as `decode` gives them."""
    with counted(shown) as progress:
        bar = progress.add_task("decoding", total=len(data.videos))
        step = lambda name: progress.update(bar, advance=1, description=f"decoding {name}")  # noqa: E731
        return decode(data, spec.frame_rate, decoded_short_side(spec), cache, step)
