"""Bars of long work, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Step = Callable[[str], None]  # hears what comes next


@contextmanager
def stepped(total: int, name: str = "") -> Iterator[Step]:
    """A bar that a step moves on by one. `name`: of the whole."""
    with bar() as progress:
        task = progress.add_task(name, total=total)
        before = f"{name}: " if name else ""
        yield lambda what: progress.update(task, description=f"{before}{what}", advance=1)


def bar() -> Progress:
    """For work whose end nobody knows: what is done, and since when."""
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
