"""From scores to action events. Pure: no clock, no I/O, no threads; time arrives with the scores.

smoothing.py turns logits into one score per action, 0 to 1; labels.py lists the actions and their limits. An action
passes through these states:

    pending    its score has reached `enter_threshold` (score >= enter). Nothing is published, and if the score falls
               below it within `min_length_s`, there was no action
    active     the score has held for `min_length_s`: a `start` event. `update` events follow when its peak score has
               risen by `update_rise` since the last event, and every `update_interval_s`
    fallen     the score has fallen below `exit_threshold` (score < exit). If it reaches `enter_threshold` again within
               `merge_gap_s`, the action is active again as if it had never fallen; until then there are no updates
    ended      an `end` event: `merge_gap_s` after the fall, dated to the fall; after `max_length_s`; when another
               action takes its place; when the stream breaks. For `cool_down_s` it cannot become pending again

Unless `several` is set, a camera has one action at a time: the strongest action that can become pending takes the place
of an active one whose score is lower. The old one then ends where the new one rose, even if its score fell later: two
actions of a camera never overlap. With `several`, two actions of the same name never do.

Thresholds and scores are probabilities. Limits ending in `_s` are seconds of the stream; moments inside are nanoseconds
of the camera's stream clock, see stream_clock.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.actions.labels import rules
from edge_tdn.actions.smoothing import Probabilities, ScoreSmoother
from edge_tdn.actions.stream_clock import StreamClock
from edge_tdn.config.tables import DecideConfig
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, EventWindow, ModelRef, Scores, iso
from edge_tdn.spelling import nearest
from edge_tdn.status_messages import CameraThresholds, Thresholds

MAX_JITTER_NS = 5 * NS_PER_S  # a wall clock that steps back by less only shows that frames arrive early and late


@dataclass(frozen=True)
class Origin:
    """The source of all events that one decider makes: host, camera, start of the daemon, model, zone of the camera."""

    host: str
    camera: str
    boot: str
    model: ModelRef
    zone: str | None = None  # None: the camera has no zones


@dataclass
class _Pending:
    """An action whose score has risen, but has not yet held for its minimum length."""

    name: str
    since_ns: int  # start of the segment in which the score rose, or end of the action before it
    peak: float


@dataclass
class _Active:
    """An action between its start and its end."""

    name: str
    since_ns: int
    peak: float
    id: str
    started_at_ns: int  # wall clock at `since_ns`
    fell_ns: int | None = None  # since when its score is below the exit threshold; None: it is not
    reported_peak: float = 0.0  # peak score of its last event
    reported_ns: int = 0  # moment of its last event


@dataclass(frozen=True)
class _End:
    """The end of the last action: of a name, or of any."""

    at_ns: int
    ended_at_ns: int  # wall clock


class Decider:
    """Turns the scores of one camera, or of one of its zones, in order, into events, in order.

    Owned by the runtime thread. `thresholds`, `camera_thresholds` and `set_thresholds` may be called from any thread:
    they read and replace whole values: rules, which are frozen, and `_common`.

    `numbers`: those of the camera's events. ValueError: the configuration names unknown labels.
    """

    def __init__(
        self,
        config: DecideConfig,
        origin: Origin,
        labels: Sequence[str],
        background: Sequence[str] = (),
        numbers: EventNumbers | None = None,
    ) -> None:
        self._config = config
        self._origin = origin
        self._labels = tuple(labels)
        self._rules = rules(config, labels, background)
        self._smoother = ScoreSmoother(self._rules, len(labels), config.smoothing_s)
        self._clock = StreamClock()
        self._pending: dict[str, _Pending] = {}
        self._active: dict[str, _Active] = {}
        self._ends: dict[str, _End] = {}  # of the last action of each name
        self._last_end: _End | None = None  # of all names
        self._numbers = numbers or EventNumbers()
        self._common = config.enter_threshold, config.exit_threshold  # of the actions that have no others

    @property
    def action(self) -> str | None:
        """The name of the active action; of several, the one with the highest score."""
        return max(self._active, key=lambda name: self._smoother.scores[name], default=None)

    @property
    def scores(self) -> dict[str, float]:
        """The scores at the last clip, by action name. Empty after a break."""
        return dict(self._smoother.scores)

    def smoothed(self) -> Probabilities:
        """Return the mean probabilities at the last clip, float32 [classes]."""
        return self._smoother.mean

    @property
    def thresholds(self) -> dict[str, tuple[float, float]]:
        """The enter and exit thresholds, by action name."""
        return {name: (rule.enter_threshold, rule.exit_threshold) for name, rule in self._rules.items()}

    @property
    def camera_thresholds(self) -> CameraThresholds:
        """The thresholds as the camera's status has them. From any thread."""
        common = self._common
        own = {
            name: Thresholds(enter=pair[0], exit=pair[1]) for name, pair in self.thresholds.items() if pair != common
        }
        return CameraThresholds(enter=common[0], exit=common[1], actions=own)

    def set_thresholds(
        self,
        enter: float,
        exit: float | None = None,  # noqa: A002  (as in TOML)
        label: str | None = None,
    ) -> tuple[float, float]:
        """Change the thresholds of the action reported as `label`, or of all actions, from the next clip on.

        `exit`: None leaves exit thresholds as they are, or lowers them to `enter`. Return both thresholds; of all
        actions those that hold unless an action has others.

        ValueError: the thresholds are out of range, or there is no such action.
        """
        if not 0 <= (0 if exit is None else exit) <= enter <= 1:
            raise ValueError(f"enter threshold {enter}, exit threshold {exit}: 0 <= exit <= enter <= 1 is required")
        if label is not None and label not in self._rules:
            raise ValueError(f"no action {label!r} is reported; {nearest(label, self._rules, 'there are')}")
        known = self._rules  # one dict throughout, even if `change` replaces it meanwhile
        for name in known if label is None else [label]:
            leave = min(known[name].exit_threshold, enter) if exit is None else exit
            known[name] = replace(known[name], enter_threshold=enter, exit_threshold=leave)
        if label is not None:
            return known[label].enter_threshold, known[label].exit_threshold
        common = enter, min(self._common[1], enter) if exit is None else exit
        if known is self._rules:
            self._common = common
        return common

    def restore(self, thresholds: CameraThresholds) -> None:
        """Set all thresholds; those of actions that it does not have are passed over."""
        self.set_thresholds(thresholds.enter, thresholds.exit)
        for label in thresholds.actions.keys() & self.thresholds.keys():
            self.set_thresholds(thresholds.actions[label].enter, thresholds.actions[label].exit, label)

    def push(self, scores: Scores) -> list[ActionEvent]:
        """Return the events that the newest clip causes."""
        self._clock.advance(scores)
        self._smoother.push(scores.logits, self._clock.now_ns)
        for action in self._active.values():
            self._follow(action)
        self._pending = {name: self._pending.get(name) or self._rise(name) for name in self._candidates()}
        events = [self._end(action, *over) for action in [*self._active.values()] if (over := self._is_over(action))]
        for pending in [*self._pending.values()]:
            events += self._start(pending)
        for action in self._active.values():
            events += self._update(action)
        return events

    def break_off(self, reason: EndReason) -> list[ActionEvent]:
        """Return the ends of all active actions at a break in the stream. Only cool-downs outlast a break.

        A fallen action ends where it fell, with the reason `below_threshold`.
        """
        self._pending.clear()
        events = [self._cut(action, reason) for action in [*self._active.values()]]
        self._smoother.clear()
        self._clock.break_off()
        return events

    def change(
        self, config: DecideConfig, origin: Origin, labels: Sequence[str], background: Sequence[str] = ()
    ) -> list[ActionEvent]:
        """Use another configuration or model from the next clip on; return the ends (`shutdown`) that this causes.

        An active action continues if its name still stands for the same labels and `several` is unchanged. Thresholds
        from `set_thresholds` stay while configuration and labels are the same.
        """
        same_labels = tuple(labels) == self._labels
        found = self._rules if same_labels and config == self._config else rules(config, labels, background)
        if found is not self._rules:
            self._pending.clear()
            self._common = config.enter_threshold, config.exit_threshold

        def continues(action: _Active) -> bool:
            if not same_labels or config.several != self._config.several or action.name not in found:
                return False
            return found[action.name].members == self._rules[action.name].members

        events = [self._cut(action, "shutdown") for action in [*self._active.values()] if not continues(action)]
        recent = self._smoother.recent if same_labels else ()
        self._config, self._origin, self._labels, self._rules = config, origin, tuple(labels), found
        self._smoother = ScoreSmoother(found, len(labels), config.smoothing_s, recent)
        return events

    def _follow(self, action: _Active) -> None:
        """Update peak and fall of an active action from its score."""
        rule, score = self._rules[action.name], self._smoother.scores[action.name]
        action.peak = max(action.peak, score)
        if action.fell_ns is None:
            action.fell_ns = self._clock.now_ns if score < rule.exit_threshold else None
        elif score >= rule.enter_threshold and self._clock.now_ns - action.fell_ns <= rule.merge_gap_ns:
            action.fell_ns = None

    def _candidates(self) -> list[str]:
        """Return the names that are pending now, strongest only if one action at a time."""
        able = [name for name in self._rules if name not in self._active and self._can_rise(name)]
        if self._config.several:
            return able
        scores = self._smoother.scores
        leading = [scores[action.name] for action in self._active.values() if action.fell_ns is None]
        best = max(able, key=lambda name: scores[name], default=None)
        return [best] if best is not None and scores[best] > max(leading, default=-1.0) else []

    def _can_rise(self, name: str) -> bool:
        rule, end = self._rules[name], self._ends.get(name)
        cool = end is None or self._clock.now_ns - end.at_ns >= rule.cool_down_ns
        return cool and self._smoother.scores[name] >= rule.enter_threshold

    def _rise(self, name: str) -> _Pending:
        """Return a pending action, since the start of the clip's newest segment, but after what came before it.

        With one action at a time, an active one keeps its minimum length.
        """
        clip, rule = self._clock.newest, self._rules[name]
        moments = [self._clock.now_ns - (clip.to_ns - clip.newest_ns)]
        moments += [self._ends[name].at_ns + rule.cool_down_ns] if name in self._ends else []
        if not self._config.several:
            moments += [action.since_ns + self._rules[action.name].min_length_ns for action in self._active.values()]
            moments += [self._last_end.at_ns] if self._last_end else []
        return _Pending(name, max(moments), self._smoother.scores[name])

    def _is_over(self, action: _Active) -> tuple[EndReason, int] | None:
        """Return why and when an active action has ended; None: it has not."""
        rule, now_ns = self._rules[action.name], self._clock.now_ns
        if action.fell_ns is not None:
            gap_over = now_ns - action.fell_ns >= rule.merge_gap_ns
            return ("below_threshold", action.fell_ns) if gap_over else None
        if rule.max_length_ns and now_ns - action.since_ns >= rule.max_length_ns:
            return "max_length", now_ns
        return None

    def _start(self, pending: _Pending) -> list[ActionEvent]:
        """Return the start of an action that has held for long enough, after the ends of those it replaces."""
        now_ns = self._clock.now_ns
        pending.peak = max(pending.peak, self._smoother.scores[pending.name])
        if now_ns - pending.since_ns < self._rules[pending.name].min_length_ns:
            return []
        events = []
        for other in [] if self._config.several else [*self._active.values()]:
            fell = other.fell_ns is not None and other.fell_ns <= pending.since_ns
            events.append(self._end(other, "below_threshold" if fell else "superseded", other.fell_ns or now_ns))
        del self._pending[pending.name]
        action = self._active[pending.name] = _Active(
            name=pending.name,
            since_ns=pending.since_ns,
            peak=pending.peak,
            id="/".join((self._origin.host, self._origin.camera, self._origin.boot, str(self._numbers.last + 1))),
            started_at_ns=self._wall_clock(pending),
        )
        return [*events, self._event("start", action)]

    def _wall_clock(self, pending: _Pending) -> int:
        """Return the wall clock at an action's start, such that early and late frames make no two actions overlap."""
        wall_ns = self._clock.newest.wall_ns - (self._clock.now_ns - pending.since_ns)
        end = self._ends.get(pending.name) if self._config.several else self._last_end
        return max(wall_ns, end.ended_at_ns) if end and end.ended_at_ns - wall_ns < MAX_JITTER_NS else wall_ns

    def _update(self, action: _Active) -> list[ActionEvent]:
        if action.reported_ns == self._clock.now_ns or action.fell_ns is not None:  # just started, or maybe over
            return []
        interval_ns = self._config.update_interval_s * NS_PER_S
        rose = action.peak >= action.reported_peak + self._config.update_rise
        due = interval_ns and self._clock.now_ns - action.reported_ns >= interval_ns
        return [self._event("update", action)] if rose or due else []

    def _cut(self, action: _Active, reason: EndReason) -> ActionEvent:
        """End an action now, or where it fell."""
        if action.fell_ns is None:
            return self._end(action, reason, self._clock.now_ns)
        return self._end(action, "below_threshold", action.fell_ns)

    def _end(self, action: _Active, reason: EndReason, at_ns: int) -> ActionEvent:
        """End an action at `at_ns`, at its maximum length, or where the action that replaces it rose: the earliest."""
        max_length_ns = self._rules[action.name].max_length_ns
        at_ns = min(at_ns, action.since_ns + max_length_ns) if max_length_ns else at_ns
        if not self._config.several:
            at_ns = min([at_ns, *(pending.since_ns for pending in self._pending.values())])
        # by the stream's own clock, so that a wall clock that jumps cannot change an action's length
        end = _End(at_ns, action.started_at_ns + at_ns - action.since_ns)
        del self._active[action.name]
        self._ends[action.name] = self._last_end = end
        return self._event("end", action, reason, end.ended_at_ns)

    def _event(
        self,
        kind: Literal["start", "update", "end"],
        action: _Active,
        reason: EndReason | None = None,
        ended_at_ns: int | None = None,
    ) -> ActionEvent:
        clip, now_ns = self._clock.newest, self._clock.now_ns
        mean, members = self._smoother.mean, self._rules[action.name].members
        # the stream's time after the action's start, so that a wall clock that jumps changes no length
        to_ns = action.started_at_ns + now_ns - action.since_ns
        action.reported_peak, action.reported_ns = action.peak, now_ns
        return ActionEvent(
            id=action.id,
            seq=self._numbers.take(),
            type=kind,
            reason=reason,
            host=self._origin.host,
            camera=self._origin.camera,
            zone=self._origin.zone,
            label=action.name,
            label_index=max(members, key=lambda member: mean[member]),
            score=_rounded(self._smoother.scores[action.name]),
            peak_score=_rounded(action.peak),
            started_at=iso(action.started_at_ns),
            ended_at=iso(ended_at_ns) if ended_at_ns is not None else None,
            window=EventWindow(
                from_=iso(to_ns - (clip.to_ns - clip.from_ns)),
                to=iso(to_ns),
                frames=clip.frames,
                dropped=clip.dropped,
            ),
            model=self._origin.model,
        )


def interrupted(events: Sequence[ActionEvent], reason: EndReason = "interrupted") -> list[ActionEvent]:
    """Return the ends that are missing from a camera's last events, in order, because what decided ended too early."""
    active: dict[str, ActionEvent] = {}
    for event in events:
        active[event.id] = event
        if event.type == "end":
            del active[event.id]
    ends = []
    for number, last in enumerate(active.values(), 1):
        end = {"seq": events[-1].seq + number, "type": "end", "reason": reason, "ended_at": last.window.to}
        ends.append(last.model_copy(update={**end, "latency_ms": None}))
    return ends


def _rounded(score: float) -> float:
    return round(min(max(score, 0.0), 1.0), 4)
