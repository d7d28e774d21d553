"""The progress of a command on stderr: a bar in a terminal, lines in a file or a pipe; or lines of JSON on stdout."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edge_tdn_export.interrupts import raise_if_interrupted
from edge_tdn_export.progress_lines import ProgressLines

Item = TypeVar("Item")
Step = Callable[[str], None]  # called before each step, with its description
OnProgress = Callable[[str, int, int], None]  # called with a description, the number of items done, and their total

LINE_EVERY_S = 30.0  # between two lines of the same phase
MIN_ESTIMATE_S = 5.0  # of work before the time left is estimated

_lines: ProgressLines | None = None  # that all displays of this process write to; None: to stderr


@contextmanager
def reported_as(lines: ProgressLines | None) -> Iterator[None]:
    """Report all progress within the block as lines of JSON; None: for a person. Only for the main thread."""
    global _lines
    before, _lines = _lines, lines
    try:
        yield
    finally:
        _lines = before


def begin_step(console: Console, number: int, of: int, text: str) -> None:
    """Report that a step of a command begins: on its console, or as a line of JSON."""
    if _lines:
        _lines.step(number, of, text)
    else:
        console.print(f"{number}/{of} {text}")


class ProgressDisplay:
    """Shows phases with the number of items done, their total, and an estimate of the time left.

    In a terminal it is a bar; elsewhere a line for each phase, and one every `line_every_s` while it lasts; or lines of
    JSON within `reported_as`.
    """

    def __init__(
        self, unit: str = "", line_every_s: float = LINE_EVERY_S, stream: TextIO | None = None, shown: bool = True
    ) -> None:
        """`unit` follows the numbers, as in `12 of 340 s`. `shown`: False shows nothing of the progress."""
        self._console = Console(file=stream, stderr=stream is None, markup=False, highlight=False)
        self._unit, self._line_every_s, self._shown = unit, line_every_s, shown
        self._lines = _lines if stream is None else None
        self._phase, self._text = "", ""
        self._done, self._total = 0.0, 0.0  # total 0: unknown
        self._began_s = time.monotonic()  # the count of items
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._ended = threading.Event()
        self._reminder = threading.Thread(target=self._remind, name="progress", daemon=True)

    def __enter__(self) -> "ProgressDisplay":
        if not self._shown or self._lines:
            return self
        if self._console.is_interactive and self._console.file.isatty():  # not a dumb terminal, nor a coloured log
            columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console)
            self._bar.start()
            self._task = self._bar.add_task("")
        else:
            self._reminder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._bar:
            self._bar.stop()
        elif self._reminder.is_alive():
            self._reminder.join()

    def report(self, what: str, done: float, total: float | None) -> None:
        """Report that `done` of `total` items are done. `what`: the phase, or `phase: item`. total None: unknown.

        KeyboardInterrupt: the command has been interrupted.
        """
        raise_if_interrupted()
        phase, total = what.partition(": ")[0], total or 0.0
        if done < self._done or total != self._total:  # another count begins
            self._began_s = time.monotonic()
        begins = phase != self._phase
        self._phase, self._text, self._done, self._total = phase, what, done, total
        if self._lines:
            if self._shown:
                self._lines.progress(what, done, total or None, self._left_s())
        elif self._bar:
            self._bar.update(self._task, description=f"{what}{self._figures()}", completed=done, total=total or None)
        elif begins and self._shown:
            self._print_figures(phase)

    def track(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """Yield the items, of which there are at most `total`, and report each as done when the next one is due."""
        for done, item in enumerate(items):
            self.report(what, done, total)
            yield item
        self.report(what, total, total)

    def print(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._lines:
            self._lines.note(line)
        else:
            self._console.print(line, soft_wrap=True)

    def _remind(self) -> None:
        while not self._ended.wait(self._line_every_s):
            self._print_figures(self._text)

    def _print_figures(self, what: str) -> None:
        if what:
            self.print(f"{what}{self._figures()}")

    def _figures(self) -> str:
        """Return the figures behind a description: `, 12 of 64, about 3 min left`."""
        if not self._total:
            return f", {self._done:.0f}{self._unit}" if self._done else ""
        left_s = self._left_s()
        left = "" if left_s is None else f", about {_duration(left_s)} left"
        return f", {self._done:.0f} of {self._total:.0f}{self._unit}{left}"

    def _left_s(self) -> float | None:
        """Return the estimated seconds until all items are done; None: unknown."""
        took_s = time.monotonic() - self._began_s
        if not self._total or not self._done or took_s < MIN_ESTIMATE_S:
            return None
        return round(took_s / self._done * max(0.0, self._total - self._done), 1)


@contextmanager
def stepped(total: int, name: str = "") -> Iterator[Step]:
    """Show `total` steps and yield the function that begins the next one. `name` precedes every description."""
    with ProgressDisplay() as display:
        done = -1

        def step(what: str) -> None:
            nonlocal done
            done += 1
            display.report(f"{name}: {what}" if name else what, done, total)

        yield step


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
