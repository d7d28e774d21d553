"""Cutting clips from frames: gaps and slow cameras, and a disk that is full."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import EdgeTdnError, SourceError
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S, Frame
from edge_tdn.teaching.clip_cutter import RecordingPlan, cut_clips

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


def slowed(video: Path, frame_rate: float) -> Iterator[Frame]:
    """Yield the frames of a video with the times of a camera of another frame rate."""
    for frame in read_file(video):
        yield replace(frame, pts_ns=round(frame.seq * NS_PER_S / frame_rate))


def test_a_slow_camera_is_an_error_that_states_its_rate(make_video: Callable[..., Path], tmp_path: Path) -> None:
    plan = RecordingPlan(tmp_path, "s", count=1, seconds=3.0, pause=1.0, max_gap_s=0.5)
    with pytest.raises(SourceError, match=r"interrupted 5 times by more than 0\.5 s .* 1\.0 frames a second"):
        list(cut_clips(slowed(make_video(frames=40), frame_rate=1), plan))
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_the_gap_that_a_camera_allows_is_its_own(make_video: Callable[..., Path], tmp_path: Path) -> None:
    plan = RecordingPlan(tmp_path, "s", count=2, seconds=3.0, pause=1.0, max_gap_s=1.5)
    assert len(list(cut_clips(slowed(make_video(frames=40), frame_rate=1), plan))) == 2


def test_gaps_are_counted_for_each_clip(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """A gap in every clip, fewer in each than are an error."""

    def frames() -> Iterator[Frame]:
        for frame in read_file(make_video(frames=300)):
            yield replace(frame, pts_ns=frame.pts_ns + frame.seq // 25 * NS_PER_S)

    plan = RecordingPlan(tmp_path, "s", count=7, seconds=1.0, pause=0.0, max_gap_s=0.5)
    assert len(list(cut_clips(frames(), plan))) == 7


def test_a_full_disk_is_an_error_that_names_the_clip(make_video: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / ".s-001.mp4.part").symlink_to("/dev/full")
    plan = RecordingPlan(tmp_path, "s", count=1, seconds=1.0, pause=0.0, max_gap_s=0.5)
    with pytest.raises(EdgeTdnError) as error:
        list(cut_clips(read_file(make_video(frames=60)), plan))
    text = str(error.value)
    assert text.startswith(f"{tmp_path}/s-001.mp4: cannot be written: ")
    assert ".part" not in text
    assert "free some disk space, or choose another folder with --out" in text
