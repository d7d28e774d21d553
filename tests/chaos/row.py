"""The result of every program of `make chaos` and `make chaos-cameras`: a figure beside its goal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class ChaosRow:
    """One line of the table."""

    what: str
    goal: str
    figure: str
    ok: bool
    note: str = ""  # what a reader must know to believe the figure
    samples: Mapping[str, float | Sequence[float]] = field(default_factory=dict)  # name with unit -> as measured


@dataclass(frozen=True)
class Skipped:
    """A measurement that is not possible here, and why."""

    what: str
    why: str


ChaosRows = Sequence[ChaosRow | Skipped]


def table(rows: ChaosRows) -> Table:
    """Return the rows for the terminal."""
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("what", "goal", "figure", "ok", ""):
        found.add_column(column, overflow="fold")
    for row in rows:
        if isinstance(row, Skipped):
            found.add_row(row.what, "", "", Text("skipped", "yellow"), Text(row.why, "dim"))
        else:
            style, word = ("green", "yes") if row.ok else ("bold red", "NO")
            found.add_row(row.what, row.goal, Text(row.figure, style), Text(word, style), Text(row.note, "dim"))
    return found
