"""Progress bars for work that is done item by item: decoding videos, training steps, evaluating clips."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def counting_bar(shown: bool = True) -> Progress:
    """Return a bar on stderr with a count and the remaining time. Lines printed on its console appear above it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True, markup=False, highlight=False), disable=not shown)
