"""Turns the scores of one zone's clips into events, which are published and recorded."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from edge_tdn.actions.decider import Decider, interrupted
from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.delivery.stopwatch import Observe
from edge_tdn.errors import EdgeTdnError, with_type
from edge_tdn.hub.camera_view import CameraView
from edge_tdn.hub.kept_scores import KeptScores
from edge_tdn.messages import NS_PER_S, ActionEvent, EndReason, Latency, Scores, TopScores, iso
from edge_tdn.process.log import RateLimitedLog, value
from edge_tdn.service.camera_settings import ZoneSettings
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.clip_statistics import ClipStatistics
from edge_tdn.service.recorder_slot import RecorderSlot
from edge_tdn.status_messages import CameraThresholds

log = logging.getLogger(__name__)

TOP_LABELS = 5  # in a scores message
TROUBLE_LOG_EVERY_S = 60.0  # between two lines about clips that cannot be used
NOTED_ACTIONS = 8  # of a clip, for the page
STAGES = ("capture", "window", "infer", "decide")  # of a clip, as Latency has them


class Recognition:
    """Decides on the clips of one zone, or of a camera without zones; the `ClipSink` of its lane.

    An error ends this zone's actions, and is in the status until a clip can be used again; the runtime thread continues
    to serve all other zones. Everything here belongs to the runtime thread, except for the thresholds.
    """

    def __init__(
        self,
        settings: ZoneSettings,
        topics: CameraTopics,
        recorder: RecorderSlot,
        clips: ClipStatistics,
        numbers: EventNumbers,
        observe: Observe | None = None,
        view: CameraView | None = None,
    ) -> None:
        """`numbers`: of the camera's events. `observe`: called with the seconds that each stage of a clip took.

        `view`: keeps scores for the page.
        """
        self._settings = settings
        self._topics, self._recorder, self._clips, self._observe = topics, recorder, clips, observe
        self._numbers = numbers
        self._decider = self._new_decider()
        self._view, self._kept = view, _kept(view, settings)
        self._action: str | None = None  # as last published
        self._under_way: dict[str, ActionEvent] = {}  # the last event of each action that has not ended, by id
        self._trouble_log = RateLimitedLog(log, TROUBLE_LOG_EVERY_S)

    @property
    def action(self) -> str | None:
        """The name of the action that is under way, as last published. From any thread."""
        return self._action

    @property
    def thresholds(self) -> CameraThresholds:
        """The thresholds in force. From any thread."""
        return self._decider.camera_thresholds

    def set_thresholds(
        self,
        enter: float,
        exit: float | None,  # noqa: A002  (as in TOML)
        label: str | None,
    ) -> tuple[float, float]:
        """Set the thresholds until the daemon ends, see `Decider.set_thresholds`. From any thread."""
        return self._decider.set_thresholds(enter, exit, label)

    def scored(self, scores: Scores) -> None:
        """Decide on a clip, and publish the events."""
        self._clips.count(scores)
        try:
            self._decide(scores)
            self._clips.trouble = ""
        except Exception as error:  # a fault in the code, or scores that are not finite
            self._fail(error)

    def broken(self, reason: EndReason) -> None:
        """End the actions that were under way when the stream broke."""
        if self._kept:
            self._kept.broken(reason)
        try:
            self._publish(self._decider.break_off(reason), None)
        except Exception as error:  # a fault in the code
            self._fail(error)

    def change(self, settings: ZoneSettings) -> None:
        """Continue with other settings. Actions continue where they can, see `Decider.change`."""
        self._settings = settings
        self._kept = _kept(self._view, settings)
        ends = self._decider.change(settings.decide, settings.origin, settings.labels, settings.background)
        self._publish(ends, None)

    def _decide(self, scores: Scores) -> None:
        if not np.isfinite(scores.logits).all():
            raise EdgeTdnError("the network's scores are not numbers; choose another precision, or export it again")
        if self._kept:
            self._kept.scored(scores)
        self._publish(self._decider.push(scores), scores)
        self._topics.clip(lambda: self._note(scores))
        if log.isEnabledFor(logging.DEBUG):
            label, score = next(iter(self._top(scores).scores.items()))
            log.debug(
                "camera=%s clip label=%s score=%.2f latency_ms=%.1f repeated=%s",
                self._settings.log_name,
                value(label),
                score,
                scores.latency_ms,
                scores.repeated,
            )
        if self._observe and not scores.repeated:
            for stage, seconds in zip(STAGES, _spans_s(scores), strict=True):
                self._observe(self._settings.camera, stage, seconds)
        if self._settings.scores:
            self._topics.scores(self._top(scores))

    def _fail(self, error: Exception) -> None:
        """End the actions under way, and begin again with the next clip: the decider may have stopped midway."""
        self._clips.trouble = reason = f"no action: {with_type(error)}"
        trace = None if isinstance(error, EdgeTdnError) else error
        self._trouble_log.log(logging.ERROR, "camera=%s %s", self._settings.log_name, reason, exc_info=trace)
        if self._kept:
            self._kept.broken("failed")
        before = self._decider.camera_thresholds  # as last commanded
        self._numbers.rewind()
        missing = interrupted([*self._under_way.values()], "failed")
        ends = [end.model_copy(update={"seq": self._numbers.take()}) for end in missing]
        self._decider = self._new_decider()
        self._decider.restore(before)
        self._publish(ends, None)

    def _new_decider(self) -> Decider:
        settings = self._settings
        return Decider(settings.decide, settings.origin, settings.labels, settings.background, self._numbers)

    def _publish(self, events: Sequence[ActionEvent], scores: Scores | None) -> None:
        """Publish events and the current action, and then have them recorded: a snapshot follows its start."""
        published = []
        for event in events:
            if before := self._under_way.get(event.id):  # an action keeps the names of its files
                event = event.model_copy(update={"snapshot": before.snapshot, "clip": before.clip})
            event = self._recorded(event, self._recorder.named)
            if scores is not None:
                event = event.model_copy(update={"latency_ms": _latency(scores)})
            log.info(
                "camera=%s event=%s label=%s score=%.2f id=%s",
                self._settings.log_name,
                event.type,
                value(event.label),
                event.score,
                event.id,
            )
            self._topics.event(event)
            self._numbers.published(event.seq)
            self._under_way[event.id] = event
            if event.type == "end":
                del self._under_way[event.id]
            published.append(event)
        if self._decider.action != self._action:
            self._action = self._decider.action
            self._topics.action(self._action, self._settings.name)
        for event in published:
            self._recorded(event, partial(self._recorder.event, scores=scores))

    def _recorded(self, event: ActionEvent, work: Callable[[ActionEvent], ActionEvent | None]) -> ActionEvent:
        """Have the recorder do something with an event; return the event as it is then. It does not depend on it."""
        try:
            return work(event) or event
        except Exception as error:  # a fault in the code
            text, values = "camera=%s not recorded: %s; id=%s", (self._settings.log_name, with_type(error), event.id)
            self._trouble_log.log(logging.ERROR, text, *values, about="recorder", exc_info=error)
            return event

    def _note(self, scores: Scores) -> dict[str, object]:
        """Return what the page shows of a clip."""
        best = sorted(self._decider.scores.items(), key=lambda item: -item[1])[:NOTED_ACTIONS]
        return {
            "zone": self._settings.name,
            "at": iso(scores.wall_ns),
            "scores": {name: round(score, 3) for name, score in best},
            "action": self._decider.action,
            "latency_ms": round(scores.latency_ms, 1),
            "repeated": scores.repeated,
        }

    def _top(self, scores: Scores) -> TopScores:
        """Return the best labels of a clip."""
        smoothed = self._decider.smoothed()
        best = np.argsort(-smoothed)[:TOP_LABELS]
        return TopScores(
            camera=self._settings.camera,
            zone=self._settings.name,
            at=iso(scores.wall_ns),
            scores={self._settings.labels[i]: round(float(smoothed[i]), 4) for i in best},
            latency_ms=round(scores.latency_ms, 1),
        )


def _kept(view: CameraView | None, settings: ZoneSettings) -> KeptScores | None:
    """Return where the page finds the scores of a zone; None: there is no page."""
    return view.keep(settings.name, settings.labels, settings.spec, settings.zone.hop) if view else None


def _latency(scores: Scores) -> Latency:
    spans_ms = [1000 * span for span in _spans_s(scores)]
    stages = {stage: round(span, 2) for stage, span in zip(STAGES, spans_ms, strict=True)}
    return Latency(**stages, total=round(sum(spans_ms), 2))


def _spans_s(scores: Scores) -> list[float]:
    """Return the seconds that each of STAGES took; the last one lasts until now."""
    moments = (scores.received_ns, scores.ready_ns, scores.taken_ns, scores.scored_ns, time.monotonic_ns())
    return [max(0, after - before) / NS_PER_S for before, after in pairwise(moments)]
