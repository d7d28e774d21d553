"""Which decoder decodes: hardware where there is some, software where that fails.

There is no hardware here. openh264dec stands in for it: a real decoder that decodebin would not choose by itself, and
that cannot decode interlaced video.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_tdn.capture import decoders
from edge_tdn.capture.address import find
from edge_tdn.capture.gst_capture import GstCapture
from edge_tdn.config.tables import CameraConfig
from edge_tdn.media import gstreamer
from tests.capture.test_source import HttpCamera, Running, bars, encode

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


@pytest.fixture
def openh264(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The decoder that is hardware now."""
    Gst, _ = gstreamer.load()
    factory = Gst.ElementFactory.find("openh264dec")
    if factory is None:
        pytest.skip("openh264dec is not installed: make packages")
    rank = factory.get_rank()
    monkeypatch.setattr(decoders, "hardware", lambda: (factory,))
    monkeypatch.setattr(decoders, "_failed", type(decoders._failed)(dict))
    yield "openh264dec"
    factory.set_rank(rank)
    decoders._raise.cache_clear()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """served(file) -> an address that may be a camera's, where it stands."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), HttpCamera)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(file: Path) -> str:
        monkeypatch.setattr(HttpCamera, "video", file.read_bytes())
        return f"http://127.0.0.1:{server.server_port}/video.mp4"

    yield serve
    server.shutdown()
    server.server_close()


def h264(path: Path, pictures: str = "identity", options: str = "") -> Path:
    """Half a second."""
    return encode(f"{bars(320, 240)},format=I420 ! {pictures} ! x264enc {options} ! h264parse ! matroskamux", path)


def test_hardware_is_chosen_and_told(tmp_path: Path, openh264: str) -> None:
    source = Running(f"gst: filesrc location={h264(tmp_path / 'v.mkv')} ! decodebin").end()
    assert (source.count, source.decoder) == (15, openh264)


def test_software_decodes_where_hardware_is_not_wanted(tmp_path: Path, openh264: str) -> None:
    source = Running(f"gst: filesrc location={h264(tmp_path / 'v.mkv')} ! decodebin", hardware=False).end()
    assert (source.count, source.decoder) == (15, "avdec_h264")


def test_a_file_does_without_hardware(tmp_path: Path, openh264: str) -> None:
    """It is played once, with no second try."""
    source = Running(h264(tmp_path / "v.mkv")).end()
    assert (source.count, source.decoder) == (15, "avdec_h264")


def test_hardware_that_fails_is_not_tried_again(
    tmp_path: Path, openh264: str, served: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    """The next connect, a second later, decodes in software."""
    interlaced = h264(tmp_path / "v.mkv", "interlace field-pattern=1:1", "interlaced=true tune=zerolatency")
    with caplog.at_level(logging.WARNING):
        source = Running(served(interlaced))
        try:
            source.wait(lambda: source.count > 0, 60)
        finally:
            source.close()
    assert source.decoder == "avdec_h264"
    assert f"camera=c decoder={openh264} failed; software is next" in caplog.text


def test_hardware_is_not_to_blame_where_software_fails_too(tmp_path: Path, openh264: str) -> None:
    """Nothing comes but the stream's head: software's turn, and then the hardware's again."""
    Gst, _ = gstreamer.load()
    path = h264(tmp_path / "v.mkv")
    tried = []
    for _ in range(3):
        pipeline = Gst.parse_launch(f"filesrc location={path} ! decodebin ! fakesink")
        chosen = decoders.Decoders("c", pipeline, hardware_wanted=True)
        pipeline.set_state(Gst.State.PAUSED)
        pipeline.get_state(60 * Gst.SECOND)
        tried.append(decoders.decoder(pipeline))
        chosen.fruitless(pipeline)
        pipeline.set_state(Gst.State.NULL)
    assert tried == [openh264, "avdec_h264", openh264]


def test_hardware_that_failed_is_tried_again_after_an_hour(
    tmp_path: Path, openh264: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A camera that went before its first picture must not cost a year of hardware."""
    Gst, _ = gstreamer.load()
    path = h264(tmp_path / "v.mkv")
    tried = []
    for now in (10.0, 11.0, decoders.AGAIN_S + 9, decoders.AGAIN_S + 11):
        monkeypatch.setattr(decoders, "time", SimpleNamespace(monotonic=lambda now=now: now))
        pipeline = Gst.parse_launch(f"filesrc location={path} ! decodebin ! fakesink")
        chosen = decoders.Decoders("c", pipeline, hardware_wanted=True)
        pipeline.set_state(Gst.State.PAUSED)
        pipeline.get_state(60 * Gst.SECOND)
        tried.append(decoders.decoder(pipeline))
        if tried[-1] == openh264:
            chosen.fruitless(pipeline)
        pipeline.set_state(Gst.State.NULL)
    assert tried == [openh264, "avdec_h264", "avdec_h264", openh264]
    assert caplog.text.count("failed; software is next") == 2


def test_a_closed_connection_leaves_nothing_behind(make_video: Callable[..., Path]) -> None:
    """GStreamer's objects and ours know each other; the pipeline is freed all the same, at once."""
    camera = CameraConfig(name="c", source=str(make_video(frames=5)))
    freed = []
    for _ in range(3):
        capture = GstCapture(find(camera, Path()), camera, paced=False)
        capture._pipeline.weak_ref(lambda: freed.append(True))
        while capture.read(1.0) is None:
            pass
        capture.close()
        del capture
    assert len(freed) == 3


@pytest.mark.parametrize("name", ["avdec_h264", "jpegdec", "vp9dec", "decodebin", "x264enc"])
def test_software_is_no_hardware(name: str) -> None:
    assert name not in [factory.get_name() for factory in decoders.hardware()]
