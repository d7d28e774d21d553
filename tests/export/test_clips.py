"""Clips for comparison and calibration are those of the live path."""

import math
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_tdn_export.clips import find_videos, first_clip, read_clips, total_clips
from edge_tdn_export.video_files import Reading

from edge_tdn.capture.picture_folder import Pictures
from edge_tdn.capture.source import Source
from edge_tdn.capture.video_file import read_file
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import ModelError, SourceError
from edge_tdn.manifest import InputSpec
from edge_tdn.media.video_writer import write_video
from edge_tdn.segments.window import Window
from tests.conftest import number_in

SPEC = InputSpec(segments=4, height=64, width=96, resize="stretch", frame_rate=15.0, segment_stride=3)


def test_clips_have_the_segments_of_a_camera(make_video: Callable[..., Path]) -> None:
    video = make_video(45)
    source = Source(CameraConfig(name="live", source=str(video)), Path("/"), lambda state, reason: None)
    window = Window(SPEC, 0.5)
    live = [segment for frame in source.frames(threading.Event()) for segment in window.push(frame)]
    (recording,) = read_clips(video.parent, SPEC).recordings
    assert len(recording.segments) == len(live) > 10
    for ours, theirs in zip(recording.segments, live, strict=True):
        assert (ours.index, ours.from_ns, ours.to_ns) == (theirs.index, theirs.from_ns, theirs.to_ns)
        assert np.array_equal(ours.frames, theirs.frames)


def test_whole_file_is_read_faster_than_it_plays(make_video: Callable[..., Path]) -> None:
    frames = list(read_file(make_video(90, rate=1)))
    assert [number_in(frame.picture) for frame in frames] == list(range(90))
    assert frames[-1].pts_ns > 88e9
    assert frames[-1].received_ns - frames[0].received_ns < frames[-1].pts_ns / 2


def test_clips_slide_over_the_segments(make_video: Callable[..., Path]) -> None:
    (recording,) = read_clips(make_video(45), SPEC).recordings
    lasts = recording.lasts(SPEC)
    assert list(lasts)[:3] == [3, 4, 5]
    assert list(recording.lasts(SPEC, 2))[:3] == [3, 5, 7]
    assert total_clips([recording], SPEC) == len(lasts)
    clip = recording.clip(5, SPEC)
    assert clip.shape == (4, 5, 64, 96, 3)
    assert [number_in(picture) for picture in clip[0]] == [7, 8, 9, 10, 11]  # segment 2 begins at 1 + 2 * 3


def test_videos_without_a_clip_are_named_and_skipped(make_video: Callable[..., Path]) -> None:
    folder = make_video(45, name="good.mp4").parent
    make_video(4, name="four_frames.mp4")
    (folder / "damaged.mp4").write_bytes((folder / "good.mp4").read_bytes()[:300])
    (folder / "empty.MTS").write_bytes(b"")
    (folder / "notes.txt").write_text("no video")
    (folder / "gone.wmv").symlink_to("/nowhere.wmv")
    (folder / "old.rm").write_bytes(b"")
    clips = read_clips(folder, SPEC)
    assert [recording.name for recording in clips.recordings] == ["good.mp4"]
    assert len(clips.skipped) == 5
    reasons = "\n".join(clips.skipped)
    expected = ("four_frames.mp4: too short", "damaged.mp4", "empty.MTS: the file is empty", "old.rm: the suffix .rm")
    for part in (*expected, "gone.wmv: a link to /nowhere.wmv, which does not exist"):
        assert part in reasons


def test_error_without_any_clip_names_every_reason(make_video: Callable[..., Path], tmp_path: Path) -> None:
    video = make_video(4, name="four_frames.mp4")
    with pytest.raises(ModelError, match=r"not one clip in 1 video\(s\):\n.*four_frames\.mp4: too short.* 1\.0 s"):
        read_clips(video.parent, SPEC)
    with pytest.raises(ModelError, match="no such folder"):
        read_clips(tmp_path / "nowhere", SPEC)
    (tmp_path / "bare").mkdir()
    with pytest.raises(ModelError, match="no video in it"):
        find_videos(tmp_path / "bare")


@pytest.mark.parametrize(
    ("segments", "stride", "rate", "parts"), [(8, 5, 12, (1,)), (8, 4, 15, (1,)), (4, 6, 25, (1, 2))]
)
def test_the_figure_of_a_video_that_is_too_short_is_the_one_that_is_needed(
    segments: int, stride: int, rate: int, parts: tuple[int, ...], tmp_path: Path
) -> None:
    """A published clip of 8 segments at 12 frames per second spans 3.3 s, and needs a video of 3.5 s."""
    spec = InputSpec(
        segments=segments,
        height=64,
        width=96,
        resize="stretch",
        frame_rate=rate,
        segment_stride=stride,
        per_segment=parts,
    )
    black = np.zeros((48, 64, 3), np.uint8)
    for clips in (1, 2):
        enough = math.floor(spec.needed_s(clips) * rate + 1e-6)
        for frames, expected in ((enough, clips), (spec.first_clip_ticks + (clips - 1) * stride - 1, clips - 1)):
            path = tmp_path / f"{clips}-{frames}.mp4"
            write_video([black] * frames, rate, path)
            if expected:
                (recording,) = read_clips(path, spec).recordings
                assert len(recording.lasts(spec)) == expected
                continue
            with pytest.raises(ModelError, match=f"too short, a clip of this model needs {spec.needed_s():.1f} s"):
                read_clips(path, spec)
    assert (segments, stride, rate) != (8, 5, 12) or spec.needed_s() == 3.5


def test_a_list_of_frame_folders_is_a_source_of_clips(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """The pictures are taken at the model's rate, and missing ones are named."""
    video = make_video(45)
    for name, quality in (("one", 95), ("two", 90)):
        folder = tmp_path / "img" / name
        folder.mkdir(parents=True)
        for number, frame in enumerate(read_file(video), 1):
            picture = folder / f"img_{number:05d}.jpg"
            cv2.imwrite(str(picture), frame.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    (tmp_path / "val.txt").write_text("one 45 0\ntwo 45 1\ngone 45 1\n")
    found = read_clips(tmp_path / "val.txt", SPEC, reading=Reading(videos_in=tmp_path / "img"))
    assert found.note == f"{tmp_path / 'val.txt'}: list of frame folders, as of TSN and TDN, 2 videos"
    assert found.skipped == (f"{tmp_path / 'val.txt'}:3: {tmp_path / 'img/gone'}: no such video",)
    assert [recording.name for recording in found.recordings] == ["one", "two"]
    (expected,) = read_clips(video, SPEC).recordings
    for recording in found.recordings:
        assert [[number_in(p) for p in s.frames] for s in recording.segments] == [
            [number_in(p) for p in s.frames] for s in expected.segments
        ]
    (below,) = read_clips(tmp_path / "img/one", SPEC).recordings
    assert len(below.segments) == len(expected.segments)
    (tmp_path / "links").mkdir()
    (tmp_path / "links/0000-one").symlink_to(tmp_path / "img/one")  # as a fine-tuning gathers its videos
    assert [one.name for one in read_clips(tmp_path / "links", SPEC).recordings] == ["0000-one"]
    half = read_clips(tmp_path / "img", SPEC, reading=Reading(pictures=Pictures(per_second=7.5)))
    assert len(half.recordings[0].segments) > 2 * len(expected.segments) - 5
    assert np.array_equal(
        first_clip(below, SPEC, "opencv", None), np.stack([s.frames for s in below.segments[: SPEC.segments]])
    )


def test_videos_outside_of_the_lists_folder_have_names_of_their_own(make_video: Callable[..., Path]) -> None:
    """However the list is named: the file's name alone would make one recording of them."""
    folder = make_video(30, name="a/clip.mp4").parent.parent
    make_video(31, name="b/clip.mp4")
    (folder / "lists").mkdir()
    (folder / "lists/val.txt").write_text(f"../a/clip.mp4 0\n{folder}/b/clip.mp4 1\n")
    for path in (folder / "lists/val.txt", Path(os.path.relpath(folder / "lists/val.txt"))):
        assert [one.name for one in read_clips(path, SPEC).recordings] == ["../a/clip.mp4", "../b/clip.mp4"]


def test_copies_of_a_video_are_one_recording(make_video: Callable[..., Path]) -> None:
    """Under any name, and as folders of the same pictures."""
    folder = make_video(30, name="good.mp4").parent
    shutil.copyfile(folder / "good.mp4", folder / "Kopie von good.mp4")
    for name in ("x", "y"):
        (folder / name).mkdir()
        for number, frame in enumerate(read_file(folder / "good.mp4"), 1):
            cv2.imwrite(str(folder / name / f"img_{number:05d}.jpg"), frame.picture[..., ::-1])
    found = read_clips(folder, SPEC)
    assert [one.name for one in found.recordings] == ["Kopie von good.mp4", "x"]
    assert found.skipped == (
        f"{folder / 'good.mp4'}: a copy of {folder / 'Kopie von good.mp4'}",
        f"{folder / 'y'}: a copy of {folder / 'x'}",
    )


def test_many_short_videos_give_one_clip_each_up_to_the_limit(make_video: Callable[..., Path]) -> None:
    """Evenly spaced videos are read, as from a data set of thousands of short files."""
    folder = make_video(30, name="00.mp4").parent
    for n in range(1, 12):
        shutil.copyfile(folder / "00.mp4", folder / f"{n:02}.mp4")
        with (folder / f"{n:02}.mp4").open("ab") as file:
            file.write(bytes(n))  # no copy
    clips = read_clips(folder, SPEC, max_segments=4 * SPEC.segments)
    assert [recording.name for recording in clips.recordings] == ["00.mp4", "03.mp4", "06.mp4", "09.mp4"]
    assert all(len(recording.segments) == SPEC.segments for recording in clips.recordings)


def test_read_file_names_a_damaged_file(make_video: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 100)
    with pytest.raises(SourceError, match=r"junk\.mp4"):
        list(read_file(tmp_path / "junk.mp4"))
