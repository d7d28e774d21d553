"""What other thresholds would have given: the decider over the kept scores. Pure, but for its cache."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.hub.history import YIELD_EVERY
from edge_tdn.hub.host_access import ZonePlace
from edge_tdn.hub.kept_scores import REST, KeptClips, KeptScores
from edge_tdn.messages import NS_PER_S, ActionEvent

CACHED_NS = 2 * NS_PER_S  # that a copy of the scores is used for, with what the thresholds in force gave


@dataclass(frozen=True)
class WouldBe:
    """An action that thresholds would have given."""

    label: str
    started_at: str  # ISO 8601, UTC
    ended_at: str | None  # None: it would still be under way
    peak: float  # score


@dataclass(frozen=True)
class WhatIf:
    """The actions of the last seconds, with the thresholds in force and with others; oldest first."""

    seconds: float
    now: tuple[WouldBe, ...]
    then: tuple[WouldBe, ...]


class WhatIfRuns:
    """Tries thresholds again and again on one zone, while a slider is moved. Belongs to one thread."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """`clock`: monotonic, nanoseconds."""
        self._clock = clock
        self._of: tuple[KeptScores, ZonePlace] | None = None  # what the next three are of
        self._clips: KeptClips | None = None
        self._now: tuple[WouldBe, ...] = ()
        self._read_ns = 0

    def what_if(
        self,
        kept: KeptScores,
        place: ZonePlace,
        camera: str,
        enter: float,
        exit: float,  # noqa: A002  (as in TOML)
        label: str | None = None,
    ) -> WhatIf:
        """Return what the thresholds in force gave, and what others would have given.

        The scores were read up to two seconds ago. `label`: of the action that the others are for; None: all.
        ValueError: out of range, or there is no such action.
        """
        clips = self._clips
        if clips is None or self._of != (kept, place) or self._clock() - self._read_ns >= CACHED_NS:
            self._clips = clips = kept.read()
            self._now = _actions(clips, place, _decider(clips, place, camera))
            self._of, self._read_ns = (kept, place), self._clock()
        return WhatIf(clips.seconds, self._now, _with_others(clips, place, camera, enter, exit, label))


def _with_others(
    clips: KeptClips,
    place: ZonePlace,
    camera: str,
    enter: float,
    exit: float,  # noqa: A002  (as in TOML)
    label: str | None,
) -> tuple[WouldBe, ...]:
    decider = _decider(clips, place, camera)
    decider.set_thresholds(enter, exit, label)
    return _actions(clips, place, decider)


def _decider(clips: KeptClips, place: ZonePlace, camera: str) -> Decider:
    """Return a decider with the limits and thresholds in force."""
    origin = Origin("", camera, "what-if", place.model, place.name)
    decider = Decider(place.decide, origin, clips.labels, (*place.background, REST))
    decider.restore(place.thresholds)
    return decider


def _actions(clips: KeptClips, place: ZonePlace, decider: Decider) -> tuple[WouldBe, ...]:
    last: dict[str, ActionEvent] = {}  # of each action, by its id
    for row, clip in enumerate(clips.rows()):
        if row % YIELD_EVERY == 0:
            time.sleep(0)  # the runtime thread may be waiting for the interpreter
        for event in decider.break_off(clip) if isinstance(clip, str) else decider.push(clip):
            last[event.id] = event
    return tuple(WouldBe(one.label, one.started_at, one.ended_at, one.peak_score) for one in last.values())
