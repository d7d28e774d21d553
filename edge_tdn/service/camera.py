"""One camera, from its frames to its events: the only file that knows the order of the stages.

    source ─► of each zone: window ─► scheduler (runtime) ─► decide ─► publish
         └────────────────────────────────────────────────────► record ──┘
    or from the camera's main stream ──────────────────────────────┘

The camera's own thread takes frames, crops them to each zone, fills the windows and submits segments
(camera_thread.py, camera_zones.py, segment_feed.py); scores come back on the runtime thread (recognition.py). None of
these parts refers to an earlier one, and the scheduler's lanes hold the recognitions weakly, so that a camera that
has left is freed at once, with its rings and its frames.
"""

from collections.abc import Mapping, Sequence

from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.capture.address import is_live
from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.stopwatch import Observe
from edge_tdn.errors import SourceError
from edge_tdn.hub.hub import Hub
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.messages import Picture
from edge_tdn.recording.action_recorder import ActionRecorder, RecordedZone
from edge_tdn.recording.open_recorder import open_main_stream, open_recorder
from edge_tdn.service.camera_settings import CameraSettings, ZoneSettings
from edge_tdn.service.camera_status import CameraStatusTracker
from edge_tdn.service.camera_thread import CameraThread, state_report
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.camera_zones import CameraZones
from edge_tdn.service.recorder_slot import RecorderSlot
from edge_tdn.service.segment_feed import Pipeline
from edge_tdn.service.zone import Zone
from edge_tdn.spelling import nearest
from edge_tdn.status_messages import CameraStatus

NewZones = Sequence[tuple[Zone, ZoneSettings, Pipeline]]  # the zone, its settings from now on, and its pipeline


class Camera:
    """The parts of a served camera, put together. Any thread may use it, unless a method names one.

    `_settings` is replaced as one value, by the runtime thread, and `_recorded` by the reload thread; all else is
    fixed.
    """

    def __init__(
        self,
        settings: CameraSettings,
        scheduler: Scheduler,
        publisher: Publisher,
        observe: Observe | None = None,
        hub: Hub | None = None,
    ) -> None:
        """`observe`: called with the seconds that each stage of a clip took. `hub`: for the page, if there is one.

        On an error, the parts that were made before it are closed again.
        ConfigError: this machine cannot record as configured. ValueError: [decide] names labels that the model lacks.
        """
        table, base = settings.table, settings.base
        self.name = settings.name
        self._settings = settings
        self._scheduler, self._observe = scheduler, observe
        self._view = hub.view(self.name) if hub else None
        self._topics = CameraTopics(publisher, self.name, hub.publish if hub else None)
        self._recorder_slot = RecorderSlot()
        self._numbers = EventNumbers(publisher.last_seq(self.name))
        main_stream = open_main_stream(table, settings.config, base, self._recorder_slot.frame, settings.timing.capture)
        self._recorder_slot.replace(self._open_recorder(settings))
        self._recorded = _recorded(settings)  # the zones that the recorder knows
        opened: list[Zone] = []
        try:
            for zone in settings.zones:
                opened.append(self._new_zone(zone))
        except BaseException:  # as where the device has no memory left
            for made in opened:
                made.feed.leave()
            self._close_recorder()
            raise
        self._zones = CameraZones(opened)
        self._forget_other_zones()
        self._status = CameraStatusTracker(
            table, self._topics, self._zones, lambda: main_stream.trouble if main_stream else ""
        )
        timing = settings.timing.capture
        source = Source(table, base, state_report(self._status, self._zones), timing)
        retry_s = timing.retry_max_s if is_live(table.source) else None
        self._thread = CameraThread(
            self.name, source, self._zones, self._status, self._recorder_slot, main_stream, retry_s, self._view
        )

    def start(self) -> None:
        """Start the camera's thread."""
        for zone in self._zones.zones:
            self._topics.action(None, zone.name)
        self._thread.start()

    def stop(self, reason: str = "the daemon was stopped") -> None:
        """Ask the thread to end; `join` waits for it."""
        self._thread.demand.stop(reason)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long."""
        self._thread.join(timeout_s)
        if self.running:  # held by a library: its action ends nevertheless, the process does not wait
            self._zones.break_off("shutdown")

    @property
    def zones(self) -> tuple[Zone, ...]:
        """Its zones, or the whole picture as the only one."""
        return self._zones.zones

    @property
    def running(self) -> bool:
        """The thread was started, and has not ended."""
        return self._thread.running

    @property
    def stopped(self) -> bool:
        """Has been asked to end for good, or could not be started."""
        return self._thread.demand.stopped or not self._thread.started

    @property
    def enabled(self) -> bool:
        """Is not switched off by command."""
        return self._thread.demand.enabled

    def set_enabled(self, enabled: bool) -> None:
        """Start or stop taking frames, soon."""
        self._thread.demand.set_enabled(enabled)

    def set_thresholds(
        self,
        enter: float,
        exit: float | None,  # noqa: A002  (as in TOML)
        label: str | None,
        zone: str | None = None,
    ) -> tuple[float, float]:
        """Set the thresholds of a zone, None: of all, until the daemon ends, and publish them.

        See `Decider.set_thresholds`. A zone whose model lacks the label is left out, if another one has it.
        ValueError: out of range, no such zone, or no such label.
        """
        zones = [one for one in self._zones.zones if zone in (None, one.name)]
        if not zones:
            names = [str(one.name) for one in self._zones.named]
            there_are = nearest(zone or "", names, "there are") if names else "the camera has no zones"
            raise ValueError(f"no zone {zone!r}; {there_are}")
        found: list[tuple[float, float]] = []
        for one in zones:
            try:
                found.append(one.recognition.set_thresholds(enter, exit, label))
            except ValueError:
                if one is zones[-1] and not found:
                    raise
        self._status.publish()
        return found[0]

    @property
    def picture(self) -> Picture | None:
        """The newest segment's centre frame, [H, W, 3], the model's size; None before the first."""
        return self._thread.picture

    @property
    def failure(self) -> SourceError | None:
        """Why the source ended for good; None if it did not."""
        return self._thread.failure

    @property
    def recorder(self) -> ActionRecorder | None:
        """The current recorder; None where recording is off."""
        return self._recorder_slot.recorder

    def status(self) -> CameraStatus:
        """Return the camera's state and figures as they are now."""
        return self._status.status()

    def publish_status(self) -> None:
        """Publish the status as it is now, unless the camera has left."""
        self._status.publish()

    def prepare_zones(self, settings: CameraSettings) -> NewZones:
        """Return the zones for other settings: those of the same name continue, others are new.

        On the runtime thread. Fails where the device has no memory left; then nothing has changed.
        """
        before = {zone.name: zone for zone in self._zones.zones}
        found = []
        for own in settings.zones:
            zone = before.get(own.name)
            if zone is None:
                zone = self._new_zone(own)
                found.append((zone, own, zone.feed.pipeline))
            else:
                found.append((zone, own, zone.pipeline_for(own)))
        return found

    def change(self, settings: CameraSettings, zones: NewZones) -> None:
        """Continue with other settings and what `prepare_zones` returned for them. The source keeps running.

        On the runtime thread, between two turns. Actions continue where they can, see `Zone.change`.
        """
        staying = {zone for zone, _, _ in zones}
        for zone in self._zones.zones:
            if zone not in staying:
                zone.leave()
        known = self._zones.zones
        for zone, own, pipeline in zones:
            if zone in known:
                zone.change(own, pipeline)
        self._settings = settings
        self._zones.replace([zone for zone, _, _ in zones])
        self._topics.serve(zone.name for zone, _, _ in zones)
        self._forget_other_zones()
        for zone, _, _ in zones:
            if zone not in known:
                self._topics.action(None, zone.name)

    def moves(self, settings: CameraSettings) -> Mapping[Lane, Engine]:
        """Return the lanes that continue with other settings on another engine. From the reload thread."""
        before = {zone.name: zone for zone in self._zones.zones}
        found = {}
        for own in settings.zones:
            zone = before.get(own.name)
            if zone and own.sees_as(zone.settings) and own.engine is not zone.settings.engine:
                found[zone.feed.pipeline.lane] = own.engine
        return found

    def recorder_follows(self) -> bool:
        """Have the recorder record the zones as they are. Return False if another one has to take over."""
        recorded = _recorded(self._settings)
        if recorded != self._recorded and (recorder := self.recorder) and not recorder.follow(recorded):
            return False
        self._recorded = recorded
        return True

    def replace_recorder(self) -> ActionRecorder | None:
        """Let a new recorder take over, as the current settings say. Return the previous one, which is to be closed."""
        settings = self._settings
        previous = self._recorder_slot.replace(self._open_recorder(settings))
        self._recorded = _recorded(settings)
        return previous

    def leave(self) -> None:
        """End its actions, and leave the scheduler. On the runtime thread, after it was stopped and joined."""
        self._zones.leave()

    def discard(self) -> None:
        """Discard a camera that was never started, and of which nothing was published. On the runtime thread."""
        self._zones.leave()
        self._close_recorder()

    def dismiss(self, removed: bool) -> None:
        """Publish nothing about it any more, after it has left. `removed`: no other camera takes its name."""
        self._thread.forget()
        if removed:
            self._thread.end()
            for zone in self._zones.zones:
                self._topics.action(None, zone.name)
        self._topics.close()
        self._status.close()

    @property
    def table(self) -> CameraConfig:
        """Its table in the configuration that is in force for it."""
        return self._settings.table

    def _new_zone(self, settings: ZoneSettings) -> Zone:
        max_gap_s, topics = self.table.max_gap_s, self._topics
        slot, numbers = self._recorder_slot, self._numbers
        return Zone(settings, max_gap_s, self._scheduler, topics, slot, numbers, self._observe, self._view)

    def _forget_other_zones(self) -> None:
        """Have the page forget the scores of zones that the camera does not have any more."""
        if self._view:
            self._view.serve([zone.name for zone in self._zones.zones])

    def _close_recorder(self) -> None:
        if recorder := self.recorder:
            recorder.close()

    def _open_recorder(self, settings: CameraSettings) -> ActionRecorder | None:
        return open_recorder(
            settings.table,
            settings.config,
            _recorded(settings),
            settings.base,
            self._topics.snapshot,
            settings.timing.recorder,
        )


def _recorded(settings: CameraSettings) -> tuple[RecordedZone, ...]:
    """Return the zones as a recorder needs them."""
    return tuple(
        RecordedZone(one.name, one.spec, one.zone.hop, one.decide.min_length_s, one.outline if one.name else None)
        for one in settings.zones
    )
