"""A model on trial: for some minutes it sees what a camera sees, beside the model that serves.

Nothing of it is published by MQTT or recorded, and its failure ends the trial alone. It ends, too, when the camera
sends no frames, the configuration is read again, or the host becomes too slow for both models.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from edge_tdn.actions.decider import Decider, Origin
from edge_tdn.actions.labels import for_model, rules
from edge_tdn.capture.zone_view import seen_in
from edge_tdn.config.resolved_zones import ModelChoice, ResolvedZone
from edge_tdn.config.tables import Config, DecideConfig
from edge_tdn.errors import EdgeTdnError, with_type
from edge_tdn.hub.camera_view import CameraView
from edge_tdn.hub.teaching_access import TeachingRefused, TrialRequest, TrialState
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.manifest import Model, open_model
from edge_tdn.media.outline import Outline
from edge_tdn.messages import Frame
from edge_tdn.process.passwords import without_password
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window
from edge_tdn.service.running import Running
from edge_tdn.service.segment_feed import Pipeline, SegmentFeed
from edge_tdn.service.tapped_runs import TappedRuns
from edge_tdn.service.trial_sink import GuardedRuntime, TrialSink

log = logging.getLogger(__name__)

PRECISIONS = ("int8", "fp16", "bf16", "fp32")  # in this order, where the model lacks the precision that serves


@dataclass(frozen=True)
class TrialTiming:
    """Seconds."""

    length_s: float = 600.0
    silence_s: float = 15.0  # without a frame ends the trial
    publish_s: float = 0.25  # between two states
    slow_s: float = 10.0  # that the host may be too slow for both models
    stop_s: float = 1.0  # that a stop waits for the end
    close_s: float = 0.3  # likewise the end of the daemon


class TrialEnd(Exception):
    """The trial is over; the text says why."""


@dataclass(frozen=True, eq=False)
class _TrialPlace:
    """Where a model is tried."""

    request: TrialRequest
    folder: Path  # of the model
    config: Config  # from which the zone was read: another one ends the trial
    zone: ResolvedZone
    view: CameraView
    max_gap_s: float
    failures: list[str] = field(default_factory=list)  # of the model, as the runtime thread reports them


class ModelTrial:
    """Tries one model at a time, on the thread `trial`. Any thread may use it; `_lock` guards what is replaced."""

    def __init__(
        self, running: Running, publish: Callable[[TrialState], None], timing: TrialTiming = TrialTiming()
    ) -> None:
        """`publish`: takes each state."""
        self._running, self._publish, self._timing = running, publish, timing
        self._lock = threading.Lock()
        self._state = TrialState()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> TrialState:
        """The trial under way, or the last one."""
        return self._state

    @property
    def busy(self) -> bool:
        """A trial is under way."""
        return self._state.state in ("opening", "running") or (self._thread is not None and self._thread.is_alive())

    def start(self, request: TrialRequest, model_folder: Path) -> TrialState:
        """Begin to try the model of a folder. TeachingRefused: not now."""
        with self._lock:
            if self.busy:
                raise TeachingRefused(f"{self._state.model} is being tried; stop that first")
            place = self._place(request, model_folder)
            stop = threading.Event()
            thread = threading.Thread(target=self._run, args=(place, stop), name="trial", daemon=True)
            thread.start()
            self._thread, self._stop = thread, stop
            self._state = TrialState(
                state="opening",
                model=request.model,
                camera=request.camera,
                zone=request.zone,
                left_s=self._timing.length_s,
            )
            self._publish(self._state)
            return self._state

    def stop(self) -> TrialState:
        """End the trial, and return the state after that."""
        self._stop.set()
        self._join(self._timing.stop_s)
        return self._state

    def close(self) -> None:
        """End the trial with the daemon. Before the scheduler stops."""
        self._stop.set()
        self._join(self._timing.close_s)

    def _join(self, timeout_s: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _place(self, request: TrialRequest, folder: Path) -> _TrialPlace:
        config = self._running.config  # a reload replaces it last, so that one under way ends the trial
        camera = self._running.camera(request.camera)
        zone = next((one for one in camera.zones if one.name == request.zone), None)
        if zone is None:
            raise TeachingRefused(f"{camera.name} has no zone {request.zone!r} any more")
        status = camera.status()
        if status.state != "streaming":
            raise TeachingRefused(f"{camera.name} sends no pictures now ({status.state})")
        if slow := self._too_slow():
            raise TeachingRefused(f"{slow}; a second model would make it worse")
        hub = self._running.shared.hub
        assert hub is not None  # else there is no page
        view, max_gap_s = hub.view(camera.name), camera.table.max_gap_s
        return _TrialPlace(request, folder.resolve(), config, zone.settings.zone, view, max_gap_s)

    def _run(self, place: _TrialPlace, stop: threading.Event) -> None:
        try:
            with self._opened(place) as (model, runtime):
                self._try(place, stop, model, runtime)
        except TrialEnd as end:
            self._show(state="ended", left_s=0.0, text=str(end))
        except CancelledError:
            self._show(state="ended", left_s=0.0, text="the daemon ends")
        except EdgeTdnError as error:
            self._show(state="failed", left_s=0.0, text=without_password(str(error)))
        except Exception as error:  # a fault in the code; the daemon has other things to do
            log.exception("trial of %s failed", place.request.model)
            self._show(state="failed", left_s=0.0, text=f"{with_type(error)}; the log says where")

    @contextmanager
    def _opened(self, place: _TrialPlace) -> "Iterator[tuple[Model, GuardedRuntime]]":
        """Open the model, and close it at the end of the block."""
        networks, config = self._running.shared.networks, place.config
        model = open_model(place.folder)
        choice = _choice(model, place)
        began_s = time.monotonic()
        runtime = networks.open_unshared(config, choice, model)
        log.info("trial of %s begins, opened in %.1f s", model.manifest.id, time.monotonic() - began_s)
        guarded = GuardedRuntime(runtime, len(model.labels), place.failures.append)
        try:
            yield model, guarded
        finally:
            guarded.close()

    def _try(self, place: _TrialPlace, stop: threading.Event, model: Model, runtime: GuardedRuntime) -> None:
        """Feed the model until the trial ends. Raises TrialEnd."""
        scheduler, zone, timing = self._running.shared.scheduler, place.zone, self._timing
        spec, labels = model.manifest.input, _actions(place, model)
        sink = TrialSink(self._decider(place, model, runtime.precision), place.failures.append)
        lanes: list[Lane] = []
        # between two turns: a reload that fails serves again exactly the lanes from before it
        scheduler.run_between_turns(lambda: lanes.append(scheduler.add_lane(Engine(runtime, spec), zone.hop, sink)))
        gate = MotionGate() if zone.motion_gate else None
        pipeline = Pipeline(Window(spec, place.max_gap_s, gate=gate, follow=zone.follow), lanes[0])
        feed = SegmentFeed(scheduler, pipeline)
        try:
            with place.view.tap() as tap:
                self._show(state="running", labels=labels)
                frames = TappedRuns().of(tap.frames(stop, timing.silence_s))
                shown = seen_in(Outline.of(zone), frames, zone.display_name) if zone.name else frames
                self._feed(shown, feed, sink, place)
            raise TrialEnd("stopped" if stop.is_set() else f"{place.request.camera} sends no pictures any more")
        finally:
            try:
                scheduler.run_between_turns(feed.leave)
            except CancelledError:  # the daemon ends, and with it the thread that could use the runtime
                log.debug("trial: the runtime thread has ended")
            self._show(**sink.found())

    def _feed(self, frames: Iterator[Frame], feed: SegmentFeed, sink: TrialSink, place: _TrialPlace) -> None:
        """Push frames until they end. Raises TrialEnd, EdgeTdnError."""
        began_s, timing = time.monotonic(), self._timing
        published_s, slow_since_s = -inf, None
        for frame in frames:
            feed.push(frame, feed.pipeline)
            now_s = time.monotonic()
            if place.failures:
                raise EdgeTdnError(place.failures[0])
            if now_s - began_s > timing.length_s:
                raise TrialEnd("the time is over")
            if now_s - published_s < timing.publish_s:
                continue
            published_s = now_s
            self._show(left_s=round(timing.length_s - (now_s - began_s), 1), **sink.found())
            if self._running.config is not place.config:
                raise TrialEnd("the configuration was read again")
            slow = self._too_slow()
            slow_since_s = (slow_since_s or now_s) if slow else None
            if slow_since_s is not None and now_s - slow_since_s > timing.slow_s:
                raise TrialEnd(f"{slow}: too slow for both models; the one that serves goes first")

    def _decider(self, place: _TrialPlace, model: Model, precision: str) -> Decider:
        request = place.request
        origin = Origin(place.config.host, request.camera, "trial", model.ref(precision), request.zone)
        return Decider(_decide(place, model), origin, model.labels, model.manifest.background)

    def _too_slow(self) -> str:
        """Return why the host does not keep up with what it serves; empty: it does."""
        zones = [zone for camera in self._running.cameras for zone in camera.zones]
        return next((one for zone in zones if (one := zone.feed.pipeline.lane.pace.trouble)), "")

    def _show(self, **changed: object) -> None:
        with self._lock:
            self._state = state = self._state.model_copy(update=changed)
        self._publish(state)


def _decide(place: _TrialPlace, model: Model) -> DecideConfig:
    """Return the limits of the zone, as far as they concern the labels of the model."""
    return for_model(place.zone.decide, model.labels, model.manifest.background)


def _actions(place: _TrialPlace, model: Model) -> tuple[str, ...]:
    """Return the names of the actions that are recognised. TeachingRefused: there are none."""
    names = tuple(rules(_decide(place, model), model.labels, model.manifest.background))
    if not names:
        raise TeachingRefused("none of the model's actions is reported here: see `only` and `ignore` of [decide]")
    return names


def _choice(model: Model, place: _TrialPlace) -> ModelChoice:
    """Return the model in the precision that serves the zone, or else in one that it has."""
    has = [name.removeprefix("cuda-") for name in model.manifest.precisions]
    known = [one for one in (place.zone.choice.precision, *PRECISIONS) if one in has]
    precision = known[0] if known else has[0]
    return ModelChoice(str(place.folder), precision, ("runtime", "model"), ("runtime", "precision"))
