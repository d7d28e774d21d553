"""The runtime and the decisions of a model on trial: no failure of them reaches the daemon, and no event leaves it."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_tdn.actions.decider import Decider
from edge_tdn.errors import with_type
from edge_tdn.hub.teaching_access import TrialAction
from edge_tdn.inference.runtime import Ring, Runtime
from edge_tdn.messages import ActionEvent, EndReason, Scores

log = logging.getLogger(__name__)

MAX_ACTIONS = 20  # that are shown


class GuardedRuntime:
    """A runtime whose failure ends the trial, and not the runtime thread: from then on it computes zeros."""

    def __init__(self, runtime: Runtime, classes: int, failed: Callable[[str], None]) -> None:
        """`failed`: called on the runtime thread with the reason."""
        self._runtime, self._classes, self._failed = runtime, classes, failed
        self._usable = True
        self.device, self.precision, self.batch = runtime.device, runtime.precision, runtime.batch

    def ring(self) -> Ring:
        return self._runtime.ring()

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        self._guard(lambda: self._runtime.encode(segments, rings))

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] | None = self._guard(lambda: self._runtime.classify(rings))
        return np.zeros((len(rings), self._classes), np.float32) if logits is None else logits

    def close(self) -> None:
        self._runtime.close()

    def _guard(self, compute: Callable[[], Any]) -> Any:
        if not self._usable:
            return None
        try:
            return compute()
        except Exception as error:  # libraries and drivers raise anything
            self._usable = False
            log.error("trial: the model failed: %s", with_type(error))
            log.debug("trial: the model failed", exc_info=error)
            self._failed(f"the model failed: {with_type(error)}")
            return None


class TrialSink:
    """Decides on the clips of a model on trial; the `ClipSink` of its lane.

    `_decider` belongs to the runtime thread; all else is guarded by the lock, and any thread may call `found`.
    """

    def __init__(self, decider: Decider, failed: Callable[[str], None]) -> None:
        """`failed`: called on the runtime thread with the reason why no clip can be decided on any more."""
        self._decider, self._failed = decider, failed
        self._lock = threading.Lock()
        self._clips = 0
        self._scores: dict[str, float] = {}
        self._action: str | None = None
        self._actions: dict[str, TrialAction] = {}  # by id, oldest first

    def scored(self, scores: Scores) -> None:
        """Decide on a clip."""
        try:
            if not np.isfinite(scores.logits).all():
                raise ValueError("its scores are not numbers")
            events = self._decider.push(scores)
            self._take(events, {name: round(score, 3) for name, score in self._decider.scores.items()}, 1)
        except Exception as error:  # a fault in the code, or in the model
            log.debug("trial: no decision", exc_info=error)
            self._failed(f"no action: {with_type(error)}")

    def broken(self, reason: EndReason) -> None:
        """End the actions that were under way when the stream broke."""
        try:
            self._take(self._decider.break_off(reason), {}, 0)
        except Exception as error:  # a fault in the code
            log.debug("trial: no decision", exc_info=error)
            self._failed(f"no action: {with_type(error)}")

    def found(self) -> dict[str, object]:
        """Return the fields of TrialState that it knows."""
        with self._lock:
            return {
                "clips": self._clips,
                "scores": self._scores,
                "action": self._action,
                "events": tuple(reversed(self._actions.values())),
            }

    def _take(self, events: Sequence[ActionEvent], scores: dict[str, float], clips: int) -> None:
        with self._lock:
            self._clips += clips
            self._scores, self._action = scores, self._decider.action
            for event in events:
                self._actions[event.id] = TrialAction(
                    label=event.label, started_at=event.started_at, ended_at=event.ended_at, peak=event.peak_score
                )
            while len(self._actions) > MAX_ACTIONS:
                del self._actions[next(iter(self._actions))]
