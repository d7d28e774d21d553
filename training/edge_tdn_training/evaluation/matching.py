"""Recognised actions against labelled intervals: which are right, and how late. Pure: no clock, no I/O.

An event matches an interval of its own label that it overlaps for any time; to touch is not to overlap. An event
matches one interval at most, an interval one event at most: in the order of time, each interval takes the event that
ends first of those that are left. As intervals of a label do not overlap, so many match as can.

    hit      an event that matches an interval
    split    an event that overlaps an interval of its label which another event has taken: one action, told twice
    stray    an event that overlaps no interval of its label
    missed   an interval that no event matches

Splits and strays are false. An interval of a background label is none: nothing is to be told of it, as of the time
between intervals. Precision is hits / events, recall hits / intervals, F1 their harmonic mean; the delay of a hit runs
from the interval's start to the moment at which the event's start was told, and is negative where that came first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["hit", "split", "stray"]


@dataclass(frozen=True)
class Interval:
    """When an action really went on, in seconds of the recording."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Event:
    """An action that was told, in seconds of the recording."""

    label: str
    start_s: float
    end_s: float
    told_s: float  # when its start was told: behind `start_s`, as nobody knows an action at once

    def overlaps(self, interval: Interval) -> bool:
        """Any time of an interval of its label."""
        same = self.label == interval.label
        return same and self.start_s < interval.end_s and interval.start_s < self.end_s


@dataclass(frozen=True)
class Counts:
    """Of one label, or of all. A figure is None where there is nothing that it could be the share of."""

    intervals: int
    events: int
    hits: int
    splits: int
    delays_s: tuple[float, ...]  # one for each hit
    seconds: float  # of the recording

    @property
    def false(self) -> int:
        """Events that are no hits."""
        return self.events - self.hits

    @property
    def precision(self) -> float | None:
        return self.hits / self.events if self.events else None

    @property
    def recall(self) -> float | None:
        return self.hits / self.intervals if self.intervals else None

    @property
    def f1(self) -> float | None:
        either = self.events + self.intervals
        return 2 * self.hits / either if either else None

    @property
    def mean_delay_s(self) -> float | None:
        return sum(self.delays_s) / len(self.delays_s) if self.delays_s else None

    @property
    def false_per_hour(self) -> float | None:
        return self.false / self.seconds * 3600 if self.seconds else None


@dataclass(frozen=True)
class Judgement:
    """What the events of a recording are worth."""

    intervals: tuple[Interval, ...]
    events: tuple[Event, ...]
    matches: tuple[int | None, ...]  # for each event the number of its interval
    seconds: float  # of the recording

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that happened, then those that were only told; each in the order of their first time."""
        return tuple(dict.fromkeys([*(one.label for one in self.intervals), *(one.label for one in self.events)]))

    @property
    def missed(self) -> tuple[Interval, ...]:
        return tuple(one for number, one in enumerate(self.intervals) if number not in self.matches)

    def outcome(self, number: int) -> Outcome:
        """Of an event, by its number."""
        if self.matches[number] is not None:
            return "hit"
        return "split" if any(self.events[number].overlaps(interval) for interval in self.intervals) else "stray"

    def counts(self, label: str | None = None) -> Counts:
        """Of a label; None: of all."""
        numbers = [n for n, event in enumerate(self.events) if label in (None, event.label)]
        outcomes = [self.outcome(n) for n in numbers]
        return Counts(
            intervals=sum(label in (None, interval.label) for interval in self.intervals),
            events=len(numbers),
            hits=outcomes.count("hit"),
            splits=outcomes.count("split"),
            delays_s=tuple(
                self.events[n].told_s - self.intervals[match].start_s
                for n in numbers
                if (match := self.matches[n]) is not None
            ),
            seconds=self.seconds,
        )


def judge(
    intervals: Sequence[Interval], events: Sequence[Event], seconds: float, background: Sequence[str] = ()
) -> Judgement:
    """Matches events with intervals, of which no two of one label overlap. `seconds`: of the recording, all of it."""
    real = sorted((one for one in intervals if one.label not in background), key=lambda one: one.start_s)
    told = sorted(events, key=lambda event: (event.start_s, event.told_s))
    matches: list[int | None] = [None] * len(told)
    for number, interval in enumerate(real):
        left = [n for n, event in enumerate(told) if matches[n] is None and event.overlaps(interval)]
        if left:
            matches[min(left, key=lambda n: told[n].end_s)] = number
    return Judgement(tuple(real), tuple(told), tuple(matches), seconds)
