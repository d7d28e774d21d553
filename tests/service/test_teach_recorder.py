"""Recording clips for the page: countdown, stop, a camera that falls silent or restarts, and a full disk."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edge_tdn.capture.video_file import read_file
from edge_tdn.hub.camera_view import CameraView
from edge_tdn.hub.teaching_access import RecordRequest, RecordState, TeachingRefused
from edge_tdn.media import gstreamer
from edge_tdn.media.outline import Outline
from edge_tdn.messages import NS_PER_S
from edge_tdn.service import teach_recorder
from edge_tdn.service.teach_recorder import MAX_TAPPED, RecorderJob, TeachRecorder
from edge_tdn.teaching.clip_cutter import RecordingPlan
from tests.support.actions import numbered_frame
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
RATE = 15


@pytest.fixture(autouse=True)
def _a_stop_is_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stop wait until the clip under way is deleted, however long a busy machine takes for that."""
    monkeypatch.setattr(teach_recorder, "STOP_S", PATIENCE_S)


class Stage:
    """A recorder, and a camera that a test plays."""

    def __init__(self, folder: Path, silence_s: float = 60.0) -> None:
        self.view = CameraView("door")
        self.states: list[RecordState] = []
        self.recorder = TeachRecorder(self.states.append, silence_s)
        self.folder = folder / "clips" / "wave"
        self._seq = 0

    def job(self, count: int = 2, pause: float = 0.0, outline: Outline | None = None) -> RecorderJob:
        request = RecordRequest(camera="door", zone=None, label="wave", count=count, seconds=1.0, pause=pause)
        self.folder.mkdir(parents=True, exist_ok=True)
        return RecorderJob(request, self.view, outline, RecordingPlan(self.folder, "s", count, 1.0, pause, 0.5, 4, "-"))

    def play(self, seconds: float, stream: int = 1, from_seq: int | None = None) -> None:
        """Let frames arrive, faster than in real time, but not faster than they are encoded."""
        self._seq = self._seq if from_seq is None else from_seq
        for _ in range(round(seconds * RATE)):
            self._seq += 1
            frame = numbered_frame(self._seq, self._seq / RATE)
            self.view.frame(replace(frame, stream=stream))
            while any(len(tap._frames) > MAX_TAPPED // 2 for tap in self.view._taps):
                time.sleep(0.002)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def ended(self) -> RecordState:
        eventually(lambda: not self.recorder.busy, describe=lambda: str(self.recorder.state))
        self.recorder.join(PATIENCE_S)
        return self.recorder.state


@contextmanager
def playing(stage: Stage) -> Iterator[None]:
    """Play the camera in the background."""
    stop = threading.Event()

    def play() -> None:
        while not stop.is_set():
            stage.play(0.1)

    camera = threading.Thread(target=play)
    camera.start()
    try:
        yield
    finally:
        stop.set()
        camera.join()
        stage.recorder.close()


def test_clips_are_recorded_after_a_countdown(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    begun = stage.recorder.start(stage.job(count=2, pause=2.0))
    assert (begun.state, begun.number, begun.count, begun.left_s) == ("ready", 1, 2, 2.0)
    with playing(stage):
        state = stage.ended()
    assert (state.state, state.made, state.text) == ("done", 2, "")
    assert stage.names == ["s-004.mp4", "s-005.mp4"], "numbers continue"
    frames = list(read_file(stage.folder / "s-004.mp4"))
    assert RATE <= len(frames) <= RATE + 1
    phases = [(one.state, one.number) for one in stage.states]
    order = [one for one, before in zip(phases, [None, *phases], strict=False) if one != before]
    assert order == [("ready", 1), ("recording", 1), ("ready", 2), ("recording", 2), ("done", 2)]
    assert all(0.0 <= one.share <= 1.0 and one.left_s >= 0.0 for one in stage.states)
    assert [one.made for one in stage.states] == sorted(one.made for one in stage.states)


def test_states_come_at_most_four_times_a_second(tmp_path: Path) -> None:
    """In real time; a new phase comes at once."""
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(count=1))
    began_s = time.monotonic()
    times: list[float] = []
    seen = 0
    while stage.recorder.busy:
        stage.play(1 / RATE)
        time.sleep(1 / RATE)
        times += [time.monotonic()] * (len(stage.states) - seen)
        seen = len(stage.states)
    assert len(times) <= 3 + 4 * (time.monotonic() - began_s)
    assert stage.ended().state == "done"


def test_a_stop_deletes_the_clip_under_way(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(count=50))
    with playing(stage):
        eventually(lambda: stage.recorder.state.made >= 1)
        state = stage.recorder.stop()
    assert state.state == "done"
    assert state.text == f"stopped after {state.made} of 50 clips"
    assert len(stage.names) == state.made
    assert not [name for name in stage.names if name.startswith(".")]


def test_a_class_without_a_clip_is_not_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(pause=60.0))
    assert stage.folder.exists()
    stage.recorder.stop()
    stage.ended()
    assert not stage.folder.exists()


def test_one_recording_at_a_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(pause=60.0))
    with pytest.raises(TeachingRefused, match="door is being recorded"):
        stage.recorder.start(stage.job())
    stage.recorder.stop()
    stage.recorder.start(stage.job(count=1))
    with playing(stage):
        assert stage.ended().state == "done"


def test_a_camera_without_frames_ends_the_recording(tmp_path: Path) -> None:
    stage = Stage(tmp_path, silence_s=0.5)
    stage.recorder.start(stage.job(count=5))
    state = stage.ended()
    assert (state.state, state.text) == ("failed", "door sends no pictures any more")
    assert not stage.names


def test_a_clip_is_recorded_again_after_a_restart_of_the_camera(tmp_path: Path) -> None:
    """Its new source counts streams and frames from the start, and its times may have gone back."""
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(count=1))
    eventually(lambda: stage.view._taps)
    stage.play(0.8)
    stage.play(0.8, from_seq=0)
    assert stage.recorder.busy, "neither of both runs is long enough"
    stage.play(0.4)
    assert stage.ended().state == "done"
    times = [frame.pts_ns for frame in read_file(stage.folder / "s-004.mp4")]
    assert max(after - before for before, after in pairwise(times)) < 0.1 * NS_PER_S
    assert len(times) >= RATE


def test_frames_that_are_lost_again_and_again_are_an_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(count=1))
    eventually(lambda: stage.view._taps)
    for number in range(6):
        stage.play(0.5, from_seq=1 + 9 * number)
    state = stage.ended()
    assert state.state == "failed"
    assert "this host is too busy" in state.text
    assert not stage.names


def test_a_zone_is_recorded_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(count=1, outline=Outline((0.0, 0.0, 0.5, 1.0))))
    with playing(stage):
        state = stage.ended()
    assert state.state == "done", state
    (frame, *_) = read_file(stage.folder / "s-004.mp4")
    assert frame.decoded.size == (120, 80)


def test_a_zone_with_too_few_pixels_is_an_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job(count=1, outline=Outline((0.0, 0.0, 0.1, 1.0))))
    with playing(stage):
        state = stage.ended()
    assert state.state == "failed"
    assert "a zone needs at least 32x32" in state.text


def test_a_full_disk_ends_the_recording_with_a_reason(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    job = stage.job(count=2)
    (stage.folder / ".s-004.mp4.part").symlink_to("/dev/full")
    stage.recorder.start(job)
    with playing(stage):
        state = stage.ended()
    assert state.state == "failed"
    assert "s-004.mp4: cannot be written: " in state.text
    assert not stage.names


def test_a_fault_in_the_code_ends_the_recording_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Iterator[Path]:
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr("edge_tdn.service.teach_recorder.cut_clips", fail)
    stage = Stage(tmp_path)
    stage.recorder.start(stage.job())
    state = stage.ended()
    assert (state.state, state.text) == ("failed", "ZeroDivisionError: no luck; the log says where")
    assert not stage.view._taps
