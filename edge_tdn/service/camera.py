"""One camera, from its pictures to its events: the only file that knows the order of the stages.

    source ─► window ─► scheduler (runtime) ─► decide ─► publish
         └──────────────────────────────────────► record ──┘
    or from the camera's main stream ────────────────┘

The camera's own thread pulls pictures, fills the window and hands segments over; scores come back on the runtime
thread.
"""

import logging
import threading
import time
from collections import deque
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.stopwatch import Observe
from edge_tdn.errors import SourceError
from edge_tdn.inference.scheduler import Lane, Scheduler
from edge_tdn.manifest import InputSpec, Model
from edge_tdn.messages import (
    CENTRE,
    NS_PER_S,
    ActionEvent,
    CameraStatus,
    EndReason,
    Frame,
    Latency,
    Picture,
    Scores,
    State,
    TopScores,
    iso,
)
from edge_tdn.process import heartbeat
from edge_tdn.process.log import RateLimitedLog, value
from edge_tdn.process.passwords import without_password
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window

if TYPE_CHECKING:  # loaded where it is wanted: 2 MB
    from edge_tdn.recording.main_stream import MainStream
    from edge_tdn.recording.recorder import Recorder

log = logging.getLogger(__name__)

RATE_OVER_S = 2.0  # seconds of frames that the reported rate is taken from
LATENCIES = 50  # clips that the reported latency is the median of
FRUITLESS = 3  # runs without a segment, and the status says so
SAID_AT_ONCE, SAID_EVERY_S = 3, 20.0  # lines about its state: a flapping camera has 6 a minute, with the one below
EMPTIED_EVERY_S = 60.0  # a window that is emptied again and again is mentioned this often
TOP = 5  # labels in a scores message
STAGES = ("capture", "window", "infer", "decide")  # of a clip, as Latency has them
FAILED = ("stalled", "unreachable", "unauthorized")  # and it is tried again

Sight = tuple[Window, Lane]  # what belongs together: the window, and the lane that its segments go to


class Camera:
    """A running camera. `picture` is the newest segment's centre frame, for whoever wants to look."""

    def __init__(
        self, camera: CameraConfig, config: Config, base: Path, model: Model, origin: Origin,
        scheduler: Scheduler, publisher: Publisher, observe: Observe | None = None,
    ) -> None:  # fmt: skip
        self.name = camera.name
        self.picture: Picture | None = None  # [H, W, 3], the model's size
        self.failure: SourceError | None = None  # why the source ended for good
        self.config = camera
        self._base = base
        self._publish_scores = config.broker.scores
        self._labels, self._spec = model.labels, model.manifest.input
        self._scheduler, self._publisher = scheduler, publisher
        self._source = Source(camera, base, self._told)
        self._sight = self._opened(self._spec)
        seq = publisher.last_seq(camera.name)
        self._decider = Decider(config.decide, origin, model.labels, model.manifest.background, seq)
        self._main = self._main_stream(config)
        self.recorder = self._recorder(config)
        self._state: tuple[State, str, int] = ("connecting", "", time.time_ns())
        self._observe = observe
        self._frames = self._connects = 0
        self._arrivals: deque[int] = deque(maxlen=1000)  # monotonic clock, frames of the last RATE_OVER_S
        self._latencies: deque[float] = deque(maxlen=LATENCIES)  # ms
        self._size = (0, 0)  # height, width
        self._max_gap_s = camera.max_gap_s
        self._fruitless = 0  # runs in a row that gave no segment
        self._gaps = self._gated = self._shed = self._repeated = 0  # the last three: with earlier models
        self._states = RateLimitedLog(log, SAID_EVERY_S, SAID_AT_ONCE)
        self._emptied = RateLimitedLog(log, EMPTIED_EVERY_S)
        self._clips = 0
        self._action: str | None = None  # as last told
        self._enabled = True
        self._why = ""  # it is stopped
        self._gone = False  # nothing is told any more
        self._stop = threading.Event()
        self._halt = threading.Event()  # ends the source that plays now
        self._woken = threading.Event()  # enabled again, or stopped
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)

    def start(self) -> None:
        self._publisher.action(self.name, None)
        self._thread.start()

    def stop(self, why: str = "the daemon was stopped") -> None:
        """Asks the thread to end; `join` waits for it."""
        self._why = why
        self._stop.set()
        self._halt.set()
        self._woken.set()

    @property
    def stopped(self) -> bool:
        """Asked to end, and does not begin again; or it could not even begin."""
        return self._stop.is_set() or self._thread.ident is None

    @property
    def enabled(self) -> bool:
        """Not switched off by command."""
        return self._enabled

    def set_enabled(self, enabled: bool) -> None:
        """Takes pictures, or lets the camera be; soon. May be called from any thread."""
        self._enabled = enabled
        if not enabled:
            self._halt.set()
        self._woken.set()

    def set_thresholds(self, enter: float, exit: float, label: str | None) -> None:  # noqa: A002  (as in TOML)
        """Of one action or of all, until the daemon ends. May be called from any thread. ValueError: why not."""
        self._decider.set_thresholds(enter, exit, label)

    def join(self, timeout_s: float) -> None:
        """Waits for the thread to end, but not longer than this."""
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout_s)
        if self.running:  # in a library that hears no stop: its action ends all the same, the process does not wait
            self._scheduler.submit(self._lane, "shutdown")

    def sight(self, spec: InputSpec) -> Sight:
        """What `change` wants for a model that is fed like this: new, where it is another way. On the runtime thread.

        It may fail, where the device has no memory left.
        """
        return self._sight if spec == self._spec else self._opened(spec)

    def change(self, config: Config, model: Model, origin: Origin, sight: Sight) -> None:
        """Another configuration or model; the source plays on. On the runtime thread, between two turns.

        Actions go on where they can, see `Decider.change`. A model that is fed in another way begins with an empty
        window.
        """
        if sight is not self._sight:
            self._broken("shutdown")
            self.leave()
            self._repeated += self._sight[0].repeated
            self._gated += self._lane.gated
            self._shed += self._lane.shed
            self._spec, self._sight = model.manifest.input, sight
        self._publish_scores, self._labels = config.broker.scores, model.labels
        self._tell(self._decider.change(config.decide, origin, model.labels, model.manifest.background), None)

    def record_anew(self, config: Config) -> "Recorder | None":
        """Another recorder takes over; the one before is to be closed."""
        before, self.recorder = self.recorder, self._recorder(config)
        return before

    def leave(self) -> None:
        """It has been stopped and joined, and others go on: its actions end. On the runtime thread."""
        self._scheduler.leave(self._lane)

    def dismiss(self, removed: bool) -> None:
        """It has left; nothing is told of it any more. `removed`: nor is there another in its place."""
        heartbeat.forget(self._thread)
        if removed:
            self._told("ended", self._why)
            self._publisher.action(self.name, None)
        self._gone = True
        if removed and self.recorder:
            self._publisher.snapshot(self.name, b"")
        self._states.flush(final=True)  # there is no later: it is soon forgotten

    @property
    def _lane(self) -> Lane:
        return self._sight[1]

    def _opened(self, spec: InputSpec) -> Sight:
        gate = MotionGate() if self.config.motion_gate else None
        lane = self._scheduler.lane(self.config.hop, self._scored, self._broken)
        return Window(spec, self.config.max_gap_s, gate=gate), lane

    def _recorder(self, config: Config) -> "Recorder | None":
        if not config.record.wanted:
            return None
        from edge_tdn.recording import recorder as record

        apart = self._main is not None
        return record.Recorder(self.config, config, self._spec, self._base, self._show, apart)

    def _show(self, jpeg: bytes) -> None:
        """On the recorder's thread, which may be late."""
        if not self._gone:
            self._publisher.snapshot(self.name, jpeg)

    def _main_stream(self, config: Config) -> "MainStream | None":
        """It plays while the camera does, and the recorder's pictures come from it."""
        if not (config.record.wanted and self.config.record_source):
            return None
        from edge_tdn.recording import main_stream

        return main_stream.MainStream(self.config, self._base, self._record)

    def _record(self, frame: Frame) -> None:
        if recorder := self.recorder:
            recorder.frame(frame)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def status(self) -> CameraStatus:
        """How the camera is now."""
        state, reason, since_ns = self._state
        if state == "streaming" and self._fruitless >= FRUITLESS:
            reason = f"no clip: too long between two frames, see max_gap_s ({self._max_gap_s:g} s)"
        elif state == "streaming":
            reason = reason or self._lane.pace.verdict or (self._main.trouble if self._main else "")
        return CameraStatus(
            camera=self.name,
            state=state,
            reason=reason,
            since=iso(since_ns),
            fps=round(self._rate(), 1) if state == "streaming" else 0.0,
            width=self._size[1],
            height=self._size[0],
            hop=self._lane.achieved_hop,
            latency_ms=round(median(self._latencies), 1) if self._latencies else 0.0,
            clips=self._clips,
            gated=self._gated + self._lane.gated,
            shed=self._shed + self._lane.shed,
            gaps=self._gaps,
            decoder=self._source.decoder,
            clock=self._source.clock,
            frames=self._frames,
            connects=self._connects,
            repeated=self._repeated + self._sight[0].repeated,
        )

    @heartbeat.beating()
    def _run(self) -> None:
        while not self._stop.is_set():
            if self._enabled:
                if not self._play():
                    return
            else:
                self._told("disabled", "by command")
                heartbeat.wait(self._woken)
            self._woken.clear()

    def _play(self) -> bool:
        """Pictures until the source ends; False if it did so by itself, or the daemon stops."""
        halt = self._halt = threading.Event()
        if self._stop.is_set() or not self._enabled:  # since the caller looked
            halt.set()
        try:
            with self._main or nullcontext():
                for frame in self._source.frames(halt):
                    self._take(frame)
        except SourceError as error:
            self.failure = error
        except Exception as error:  # one camera's trouble is not the others'; it is told, not hidden
            log.exception("camera=%s failed", self.name)
            self.failure = SourceError(f"camera {self.name} failed: {error!r}")
            self._told("unreachable", str(self.failure))
        finally:
            reason: EndReason = "disabled" if halt.is_set() else "stream_lost"
            self._scheduler.submit(self._lane, "shutdown" if self._stop.is_set() else reason)
            if self._stop.is_set() and self._state[0] == "streaming":
                self._told("ended", self._why)
        return halt.is_set() and not self._stop.is_set()

    def _take(self, frame: Frame) -> None:
        self._arrivals.append(frame.received_ns)
        self._frames = frame.seq
        if self._main is None:
            self._record(frame)
        window, lane = self._sight  # once: another model may exchange them at any time
        runs = window.runs
        segments = window.push(frame)
        if window.runs > runs:
            self._begin_run(frame.decoded.size, first=window.runs == 1)
        for segment in segments:
            self._fruitless = 0
            self.picture = segment.frames[CENTRE]
            self._scheduler.submit(lane, segment)

    def _begin_run(self, size: tuple[int, int], first: bool) -> None:
        """The window was emptied: by a gap, a reconnect, or another size."""
        height, width = size
        self._fruitless += 1
        if not first:
            self._gaps += 1
            self._scheduler.submit(self._lane, "stream_lost")
            before = f", was {self._size[1]}x{self._size[0]}" if self._size != (height, width) else ""
            self._emptied.log(
                logging.INFO, "camera=%s window emptied, picture %dx%d%s", self.name, width, height, before
            )
        self._size = (height, width)

    def _told(self, state: State, reason: str) -> None:
        """The source is in a new state. What is wrong is so until a picture comes: `since` is not of the last try."""
        before, _, since_ns = self._state
        reason = without_password(reason)
        if self._gone or (state, reason) == self._state[:2] or (state == "connecting" and before in FAILED):
            return
        self._state = (state, reason, since_ns if state == before else time.time_ns())
        self._connects += before in ("connecting", *FAILED) and state == "streaming"
        level = logging.INFO if state in ("connecting", "streaming", "ended") else logging.WARNING
        why = f" reason={value(reason)}" if reason else ""
        self._states.log(level, "camera=%s state=%s%s", self.name, state, why)
        if before == "streaming":
            self._scheduler.submit(self._lane, "stream_lost")
        self._publisher.camera_status(self.status())

    def _scored(self, scores: Scores) -> None:
        """On the runtime thread: a clip has been classified."""
        self._clips += 1
        if not scores.repeated:
            self._latencies.append(scores.latency_ms)
        self._tell(self._decider.push(scores), scores)
        if log.isEnabledFor(logging.DEBUG):
            top = next(iter(self._top(scores).scores.items()))
            log.debug("camera=%s clip label=%s score=%.2f latency_ms=%.1f repeated=%s",
                      self.name, value(top[0]), top[1], scores.latency_ms, scores.repeated)  # fmt: skip
        if self._observe and not scores.repeated:
            for stage, seconds in zip(STAGES, _spans_s(scores), strict=True):
                self._observe(self.name, stage, seconds)
        if self._publish_scores:
            self._publisher.scores(self._top(scores))

    def _broken(self, reason: EndReason) -> None:
        """On the runtime thread: the stream broke here, between two segments."""
        self._tell(self._decider.break_off(reason), None)

    def _tell(self, events: list[ActionEvent], scores: Scores | None) -> None:
        for event in events:
            if scores is not None:
                event = event.model_copy(update={"latency_ms": _latency(scores)})
            log.info(
                "camera=%s event=%s label=%s score=%.2f id=%s",
                self.name, event.type, value(event.label), event.score, event.id,
            )  # fmt: skip
            self._publisher.event(event)
            if recorder := self.recorder:
                recorder.event(event, scores)
        if self._decider.action != self._action:
            self._action = self._decider.action
            self._publisher.action(self.name, self._action)

    def _top(self, scores: Scores) -> TopScores:
        smoothed = self._decider.smoothed()
        best = np.argsort(-smoothed)[:TOP]
        return TopScores(
            camera=self.name,
            at=iso(scores.wall_ns),
            scores={self._labels[i]: round(float(smoothed[i]), 4) for i in best},
            latency_ms=round(scores.latency_ms, 1),
        )

    def _rate(self) -> float:
        """Frames a second over the last RATE_OVER_S."""
        now = time.monotonic_ns()
        recent = [t for t in self._arrivals.copy() if now - t < RATE_OVER_S * 1e9]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) * 1e9 / (recent[-1] - recent[0])


def _latency(scores: Scores) -> Latency:
    spans_ms = [1000 * span for span in _spans_s(scores)]
    stages = {stage: round(span, 2) for stage, span in zip(STAGES, spans_ms, strict=True)}
    return Latency(**stages, total=round(sum(spans_ms), 2))


def _spans_s(scores: Scores) -> list[float]:
    """What each of STAGES took."""
    moments = (scores.received_ns, scores.ready_ns, scores.taken_ns, scores.scored_ns, time.monotonic_ns())
    return [max(0, after - before) / NS_PER_S for before, after in pairwise(moments)]
