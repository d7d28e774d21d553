"""An action cut out of its recording: where it lies, as much as a model needs around it, and thinned recordings."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import EdgeTdnError
from edge_tdn.media import gstreamer
from edge_tdn.media.outline import Outline
from edge_tdn.teaching.labelled import RecordedAction, cut_action, widened
from tests.conftest import number_in

RATE = 15


def action(seconds: float = 4.0, post_roll_s: float = 3.0) -> RecordedAction:
    return RecordedAction(seconds, pre_roll_s=3.0, post_roll_s=post_roll_s, max_clip_s=60.0)


def test_an_action_lies_between_the_rolls() -> None:
    assert action().within(10.0) == (3.0, 7.0)


def test_a_recording_that_was_cut_off_shows_a_part_for_certain() -> None:
    """Whether its start or its end is missing is unknown; both leave this part."""
    assert action().within(9.0) == (3.0, 6.0)


def test_nothing_follows_an_action_that_a_break_has_ended() -> None:
    assert action(post_roll_s=0.0).within(7.0) == (3.0, 7.0)


def test_a_recording_of_the_maximum_length_ends_within_the_action() -> None:
    assert action(seconds=100.0).within(60.0) == (3.0, 60.0)


def test_a_brief_action_is_widened_as_far_as_the_recording_has_it() -> None:
    assert widened((3.0, 3.5), 2.1, 10.0) == pytest.approx((2.2, 4.3))
    assert widened((0.2, 0.5), 2.1, 10.0) == pytest.approx((0.0, 2.1))
    assert widened((9.5, 9.9), 2.1, 10.0) == pytest.approx((7.9, 10.0))
    assert widened((3.0, 7.0), 2.1, 10.0) == (3.0, 7.0)


@given(st.floats(0, 20), st.floats(0, 20), st.floats(0.1, 10))
def test_a_widened_span_holds_the_span_and_stays_in_the_recording(first: float, second: float, seconds: float) -> None:
    span_s = min(first, second), max(first, second)
    start_s, end_s = widened(span_s, seconds, 20.0)
    assert 0.0 <= start_s <= span_s[0] + 1e-9
    assert span_s[1] - 1e-9 <= end_s <= 20.0
    assert end_s - start_s >= seconds - 1e-9


@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
class TestCut:
    """Cutting real files."""

    def test_the_clip_has_the_frames_of_the_span(self, make_video: Callable[..., Path], tmp_path: Path) -> None:
        video = make_video(frames=60, rate=RATE)
        clip = cut_action(video, None, (1.0, 3.0), tmp_path / "a-001.mp4", min_rate=RATE)
        numbers = [number_in(frame.picture) for frame in read_file(clip)]
        assert numbers == list(range(15, 46))

    def test_the_clip_shows_the_zone_alone(self, make_video: Callable[..., Path], tmp_path: Path) -> None:
        left = Outline((0.0, 0.0, 0.5, 1.0))
        clip = cut_action(make_video(frames=30), left, (0.0, 1.0), tmp_path / "a-001.mp4", min_rate=RATE)
        assert {frame.decoded.size for frame in read_file(clip)} == {(96, 64)}

    def test_a_recording_with_too_few_frames_is_refused(self, make_video: Callable[..., Path], tmp_path: Path) -> None:
        video = make_video(frames=30, rate=8)
        with pytest.raises(EdgeTdnError, match=r"only 8\.0 frames a second here, and the model reads 15"):
            cut_action(video, None, (0.0, 3.0), tmp_path / "a-001.mp4", min_rate=RATE)
        assert [path.name for path in tmp_path.iterdir()] == [video.name]

    def test_a_stop_leaves_no_clip(self, make_video: Callable[..., Path], tmp_path: Path) -> None:
        stop = threading.Event()
        stop.set()
        with pytest.raises(EdgeTdnError, match="stopped before"):
            cut_action(make_video(), None, (0.0, 2.0), tmp_path / "a-001.mp4", RATE, stop=stop)
        assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]

    def test_a_full_disk_leaves_no_clip(self, make_video: Callable[..., Path], tmp_path: Path) -> None:
        (tmp_path / ".a-001.mp4.part").symlink_to("/dev/full")
        with pytest.raises(EdgeTdnError, match=r"a-001\.mp4: cannot be written: .*; free some disk space$"):
            cut_action(
                make_video(frames=60), None, (0.0, 3.0), tmp_path / "a-001.mp4", RATE, remedy="free some disk space"
            )
        assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]

    def test_a_file_that_is_not_a_video_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(b"not a video")
        with pytest.raises(EdgeTdnError):
            cut_action(tmp_path / "a.mp4", None, (0.0, 1.0), tmp_path / "a-001.mp4", min_rate=RATE)
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
