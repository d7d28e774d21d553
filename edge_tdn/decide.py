"""Scores -> actions. Pure: no clock, no I/O; time arrives in the message.

The logits become probabilities (softmax), averaged over `smoothing_clips`. A label that reaches `enter_threshold` and
stays for `min_length_s` starts an action; it ends when its score falls below `exit_threshold`, when another label has
started instead, or when the stream breaks. One action at a time; background labels never start one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_tdn.config import DecideConfig
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, EventWindow, ModelRef, Scores, iso

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
    """One action, from the moment its score rose."""

    label: int
    since_ns: int  # PTS: start of the segment in which the score rose
    started_at: int  # wall clock at `since_ns`
    peak: float
    id: str = ""
    told: float = 0.0  # peak score of the last message
    told_ns: int = 0  # PTS of the last message


class Decider:
    """Scores of one camera, in order -> its events, in order."""

    def __init__(
        self, config: DecideConfig, origin: Origin, labels: Sequence[str], background: Sequence[str] = ()
    ) -> None:
        self._config = config
        self._origin = origin
        self._labels = tuple(labels)
        self._reportable = np.array([label not in background for label in labels])
        self._recent: deque[Probabilities] = deque(maxlen=config.smoothing_clips)
        self._open: _Action | None = None
        self._rising: _Action | None = None  # above the threshold, not yet for long enough
        self._last: Scores | None = None
        self._seq = 0

    @property
    def action(self) -> str | None:
        """The label of the action that is going on."""
        return self._labels[self._open.label] if self._open else None

    def smoothed(self) -> Probabilities:
        """The probabilities that the last clip was judged by."""
        mean: Probabilities = np.mean(self._recent, axis=0, dtype=np.float32)
        return mean

    def push(self, scores: Scores) -> list[ActionEvent]:
        """What the newest clip changes."""
        self._last = scores
        self._recent.append(softmax(scores.logits))
        smoothed = self.smoothed()
        best = int(np.argmax(np.where(self._reportable, smoothed, -1)))
        score = float(smoothed[best])
        events = []
        if self._open:
            own = float(smoothed[self._open.label])
            self._open.peak = max(self._open.peak, own)
            if own < self._config.exit_threshold:
                events.append(self._end("below_threshold", own))
        if self._open and self._open.label == best:
            self._rising = None
            events += self._update(self._open, score)
        elif score >= self._config.enter_threshold and self._reportable[best]:
            events += self._rise(best, score)
        else:
            self._rising = None
        return events

    def break_off(self, reason: EndReason) -> list[ActionEvent]:
        """The stream broke, or the daemon stops: what is open ends, nothing is carried over."""
        events = [self._end(reason, float(self.smoothed()[self._open.label]))] if self._open else []
        self._rising = None
        self._recent.clear()
        return events

    def _rise(self, label: int, score: float) -> list[ActionEvent]:
        scores = self._scores()
        if self._rising is None or self._rising.label != label:
            started_at = scores.wall_ns - (scores.to_ns - scores.newest_ns)
            self._rising = _Action(label, scores.newest_ns, started_at, score)
        rising = self._rising
        rising.peak = max(rising.peak, score)
        if scores.to_ns - rising.since_ns < self._config.min_length_s * NS_PER_S:
            return []
        events = [self._end("superseded", float(self.smoothed()[self._open.label]))] if self._open else []
        self._open, self._rising = rising, None
        origin = self._origin
        rising.id = f"{origin.host}/{origin.camera}/{origin.boot}/{self._seq + 1}"
        return [*events, self._event("start", rising, score)]

    def _update(self, action: _Action, score: float) -> list[ActionEvent]:
        now_ns = self._scores().to_ns
        rose = action.peak >= action.told + self._config.update_rise
        due = self._config.update_interval_s and now_ns - action.told_ns >= self._config.update_interval_s * NS_PER_S
        return [self._event("update", action, score)] if rose or due else []

    def _end(self, reason: EndReason, score: float) -> ActionEvent:
        action, self._open = self._open, None
        assert action is not None
        return self._event("end", action, score, reason)

    def _event(
        self, kind: Literal["start", "update", "end"], action: _Action, score: float, reason: EndReason | None = None
    ) -> ActionEvent:
        scores = self._scores()
        self._seq += 1
        action.told, action.told_ns = action.peak, scores.to_ns
        # by the stream's own clock, so that a wall clock that jumps cannot change an action's length
        ended_at = action.started_at + (scores.to_ns - action.since_ns) if kind == "end" else None
        return ActionEvent(
            id=action.id,
            seq=self._seq,
            type=kind,
            reason=reason,
            host=self._origin.host,
            camera=self._origin.camera,
            label=self._labels[action.label],
            label_index=action.label,
            score=_rounded(score),
            peak_score=_rounded(action.peak),
            started_at=iso(action.started_at),
            ended_at=iso(ended_at) if ended_at is not None else None,
            window=EventWindow(
                from_=iso(scores.wall_ns - (scores.to_ns - scores.from_ns)),
                to=iso(scores.wall_ns),
                frames=scores.frames,
                dropped=scores.dropped,
            ),
            model=self._origin.model,
        )

    def _scores(self) -> Scores:
        assert self._last is not None  # nothing is open or rising before the first scores
        return self._last


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """logits [classes] -> probabilities [classes]."""
    exponentials = np.exp(logits - logits.max())
    probabilities: Probabilities = (exponentials / exponentials.sum()).astype(np.float32)
    return probabilities


def _rounded(score: float) -> float:
    return round(min(max(score, 0.0), 1.0), 4)
