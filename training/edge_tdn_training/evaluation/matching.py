"""Match recognised actions with labelled intervals: which are right, and how late. Pure: no clock, no I/O.

An event matches an interval of its own label that it overlaps for any time; touching is not overlapping. An event
matches at most one interval, an interval at most one event: in the order of time, each interval takes the event that
ends first of those that are left. Intervals of a label do not overlap, so this matches as many as possible.

    hit      an event that matches an interval
    split    an event that overlaps an interval of its label which another event has taken: one action, reported twice
    stray    an event that overlaps no interval of its label
    missed   an interval that no event matches

Splits and strays are false. Intervals of a background label are ignored: no event is expected of them, as of the time
between intervals.

    precision = hits / events     recall = hits / intervals     F1 = 2 hits / (events + intervals)

The delay of a hit runs from the interval's start to the moment at which the start event was published; it is negative
for an event that comes before its interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["hit", "split", "stray"]


@dataclass(frozen=True)
class Interval:
    """The true time of an action, in seconds of the recording."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class ReportedEvent:
    """An action that was published, in seconds of the recording."""

    label: str
    start_s: float
    end_s: float
    published_s: float  # when its start was published: after `start_s`, because recognition takes time

    def overlaps(self, interval: Interval) -> bool:
        """Return whether it shares any time with an interval of its label."""
        same = self.label == interval.label
        return same and self.start_s < interval.end_s and interval.start_s < self.end_s


@dataclass(frozen=True)
class MatchCounts:
    """Counts of one label, or of all. A ratio is None if it has nothing to divide by."""

    intervals: int
    events: int
    hits: int
    splits: int
    delays_s: tuple[float, ...]  # one for each hit
    seconds: float  # of the recording

    @property
    def false(self) -> int:
        """Return the number of events that are not hits."""
        return self.events - self.hits

    @property
    def precision(self) -> float | None:
        return self.hits / self.events if self.events else None

    @property
    def recall(self) -> float | None:
        return self.hits / self.intervals if self.intervals else None

    @property
    def f1(self) -> float | None:
        both = self.events + self.intervals
        return 2 * self.hits / both if both else None

    @property
    def mean_delay_s(self) -> float | None:
        return sum(self.delays_s) / len(self.delays_s) if self.delays_s else None

    @property
    def false_per_hour(self) -> float | None:
        return self.false / self.seconds * 3600 if self.seconds else None


@dataclass(frozen=True)
class MatchedEvents:
    """The events of a recording, matched with its intervals."""

    intervals: tuple[Interval, ...]
    events: tuple[ReportedEvent, ...]
    matches: tuple[int | None, ...]  # for each event the number of its interval
    seconds: float  # of the recording

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of the intervals, then those of other events, in the order in which they occur."""
        return tuple(dict.fromkeys([*(one.label for one in self.intervals), *(one.label for one in self.events)]))

    @property
    def missed(self) -> tuple[Interval, ...]:
        return tuple(one for number, one in enumerate(self.intervals) if number not in self.matches)

    def outcome(self, number: int) -> Outcome:
        """Return the outcome of event `number`."""
        if self.matches[number] is not None:
            return "hit"
        return "split" if any(self.events[number].overlaps(interval) for interval in self.intervals) else "stray"

    def counts(self, label: str | None = None) -> MatchCounts:
        """Return the counts of a label; None: of all labels."""
        numbers = [n for n, event in enumerate(self.events) if label in (None, event.label)]
        outcomes = [self.outcome(n) for n in numbers]
        return MatchCounts(
            intervals=sum(label in (None, interval.label) for interval in self.intervals),
            events=len(numbers),
            hits=outcomes.count("hit"),
            splits=outcomes.count("split"),
            delays_s=tuple(
                self.events[n].published_s - self.intervals[match].start_s
                for n in numbers
                if (match := self.matches[n]) is not None
            ),
            seconds=self.seconds,
        )


def match_events(
    intervals: Sequence[Interval], events: Sequence[ReportedEvent], seconds: float, background: Sequence[str] = ()
) -> MatchedEvents:
    """Match events with intervals. Intervals of one label must not overlap. `seconds`: length of the recording."""
    expected = sorted((one for one in intervals if one.label not in background), key=lambda one: one.start_s)
    reported = sorted(events, key=lambda event: (event.start_s, event.published_s))
    matches: list[int | None] = [None] * len(reported)
    for number, interval in enumerate(expected):
        left = [n for n, event in enumerate(reported) if matches[n] is None and event.overlaps(interval)]
        if left:
            matches[min(left, key=lambda n: reported[n].end_s)] = number
    return MatchedEvents(tuple(expected), tuple(reported), tuple(matches), seconds)
