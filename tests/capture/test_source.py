"""The source: real files, real pipelines, a real RTSP camera."""

import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Frame, Picture
from edge_tdn.process.passwords import without_password
from tests.support.ports import free_port
from tests.support.rtsp import RtspCamera

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
RED, BLUE = (200, 30, 30), (30, 30, 200)  # left and right of the edge


class Running:
    """A source on a thread of its own, as the pipeline has it."""

    def __init__(
        self, source: str | Path, decoder: str = "gstreamer", base: Path = Path(), keep: bool = True, **keys: object
    ) -> None:
        """`keys`: of its [[camera]]."""
        camera = CameraConfig.model_validate({"name": "c", "source": str(source), "decoder": decoder, **keys})
        self.frames: list[Frame] = []
        self.count = self.stream = 0
        self.told: list[tuple[str, str]] = []
        self.error: SourceError | None = None
        self.stop = threading.Event()
        self._keep = keep
        self._source = Source(camera, base, lambda state, reason: self.told.append((state, reason)))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def decoder(self) -> str:
        return self._source.decoder

    @property
    def clock(self) -> str:
        return self._source.clock

    def _run(self) -> None:
        try:
            for frame in self._source.frames(self.stop):
                self.count += 1
                self.stream = frame.stream
                if self._keep:
                    self.frames.append(frame)
        except SourceError as error:
            self.error = error

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> float:
        """Seconds until the condition held."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, f"not within {seconds} s; told: {self.told}"
            time.sleep(0.01)
        return time.monotonic() - began

    def wait_for(self, state: str, seconds: float = 60) -> str:
        """The reason of the first such state."""
        self.wait(lambda: any(told[0] == state for told in list(self.told)), seconds)
        return next(reason for told, reason in self.told if told == state)

    def end(self, seconds: float = 60) -> "Running":
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still running after {seconds} s; told: {self.told}"
        return self

    def close(self) -> None:
        self.stop.set()
        self.end()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    """run(source, decoder) -> Running; stopped after the test."""
    started: list[Running] = []

    def start(source: str | Path, decoder: str = "gstreamer", **options: object) -> Running:
        started.append(Running(source, decoder, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for running in started:
        running.close()


def encode(pipeline: str, path: Path) -> Path:
    """Runs a GStreamer pipeline into a file."""
    Gst, _ = gstreamer.load()
    running = Gst.parse_launch(f"{pipeline} ! filesink name=file")
    running.get_by_name("file").set_property("location", str(path))
    running.set_state(Gst.State.PLAYING)
    message = running.get_bus().timed_pop_filtered(20 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    running.set_state(Gst.State.NULL)
    assert message is not None
    assert message.type == Gst.MessageType.EOS, message.parse_error()
    return path


def bars(width: int, height: int, frames: int = 15, rate: int = 30) -> str:
    return f"videotestsrc num-buffers={frames} ! video/x-raw,width={width},height={height},framerate={rate}/1"


def edge(height: int, width: int) -> Picture:
    """Red left of the middle, blue right of it."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = RED, BLUE
    return picture


def grey(frame: Frame) -> float:
    return float(frame.picture.mean())


# Files


@both
def test_a_file_gives_every_frame_in_order_at_its_own_speed(
    run: Callable[..., Running], tmp_path: Path, decoder: str
) -> None:
    """Also: PTS grow, seq counts from 1, the clock of arrival never runs back, one stream, uint8 RGB."""
    path = tmp_path / "greys.mp4"
    write_video((np.full((96, 128, 3), 10 + 8 * n, np.uint8) for n in range(30)), 15, path)  # 2 s
    began = time.monotonic()
    source = run(path, decoder).end()
    assert time.monotonic() - began > 1.5
    frames = source.frames
    assert (frames[-1].received_ns - frames[0].received_ns) / 1e9 < 4
    assert [frame.seq for frame in frames] == list(range(1, 31))
    assert [grey(frame) for frame in frames] == pytest.approx([10 + 8 * n for n in range(30)], abs=6)
    assert all(grey(after) > grey(before) for before, after in pairwise(frames))
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(frames))
    assert frames[-1].pts_ns - frames[0].pts_ns == pytest.approx(29 / 15 * 1e9, abs=2e6)
    assert all(after.received_ns >= before.received_ns for before, after in pairwise(frames))
    assert {frame.stream for frame in frames} == {1}
    assert {(frame.picture.shape, frame.picture.dtype) for frame in frames} == {((96, 128, 3), np.dtype(np.uint8))}
    assert source.told == [("connecting", ""), ("streaming", ""), ("ended", "the video is over")]
    assert source.error is None


@both
def test_a_relative_path_begins_at_the_configuration(
    run: Callable[..., Running], make_video: Callable[..., Path], decoder: str
) -> None:
    path = make_video(frames=3, name="with space & 'quote'.mp4")
    assert run(path.name, decoder, base=path.parent).end().count == 3


@both
def test_a_slow_video_is_not_called_damaged(
    run: Callable[..., Running], make_video: Callable[..., Path], decoder: str
) -> None:
    """The last picture lasts one second, which is part of the declared length."""
    source = run(make_video(frames=2, rate=1), decoder).end()
    assert source.count == 2
    assert source.told[-1] == ("ended", "the video is over")


@both
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_truncated_file_ends_as_damaged(
    run: Callable[..., Running], tmp_path: Path, decoder: str, container: str
) -> None:
    muxer = {"mp4": "mp4mux faststart=true", "mkv": "matroskamux"}[container]
    whole = encode(f"{bars(320, 240, 60)} ! x264enc ! {muxer}", tmp_path / "whole")
    path = tmp_path / f"cut.{container}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 55 // 100])
    source = run(path, decoder).end()
    assert 15 < source.count < 50
    state, reason = source.told[-1]
    assert state == "ended"
    words = reason.split()
    assert words[:4] == [f"{path}:", "damaged:", "ends", "at"]
    assert 0.5 < float(words[4]) < 1.5
    assert words[5:] == ["s", "of", "2.0", "s"]
    assert str(source.error) == reason


# Pictures


@both
def test_rows_of_an_odd_width_line_up(run: Callable[..., Running], tmp_path: Path, decoder: str) -> None:
    """321 x 241: a row of RGB is padded to a multiple of four bytes; a vertical edge stays vertical."""
    still = tmp_path / "edge.ppm"
    still.write_bytes(b"P6 321 241 255\n" + edge(241, 321).tobytes())
    pictures = f"filesrc location={still} ! decodebin ! imagefreeze num-buffers=5 ! videoconvert"
    path = encode(f"{pictures} ! jpegenc quality=95 ! avimux", tmp_path / "odd.avi")
    check_edge(run(path, decoder).end().frames, 5)


def test_rows_of_an_odd_width_line_up_without_a_decoder(run: Callable[..., Running], tmp_path: Path) -> None:
    """The same for raw video, which comes from another allocator."""
    still = tmp_path / "edge.ppm"
    still.write_bytes(b"P6 321 241 255\n" + edge(241, 321).tobytes())
    check_edge(run(f"gst: filesrc location={still} ! decodebin ! imagefreeze num-buffers=5").end().frames, 5)
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
def test_colours_are_right_whatever_the_decoder_gives(
    run: Callable[..., Running], tmp_path: Path, layout: str, width: int
) -> None:
    still = tmp_path / "edge.ppm"
    still.write_bytes(b"P6 %d 241 255\n" % width + edge(241, width).tobytes())
    pictures = f"filesrc location={still} ! decodebin ! imagefreeze num-buffers=2 ! videoconvert"
    frames = run(f"gst: {pictures} ! video/x-raw,format={layout}").end().frames
    check_edge(frames, 2, width)
    assert frames[0].picture[:, :140].reshape(-1, 3).mean(axis=0) == pytest.approx(RED, abs=4)
    assert frames[0].picture[:, 180:].reshape(-1, 3).mean(axis=0) == pytest.approx(BLUE, abs=4)


def test_a_grey_camera_stays_grey(run: Callable[..., Running]) -> None:
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
def test_a_file_may_change_its_size(run: Callable[..., Running], tmp_path: Path, decoder: str) -> None:
    """Two joined recordings: no error, another stream number, and time that goes on growing at the same speed.

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
        assert source.told[-1] == ("ended", "the video is over")
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))


def test_a_pipeline_may_change_its_size(run: Callable[..., Running]) -> None:
    first, second = bars(320, 240), bars(160, 120)
    check_two_sizes(run(f"gst: concat name=both {first} ! both. {second} ! both. both.").end())


def check_two_sizes(source: Running) -> None:
    seen = [(frame.stream, *frame.picture.shape[:2]) for frame in source.frames]
    assert seen == [(1, 240, 320)] * 15 + [(2, 120, 160)] * 15
    assert source.told[-1] == ("ended", "the video is over")
    assert source.error is None


def test_a_pipeline_that_is_no_camera_loses_nothing(run: Callable[..., Running]) -> None:
    """A slow reader holds a file up; only a camera's pictures are dropped."""
    began = time.monotonic()
    assert run(f"gst: {bars(64, 48, 30, 30)}").end().count == 30
    assert time.monotonic() - began > 0.8


def test_memory_does_not_grow(run: Callable[..., Running]) -> None:
    """1,500 pictures of 0.9 MB: less than 30 MB after the first 200."""
    process = psutil.Process()
    source = run(f"gst: {bars(640, 480, 1500, 1000)}", keep=False)
    source.wait(lambda: source.count >= 200)
    before = process.memory_info().rss
    source.end()
    assert source.count == 1500
    assert process.memory_info().rss - before < 30e6


# What cannot be played


def refused(source: Running) -> str:
    """The message of a source that gave up at once."""
    source.end()
    assert source.error is not None
    assert source.count == 0
    message = str(source.error)
    assert source.told == [("connecting", ""), (source.error.state, message)]
    assert "Traceback" not in message
    assert "\n" not in message
    return message


@both
def test_a_missing_file_is_named(run: Callable[..., Running], tmp_path: Path, decoder: str) -> None:
    assert refused(run(tmp_path / "none.mp4", decoder)) == f"{tmp_path}/none.mp4: No such file or directory"


@both
def test_an_unreadable_file_is_named(
    run: Callable[..., Running], make_video: Callable[..., Path], decoder: str
) -> None:
    path = make_video(frames=2)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user (root?) may read a file of mode 000")
    assert refused(run(path, decoder)) == f"{path}: Permission denied"


@both
def test_an_empty_file_is_named(run: Callable[..., Running], tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert refused(run(path, decoder)) == f"{path}: the file is empty"


@both
def test_a_text_file_is_no_video(run: Callable[..., Running], tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("This is no video.\n" * 50)
    message = refused(run(path, decoder))
    assert message.startswith(f"{path}: ")
    assert {"gstreamer": "text file", "opencv": "no video"}[decoder] in message


@both
def test_a_file_with_nothing_but_sound_is_no_video(run: Callable[..., Running], tmp_path: Path, decoder: str) -> None:
    path = encode("audiotestsrc num-buffers=50 ! opusenc ! matroskamux", tmp_path / "sound.mkv")
    message = refused(run(path, decoder))
    assert message.startswith(f"{path}: ")
    assert "no video" in message


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("videotestsrk", 'no element "videotestsrk"'),
        ("videotestsrc patern=ball", 'no property "patern" in element "videotestsrc"'),
        ("videotestsrc ! ! identity", "syntax error"),
        ("audiotestsrc", "could not link audiotestsrc"),
    ],
)
def test_a_typo_in_a_pipeline_is_told_in_the_parsers_words(
    run: Callable[..., Running], pipeline: str, words: str
) -> None:
    """And it ends: trying again would change nothing."""
    message = refused(run(f"gst: {pipeline}"))
    assert message.startswith(f"gst: {pipeline}: ")
    assert words in message


def test_opencv_plays_no_pipeline(run: Callable[..., Running]) -> None:
    assert refused(run("gst: videotestsrc", "opencv")).startswith("gst: videotestsrc: gst: needs the decoder gstreamer")


def test_a_pipeline_that_does_not_start_is_tried_again(
    run: Callable[..., Running], capfd: pytest.CaptureFixture[str]
) -> None:
    """As a camera that is not plugged in yet; and nothing is left behind that GStreamer would complain of."""
    source = run("/dev/video-none")
    source.wait(lambda: [state for state, _ in source.told].count("unreachable") >= 2)
    source.close()
    assert "/dev/video-none" in source.told[1][1]
    assert "CRITICAL" not in capfd.readouterr().err


# Cameras


@both
def test_rtsp_frames_arrive(run: Callable[..., Running], rtsp: Callable[..., RtspCamera], decoder: str) -> None:
    source = run(rtsp().url(), decoder)
    source.wait(lambda: source.count >= 30)
    assert [state for state, _ in source.told] == ["connecting", "streaming"]
    assert {frame.picture.shape for frame in source.frames} == {(240, 320, 3)}
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))


@both
def test_a_killed_camera_is_noticed_and_comes_back(
    run: Callable[..., Running], rtsp: Callable[..., RtspCamera], decoder: str
) -> None:
    """By the end of its connection, not by silence; the frames' numbers go on, the stream's number grows."""
    camera = rtsp()
    source = run(camera.url(), decoder)
    source.wait(lambda: source.count >= 5)
    camera.kill()
    assert source.wait_for("stalled").endswith("/test: the camera ended the stream")
    before = source.count
    camera.start()
    source.wait(lambda: source.count > before)
    assert source.told[-1][0] == "streaming"
    assert [frame.seq for frame in source.frames] == list(range(1, len(source.frames) + 1))
    assert source.frames[-1].stream == 2


def test_a_frozen_camera_is_stalled(
    run: Callable[..., Running], rtsp: Callable[..., RtspCamera], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays open but nothing comes."""
    monkeypatch.setattr("edge_tdn.capture.source.STALL_S", 2.0)
    camera = rtsp()
    source = run(camera.url())
    source.wait(lambda: source.count >= 5)
    camera.process.send_signal(signal.SIGSTOP)
    assert source.wait_for("stalled") == "no picture for 2 s"


@both
def test_the_right_password_opens(run: Callable[..., Running], rtsp: Callable[..., RtspCamera], decoder: str) -> None:
    source = run(rtsp("s3cret").url("camera:s3cret@"), decoder)
    source.wait(lambda: source.count >= 1)


def test_a_wrong_password_is_unauthorized(run: Callable[..., Running], rtsp: Callable[..., RtspCamera]) -> None:
    """And is neither repeated at once nor told."""
    source = run(rtsp("s3cret").url("camera:wr0ng@"))
    reason = source.wait_for("unauthorized")
    assert "camera:***@" in reason
    assert "wr0ng" not in reason
    time.sleep(1.5)
    assert [state for state, _ in source.told] == ["connecting", "unauthorized"]


@both
def test_a_closed_port_is_unreachable(run: Callable[..., Running], decoder: str) -> None:
    """With a reason, tried again, and a stop is heard within a second."""
    url = f"rtsp://127.0.0.1:{free_port()}/live"
    source = run(url, decoder)
    assert source.wait_for("unreachable").startswith(f"{url}: ")
    source.wait(lambda: len(source.told) >= 3)
    assert source.told[2] == ("connecting", "")
    source.wait_for("unreachable")
    source.stop.set()
    source.end(1)


def test_a_camera_that_never_answers_can_be_stopped(run: Callable[..., Running]) -> None:
    """It accepts the connection and says nothing; a stop is heard within a second."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = run(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live")
        time.sleep(0.7)
        source.stop.set()
        source.end(1)
    assert source.told == [("connecting", "")]


@both
def test_a_streaming_camera_can_be_stopped(
    run: Callable[..., Running], rtsp: Callable[..., RtspCamera], decoder: str
) -> None:
    source = run(rtsp().url(), decoder)
    source.wait(lambda: source.count >= 1)
    source.stop.set()
    source.end(1)


class HttpCamera(BaseHTTPRequestHandler):
    """MJPEG at /live, a video file at any path that ends in .mp4."""

    video = b""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/live":
            self._stream()
            return
        self.send_header("Content-Length", str(len(self.video)))
        self.end_headers()
        self.wfile.write(self.video)

    def _stream(self) -> None:
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", edge(96, 128))[1].tobytes()
        head = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        with suppress(OSError):  # the reader went away
            while True:
                self.wfile.write(head + jpeg + b"\r\n")
                time.sleep(1 / 30)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def http() -> Iterator[str]:
    """The address of an HttpCamera."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), HttpCamera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@both
def test_an_mjpeg_camera_over_http_streams(run: Callable[..., Running], http: str, decoder: str) -> None:
    """Small pictures too, and each has a time of its own."""
    source = run(f"{http}/live", decoder)
    source.wait(lambda: source.count >= 30)
    assert [state for state, _ in source.told] == ["connecting", "streaming"]
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))


@both
def test_a_file_over_http_ends(
    run: Callable[..., Running], http: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    """It is no camera: played once, at its own speed."""
    path = encode(f"{bars(320, 240, 30)} ! x264enc ! mp4mux faststart=true", tmp_path / "video.mp4")
    monkeypatch.setattr(HttpCamera, "video", path.read_bytes())
    began = time.monotonic()
    source = run(f"{http}/video.mp4", decoder).end()
    assert time.monotonic() - began > 0.8
    assert source.count == 30
    assert source.told[-1] == ("ended", "the video is over")


# Passwords


@both
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_password_in_an_address_is_never_told(
    run: Callable[..., Running], capfd: pytest.CaptureFixture[str], decoder: str, scheme: str
) -> None:
    source = run(f"{scheme}://user:s3c@ret@127.0.0.1:{free_port()}/x?password=s3cret", decoder)
    reason = source.wait_for("unreachable")
    source.close()
    assert "user:***@" in reason
    assert "s3c" not in str(source.told)
    assert "ret@" not in str(source.told)


@pytest.mark.parametrize(
    ("source", "decoder"),
    [
        ("gst: rtspsrc location=rtsp://user:s3cret@host/x user-pw=s3cret ! foo", "gstreamer"),
        ("gst: rtspsrc location=rtsp://user:s3cret@host/x", "opencv"),
    ],
)
def test_a_password_is_in_no_exception(run: Callable[..., Running], source: str, decoder: str) -> None:
    running = run(source, decoder)
    assert "***" in refused(running)
    assert "s3cret" not in str(running.told)
    assert running.error is not None
    assert "s3cret" not in "".join(traceback.format_exception(running.error))


def test_a_password_with_a_space_is_hidden_and_what_follows_is_not() -> None:
    text = "gst: rtspsrc location=rtsp://a user:my s3cret!@host/x ! identity name=y@z"
    assert without_password(text) == "gst: rtspsrc location=rtsp://a user:***@host/x ! identity name=y@z"


@pytest.mark.parametrize("text", ["rtsp://host:554/live", "gst: videotestsrc ! x", "/videos/a@b.mp4", "demo:"])
def test_an_address_without_a_password_is_told_as_it_is(text: str) -> None:
    assert without_password(text) == text


# Encoding


@both
@pytest.mark.parametrize("width", [320, 321, 322, 323])
def test_any_width_can_be_written(run: Callable[..., Running], tmp_path: Path, width: int, decoder: str) -> None:
    """The rows that the encoder is given are padded as it expects them."""
    write_video((edge(241, width) for _ in range(5)), 15, tmp_path / "edge.mp4")
    check_edge(run(tmp_path / "edge.mp4", decoder).end().frames, 5, width)


def test_a_pipe_in_place_of_a_file_is_refused_at_once(run: Callable[..., Running], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in str(run(tmp_path / "pipe.mp4", "gstreamer").end().error)


def test_a_looped_file_of_one_picture_does_not_spin(make_video: Callable[..., Path]) -> None:
    """At most one a second."""
    camera, stop = CameraConfig(name="one", source=str(make_video(frames=1)), loop=True), threading.Event()
    began = time.monotonic()
    for frame in Source(camera, Path("/"), lambda state, reason: None).frames(stop):
        assert time.monotonic() - began >= frame.seq - 1
        if frame.seq == 3:
            stop.set()
    assert stop.is_set()
