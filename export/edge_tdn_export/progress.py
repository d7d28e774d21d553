"""Progress bars on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Step = Callable[[str], None]  # called before each step, with its description
OnProgress = Callable[[str, int, int], None]  # called with a description, the number of items done, and their total


@contextmanager
def stepped(total: int, name: str = "") -> Iterator[Step]:
    """Show a bar of `total` steps and yield the function that advances it. `name` precedes every description."""
    with bar() as progress:
        task = progress.add_task(name, total=total)
        before = f"{name}: " if name else ""
        yield lambda what: progress.update(task, description=f"{before}{what}", advance=1)


def bar() -> Progress:
    """Return a bar with a description and the elapsed time, for work of unknown duration."""
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))
