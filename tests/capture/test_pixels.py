"""Pixels: sizes, layouts, colours and changes of size arrive as they were encoded."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Frame
from tests.support.patterns import BLUE, RED, bars, edge, encode, still
from tests.support.running_source import RunningSource

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
Run = Callable[..., RunningSource]


@both
def test_rows_of_an_odd_width_line_up(run: Run, tmp_path: Path, decoder: str) -> None:
    """321 x 241: a row of RGB is padded to a multiple of four bytes; a vertical edge stays vertical."""
    pictures = still(edge(241, 321), tmp_path, 5)
    path = encode(f"{pictures} ! videoconvert ! jpegenc quality=95 ! avimux", tmp_path / "odd.avi")
    check_edge(run(path, decoder).end().frames, 5)


def test_rows_of_an_odd_width_line_up_without_a_decoder(run: Run, tmp_path: Path) -> None:
    """The same for raw video, which comes from another allocator."""
    check_edge(run(f"gst: {still(edge(241, 321), tmp_path, 5)}").end().frames, 5)
    colour = "videotestsrc pattern=red num-buffers=5 ! video/x-raw,width=321,height=241"
    for frame in run(f"gst: {colour}").end().frames:
        assert np.abs(frame.picture.astype(int) - (255, 0, 0)).max() <= 1


@pytest.mark.parametrize(
    "layout",
    [
        "I420,colorimetry=bt601",
        "I420,colorimetry=bt709",
        "I420,colorimetry=1:4:0:0",  # all 256 levels, as in JPEG
        "NV12,colorimetry=bt709",
        "YV12",
        "YUY2",
        "Y42B",
        "Y444",
        "I420_10LE",
        "BGRA",
    ],
)
@pytest.mark.parametrize("width", [321, 320])
def test_colours_are_right_for_every_layout_and_standard(run: Run, tmp_path: Path, layout: str, width: int) -> None:
    pictures = still(edge(241, width), tmp_path, 2)
    frames = run(f"gst: {pictures} ! videoconvert ! video/x-raw,format={layout}").end().frames
    check_edge(frames, 2, width)
    assert frames[0].picture[:, :140].reshape(-1, 3).mean(axis=0) == pytest.approx(RED, abs=4)
    assert frames[0].picture[:, 180:].reshape(-1, 3).mean(axis=0) == pytest.approx(BLUE, abs=4)


def test_a_grey_camera_stays_grey(run: Run) -> None:
    grey = "videotestsrc pattern=white foreground-color=0xff646464 num-buffers=2 ! video/x-raw,width=64,height=48"
    for frame in run(f"gst: {grey},format=GRAY8").end().frames:
        assert np.abs(frame.picture.astype(int) - 100).max() <= 2


def check_edge(frames: list[Frame], count: int, width: int = 321) -> None:
    assert len(frames) == count
    for frame in frames:
        assert frame.picture.shape == (241, width, 3)
        blue = frame.picture[:, :, 2].astype(int) > frame.picture[:, :, 0]
        assert set(blue.sum(axis=1)) <= {159, 160, 161, 162}  # every row turns blue in the middle
        assert not blue[:, :150].any()
        assert blue[:, 170:].all()
        assert frame.picture[:, :140].reshape(-1, 3).mean(axis=0) == pytest.approx(RED, abs=8)


@both
def test_a_file_may_change_its_size(run: Run, tmp_path: Path, decoder: str) -> None:
    """Two joined recordings: no error, another stream number, and time that keeps growing at the same speed.

    OpenCV scales the second half to the size of the first, so there the stream stays the same.
    """
    parts = [
        encode(f"{bars(*size)} ! x264enc ! mpegtsmux", tmp_path / f"{size[0]}.ts").read_bytes()
        for size in ((320, 240), (160, 120))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    began = time.monotonic()
    source = run(path, decoder).end()
    assert time.monotonic() - began > 0.8  # two halves of a second
    if decoder == "gstreamer":
        check_two_sizes(source)
    else:
        assert [(frame.stream, *frame.picture.shape[:2]) for frame in source.frames] == [(1, 240, 320)] * 30
        assert source.states[-1] == ("ended", "the video is over")
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))


def test_a_pipeline_may_change_its_size(run: Run) -> None:
    first, second = bars(320, 240), bars(160, 120)
    check_two_sizes(run(f"gst: concat name=both {first} ! both. {second} ! both. both.").end())


def check_two_sizes(source: RunningSource) -> None:
    seen = [(frame.stream, *frame.picture.shape[:2]) for frame in source.frames]
    assert seen == [(1, 240, 320)] * 15 + [(2, 120, 160)] * 15
    assert source.states[-1] == ("ended", "the video is over")
    assert source.error is None


def test_a_pipeline_that_is_not_live_loses_no_frame(run: Run) -> None:
    """A file waits for a slow reader; only a camera's frames are dropped."""
    began = time.monotonic()
    assert run(f"gst: {bars(64, 48, 30, 30)}").end().count == 30
    assert time.monotonic() - began > 0.8


def test_memory_does_not_grow(run: Run) -> None:
    """After the first 200 of 1,500 frames of 0.9 MB it grows by less than 30 MB."""
    process = psutil.Process()
    source = run(f"gst: {bars(640, 480, 1500, 1000)}", keep=False)
    source.wait(lambda: source.count >= 200)
    before = process.memory_info().rss
    source.end()
    assert source.count == 1500
    assert process.memory_info().rss - before < 30e6


@both
@pytest.mark.parametrize("width", [320, 321, 322, 323])
def test_any_width_can_be_written(run: Run, tmp_path: Path, width: int, decoder: str) -> None:
    """Rows are padded as the encoder expects them."""
    write_video((edge(241, width) for _ in range(5)), 15, tmp_path / "edge.mp4")
    check_edge(run(tmp_path / "edge.mp4", decoder).end().frames, 5, width)
