"""The thread of a camera: frames to segments and recorder, pauses, stops and failures; without a camera."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.errors import SourceError
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.service.camera_status import CameraStatusTracker
from edge_tdn.service.camera_thread import CameraThread
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.recorder_slot import RecorderSlot
from tests.support.actions import numbered_frame
from tests.support.fakes import SPEC, ClipLog, FakeSource, PublisherLog, RecorderLog, fail
from tests.support.waiting import eventually
from tests.support.zones import fake_zones


class StubStream:
    """A main stream that plays nothing."""

    trouble = ""

    def __init__(self) -> None:
        self.playing = False

    def __enter__(self) -> None:
        self.playing = True

    def __exit__(self, *_: object) -> None:
        self.playing = False


class Threaded:
    """A camera's thread on a fake source. Clips are computed when the test asks for it."""

    def __init__(self, motion: Model, main_stream: StubStream | None = None, retry_s: float | None = None) -> None:
        self._scheduler = Scheduler(fail)
        self.log, self.source, self.recorder = ClipLog(), FakeSource(), RecorderLog()
        publisher: Any = PublisherLog()
        topics = CameraTopics(publisher, "door")
        config = Config.model_validate({"camera": [{"name": "door", "source": "demo:", "max_gap_s": 0.5}]})
        zones = fake_zones(motion, config, self._scheduler, topics, self.log)
        self.status = CameraStatusTracker(config.camera[0], topics, zones)
        slot = RecorderSlot()
        slot.replace(self.recorder)
        source: Any = self.source
        self.thread = CameraThread("door", source, zones, self.status, slot, main_stream, retry_s)

    def breaks(self) -> list[str]:
        """Compute what was submitted, and return the breaks so far."""
        self._scheduler.turn()
        return [item for item in self.log.received if isinstance(item, str)]


@pytest.fixture
def threaded(motion: Model) -> Iterator[Threaded]:
    one = Threaded(motion)
    yield one
    one.thread.demand.stop("the test is over")
    one.thread.join(60)


def test_frames_are_counted_recorded_and_fed(threaded: Threaded) -> None:
    assert not threaded.thread.started
    threaded.thread.start()
    threaded.source.put(*(numbered_frame(n, n / 10) for n in range(1, 13)))
    eventually(lambda: len(threaded.recorder.frames) == 12 and threaded.thread.picture is not None)
    assert threaded.status.status().frames == 12
    assert [frame.seq for frame in threaded.recorder.frames] == list(range(1, 13))
    assert threaded.status.status().decoder == "fake"
    assert threaded.thread.picture is not None
    assert threaded.thread.picture.shape == (SPEC.height, SPEC.width, 3)


def test_a_thread_that_cannot_start_counts_as_not_started(threaded: Threaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process may have no more threads: joins return, and the next start works."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threaded.thread.start()
    assert not threaded.thread.started
    assert not threaded.thread.running
    threaded.thread.join(60)
    threaded.thread.start()
    assert threaded.thread.started


def test_a_source_that_ends_by_itself_ends_the_thread(threaded: Threaded) -> None:
    threaded.thread.start()
    threaded.source.put(numbered_frame(1, 0.1), None)
    threaded.thread.join(60)
    assert not threaded.thread.running
    assert threaded.thread.failure is None
    assert threaded.breaks() == ["video_ended"]


def test_a_source_that_fails_for_good_leaves_its_reason(threaded: Threaded) -> None:
    threaded.thread.start()
    threaded.source.put(SourceError("door: damaged", "ended"))
    threaded.thread.join(60)
    assert str(threaded.thread.failure) == "door: damaged"
    assert threaded.thread.failure is not None
    assert threaded.thread.failure.state == "ended"
    assert threaded.thread.failure.__traceback__ is None, "it would keep the whole camera"
    assert threaded.breaks() == ["stream_lost"]


def test_an_unforeseen_failure_is_logged_and_reported(threaded: Threaded, caplog: pytest.LogCaptureFixture) -> None:
    threaded.thread.start()
    threaded.source.put(RuntimeError("no such luck"))
    threaded.thread.join(60)
    status = threaded.status.status()
    assert (status.state, status.reason) == ("unreachable", "camera door failed: RuntimeError('no such luck')")
    assert "camera=door failed" in caplog.text


def test_live_source_with_an_unforeseen_failure_is_played_again(
    motion: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """Like one that cannot be reached: a camera must not be lost until the daemon is started again."""
    threaded = Threaded(motion, retry_s=0.01)
    threaded.thread.start()
    threaded.source.put(numbered_frame(1, 0.1), RuntimeError("no such luck"))
    eventually(lambda: threaded.source.plays == 2)
    status = threaded.status.status()
    assert (status.state, status.reason) == ("unreachable", "camera door failed: RuntimeError('no such luck')")
    assert threaded.breaks() == ["stream_lost"]
    threaded.source.put(numbered_frame(2, 0.2))
    eventually(lambda: threaded.status.status().frames == 2)
    assert threaded.thread.running
    assert threaded.thread.failure is None
    assert caplog.text.count("camera=door failed") == 1
    threaded.thread.demand.stop("the test is over")
    threaded.thread.join(60)


def test_a_pause_ends_the_play_and_a_command_starts_it_again(threaded: Threaded) -> None:
    threaded.thread.start()
    eventually(lambda: threaded.source.plays == 1)
    threaded.thread.demand.set_enabled(False)
    eventually(lambda: threaded.status.state == "disabled")
    assert threaded.breaks() == ["disabled"]
    assert threaded.thread.running
    threaded.thread.demand.set_enabled(True)
    eventually(lambda: threaded.source.plays == 2)


def test_a_stop_while_it_streams_is_the_end_of_the_stream(threaded: Threaded) -> None:
    threaded.thread.start()
    eventually(lambda: threaded.source.plays == 1)
    threaded.status.change("streaming", "")
    threaded.thread.demand.stop("the daemon was stopped")
    threaded.thread.join(60)
    status = threaded.status.status()
    assert (status.state, status.reason) == ("ended", "the daemon was stopped")
    assert threaded.breaks() == ["shutdown"]


def test_a_camera_that_is_disabled_can_be_stopped(threaded: Threaded) -> None:
    threaded.thread.demand.set_enabled(False)
    threaded.thread.start()
    eventually(lambda: threaded.status.state == "disabled")
    threaded.thread.demand.stop("removed")
    threaded.thread.join(60)
    assert not threaded.thread.running
    assert threaded.source.plays == 0
    assert threaded.status.state == "disabled"


def test_a_main_stream_plays_along_and_is_recorded_in_place_of_the_source(motion: Model) -> None:
    stream = StubStream()
    threaded = Threaded(motion, stream)
    threaded.thread.start()
    threaded.source.put(numbered_frame(1, 0.1))
    eventually(lambda: threaded.status.status().frames == 1)
    assert stream.playing
    threaded.thread.demand.stop("")
    threaded.thread.join(60)
    assert not stream.playing
    assert threaded.recorder.frames == []


def test_the_thread_is_named_after_its_camera(threaded: Threaded) -> None:
    threaded.thread.start()
    assert "camera door" in [thread.name for thread in threading.enumerate()]
