"""The simulated camera, watched by the project's own capture and by a foreign one, FFmpeg's in OpenCV."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_tdn.__main__ import main
from edge_tdn.capture.capture import Capture, EndOfStream
from edge_tdn.capture.open_capture import open_capture
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.simulator.faults import FAULTS, Planned
from edge_tdn.simulator.film import Film
from tests.conftest import number_in
from tests.support.patterns import encode
from tests.support.ports import free_port
from tests.support.rtsp import RtspCamera
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
Cameras = Callable[..., RtspCamera]


class Viewer:
    """Reads one connection on a thread of its own, until it fails or ends.

    Its thread writes the public attributes; the test reads them.
    """

    def __init__(self, url: str, decoder: str = "gstreamer") -> None:
        self.pictures: list[np.ndarray] = []  # their luma
        self.pts_ns: list[int] = []
        self.arrived_s = time.monotonic()  # the last picture, or the start
        self.over: str | None = None  # why the connection is over
        self._stop = threading.Event()
        self._camera = CameraConfig.model_validate({"name": "c", "source": url, "decoder": decoder})
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with closing(open_capture(self._camera, Path())) as capture:
                self._watch(capture)
        except SourceError as error:
            self.over = error.state
        except EndOfStream:
            self.over = "ended"

    def _watch(self, capture: Capture) -> None:
        while not self._stop.is_set():
            if frame := capture.read(0.2):
                self.pictures.append(frame.decoded.luma.copy())
                self.pts_ns.append(frame.pts_ns)
                self.arrived_s = time.monotonic()

    def wait(self, condition: Callable[[], bool]) -> None:
        eventually(condition, describe=lambda: f"{len(self.pictures)} pictures, over: {self.over}")

    def more(self, pictures: int) -> list[np.ndarray]:
        """Wait for this many pictures, and return them."""
        before = len(self.pictures)
        self.wait(lambda: len(self.pictures) >= before + pictures)
        return self.pictures[before:]

    def streams(self) -> bool:
        """Return True if a few pictures arrive before the connection is over."""
        self.wait(lambda: len(self.pictures) >= 5 or self.over is not None)
        return len(self.pictures) >= 5

    def close(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def watch() -> Iterator[Callable[..., Viewer]]:
    """watch(url, decoder) -> Viewer; ended after the test."""
    viewers: list[Viewer] = []

    def start(url: str, decoder: str = "gstreamer") -> Viewer:
        viewers.append(Viewer(url, decoder))
        return viewers[-1]

    yield start
    for viewer in viewers:
        viewer.close()


def changes(pictures: list[np.ndarray]) -> float:
    """Return the median difference of a picture to the one before, in grey levels; key frames are outliers."""
    return float(np.median([np.abs(after.astype(int) - before).mean() for before, after in pairwise(pictures)]))


def test_a_video_is_served_in_order_without_end_and_its_time_never_decreases(
    rtsp: Cameras, watch: Callable[..., Viewer], make_video: Callable[..., Path]
) -> None:
    """A busy machine drops some frames, but not of every round."""
    viewer = watch(rtsp("", str(make_video(frames=20, name="yard.mp4"))).url())
    viewer.more(45)

    def steps() -> list[tuple[int, float]]:
        """Return, from each picture to the next, the frames of the video and the time in ticks."""
        times = list(viewer.pts_ns)
        seen = [number_in(np.repeat(picture[..., None], 3, 2)) for picture in viewer.pictures[: len(times)]]
        return list(zip(np.diff(seen) % 20, np.diff(times) / 1e9 * 15, strict=True))

    def is_whole(count: int) -> bool:
        on_time = ["=" if pictures == round(ticks) == 1 else " " for pictures, ticks in steps()]
        return "=" * count in "".join(on_time)

    viewer.wait(lambda: is_whole(20))
    assert all(ticks > pictures - 1 for pictures, ticks in steps())  # in one tick never two of them


@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
def test_a_foreign_client_reads_every_codec_and_shares_the_stream(
    rtsp: Cameras, watch: Callable[..., Viewer], codec: str
) -> None:
    camera = rtsp("", "test:", "--codec", codec, "--size", "160x128", "--rate", "10")
    ours, foreign = watch(camera.url()), watch(camera.url(), "opencv")
    assert ours.more(10)[-1].shape == foreign.more(10)[-1].shape == (128, 160)
    assert changes(ours.pictures) > 0.05


def test_a_frozen_picture_is_the_same_and_a_still_scene_is_not(rtsp: Cameras, watch: Callable[..., Viewer]) -> None:
    camera = rtsp("", "noise:", "--rate", "30")
    viewer = watch(camera.url())
    noisy = changes(viewer.more(20))
    camera.fault("freeze")
    viewer.wait(lambda: 2 * changes(viewer.more(20)) < noisy)
    frozen = changes(viewer.more(20))  # not quite the same: the encoder still improves it
    assert 2 * frozen < noisy
    camera.fault("ok")
    viewer.wait(lambda: 2 * frozen < changes(viewer.more(20)))


def test_without_packets_the_connection_stays_and_the_size_may_change(
    rtsp: Cameras, watch: Callable[..., Viewer]
) -> None:
    camera = rtsp()
    viewer = watch(camera.url())
    viewer.more(5)
    camera.fault("stall")
    stalled_s = time.monotonic()  # a busy machine may have taken no picture for a while before
    viewer.wait(lambda: time.monotonic() - max(stalled_s, viewer.arrived_s) > 1.2)
    camera.fault("size")
    viewer.wait(lambda: viewer.pictures[-1].shape == (120, 160))
    assert np.diff(viewer.pts_ns).max() > 1e9  # time continued meanwhile
    camera.fault("ok")
    viewer.wait(lambda: viewer.pictures[-1].shape == (240, 320))
    assert viewer.over is None


@pytest.mark.parametrize(("fault", "then"), [("drop", "unreachable"), ("password", "unauthorized"), ("eos", "")])
def test_disconnected_clients_may_return_when_the_fault_is_over(
    rtsp: Cameras, watch: Callable[..., Viewer], fault: str, then: str
) -> None:
    camera = rtsp()
    ours, foreign = watch(camera.url()), watch(camera.url(), "opencv")
    ours.more(5)
    foreign.more(5)
    camera.fault(fault)
    ours.wait(lambda: ours.over == foreign.over == "ended")
    if then:
        ours, foreign = watch(camera.url()), watch(camera.url(), "opencv")
        ours.wait(lambda: None not in (ours.over, foreign.over))
        assert (ours.over, foreign.over) == (then, "unreachable")
        assert not ours.pictures + foreign.pictures
        camera.fault("ok")
    eventually(lambda: watch(camera.url()).streams())  # the first attempts may be too early


@pytest.mark.parametrize("fault", ["corrupt", "loss"])
def test_a_damaged_stream_continues_and_recovers(rtsp: Cameras, watch: Callable[..., Viewer], fault: str) -> None:
    """The scene is still, so damage differs from it; missing frames leave gaps in the times."""
    camera = rtsp("", "noise:", "--rate", "30")
    viewer = watch(camera.url())
    whole = np.mean(viewer.more(20), axis=0)
    usual = max(np.abs(picture - whole).mean() for picture in viewer.pictures)
    camera.fault(fault)
    viewer.wait(
        lambda: (
            np.diff(viewer.pts_ns[20:]).max(initial=0) > 60e6
            or max(np.abs(picture - whole).mean() for picture in viewer.pictures[-5:]) > 2 * usual
        )
    )
    camera.fault("ok")
    viewer.wait(lambda: all(np.abs(picture - whole).mean() < 2 * usual for picture in viewer.more(5)))
    assert viewer.over is None
    assert camera.process.poll() is None


def test_only_the_right_user_and_password_are_accepted(rtsp: Cameras, watch: Callable[..., Viewer]) -> None:
    camera = rtsp("s3cret")
    for decoder in ("gstreamer", "opencv"):
        watch(camera.url("camera:s3cret@"), decoder).more(3)
    for credentials in ("", "camera:wr0ng@", "other:s3cret@"):
        refused = watch(camera.url(credentials))
        refused.wait(lambda viewer=refused: viewer.over is not None)
        assert refused.over == "unauthorized"


def test_the_command_prints_addresses_and_configuration_and_follows_its_plan(make_video: Callable[..., Path]) -> None:
    """Two cameras of one name; a fault that recurs every second; Ctrl-C ends it with 0."""
    video, port = make_video(name="my yard.mp4"), free_port(2)
    plan = ["--fault", "my-yard:stall@0.2+0.3/1", "--fault", "my-yard-2:freeze@0.1"]
    command = [sys.executable, "-m", "edge_tdn", "simulate", video, video, "--port", str(port), "--rate", "5", *plan]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        lines: list[str] = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline().rstrip())
            assert process.poll() is None
        process.stdin.write("my-yard-2 loss\nnonsense\n")
        process.stdin.close()
        output, expected = "", ("my-yard-2 freeze", "my-yard-2 loss", "nonsense: ")
        while output.count("my-yard ok") < 2 or not all(word in output for word in expected):
            output += process.stdout.readline()
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output += process.stdout.read()
        assert process.wait(PATIENCE_S) == 0
    assert f"rtsp://127.0.0.1:{port}/my-yard  128x96, 5 frames/s" in lines
    assert f'source = "rtsp://127.0.0.1:{port + 1}/my-yard-2"' in lines
    assert "for this machine alone; see --address" in lines
    states = re.findall(r"^\d\d:\d\d:\d\d my-yard (\w+)$", output, re.M)
    assert states[:4] == ["stall", "ok", "stall", "ok"]
    assert sorted(re.findall(r"my-yard-2 (\w+)", output)) == ["freeze", "loss"]
    assert "nonsense: not [CAMERA] FAULT" in output


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["none.mp4"], 66, "none.mp4: No such file or directory"),
        (["rtsp://host/x"], 66, "rtsp://host/x: only files are served, and demo:, test:, noise:"),
        (["demo:peopel"], 66, "demo:peopel: unknown scene 'peopel'; did you mean 'people'?"),
        (["{text}"], 66, "text file"),
        (["test:", "--port", "{taken}"], 66, "camera test: port {taken} is taken; see --port"),
        (["test:", "--fault", "melt@3"], 2, "melt@3: no fault melt; allowed: drop, freeze"),
        (["test:", "--fault", "drop"], 2, "drop: as in freeze@20"),
        (["test:", "--fault", "yard:drop@1"], 1, "--fault drop: no camera yard; there are: test"),
        (["test:", "--codec", "mjpeg", "--fault", "corrupt@1"], 1, "--fault corrupt: not with this --codec"),
        (["test:", "--size", "641x480"], 2, "641x480: width x height, even"),
        (["test:", "--rate", "0"], 2, "0: a whole number from 1 to 120"),
        (["test:", "--address", "192.0.2.1"], 66, "port 8554: Cannot assign requested address; see --address"),
        (["test:", "--user", "camera"], 1, "--user and --password-file need each other"),
        (["test:", "--user", "a", "--password-file", "none"], 1, "--password-file none: No such file or directory"),
        (["test:", "--user", "a", "--password-file", "{wide}"], 1, "wide is UTF-16, not UTF-8; save the file as"),
    ],
)
def test_a_wrong_argument_is_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], status: int, words: str
) -> None:
    (tmp_path / "text.mp4").write_text("This is not a video.\n" * 50)
    (tmp_path / "wide").write_text("s3cret\n", encoding="utf-16")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = listening.getsockname()[1]
        filled = [one.format(text=tmp_path / "text.mp4", wide=tmp_path / "wide", taken=taken) for one in arguments]
        if status == 2:  # argparse's
            with pytest.raises(SystemExit, match="2"):
                main(["simulate", *filled])
        else:
            assert main(["simulate", *filled]) == status
    assert words.format(taken=taken) in capsys.readouterr().err


def test_a_file_with_sound_only_is_refused_from_its_streams(tmp_path: Path) -> None:
    """The limit for the first frame plays no part: here it would never end."""
    path = encode("audiotestsrc num-buffers=50 ! vorbisenc ! oggmux", tmp_path / "sound.ogg")
    for _ in range(5):
        with pytest.raises(SourceError, match=r"sound\.ogg: no video in it"):
            Film(str(path), first_frame_s=100_000.0)


def test_the_scene_of_people_is_served_in_its_own_size() -> None:
    with closing(Film("demo:people")) as film:
        assert (film.size, film.rate) == ((480, 360), 30)
        assert film.next().get_buffer().get_size() == 480 * 360 * 3 // 2


def test_a_planned_fault_is_parsed() -> None:
    assert Planned.parse("freeze@20") == Planned("freeze", 20)
    assert Planned.parse("yard-2:drop@0.5+10/60") == Planned("drop", 0.5, 10, 60, "yard-2")
    for wrong in ("freeze@20+0", "freeze@20+10/10", "freeze@-1", "freeze@nan", "@3", "freeze@1+", "freeze@1/0"):
        with pytest.raises(ValueError, match=re.escape(wrong)):
            Planned.parse(wrong)
    for fault in FAULTS:
        assert Planned.parse(f"{fault}@1").fault == fault


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import gi

    def missing(name: str, version: str) -> None:
        if name == "GstRtspServer":
            raise ValueError("Namespace GstRtspServer not available")

    monkeypatch.setattr(gi, "require_version", missing)
    with pytest.raises(gstreamer.GStreamerMissing, match=r"apt-get install gir1\.2-gst-rtsp-server-1\.0"):
        gstreamer.load_rtsp_server()
