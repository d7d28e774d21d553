"""The result of a benchmark: a figure, its goal, and the samples that it was computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One line of the table. Smaller is always better."""

    what: str  # as the documentation names it
    against: str  # the baseline, measured in the same run; empty if there is none
    figure: float
    unit: str  # "ratio", "% of one core", "MB", "s"
    goal: float
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)  # name and unit -> every repetition
    note: str = ""  # the conditions of the measurement

    @property
    def reached(self) -> bool:
        return self.figure <= self.goal

    @property
    def share(self) -> float:
        """The figure as a share of its goal: at most 1 if it is reached. For a goal of 0, it is 0, or 2 above it."""
        if self.goal:
            return self.figure / self.goal
        return 0.0 if self.reached else 2.0
