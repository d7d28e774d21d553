"""Scores -> actions. Pure: no clock, no I/O; time arrives in the message.

The logits become probabilities (softmax), averaged over `smoothing_clips`; labels.py says which of them are reported,
under which name, with which limits. This is the life of one action:

    rises      its score reaches `enter_threshold`, and stays there: else nothing has been
    start      told when that has lasted for `min_length_s`
    update     told when its peak score rises by `update_rise`, and every `update_interval_s`
    falls      its score falls below `exit_threshold`. If it reaches `enter_threshold` again within `merge_gap_s`, the
               action goes on as if it had not; meanwhile no update is told
    end        told when it has fallen and the gap is over, with the moment of its fall; at `max_length_s`; when another
               action starts in its place; when the stream breaks. For `cool_down_s` the same does not rise again

Unless `several` is set, a camera has one action at a time: the strongest that can rise takes the place of one whose
score is lower. Then the old one ends where the new one rose, even if its score fell after that: no two actions of a
camera overlap. With `several`, those of one name never do.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_tdn.actions.labels import Rule, rules
from edge_tdn.config.tables import DecideConfig
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, EventWindow, ModelRef, Scores, iso
from edge_tdn.spelling import nearest

CLOCK_SET_NS = 5 * NS_PER_S  # a wall clock that goes back by less than this only shows when pictures arrived

Probabilities = NDArray[np.float32]  # [classes], sum 1


@dataclass(frozen=True)
class Origin:
    """Who speaks: what all events of one camera have in common."""

    host: str
    camera: str
    boot: str
    model: ModelRef


@dataclass
class _Action:
    """One action, from the moment its score rose. Moments are those of the decider's clock, see `_follow`."""

    name: str
    since_ns: int  # start of the segment in which the score rose, or where the action before it ended
    peak: float
    id: str = ""
    started_at: int = 0  # wall clock at `since_ns`
    fell_ns: int | None = None  # its score is below the exit threshold since then
    told: float = 0.0  # peak score of the last message
    told_ns: int = 0  # moment of the last message


@dataclass(frozen=True)
class _End:
    """Where the last action ended."""

    at_ns: int
    ended_at: int  # wall clock


class Decider:
    """Scores of one camera, in order -> its events, in order. Used by one thread.

    `seq`: the last that this camera has used. ValueError: the configuration names labels that are not there.
    """

    def __init__(
        self,
        config: DecideConfig,
        origin: Origin,
        labels: Sequence[str],
        background: Sequence[str] = (),
        seq: int = 0,
    ) -> None:
        self._config = config
        self._origin = origin
        self._labels = tuple(labels)
        self._rules = rules(config, labels, background)
        self._members = _members(self._rules, len(labels))
        self._recent: deque[Probabilities] = deque(maxlen=config.smoothing_clips)
        self._scores: dict[str, float] = {}  # by the names that are reported
        self._last: Scores | None = None
        self._now_ns = self._shift_ns = 0
        self._broken = True  # the next clip begins a stretch
        self._rising: dict[str, _Action] = {}  # above the threshold, not yet for long enough
        self._open: dict[str, _Action] = {}
        self._ends: dict[str, _End] = {}  # of each name
        self._end_of_any: _End | None = None
        self._seq = seq

    @property
    def action(self) -> str | None:
        """The name of the action that is going on; of several, the strongest."""
        return max(self._open, key=lambda name: self._scores[name], default=None)

    @property
    def scores(self) -> dict[str, float]:
        """What the last clip was judged by: name of the action -> score. Empty after a break."""
        return dict(self._scores)

    def smoothed(self) -> Probabilities:
        """The probabilities that the last clip was judged by."""
        mean: Probabilities = np.mean(self._recent, axis=0, dtype=np.float32)
        return mean

    @property
    def thresholds(self) -> dict[str, tuple[float, float]]:
        """Name of the action -> enter, exit threshold."""
        return {name: (rule.enter_threshold, rule.exit_threshold) for name, rule in self._rules.items()}

    def set_thresholds(self, enter: float, exit: float, label: str | None = None) -> None:  # noqa: A002  (as in TOML)
        """From the next clip on, for the action that is reported as `label`, or for all. ValueError: why not."""
        if not 0 <= exit <= enter <= 1:
            raise ValueError(f"enter threshold {enter}, exit threshold {exit}: 0 <= exit <= enter <= 1 is wanted")
        if label is not None and label not in self._rules:
            raise ValueError(f"no action {label!r} is reported; {nearest(label, self._rules, 'there are')}")
        known = self._rules  # another thread may change them
        for name in known if label is None else [label]:
            known[name] = replace(known[name], enter_threshold=enter, exit_threshold=exit)

    def push(self, scores: Scores) -> list[ActionEvent]:
        """What the newest clip changes."""
        self._follow(scores)
        self._recent.append(softmax(scores.logits))
        self._scores = self._judged()
        for action in self._open.values():
            self._watch(action)
        self._rising = {name: self._rising.get(name) or self._rise(name) for name in self._candidates()}
        events = [self._end(action, *over) for action in [*self._open.values()] if (over := self._is_over(action))]
        for action in [*self._rising.values()]:
            events += self._start(action)
        for action in self._open.values():
            events += self._update(action)
        return events

    def break_off(self, reason: EndReason) -> list[ActionEvent]:
        """The stream broke, or the daemon stops: what is open ends, nothing is carried over but cool-downs.

        What has fallen ends for that, where it fell.
        """
        self._rising.clear()
        events = [self._cut(action, reason) for action in [*self._open.values()]]
        self._recent.clear()
        self._scores = {}
        self._broken = True
        return events

    def change(
        self, config: DecideConfig, origin: Origin, labels: Sequence[str], background: Sequence[str] = ()
    ) -> list[ActionEvent]:
        """Another configuration or model from the next clip on; the ends (`shutdown`) of what does not go on under it.

        What does: an action whose name still stands for the same labels, unless `several` is another. Thresholds that
        were set stay while `config` and the labels are the same.
        """
        same = tuple(labels) == self._labels
        found = self._rules if same and config == self._config else rules(config, labels, background)
        if found is not self._rules:
            self._rising.clear()
        going_on = same and config.several == self._config.several
        events = [
            self._cut(action, "shutdown")
            for action in [*self._open.values()]
            if not going_on or action.name not in found
            or found[action.name].members != self._rules[action.name].members
        ]  # fmt: skip
        self._config, self._origin, self._labels, self._rules = config, origin, tuple(labels), found
        self._members = _members(found, len(labels))
        self._recent = deque(self._recent if same else (), maxlen=config.smoothing_clips)
        self._scores = self._judged() if self._recent else {}
        return events

    def _judged(self) -> dict[str, float]:
        return dict(zip(self._rules, (self._members @ self.smoothed()).tolist(), strict=True))

    def _cut(self, action: _Action, reason: EndReason) -> ActionEvent:
        """Ends it here; where it fell, if it has."""
        if action.fell_ns is None:
            return self._end(action, reason, self._now_ns)
        return self._end(action, "below_threshold", action.fell_ns)

    def _follow(self, scores: Scores) -> None:
        """The decider's clock is the stream's, nanoseconds, but goes on where another stream begins at 0 again."""
        if self._broken and self._last is not None:
            passed_ns = max(0, scores.received_ns - self._last.received_ns)
            self._shift_ns = self._now_ns + passed_ns - scores.to_ns
        self._broken = False
        self._last = scores
        self._now_ns = scores.to_ns + self._shift_ns

    def _watch(self, action: _Action) -> None:
        """Its score rises, falls, or is back in time."""
        rule, score = self._rules[action.name], self._scores[action.name]
        action.peak = max(action.peak, score)
        if action.fell_ns is None:
            action.fell_ns = self._now_ns if score < rule.exit_threshold else None
        elif score >= rule.enter_threshold and self._now_ns - action.fell_ns <= rule.merge_gap_ns:
            action.fell_ns = None

    def _candidates(self) -> list[str]:
        """The names that could start an action, were their score to hold."""
        able = [name for name in self._rules if name not in self._open and self._can_rise(name)]
        if self._config.several:
            return able
        leading = [self._scores[action.name] for action in self._open.values() if action.fell_ns is None]
        best = max(able, key=lambda name: self._scores[name], default=None)
        return [best] if best is not None and self._scores[best] > max(leading, default=-1.0) else []

    def _can_rise(self, name: str) -> bool:
        rule, end = self._rules[name], self._ends.get(name)
        cool = end is None or self._now_ns - end.at_ns >= rule.cool_down_ns
        return cool and self._scores[name] >= rule.enter_threshold

    def _rise(self, name: str) -> _Action:
        """An action that may be: from the start of the clip's newest segment on, but after what was before it.

        One at a time: what is open keeps its minimum length.
        """
        scores, rule = self._clip(), self._rules[name]
        moments = [self._now_ns - (scores.to_ns - scores.newest_ns)]
        moments += [self._ends[name].at_ns + rule.cool_down_ns] if name in self._ends else []
        if not self._config.several:
            moments += [action.since_ns + self._rules[action.name].min_length_ns for action in self._open.values()]
            moments += [self._end_of_any.at_ns] if self._end_of_any else []
        return _Action(name, max(moments), self._scores[name])

    def _is_over(self, action: _Action) -> tuple[EndReason, int] | None:
        """Why and when an action ended, if it did."""
        rule = self._rules[action.name]
        if action.fell_ns is not None:
            gap_over = self._now_ns - action.fell_ns >= rule.merge_gap_ns
            return ("below_threshold", action.fell_ns) if gap_over else None
        if rule.max_length_ns and self._now_ns - action.since_ns >= rule.max_length_ns:
            return "max_length", self._now_ns
        return None

    def _start(self, action: _Action) -> list[ActionEvent]:
        """Told if the score has held for long enough. One at a time: it takes the place of what is open."""
        action.peak = max(action.peak, self._scores[action.name])
        if self._now_ns - action.since_ns < self._rules[action.name].min_length_ns:
            return []
        events = []
        for other in [] if self._config.several else [*self._open.values()]:
            fell = other.fell_ns is not None and other.fell_ns <= action.since_ns
            events.append(self._end(other, "below_threshold" if fell else "superseded", other.fell_ns or self._now_ns))
        self._open[action.name] = self._rising.pop(action.name)
        action.started_at = self._wall(action)
        action.id = "/".join((self._origin.host, self._origin.camera, self._origin.boot, str(self._seq + 1)))
        return [*events, self._event("start", action)]

    def _wall(self, action: _Action) -> int:
        """Wall clock where an action started. Pictures come early and late: that makes no two actions overlap."""
        wall_ns = self._clip().wall_ns - (self._now_ns - action.since_ns)
        end = self._ends.get(action.name) if self._config.several else self._end_of_any
        return max(wall_ns, end.ended_at) if end and end.ended_at - wall_ns < CLOCK_SET_NS else wall_ns

    def _update(self, action: _Action) -> list[ActionEvent]:
        if action.told_ns == self._now_ns or action.fell_ns is not None:  # its start was told just now; it may be over
            return []
        interval_ns = self._config.update_interval_s * NS_PER_S
        rose = action.peak >= action.told + self._config.update_rise
        due = interval_ns and self._now_ns - action.told_ns >= interval_ns
        return [self._event("update", action)] if rose or due else []

    def _end(self, action: _Action, reason: EndReason, at_ns: int) -> ActionEvent:
        """At the latest at its longest; one at a time, where the action rose that is about to take its place."""
        longest_ns = self._rules[action.name].max_length_ns
        at_ns = min(at_ns, action.since_ns + longest_ns) if longest_ns else at_ns
        if not self._config.several:
            at_ns = min([at_ns, *(rising.since_ns for rising in self._rising.values())])
        # by the stream's own clock, so that a wall clock that jumps cannot change an action's length
        end = _End(at_ns, action.started_at + at_ns - action.since_ns)
        del self._open[action.name]
        self._ends[action.name] = self._end_of_any = end
        return self._event("end", action, reason, end.ended_at)

    def _event(
        self,
        kind: Literal["start", "update", "end"],
        action: _Action,
        reason: EndReason | None = None,
        ended_at: int | None = None,
    ) -> ActionEvent:
        scores, members = self._clip(), self._rules[action.name].members
        # the stream's time behind the action's start, so that a wall clock that jumps changes no length
        to_ns = action.started_at + self._now_ns - action.since_ns
        smoothed = self.smoothed()
        self._seq += 1
        action.told, action.told_ns = action.peak, self._now_ns
        return ActionEvent(
            id=action.id,
            seq=self._seq,
            type=kind,
            reason=reason,
            host=self._origin.host,
            camera=self._origin.camera,
            label=action.name,
            label_index=max(members, key=lambda member: smoothed[member]),
            score=_rounded(self._scores[action.name]),
            peak_score=_rounded(action.peak),
            started_at=iso(action.started_at),
            ended_at=iso(ended_at) if ended_at is not None else None,
            window=EventWindow(
                from_=iso(to_ns - (scores.to_ns - scores.from_ns)),
                to=iso(to_ns),
                frames=scores.frames,
                dropped=scores.dropped,
            ),
            model=self._origin.model,
        )

    def _clip(self) -> Scores:
        assert self._last is not None  # nothing is open or rising before the first scores
        return self._last


def _members(found: Mapping[str, Rule], classes: int) -> NDArray[np.float32]:
    """[rules, classes], 1: this label is part of that action."""
    members = np.zeros((len(found), classes), np.float32)
    for row, rule in zip(members, found.values(), strict=True):
        row[list(rule.members)] = 1
    return members


def interrupted(events: Sequence[ActionEvent]) -> list[ActionEvent]:
    """The ends that a camera's last events, in order, lack: the daemon was killed while these actions went on."""
    going_on: dict[str, ActionEvent] = {}
    for event in events:
        going_on[event.id] = event
        if event.type == "end":
            del going_on[event.id]
    return [
        last.model_copy(
            update={
                "seq": events[-1].seq + number, "type": "end", "reason": "interrupted", "ended_at": last.window.to,
                "latency_ms": None,
            }
        )
        for number, last in enumerate(going_on.values(), 1)
    ]  # fmt: skip


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """logits [classes] -> probabilities [classes]."""
    exponentials = np.exp(logits - logits.max())
    probabilities: Probabilities = (exponentials / exponentials.sum()).astype(np.float32)
    return probabilities


def _rounded(score: float) -> float:
    return round(min(max(score, 0.0), 1.0), 4)
