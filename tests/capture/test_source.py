"""The source: real files, real pipelines, real cameras."""

import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_tdn.capture.source import Source
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Frame
from tests.support.http_camera import HttpCamera, serving
from tests.support.patterns import bars, encode
from tests.support.ports import free_port
from tests.support.rtsp import RtspCamera
from tests.support.running_source import PATIENT_TIMING, PROMPT_S, RunningSource
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
Run = Callable[..., RunningSource]
Rtsp = Callable[..., RtspCamera]


def grey(frame: Frame) -> float:
    return float(frame.picture.mean())


@both
def test_a_source_that_has_ended_is_freed_without_a_collection(decoder: str) -> None:
    """A reload that removes a camera must not wait for the garbage collector to free its frames."""
    camera = CameraConfig.model_validate({"name": "a", "source": "rtsp://127.0.0.1:1/x", "decoder": decoder})
    stop = threading.Event()
    gc.disable()
    try:
        source = Source(camera, Path(), lambda state, reason: stop.set() if state == "unreachable" else None)
        assert list(source.frames(stop)) == []
        freed = weakref.ref(source)
        del source
        assert freed() is None
    finally:
        gc.enable()


# Files


@both
def test_a_file_gives_every_frame_in_order_at_its_own_speed(run: Run, tmp_path: Path, decoder: str) -> None:
    """Also: PTS grow, seq counts from 1, arrival times never decrease, one stream, uint8 RGB."""
    path = tmp_path / "greys.mp4"
    write_video((np.full((96, 128, 3), 10 + 8 * n, np.uint8) for n in range(30)), 15, path)  # 2 s
    began = time.monotonic()
    source = run(path, decoder).end()
    assert time.monotonic() - began > 1.5
    frames = source.frames
    late_ns = [frame.received_ns - frames[0].received_ns - (frame.pts_ns - frames[0].pts_ns) for frame in frames]
    assert min(late_ns[15:]) / 1e9 < 0.5  # a busy machine delays some, a slow player all of them
    assert [frame.seq for frame in frames] == list(range(1, 31))
    assert [grey(frame) for frame in frames] == pytest.approx([10 + 8 * n for n in range(30)], abs=6)
    assert all(grey(after) > grey(before) for before, after in pairwise(frames))
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(frames))
    assert frames[-1].pts_ns - frames[0].pts_ns == pytest.approx(29 / 15 * 1e9, abs=2e6)
    assert all(after.received_ns >= before.received_ns for before, after in pairwise(frames))
    assert {frame.stream for frame in frames} == {1}
    assert {(frame.picture.shape, frame.picture.dtype) for frame in frames} == {((96, 128, 3), np.dtype(np.uint8))}
    assert source.states == [("connecting", ""), ("streaming", ""), ("ended", "the video is over")]
    assert source.error is None


@both
def test_a_relative_path_begins_at_the_configuration(run: Run, make_video: Callable[..., Path], decoder: str) -> None:
    path = make_video(frames=3, name="with space & 'quote'.mp4")
    assert run(path.name, decoder, base=path.parent).end().count == 3


@both
def test_a_video_of_one_frame_a_second_is_not_damaged(run: Run, make_video: Callable[..., Path], decoder: str) -> None:
    """The last frame lasts one second, which is part of the declared length."""
    source = run(make_video(frames=2, rate=1), decoder).end()
    assert source.count == 2
    assert source.states[-1] == ("ended", "the video is over")


@both
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_truncated_file_ends_as_damaged(run: Run, tmp_path: Path, decoder: str, container: str) -> None:
    muxer = {"mp4": "mp4mux faststart=true", "mkv": "matroskamux"}[container]
    whole = encode(f"{bars(320, 240, 60)} ! x264enc ! {muxer}", tmp_path / "whole")
    path = tmp_path / f"cut.{container}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 55 // 100])
    source = run(path, decoder).end()
    assert 15 < source.count < 50
    state, reason = source.states[-1]
    assert state == "ended"
    words = reason.split()
    assert words[:4] == [f"{path}:", "damaged:", "ends", "at"]
    assert 0.5 < float(words[4]) < 1.5
    assert words[5:] == ["s", "of", "2.0", "s"]
    assert str(source.error) == reason


def test_a_looped_file_of_one_frame_plays_at_most_once_a_second(make_video: Callable[..., Path]) -> None:
    camera, stop = CameraConfig(name="one", source=str(make_video(frames=1)), loop=True), threading.Event()
    began = time.monotonic()
    for frame in Source(camera, Path("/"), lambda state, reason: None).frames(stop):
        assert time.monotonic() - began >= frame.seq - 1
        if frame.seq == 3:
            stop.set()
    assert stop.is_set()


# Cameras


@both
def test_rtsp_frames_arrive(run: Run, rtsp: Rtsp, decoder: str) -> None:
    source = run(rtsp().url(), decoder)
    source.wait(lambda: source.count >= 30)
    assert source.entered() == ["connecting", "streaming"]
    assert {frame.picture.shape for frame in source.frames} == {(240, 320, 3)}
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))


@both
def test_a_killed_camera_is_stalled_until_it_returns(run: Run, rtsp: Rtsp, decoder: str) -> None:
    """The end of its connection is noticed, not the silence; frame numbers continue, the stream number grows."""
    camera = rtsp()
    source = run(camera.url(), decoder)
    source.wait(lambda: source.count >= 5)
    camera.kill()
    assert source.wait_for("stalled").endswith("/test: the camera ended the stream")
    before = source.count
    camera.start()
    source.wait(lambda: source.count > before)
    assert source.state == "streaming"
    frames = list(source.frames)
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1].stream == 2


def test_a_camera_whose_open_connection_is_silent_is_stalled(run: Run, rtsp: Rtsp) -> None:
    camera = rtsp()
    source = run(camera.url(), timing=CaptureTiming(stall_s=2.0))
    source.wait(lambda: source.count >= 5)
    camera.freeze()
    assert source.wait_for("stalled") == "no picture for 2 s"


@both
def test_the_right_password_opens(run: Run, rtsp: Rtsp, decoder: str) -> None:
    source = run(rtsp("s3cret").url("camera:s3cret@"), decoder)
    source.wait(lambda: source.count >= 1)


def test_a_wrong_password_is_unauthorized(run: Run, rtsp: Rtsp) -> None:
    """The password is neither retried at once nor shown."""
    source = run(rtsp("s3cret").url("camera:wr0ng@"))
    reason = source.wait_for("unauthorized")
    assert "camera:***@" in reason
    assert "wr0ng" not in reason
    time.sleep(1.5)
    assert source.entered() == ["connecting", "unauthorized"]


@both
def test_a_closed_port_is_unreachable(run: Run, decoder: str) -> None:
    """The reason is given, the connection is retried, and a stop ends the wait for the next one, here of hours."""
    url = f"rtsp://127.0.0.1:{free_port()}/live"
    source = run(url, decoder, timing=replace(PATIENT_TIMING, retry_growth=100_000.0, retry_max_s=10_000.0))
    assert source.wait_for("unreachable").startswith(f"{url}: ")
    source.wait(lambda: len(source.states) >= 4)
    assert source.entered()[2:] == ["connecting", "unreachable"]
    source.stop.set()
    source.end(PROMPT_S)


def test_a_camera_that_never_answers_can_be_stopped(run: Run) -> None:
    """The camera accepts the connection and sends nothing; a stop takes effect long before the connection fails."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        source = run(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live")
        with silent.accept()[0] as connection:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(4096)
            source.stop.set()
            source.end(PROMPT_S)
    assert source.states == [("connecting", "")]


@both
def test_a_streaming_camera_can_be_stopped(run: Run, rtsp: Rtsp, decoder: str) -> None:
    source = run(rtsp().url(), decoder)
    source.wait(lambda: source.count >= 1)
    source.stop.set()
    source.end(PROMPT_S)


# HTTP


@both
def test_an_mjpeg_camera_over_http_streams(run: Run, decoder: str) -> None:
    """Small pictures too, and each has a time of its own."""
    with serving(HttpCamera) as address:
        source = run(f"{address}/live", decoder)
        source.wait(lambda: source.count >= 30)
        source.close()
    assert source.entered() == ["connecting", "streaming"]
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))


@both
def test_a_file_over_http_plays_once_at_its_own_speed(run: Run, tmp_path: Path, decoder: str) -> None:
    path = encode(f"{bars(320, 240, 30)} ! x264enc ! mp4mux faststart=true", tmp_path / "video.mp4")
    with serving(type("File", (HttpCamera,), {"video": path.read_bytes()})) as address:
        began = time.monotonic()
        source = run(f"{address}/video.mp4", decoder).end()
    assert time.monotonic() - began > 0.8
    assert source.count == 30
    assert source.states[-1] == ("ended", "the video is over")
