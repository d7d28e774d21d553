"""The cache of decoded videos: gaps in a video, damaged cache files, and trainings that share the cache."""

from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_training.data import video_cache
from edge_tdn_training.data.augment import centre_crop, decoded_short_side
from edge_tdn_training.data.dataset import DataSet, Video
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.video_cache import decode

from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import VideoWriter
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S
from edge_tdn.segments.window import Window
from tests.conftest import number_in

pytestmark = [
    pytest.mark.training,
    pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages"),
]


@pytest.fixture
def with_gaps(make_video: Callable[..., Path]) -> Callable[..., Path]:
    """with_gaps(20, 30) -> a numbered video of 15 frames a second, with a second without frames between its runs."""

    def make(*runs: int) -> Path:
        plain, before = make_video(sum(runs), name="plain.mp4"), np.repeat(range(len(runs)), runs)
        path = plain.with_name("gaps.mp4")
        with closing(VideoWriter(path)) as writer:
            for frame, gaps in zip(read_file(plain), before, strict=True):
                writer.write(frame.picture, frame.pts_ns + int(gaps) * NS_PER_S)
            writer.finish()
        return path

    return make


def decode_one(video: Path, cache: Path, rate: float = 15, short_side: int = 48) -> DecodedDataSet:
    return decode(DataSet(("a",), (Video(video, 0, "x"),), (0,)), rate, short_side, cache)


@pytest.mark.parametrize(
    ("runs", "used"), [((20, 30), range(20, 50)), ((30, 20), range(30)), ((9, 30, 9), range(9, 39))]
)
def test_of_a_video_with_gaps_the_longest_run_is_used(
    runs: tuple[int, ...], used: range, with_gaps: Callable[..., Path], tmp_path: Path
) -> None:
    """A note reports it, also when the video is in the cache already."""
    video = with_gaps(*runs)
    for _ in range(2):
        decoded = decode_one(video, tmp_path / "cache")
        frames = decoded.frames[0]
        assert [number_in(picture) for picture in frames.take(np.arange(len(frames)))] == list(used)
        (note,) = decoded.data.notes
        share = f"2.0 s of {sum(runs) / 15:.1f} s"
        assert note == f"{video}: only its longest run, {share}, is used: frames more than 0.5 s apart end a run"


def test_a_run_after_a_gap_has_the_frames_of_the_live_path(with_gaps: Callable[..., Path], tmp_path: Path) -> None:
    """The grid of the ticks begins with the first frame of the run."""
    video = with_gaps(7, 45)
    spec = InputSpec(
        segments=2, height=48, width=48, resize="short_side_centre_crop", short_side=48, frame_rate=12, segment_stride=5
    )
    window = Window(spec, 0.5)
    segments = [segment for frame in read_file(video) for segment in window.push(frame)]
    starts = [n for n, (a, b) in enumerate(pairwise(segments), 1) if b.index <= a.index]
    live = segments[starts[-1] :] if starts else segments
    (frames,) = decode_one(video, tmp_path / "cache", spec.frame_rate, decoded_short_side(spec)).frames
    assert len(live) >= 4
    for segment in live:
        ticks = spec.starts[0] + segment.index * spec.segment_stride + np.arange(FRAMES_PER_SEGMENT)
        assert np.array_equal(centre_crop(frames.take(ticks), spec), segment.frames)


def test_a_video_of_one_frame_a_second_is_skipped(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """Its frames are too far apart for the live path as well."""
    with pytest.raises(ConfigError, match=r"1 frames at 12 a second; .* frames more than 0\.5 s apart end"):
        decode_one(make_video(40, rate=1), tmp_path / "cache", rate=12)


@pytest.mark.parametrize("length", [0, 60, 5000])
def test_a_truncated_cache_file_is_decoded_again(length: int, make_video: Callable[..., Path], tmp_path: Path) -> None:
    """As after a power cut or a full disk: its data, its header, or all of it is missing."""
    video = make_video(20)
    whole = decode_one(video, tmp_path / "cache").frames[0].take(np.arange(20))
    (file,) = (tmp_path / "cache").rglob("*.npy")
    file.write_bytes(file.read_bytes()[:length])
    assert np.array_equal(decode_one(video, tmp_path / "cache").frames[0].take(np.arange(20)), whole)


def test_a_cache_file_that_another_training_has_written_stays_until_it_is_replaced(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other training reads it at any time."""
    video, cache = make_video(20), tmp_path / "cache"
    decode_one(video, cache)
    (file,) = cache.rglob("*.npy")
    content, renamed = file.read_bytes(), Path.replace
    file.unlink()

    def replace(scratch: Path, target: Path) -> Path:
        assert file.read_bytes() == content
        return renamed(scratch, target)

    def read(*arguments: object, **options: object) -> object:
        file.write_bytes(content)
        return read_file(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(video_cache, "read_file", read)
    monkeypatch.setattr(Path, "replace", replace)
    decode_one(video, cache)
    assert file.read_bytes() == content
