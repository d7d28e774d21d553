"""The settings and the zones of cameras, as the daemon makes them of a configuration."""

from pathlib import Path

from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.config.resolved_zones import resolved_zones
from edge_tdn.config.tables import Config
from edge_tdn.inference.clip_sink import ClipSink
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.segments.window import Window
from edge_tdn.service.camera_settings import CameraSettings, ZoneSettings
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.camera_zones import CameraZones
from edge_tdn.service.recorder_slot import RecorderSlot
from edge_tdn.service.segment_feed import Pipeline
from edge_tdn.service.timing import DEFAULT_CAMERA_TIMING, CameraTiming
from edge_tdn.service.zone import Zone
from tests.support.fakes import SPEC, FakeRuntime
from tests.support.waiting import eventually


def fake_engine(model: Model) -> Engine:
    """Return an engine that computes nothing, for a model's input."""
    spec = model.manifest.input
    return Engine(FakeRuntime(spec.segments), spec)


def camera_settings(
    config: Config,
    model: Model,
    folder: Path = Path(),
    engine: Engine | None = None,
    timing: CameraTiming = DEFAULT_CAMERA_TIMING,
) -> CameraSettings:
    """Return the settings of a configuration's first camera, all of whose zones have one model.

    `folder`: where relative paths start. `engine`: computes the model; by default a fake one.
    """
    table, engine = config.camera[0], engine or fake_engine(model)
    ref = model.ref(engine.runtime.precision)
    zones = [
        ZoneSettings.of(config, table.name, zone, "b007", model, ref, engine) for zone in resolved_zones(config, table)
    ]
    return CameraSettings(table, config, folder, tuple(zones), timing)


def compute_all(scheduler: Scheduler) -> None:
    """Wait until its thread has computed what was submitted: a task alone runs before the turn that is due."""
    eventually(lambda: not any(lane.backlog.items for lane in scheduler._queue.lanes))
    scheduler.run_between_turns(lambda: None)  # the end of the turn that has taken the last items


def fake_zones(
    motion: Model, config: Config, scheduler: Scheduler, topics: CameraTopics, sink: ClipSink | None = None
) -> CameraZones:
    """Return the zones of a configuration's first camera, whose model has the input SPEC.

    `sink`: receives the clips of all of them in place of their recognitions.
    """
    manifest = motion.manifest.model_copy(update={"input": SPEC})
    settings = camera_settings(config, Model(motion.folder, manifest, motion.sha256, motion.labels))
    zones = []
    for own in settings.zones:
        zone = Zone(own, settings.table.max_gap_s, scheduler, topics, RecorderSlot(), EventNumbers())
        if sink:
            zone.feed.leave()
            lane = scheduler.add_lane(own.engine, own.zone.hop, sink)
            zone.feed.replace(Pipeline(Window(SPEC, settings.table.max_gap_s), lane))
        zones.append(zone)
    return CameraZones(zones)
