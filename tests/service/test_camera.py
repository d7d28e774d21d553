"""One camera from its pictures to its status, with a runtime as slow as it is told."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_tdn.actions.decider import Origin
from edge_tdn.config.tables import Config
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.inference.scheduler import LATE, Scheduler
from edge_tdn.manifest import Model
from edge_tdn.messages import CameraStatus
from edge_tdn.service.camera import Camera
from tests.support.broker import Mosquitto
from tests.support.fakes import FakeRuntime


def fail(error: BaseException) -> None:
    raise AssertionError from error


def camera_of(broker: Mosquitto, motion: Model, folder: Path, source: str) -> tuple[Camera, Scheduler, Publisher]:
    """Nothing is started. A clip takes 0.6 s."""
    config = Config.model_validate({"broker": {"url": broker.url}, "camera": [{"name": "door", "source": source}]})
    publisher = broker.publisher("test", fail)
    scheduler = Scheduler(FakeRuntime(motion.manifest.input.segments, classify_s=0.6), motion.manifest.input, fail)
    origin = Origin("here", "door", "b007", motion.ref("fp32"))
    return Camera(config.camera[0], config, folder, motion, origin, scheduler, publisher), scheduler, publisher


def test_the_status_says_that_the_host_is_too_slow(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """A clip takes 0.6 s, a segment lasts 0.27 s."""
    video = make_video(frames=300, rate=30)
    camera, scheduler, publisher = camera_of(broker, motion, tmp_path, str(video))
    publisher.start()
    scheduler.start()
    camera.start()
    statuses: list[CameraStatus] = []
    while camera.running and not (statuses and statuses[-1].reason):
        time.sleep(0.05)
        statuses.append(camera.status())
    camera.stop()
    camera.join(60)
    scheduler.stop(drop=True)
    publisher.stop()
    told = statuses[-1]
    assert told.reason.startswith("host too slow: a clip every "), told
    assert told.reason.endswith(" segments instead of 1"), told
    assert told.state == "streaming"
    assert told.hop >= 2
    assert told.shed >= LATE
    assert {status.reason for status in statuses[:-1]} == {""}
    assert camera.status().reason == "the daemon was stopped"


def test_a_camera_is_away_since_it_went_and_not_since_the_last_try(
    broker: Mosquitto, motion: Model, tmp_path: Path
) -> None:
    camera, *_ = camera_of(broker, motion, tmp_path, "rtsp://127.0.0.1:1/x")
    told = []
    for state, reason in (
        ("streaming", ""), ("stalled", "no picture"), ("connecting", ""), ("unreachable", "refused"),
        ("connecting", ""), ("unreachable", "refused"), ("connecting", ""), ("unreachable", "no route"),
        ("streaming", ""),
    ):  # fmt: skip
        camera._told(state, reason)  # type: ignore[arg-type]  # as its source does
        told.append(camera.status())
        time.sleep(0.002)
    states = [status.state for status in told]
    assert states == ["streaming", "stalled", "stalled", *["unreachable"] * 5, "streaming"]
    assert len({status.since for status in told}) == 4, "one for each change of state"
    assert told[-2].reason == "no route"
    assert [status.connects for status in told] == [1] * 8 + [2]


def test_a_camera_that_has_left_keeps_its_counts_and_its_end_is_told(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is retained of a camera that was removed is what it did, not twice as much."""
    video = make_video(frames=30, rate=8)
    tables = {"broker": {"url": broker.url}, "camera": [{"name": "door", "source": str(video)}]}
    config = Config.model_validate(tables)
    scheduler = Scheduler(FakeRuntime(motion.manifest.input.segments), motion.manifest.input, fail)
    origin = Origin("here", "door", "b007", motion.ref("fp32"))
    camera = Camera(config.camera[0], config, tmp_path, motion, origin, scheduler, broker.publisher("test", fail))
    caplog.set_level(logging.INFO)
    scheduler.start()
    try:
        camera.start()
        deadline = time.monotonic() + 60
        while camera.status().repeated < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        camera.stop("removed from the configuration")
        camera.join(60)
        scheduler.between_turns(lambda: None)  # what it had submitted is computed
        before = camera.status()
        scheduler.between_turns(camera.leave)
        assert camera.status() == before
        assert before.repeated >= 2
        for _ in range(4):  # it flaps: its last lines have to wait
            camera._told("stalled", "")
            camera._told("streaming", "")
        caplog.clear()
        camera.dismiss(removed=True)
        assert 'camera=door state=ended reason="removed from the configuration"' in caplog.text
    finally:
        scheduler.stop(drop=True)
