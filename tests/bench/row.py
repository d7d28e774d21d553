"""What every benchmark of `make bench` gives: a figure beside its goal, and the samples that it was taken from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One line of the table. Smaller is better, everywhere."""

    what: str  # as issue and README name it
    against: str  # the baseline, measured in the same run; empty where there is none
    figure: float
    unit: str  # "ratio", "% of one core", "MB", "s"
    goal: float
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)  # name with unit -> repetitions, as measured
    note: str = ""  # what a reader must know to believe the figure

    @property
    def reached(self) -> bool:
        return self.figure <= self.goal
