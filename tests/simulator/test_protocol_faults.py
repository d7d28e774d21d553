"""Protocols and protocol faults of the simulated camera, on the wire: redirects, challenges, TLS, MJPEG over HTTP."""

import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge_tdn.__main__ import main
from edge_tdn.capture.open_capture import open_capture
from edge_tdn.config.tables import CameraConfig
from edge_tdn.media import gstreamer
from edge_tdn.simulator.faults import possible
from tests.support.ports import free_port
from tests.support.raw_request import ask
from tests.support.rtsp import RtspCamera
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
Cameras = Callable[..., RtspCamera]
protocols = pytest.mark.parametrize("codec", ["h264", "http"])


@protocols
def test_a_redirect_leads_to_the_camera_itself_and_ends_with_the_fault(rtsp: Cameras, codec: str) -> None:
    camera = rtsp("", "test:", "--codec", codec)
    camera.fault("redirect")
    answer = ask(camera.url())
    assert " 302 " in answer
    assert f"Location: {camera.url()}\r\n" in answer
    camera.fault("ok")
    assert " 200 OK" in ask(camera.url())


def test_of_two_cameras_a_redirect_leads_to_the_next() -> None:
    """A client that follows it sees the second camera's picture."""
    port = free_port(2)
    command = [sys.executable, "-m", "edge_tdn", "simulate", "test:", "noise:", "--port", str(port), "--rate", "10"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin
            assert process.stdout
            print("test redirect", file=process.stdin, flush=True)
            while "redirect\n" not in process.stdout.readline()[-10:]:
                assert process.poll() is None
            first, second = f"rtsp://127.0.0.1:{port}/test", f"rtsp://127.0.0.1:{port + 1}/noise"
            assert f"Location: {second}\r\n" in ask(first)
            with closing(open_capture(CameraConfig(name="c", source=first), Path())) as capture:
                frame = eventually(lambda: capture.read(0.2))
        finally:
            process.kill()
    assert frame
    assert frame.decoded.luma.mean() > 60  # the other shows a small ball on black


@protocols
@pytest.mark.parametrize("password", ["", "s3cret"])
def test_the_digest_fault_asks_for_sha_256_alone(rtsp: Cameras, codec: str, password: str) -> None:
    camera = rtsp(password, "test:", "--codec", codec)
    camera.fault("digest")
    answer = ask(camera.url())
    assert " 401 " in answer
    assert answer.count("WWW-Authenticate") == 1
    assert "algorithm=SHA-256" in answer
    camera.fault("password")
    assert "WWW-Authenticate: Basic" in ask(camera.url())


def test_the_boundary_fault_leaves_out_the_first_boundary_only(rtsp: Cameras) -> None:
    camera = rtsp("", "test:", "--codec", "http", "--size", "64x48")
    part = "Content-Type: image/jpeg"
    for fault, begins in (("ok", f"\r\n\r\n--next\r\n{part}"), ("boundary", f"\r\n\r\n{part}")):
        camera.fault(fault)
        answer = ask(camera.url(), at_least=20_000)
        assert begins in answer
        assert f"\r\n--next\r\n{part}" in answer.partition(begins)[2]


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
def test_mjpeg_over_http_is_served_to_any_client_and_its_faults_apply(rtsp: Cameras, decoder: str) -> None:
    camera = rtsp("s3cret", "test:", "--codec", "http", "--size", "160x128")
    config = CameraConfig.model_validate({"name": "c", "source": camera.url("camera:s3cret@"), "decoder": decoder})
    with closing(open_capture(config, Path())) as capture:
        shapes = set[tuple[int, ...]]()

        def seen(shape: tuple[int, ...]) -> bool:
            frame = capture.read(0.2)
            if frame:
                shapes.add(frame.decoded.luma.shape)
            return shape in shapes

        eventually(lambda: seen((128, 160)))
        if decoder == "gstreamer":  # OpenCV keeps the first size
            camera.fault("size")
            eventually(lambda: seen((64, 80)))
    camera.fault("drop")
    eventually(lambda: not _connects(camera.url()))
    camera.fault("ok")
    assert " 401 " in ask(camera.url())


def _connects(url: str) -> bool:
    try:
        ask(url)
    except OSError:
        return False
    return True


@protocols
def test_tls_is_served_with_a_certificate_made_once(rtsp: Cameras, tmp_path: Path, codec: str) -> None:
    cert = tmp_path / "camera.pem"
    camera = rtsp("", "test:", "--codec", codec, "--tls", str(cert))
    url = camera.url().replace("://", "s://")
    made = cert.read_bytes()
    assert " 200 OK" in ask(url, cert)
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate"):
        ask(url)
    camera.kill()
    camera.start()
    assert cert.read_bytes() == made
    assert cert.with_suffix(".key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "exists", "words"),
    [
        ("camera.key", [], "name the certificate, such as camera.pem; its key is"),
        ("camera.pem", ["camera.pem"], "camera.pem exists, but not"),
        ("camera.pem", ["camera.key"], "camera.key exists, but not"),
        ("none/camera.pem", [], "openssl cannot make the certificate: "),
        ("camera.pem", ["camera.pem", "camera.key"], "not a certificate and its key"),
    ],
)
def test_a_wrong_certificate_is_reported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, exists: list[str], words: str
) -> None:
    for file in exists:
        (tmp_path / file).write_text("nothing")
    for codec in ("h264", "http"):
        assert main(["simulate", "test:", "--port", "0", "--codec", codec, "--tls", str(tmp_path / name)]) != 0
        assert words in capsys.readouterr().err


def test_each_protocol_offers_the_faults_that_it_can_have() -> None:
    assert "boundary" in possible("http")
    assert "ssrc" not in possible("http")
    assert "boundary" not in possible("h264")
    assert {"ssrc", "jump", "payload", "redirect", "digest", "corrupt"} <= set(possible("h264"))
    assert "corrupt" not in possible("mjpeg")
