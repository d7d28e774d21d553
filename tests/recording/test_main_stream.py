"""Main and sub-stream: the network looks at the small pictures, people at the large ones."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from edge_tdn.actions.decider import Origin
from edge_tdn.capture.source import read_file
from edge_tdn.config.tables import Config, check_camera_access, load
from edge_tdn.errors import ConfigError
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_MS, NS_PER_S, ActionEvent, Frame, Scores
from edge_tdn.recording import recorder as record
from edge_tdn.recording.main_stream import ArrivalClock
from edge_tdn.service.camera import Camera
from tests.conftest import number_in
from tests.recording.test_recorder import RATE, Reader, Topics, fail
from tests.support.broker import Mosquitto

ACTION = range(80, 100)  # numbers of the pictures that are one
pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


def camera_of(
    broker: Mosquitto, motion: Model, folder: Path, **keys: str | bool
) -> tuple[Camera, Callable[[], None], Callable[[], None]]:
    """A camera, what starts it with all that it needs, and what stops it."""
    config = Config.model_validate(
        {
            "broker": {"url": broker.url},
            "decide": {"smoothing_clips": 1},
            "record": {"snapshot": True, "clip": True, "folder": "seen", "pre_roll_s": 0.5, "post_roll_s": 0.5},
            "camera": [{"name": "door", "motion_gate": False, **keys}],
        }
    )
    publisher = broker.publisher("test", fail)
    scheduler = Scheduler(Reader(motion.manifest.input.segments), motion.manifest.input, fail)
    origin = Origin("here", "door", "b007", motion.ref("fp32"))
    camera = Camera(config.camera[0], config, folder, motion, origin, scheduler, publisher)

    def start() -> None:
        for part in (publisher, scheduler, camera):
            part.start()

    def stop() -> None:
        camera.stop()
        camera.join(60)
        scheduler.stop(drop=False)
        assert camera.recorder
        camera.recorder.close()
        camera.recorder.join(60)
        publisher.stop()

    return camera, start, stop


def test_an_action_in_the_sub_stream_is_recorded_from_the_main_stream(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures and times are those of the action, as near as the two streams arrive together."""
    monkeypatch.setattr("tests.recording.test_recorder.ACTION", ACTION)
    monkeypatch.setattr(record, "LATE_S", 10.0)  # the machine may be busy
    small = make_video(frames=130, rate=RATE, height=96, width=128, name="small.mp4")
    large = make_video(frames=130, rate=RATE, height=240, width=320, name="large.mp4")
    camera, start, stop = camera_of(broker, motion, tmp_path, source=str(small), record_source=str(large))
    assert camera.recorder
    ahead = Ahead(camera, monkeypatch)
    start()
    try:
        camera.join(60)
        wait(lambda: camera.recorder is not None and camera.recorder.clips == 1)
    finally:
        stop()
    assert (camera.recorder.dropped, camera.recorder.clips) == (0, 1)
    (jpg,) = (tmp_path / "seen/door").glob("*.jpg")
    (mp4,) = (tmp_path / "seen/door").glob("*.mp4")
    with Topics(broker) as topics:
        assert topics.until("test/door/snapshot").payload == jpg.read_bytes()
    picture = cv2.imdecode(np.frombuffer(jpg.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (240, 320, 3), "the main stream's size"
    frames = list(read_file(mp4))
    assert frames[0].decoded.size == (240, 320)
    numbers = [number_in(frame.picture) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "none is missing, none comes twice"
    first, last = ACTION.start - RATE // 2, ACTION.stop + RATE // 2
    assert numbers[0] == pytest.approx(first + ahead.at("start"), abs=RATE // 3)
    assert numbers[-1] == pytest.approx(last + ahead.at("end"), abs=RATE // 3 + 4)  # and two segments' ends
    steps = np.diff([frame.pts_ns for frame in frames]) / NS_PER_MS
    assert steps == pytest.approx(np.full(len(steps), 1000 / RATE), abs=2)


class Ahead:
    """By how many pictures the main stream is ahead of the sub-stream, as they arrive."""

    def __init__(self, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
        self._small: dict[int, int] = {}  # arrival in ns -> number
        self._began_ns: list[int] = []  # when the main stream's picture 0 came, by each of its pictures
        self._decided_ns: dict[str, int] = {}  # type of event -> arrival of the picture that decided it
        recorder, take = camera.recorder, camera._take
        assert recorder
        record_frame, record_event = recorder.frame, recorder.event

        def took(frame: Frame) -> None:
            self._small[frame.received_ns] = number_in(frame.picture)
            take(frame)

        def recorded(frame: Frame) -> None:
            self._began_ns.append(frame.received_ns - number_in(frame.picture) * NS_PER_S // RATE)
            record_frame(frame)

        def told(event: ActionEvent, scores: Scores | None) -> None:
            if scores:
                self._decided_ns[event.type] = scores.received_ns
            record_event(event, scores)

        monkeypatch.setattr(camera, "_take", took)
        monkeypatch.setattr(recorder, "frame", recorded)
        monkeypatch.setattr(recorder, "event", told)

    def at(self, kind: Literal["start", "end"]) -> float:
        """When this was decided."""
        decided_ns = self._decided_ns[kind]
        return (decided_ns - min(self._began_ns)) * RATE / NS_PER_S - self._small[decided_ns]


def test_a_main_stream_that_does_not_answer_is_told_and_costs_no_event(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """The camera streams on; its status says why nothing is recorded. Disabled, neither stream plays."""
    keys = {"source": str(make_video(frames=90, rate=RATE)), "loop": True}
    camera, start, stop = camera_of(broker, motion, tmp_path, **keys, record_source="rtsp://127.0.0.1:1/x")

    def streaming_but() -> str:
        status = camera.status()
        return status.reason if status.state == "streaming" else ""

    start()
    try:
        wait(lambda: bool(re.match(r"record_source unreachable: rtsp://127.0.0.1:1/x: .* refused", streaming_but())))
        assert "main stream door" in names()
        camera.set_enabled(False)
        wait(lambda: camera.status().state == "disabled" and "main stream door" not in names())
        camera.set_enabled(True)
        wait(lambda: "main stream door" in names())
    finally:
        stop()
    wait(lambda: "main stream door" not in names())


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_times_of_arrival_are_as_even_as_the_cameras_own() -> None:
    """Frames that the network held up do not shake; time grows over a reconnect; clocks of any origin will do."""
    clock, picture = ArrivalClock(), Packed(np.zeros((2, 2, 3), np.uint8))
    late_ms = [40, 5, 90, 5, 5, 300, 266, 233, 200, 5]
    timed = [
        clock.timed(Frame(picture, n * 40 * NS_PER_MS, (5000 + n * 40 + late) * NS_PER_MS, 0, n, 1)).pts_ns / NS_PER_MS
        for n, late in enumerate(late_ms)
    ]
    assert timed[2:] == [5005 + 40 * n for n in range(2, 10)]
    assert sorted(timed) == timed
    again = clock.timed(Frame(picture, 7 * NS_PER_S, 6000 * NS_PER_MS, 0, 11, 2))
    assert again.pts_ns == 6000 * NS_PER_MS


def test_a_wrong_main_stream_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    path = tmp_path / "site.toml"
    path.write_text('[[camera]]\nname = "a"\nsource = "b.mp4"\nrecord_source = "credential:none"\n')
    with pytest.raises(ConfigError, match=r":4: camera\[0\]\.record_source = 'credential:none': .* no such file"):
        check_camera_access(load(path), tmp_path)
    path.write_text('[[camera]]\nname = "a"\nsource = "b.mp4"\nrecord_source = "rtmp://x"\n')
    with pytest.raises(ConfigError, match=r":4: camera\[0\]\.record_source = 'rtmp://x': unknown kind of source"):
        load(path)
