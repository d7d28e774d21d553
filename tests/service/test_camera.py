"""One camera from its frames to its status, and how it leaves; with a fake runtime, and without a broker."""

import gc
import logging
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.pace import MIN_LATE_HOPS
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.service.camera import Camera
from edge_tdn.status_messages import CameraStatus
from tests.support.actions import NumberReader
from tests.support.fakes import FakeRuntime, PublisherLog, fail
from tests.support.rtsp import RtspCamera
from tests.support.waiting import eventually
from tests.support.zones import camera_settings, compute_all


class Served:
    """A camera, and what it needs. Nothing is started yet."""

    def __init__(
        self,
        motion: Model,
        folder: Path,
        source: str,
        classify_s: float = 0.0,
        record: dict[str, object] | None = None,
        runtime: Runtime | None = None,
        loop: bool = False,
    ) -> None:
        """`runtime`: replaces the fake one, in which a clip takes `classify_s`."""
        camera = {"name": "door", "source": source, "loop": loop}
        config = Config.model_validate({"record": record or {}, "camera": [camera]})
        spec = motion.manifest.input
        self.publisher: Any = PublisherLog()
        self.scheduler = Scheduler(fail)
        engine = Engine(runtime or FakeRuntime(spec.segments, classify_s), spec)
        self.camera = Camera(camera_settings(config, motion, folder, engine), self.scheduler, self.publisher)


def test_the_status_reports_that_the_host_is_too_slow(
    motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """A clip takes 0.6 s, a segment lasts 0.27 s."""
    video = make_video(frames=300, rate=30)
    served = Served(motion, tmp_path, str(video), classify_s=0.6)
    camera = served.camera
    served.scheduler.start()
    camera.start()
    statuses: list[CameraStatus] = []

    def is_slow() -> bool:
        statuses.append(camera.status())
        return bool(statuses[-1].reason) or not camera.running

    eventually(is_slow)
    camera.stop()
    camera.join(60)
    served.scheduler.stop(drop=True)
    last = statuses[-1]
    assert last.reason.startswith("host too slow: a clip every "), last
    assert last.reason.endswith(" segments instead of 1"), last
    assert last.state == "streaming"
    assert last.hop >= 2
    assert last.shed >= MIN_LATE_HOPS
    assert {status.reason for status in statuses[:-1]} == {""}
    assert camera.status().reason == "the daemon was stopped"
    assert served.publisher.statuses[-1].state == "ended"


def test_the_status_reports_a_camera_that_is_slower_than_the_model(motion: Model, tmp_path: Path) -> None:
    """A camera of 5 frames a second; the model expects 15. Before, hardly any action and a silent status."""
    pytest.importorskip("gi").require_version("GstRtspServer", "1.0")
    slow = RtspCamera("", "test:", "--rate", "5")
    served = Served(motion, tmp_path, slow.url())
    statuses: list[CameraStatus] = []

    def is_slow() -> bool:
        statuses.append(served.camera.status())
        return "the model expects" in statuses[-1].reason

    served.scheduler.start()
    try:
        served.camera.start()
        eventually(is_slow, describe=served.camera.status)
        served.camera.publish_status()
    finally:
        served.camera.stop()
        served.camera.join(60)
        served.scheduler.stop(drop=True)
        slow.kill()
    assert statuses[-1].state == "streaming"
    assert re.match(r"\d(\.\d)? fps, the model expects 15: frames are repeated", statuses[-1].reason)
    assert served.publisher.statuses[-2].reason.endswith(
        "the model expects 15: frames are repeated, and actions missed"
    )


def test_a_camera_that_leaves_keeps_its_counts_and_its_end_is_logged(
    motion: Model, make_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The retained status of a camera that was removed counts what it did, not twice as much."""
    video = make_video(frames=30, rate=8)
    served = Served(motion, tmp_path, str(video))
    camera = served.camera
    caplog.set_level(logging.INFO)
    served.scheduler.start()
    try:
        camera.start()
        eventually(lambda: camera.status().repeated >= 2)
        camera.stop("removed from the configuration")
        camera.join(60)
        compute_all(served.scheduler)
        before = camera.status()
        served.scheduler.run_between_turns(camera.leave)
        assert camera.status() == before
        assert before.repeated >= 2
        camera.dismiss(removed=True)
        assert 'camera=door state=ended reason="removed from the configuration"' in caplog.text
        assert served.publisher.actions[-1] is None
        published = len(served.publisher.statuses)
        camera.publish_status()
        assert len(served.publisher.statuses) == published
    finally:
        served.scheduler.stop(drop=True)


def test_a_looped_file_ends_an_action_where_it_begins_again(
    motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """And not as one that was lost, which would read like a fault of the camera."""
    video = make_video(frames=150, rate=30, height=120, width=160)
    runtime = NumberReader(motion.manifest.input.segments, range(90, 150))
    served = Served(motion, tmp_path, str(video), runtime=runtime, loop=True)
    served.scheduler.start()
    try:
        served.camera.start()
        eventually(lambda: served.camera.status().connects >= 2)
        events = served.publisher.events
        eventually(lambda: any(event.type == "end" for event in events))
        served.camera.stop()
        served.camera.join(60)
    finally:
        served.scheduler.stop(drop=True)
    start, *_, end = [event for event in events if event.id == events[0].id]
    assert (start.type, end.type, end.reason) == ("start", "end", "video_ended")
    assert {status.state for status in served.publisher.statuses[:-1]} == {"connecting", "streaming"}


@pytest.mark.parametrize("source", ["video", "absent.mp4"])
def test_a_camera_that_has_left_is_freed_without_a_garbage_collection(
    source: str, motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """With its ring and the frames of its recorder, which are most of a camera's memory; also after a failure."""
    address = str(make_video(frames=90, rate=30)) if source == "video" else source
    served = Served(motion, tmp_path, address, record={"snapshot": True})
    served.scheduler.start()
    gc.collect()
    gc.disable()
    try:
        camera = served.camera
        recorder = camera.recorder
        assert recorder is not None
        (zone,) = camera.zones
        freed = [weakref.ref(part) for part in (camera, recorder, camera._thread, zone, zone.recognition)]
        freed += [weakref.ref(zone.feed.pipeline.lane.ring), weakref.ref(recorder._recent)]  # type: ignore[attr-defined]
        camera.start()
        eventually(lambda: served.camera.status().clips > 0 or served.camera.failure is not None)
        camera.stop("removed from the configuration")
        camera.join(60)
        served.scheduler.run_between_turns(camera.leave)
        recorder.close()
        recorder.join(60)
        camera.dismiss(removed=True)
        del served.camera, camera, recorder, zone
        eventually(lambda: [one() for one in freed] == [None] * len(freed), describe=lambda: [one() for one in freed])
    finally:
        gc.enable()
        served.scheduler.stop(drop=True)


def test_a_camera_that_was_never_started_is_freed_too(motion: Model, tmp_path: Path) -> None:
    """A reload may fail between making and starting it."""
    gc.collect()
    gc.disable()
    try:
        served = Served(motion, tmp_path, "absent.mp4")
        camera = served.camera
        assert camera.stopped
        freed = [weakref.ref(camera), weakref.ref(camera.zones[0].feed.pipeline.lane.ring)]
        camera.stop()
        camera.join(1)
        camera.leave()
        camera.dismiss(removed=True)
        del served.camera, camera
        assert [one() for one in freed] == [None, None]
    finally:
        gc.enable()
