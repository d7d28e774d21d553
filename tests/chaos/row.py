"""What every program of `make chaos` gives: a figure beside its goal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    goal: str
    figure: str
    ok: bool
    note: str = ""  # what a reader must know to believe the figure
    samples: Mapping[str, float | Sequence[float]] = field(default_factory=dict)  # name with unit -> as measured


@dataclass(frozen=True)
class Skipped:
    """What could not be tried here, and why."""

    what: str
    why: str
