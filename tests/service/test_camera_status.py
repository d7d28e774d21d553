"""The state and the figures of a camera, without a camera."""

import logging
import time
from dataclasses import replace
from typing import Any

import pytest

from edge_tdn.config.tables import Config
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.messages import NS_PER_S
from edge_tdn.service.camera_status import FRUITLESS_RUNS, CameraStatusTracker
from edge_tdn.service.camera_topics import CameraTopics
from tests.support.actions import clip_scores, numbered_frame
from tests.support.fakes import PublisherLog, fail
from tests.support.zones import fake_zones


class Tracked:
    """A status tracker, and what it publishes."""

    def __init__(self, motion: Model) -> None:
        self.publisher: Any = PublisherLog()
        self.topics = CameraTopics(self.publisher, "door")
        camera = {"name": "door", "source": "rtsp://u:secret@127.0.0.1/x", "max_gap_s": 0.5}
        config = Config.model_validate({"camera": [camera]})
        zones = fake_zones(motion, config, Scheduler(fail), self.topics)
        self.zone = zones.zones[0]
        self.lane, self.clips = self.zone.feed.pipeline.lane, self.zone.clips
        self.trouble = ""
        self.tracker = CameraStatusTracker(config.camera[0], self.topics, zones, lambda: self.trouble)


@pytest.fixture
def tracked(motion: Model) -> Tracked:
    return Tracked(motion)


def test_trouble_lasts_since_it_began_and_not_since_the_last_try(tracked: Tracked) -> None:
    statuses = []
    for state, reason in (
        ("streaming", ""),
        ("stalled", "no picture"),
        ("connecting", ""),
        ("unreachable", "refused"),
        ("connecting", ""),
        ("unreachable", "refused"),
        ("connecting", ""),
        ("unreachable", "no route"),
        ("streaming", ""),
    ):
        tracked.tracker.change(state, reason)  # type: ignore[arg-type]
        statuses.append(tracked.tracker.status())
        time.sleep(0.002)
    states = [status.state for status in statuses]
    assert states == ["streaming", "stalled", "stalled", *["unreachable"] * 5, "streaming"]
    assert len({status.since for status in statuses}) == 4, "one for each change of state"
    assert statuses[-2].reason == "no route"
    assert [status.connects for status in statuses] == [1] * 8 + [2]
    assert len(tracked.publisher.statuses) == 5, "each change once, be it of the reason alone"


def test_only_the_end_of_streaming_breaks_a_stream(tracked: Tracked) -> None:
    changes = ("streaming", "stalled", "unreachable", "streaming", "frozen", "ended")
    assert [tracked.tracker.change(state, "") for state in changes] == [  # type: ignore[arg-type]
        False,
        True,
        False,
        False,
        True,
        False,
    ]


def test_no_password_is_in_a_reason(tracked: Tracked) -> None:
    tracked.tracker.change("unreachable", "rtsp://u:secret@127.0.0.1/x: refused")
    assert "secret" not in tracked.tracker.status().reason


def test_runs_without_a_segment_are_reported_until_one_comes(tracked: Tracked) -> None:
    tracker = tracked.tracker
    tracker.change("streaming", "")
    for run in range(FRUITLESS_RUNS):
        assert tracker.status().reason == ""
        tracker.begin_run((120, 160), emptied=run > 0)
    status = tracker.status()
    assert status.reason == "no clip: too long between two frames, see max_gap_s (0.5 s)"
    assert (status.gaps, status.width, status.height) == (FRUITLESS_RUNS - 1, 160, 120)
    tracker.segment()
    assert tracker.status().reason == ""


def test_a_camera_slower_than_the_model_is_reported_while_it_is(
    tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model expects 10 frames a second. Also with gaps; a host that is too slow comes first."""
    tracker, now_ns = tracked.tracker, time.monotonic_ns()
    monkeypatch.setattr("time.monotonic_ns", lambda: now_ns)
    tracker.change("streaming", "")
    slow = "2 fps, the model expects 10: frames are repeated, and actions missed"
    for number in range(21):  # 10 s
        assert tracker.status().reason == "" or number > 16
        frame = replace(numbered_frame(number, number / 2), received_ns=now_ns - (20 - number) * NS_PER_S // 2)
        tracker.frame(frame, "avdec_h264", "camera")
    assert tracker.status().reason == slow
    for run in range(FRUITLESS_RUNS):
        tracker.begin_run((120, 160), emptied=run > 0)
    assert tracker.status().reason == f"no clip: too long between two frames, see max_gap_s (0.5 s); {slow}"
    tracker.segment()
    tracked.lane.pace.trouble = "host too slow: a clip every 3 segments instead of 1"
    assert tracker.status().reason == tracked.lane.pace.trouble


def test_what_is_wrong_beside_the_stream_is_the_reason_while_it_streams(tracked: Tracked) -> None:
    tracker = tracked.tracker
    tracked.trouble = "record_source unreachable: refused"
    assert tracker.status().reason == ""
    tracker.change("streaming", "")
    assert tracker.status().reason == tracked.trouble
    tracked.lane.pace.trouble = "host too slow: a clip every 3 segments instead of 1"
    assert tracker.status().reason == tracked.lane.pace.trouble


def test_the_rate_is_that_of_the_last_frames_while_it_streams(
    tracked: Tracked, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, now_ns = tracked.tracker, time.monotonic_ns()
    for n in range(1, 11):
        now_ns += NS_PER_S // 100
        monkeypatch.setattr("time.monotonic_ns", lambda at_ns=now_ns: at_ns)
        tracker.frame(numbered_frame(n, n / 100), "avdec_h264", "camera")
    assert tracker.status().fps == 0.0
    tracker.change("streaming", "")
    status = tracker.status()
    assert 0 < status.fps <= 100
    assert (status.frames, status.decoder, status.clock) == (10, "avdec_h264", "camera")


def test_a_camera_that_has_left_keeps_its_state(tracked: Tracked) -> None:
    tracked.tracker.change("streaming", "")
    tracked.topics.close()
    tracked.tracker.change("stalled", "no picture")
    tracked.tracker.publish()
    assert tracked.tracker.state == "streaming"
    assert len(tracked.publisher.statuses) == 1


def test_lines_that_a_limit_holds_back_are_logged_before_a_camera_is_freed(
    tracked: Tracked, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(4):  # it flaps
        tracked.tracker.change("stalled", "")
        tracked.tracker.change("streaming", "")
    tracked.tracker.change("ended", "removed from the configuration")
    caplog.clear()
    tracked.tracker.close()
    assert 'camera=door state=ended reason="removed from the configuration"' in caplog.text


def test_the_latency_is_the_median_of_computed_clips(tracked: Tracked) -> None:
    """The scores of a still scene are repeated at once."""
    assert tracked.clips.latency_ms == 0.0
    for latency_ms, repeated in ((10, False), (30, False), (20, False), (0, True), (0, True), (0, True)):
        tracked.clips.count(replace(clip_scores(1.0), scored_ns=latency_ms * 1_000_000, repeated=repeated))
    assert (tracked.clips.clips, tracked.clips.latency_ms) == (6, 20.0)
    assert tracked.tracker.status().latency_ms == 20.0
