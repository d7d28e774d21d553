"""Main and sub-stream: the network sees the small frames, people the large ones."""

import re
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from edge_tdn.capture.video_file import read_file
from edge_tdn.config.credentials import check_camera_access
from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_MS, NS_PER_S, ActionEvent, Frame, Scores
from edge_tdn.recording.main_stream import ArrivalClock, MainStreamState
from edge_tdn.recording.recorder import Recorder
from edge_tdn.recording.timing import RecorderTiming
from edge_tdn.service.camera import Camera
from edge_tdn.service.timing import CameraTiming
from tests.conftest import number_in
from tests.support.actions import NumberReader
from tests.support.broker import Mosquitto
from tests.support.fakes import fail
from tests.support.mqtt import RecordingClient
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.zones import camera_settings

RATE = 30
ACTION = range(80, 100)  # numbers of the frames that are one
pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


class RecordedCamera:
    """A camera that is recorded, with everything that it needs."""

    def __init__(self, broker: Mosquitto, motion: Model, folder: Path, **keys: str | bool) -> None:
        config = Config.model_validate(
            {
                "broker": {"url": broker.url},
                "decide": {"smoothing_s": 0.0, "merge_gap_s": 0.0},
                "record": {"snapshot": True, "clip": True, "folder": "seen", "pre_roll_s": 0.5, "post_roll_s": 1.5},
                "camera": [{"name": "door", "motion_gate": False, **keys}],
            }
        )
        self._publisher = broker.publisher("test", fail)
        runtime = NumberReader(motion.manifest.input.segments, ACTION)
        self._scheduler, engine = Scheduler(fail), Engine(runtime, motion.manifest.input)
        timing = CameraTiming(recorder=RecorderTiming(late_s=10.0, silent_s=20.0))  # the machine may be busy
        settings = camera_settings(config, motion, folder, engine, timing)
        self.camera = Camera(settings, self._scheduler, self._publisher)
        assert isinstance(self.camera.recorder, Recorder)
        self.recorder = self.camera.recorder

    def __enter__(self) -> "RecordedCamera":
        for part in (self._publisher, self._scheduler, self.camera):
            part.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.stop()
        self.camera.join(60)
        self._scheduler.stop(drop=False)
        self.recorder.close()
        self.recorder.join(60)
        self._publisher.stop()


def test_an_action_in_the_sub_stream_is_recorded_from_the_main_stream(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames and times are those of the action, as near as the two streams arrive together."""
    small = make_video(frames=180, rate=RATE, height=96, width=128, name="small.mp4")
    large = make_video(frames=180, rate=RATE, height=240, width=320, name="large.mp4")
    recorded = RecordedCamera(broker, motion, tmp_path, source=str(small), record_source=str(large))
    ahead = Ahead(recorded, monkeypatch)
    with recorded:
        recorded.camera.join(PATIENCE_S)
        eventually(lambda: recorded.recorder.clips == 1)
    assert (recorded.recorder.dropped, recorded.recorder.clips) == (0, 1)
    (jpg,) = (tmp_path / "seen/door").glob("*.jpg")
    (mp4,) = (tmp_path / "seen/door").glob("*.mp4")
    with closing(RecordingClient(broker.port, "test/#")) as client:
        (snapshot,) = client.on("test/door/snapshot")
    assert snapshot.payload == jpg.read_bytes()
    picture = cv2.imdecode(np.frombuffer(jpg.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (240, 320, 3), "the main stream's size"
    frames = list(read_file(mp4))
    assert frames[0].decoded.size == (240, 320)
    numbers = [number_in(frame.picture) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "none is missing, none comes twice"
    first, last = ACTION.start - RATE // 2, ACTION.stop + RATE * 3 // 2
    assert numbers[0] == pytest.approx(first + ahead.at("start"), abs=RATE // 3)
    assert numbers[-1] == pytest.approx(last + ahead.at("end"), abs=RATE // 3 + 4)  # and two segments' ends
    steps = np.diff([frame.pts_ns for frame in frames]) / NS_PER_MS
    assert steps == pytest.approx(np.full(len(steps), 1000 / RATE), abs=2)


class Ahead:
    """The number of frames by which the main stream is ahead of the sub-stream, as they arrive."""

    def __init__(self, recorded: RecordedCamera, monkeypatch: pytest.MonkeyPatch) -> None:
        self._small: dict[int, int] = {}  # arrival in ns -> number
        self._began_ns: list[int] = []  # when the main stream's frame 0 came, by each of its frames
        self._decided_ns: dict[str, int] = {}  # type of event -> arrival of the frame that decided it
        recorder, thread = recorded.recorder, recorded.camera._thread
        take, record_frame, record_event = thread._take, recorder.frame, recorder.event

        def taken(frame: Frame) -> None:
            self._small[frame.received_ns] = number_in(frame.picture)
            take(frame)

        def recorded_frame(frame: Frame) -> None:
            self._began_ns.append(frame.received_ns - number_in(frame.picture) * NS_PER_S // RATE)
            record_frame(frame)

        def recorded_event(event: ActionEvent, scores: Scores | None) -> None:
            if scores:
                self._decided_ns[event.type] = scores.received_ns
            record_event(event, scores)

        monkeypatch.setattr(thread, "_take", taken)
        monkeypatch.setattr(recorder, "frame", recorded_frame)
        monkeypatch.setattr(recorder, "event", recorded_event)

    def at(self, kind: Literal["start", "end"]) -> float:
        """Return the lead when this was decided, in frames."""
        decided_ns = self._decided_ns[kind]
        return (decided_ns - min(self._began_ns)) * RATE / NS_PER_S - self._small[decided_ns]


def test_a_main_stream_that_does_not_answer_is_reported_and_costs_no_event(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """The camera streams on; its status says why nothing is recorded. Disabled, neither stream plays."""
    keys = {"source": str(make_video(frames=90, rate=RATE)), "loop": True}

    def plays() -> bool:
        return "main stream door" in [thread.name for thread in threading.enumerate()]

    with RecordedCamera(broker, motion, tmp_path, **keys, record_source="rtsp://127.0.0.1:1/x") as recorded:
        camera = recorded.camera

        def trouble() -> str:
            status = camera.status()
            return status.reason if status.state == "streaming" else ""

        eventually(lambda: re.match(r"record_source unreachable: rtsp://127.0.0.1:1/x: .* refused", trouble()))
        assert plays()
        camera.set_enabled(False)
        eventually(lambda: camera.status().state == "disabled" and not plays())
        camera.set_enabled(True)
        eventually(plays)
    eventually(lambda: not plays())


def test_a_main_stream_stays_in_trouble_until_a_frame_comes() -> None:
    state = MainStreamState("door")
    for reported in ("unreachable", "connecting"):
        state.report(reported, "refused")  # type: ignore[arg-type]
        assert state.trouble == "record_source unreachable: refused"
    state.report("streaming", "")
    assert state.trouble == ""


def test_times_of_arrival_are_as_even_as_the_cameras_own() -> None:
    """Delayed frames keep their distances; time grows over a reconnect; any origin of a clock will do."""
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
