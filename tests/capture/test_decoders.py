"""The choice of the decoder: hardware where there is some, software where that fails.

This machine has no hardware decoder. openh264dec takes its place: a real decoder that decodebin would not choose by
itself, and that cannot decode interlaced video.
"""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_tdn.capture import decoders
from edge_tdn.capture.address import find
from edge_tdn.capture.gst_capture import GstCapture
from edge_tdn.config.tables import CameraConfig
from edge_tdn.media import gstreamer
from tests.support.http_camera import HttpCamera, serving
from tests.support.patterns import bars, encode
from tests.support.running_source import RunningSource
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


@pytest.fixture
def openh264(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of the decoder that counts as hardware."""
    Gst, _ = gstreamer.load()
    factory = Gst.ElementFactory.find("openh264dec")
    if factory is None:
        pytest.skip("openh264dec is not installed: make packages")
    rank = factory.get_rank()
    monkeypatch.setattr(decoders, "hardware", lambda: (factory,))
    monkeypatch.setattr(decoders, "_skipped", type(decoders._skipped)(dict))
    yield "openh264dec"
    factory.set_rank(rank)
    decoders._raise_rank.cache_clear()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """serve(file) -> its http:// address, which may be a camera's."""
    with ExitStack() as servers:

        def start(file: Path) -> str:
            handler = type("File", (HttpCamera,), {"video": file.read_bytes()})
            return f"{servers.enter_context(serving(handler))}/video.mp4"

        yield start


def h264(path: Path, pictures: str = "identity", options: str = "") -> Path:
    """Write half a second of H.264 to `path`, and return it."""
    return encode(f"{bars(320, 240)},format=I420 ! {pictures} ! x264enc {options} ! h264parse ! matroskamux", path)


def test_hardware_is_chosen_and_reported(tmp_path: Path, openh264: str) -> None:
    source = RunningSource(f"gst: filesrc location={h264(tmp_path / 'v.mkv')} ! decodebin").end()
    assert (source.count, source.source.decoder) == (15, openh264)


def test_software_decodes_where_hardware_is_off(tmp_path: Path, openh264: str) -> None:
    source = RunningSource(f"gst: filesrc location={h264(tmp_path / 'v.mkv')} ! decodebin", hardware=False).end()
    assert (source.count, source.source.decoder) == (15, "avdec_h264")


def test_a_file_is_decoded_in_software(tmp_path: Path, openh264: str) -> None:
    """A file is played once, without a second attempt."""
    source = RunningSource(h264(tmp_path / "v.mkv")).end()
    assert (source.count, source.source.decoder) == (15, "avdec_h264")


def test_hardware_that_fails_is_followed_by_software(
    tmp_path: Path, openh264: str, serve: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    """The next connection, a second later, decodes in software."""
    interlaced = h264(tmp_path / "v.mkv", "interlace field-pattern=1:1", "interlaced=true tune=zerolatency")
    with caplog.at_level(logging.WARNING):
        source = RunningSource(serve(interlaced))
        try:
            source.wait(lambda: source.count > 0)
        finally:
            source.close()
    assert source.source.decoder == "avdec_h264"
    assert f"camera=c decoder={openh264} failed; software is next" in caplog.text


def test_hardware_is_not_to_blame_where_software_fails_too(tmp_path: Path, openh264: str) -> None:
    """Only the stream's head arrives: software is next, and then hardware again."""
    Gst, _ = gstreamer.load()
    path = h264(tmp_path / "v.mkv")
    tried = []
    for _ in range(3):
        pipeline = Gst.parse_launch(f"filesrc location={path} ! decodebin ! fakesink")
        chosen = decoders.Decoders("c", pipeline, use_hardware=True)
        pipeline.set_state(Gst.State.PAUSED)
        pipeline.get_state(60 * Gst.SECOND)
        tried.append(decoders.decoder(pipeline))
        chosen.fruitless(pipeline)
        pipeline.set_state(Gst.State.NULL)
    assert tried == [openh264, "avdec_h264", openh264]


def test_hardware_that_failed_is_retried_after_an_hour(
    tmp_path: Path, openh264: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A camera that failed before its first frame must not disable the hardware for good."""
    Gst, _ = gstreamer.load()
    path = h264(tmp_path / "v.mkv")
    tried = []
    for now in (10.0, 11.0, decoders.RETRY_HARDWARE_S + 9, decoders.RETRY_HARDWARE_S + 11):
        monkeypatch.setattr(decoders, "time", SimpleNamespace(monotonic=lambda now=now: now))
        pipeline = Gst.parse_launch(f"filesrc location={path} ! decodebin ! fakesink")
        chosen = decoders.Decoders("c", pipeline, use_hardware=True)
        pipeline.set_state(Gst.State.PAUSED)
        pipeline.get_state(60 * Gst.SECOND)
        tried.append(decoders.decoder(pipeline))
        if tried[-1] == openh264:
            chosen.fruitless(pipeline)
        pipeline.set_state(Gst.State.NULL)
    assert tried == [openh264, "avdec_h264", "avdec_h264", openh264]
    assert caplog.text.count("failed; software is next") == 2


def test_a_closed_connection_leaves_nothing_behind(make_video: Callable[..., Path]) -> None:
    """GStreamer's objects and ours refer to each other; the pipeline is still freed without a collection."""
    camera = CameraConfig(name="c", source=str(make_video(frames=5)))
    freed = []
    gc.disable()
    try:
        for _ in range(3):
            capture = GstCapture(find(camera, Path()), camera, paced=False)
            capture._pipeline.weak_ref(lambda: freed.append(True))
            while capture.read(1.0) is None:
                pass
            capture.close()
            del capture
        eventually(lambda: len(freed) == 3)  # a thread of GStreamer's may hold it for a moment
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["avdec_h264", "jpegdec", "vp9dec", "decodebin", "x264enc"])
def test_software_does_not_count_as_hardware(name: str) -> None:
    assert name not in [factory.get_name() for factory in decoders.hardware()]
