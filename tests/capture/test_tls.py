"""Cameras with TLS: certificates are verified, a rejected one is named, and nothing is sent without verification."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edge_tdn.capture.address import find
from edge_tdn.capture.capture import Capture
from edge_tdn.capture.diagnosis import diagnose
from edge_tdn.capture.open_capture import open_capture, verify
from edge_tdn.capture.redirects import redirected
from edge_tdn.config.credentials import check_camera_access
from edge_tdn.config.load import load
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import ConfigError, ExplainedError, SourceError
from edge_tdn.media import gstreamer
from tests.support.authority import Authority, Certificate, self_signed
from tests.support.rtsp import RtspCamera
from tests.support.running_source import RunningSource
from tests.support.site import write_camera
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
Cameras = Callable[..., RtspCamera]
protocols = pytest.mark.parametrize("codec", ["h264", "http"])
SCHEMES = {"h264": "rtsps", "http": "https"}


def secured(rtsp: Cameras, codec: str, certificate: Certificate) -> RtspCamera:
    return rtsp("s3cret", "test:", "--codec", codec, "--size", "160x128", "--tls", str(certificate.cert))


def url(camera: RtspCamera, codec: str, host: str = "127.0.0.1") -> str:
    return f"{SCHEMES[codec]}://camera:s3cret@{host}:{camera.port}/test"


def config(source: str, ca: Path | None = None, **keys: object) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c", "source": source, "ca_file": str(ca or ""), **keys})


@contextmanager
def opened(camera: CameraConfig) -> Iterator[Capture]:
    with closing(open_capture(camera, Path())) as capture:
        yield capture


def plays(camera: CameraConfig) -> bool:
    """Return True if frames arrive. Raises SourceError."""
    with opened(camera) as capture:
        eventually(lambda: capture.read(0.2) is not None)
    return True


def refusal(source: str, ca: Path | None = None) -> str:
    """Return why a camera that must not be trusted does not play; it is retried."""
    source_running = RunningSource(source, ca_file=str(ca or ""))
    try:
        reason = source_running.wait_for("unreachable")
        assert source_running.count == 0
    finally:
        source_running.close()
    assert "s3cret" not in reason
    return reason


@protocols
def test_an_unknown_self_signed_certificate_is_named_and_its_own_file_trusts_it(
    rtsp: Cameras, tmp_path: Path, codec: str
) -> None:
    """Cameras put any name into it: the file identifies the camera, not the name."""
    own = self_signed(tmp_path, "factory", names="DNS:IPCAM-0042")
    camera = secured(rtsp, codec, own)
    reason = refusal(url(camera, codec))
    assert "the camera's certificate was rejected: self-signed certificate; ca_file must contain the auth" in reason
    assert plays(config(url(camera, codec), own.cert))
    diagnose(find(config(url(camera, codec), own.cert), Path()))  # agrees


@protocols
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("authority", ""),
        ("expired", "certificate has expired; it must be renewed, unless this host's clock is wrong"),
        ("early", "certificate is not yet valid; is this host's clock right?"),
        ("name", "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("other", "unable to get local issuer certificate; ca_file must contain the authority that signed it"),
        ("namesake", "unable to get local issuer certificate; ca_file must contain the authority that signed it"),
    ],
)
def test_a_certificate_of_an_authority_is_verified_in_every_respect(
    rtsp: Cameras, tmp_path: Path, codec: str, kind: str, words: str
) -> None:
    folders = {name: tmp_path / name for name in ("ours", "others", "namesake")}
    for folder in folders.values():
        folder.mkdir()
    ours, others = Authority(folders["ours"], "ours"), Authority(folders["others"], "others")
    signed = {
        "authority": lambda: ours.issue("camera"),
        "expired": lambda: ours.issue("camera", from_days=-2, to_days=-1),
        "early": lambda: ours.issue("camera", from_days=1, to_days=2),
        "name": lambda: ours.issue("camera", names="DNS:elsewhere.example"),
        "other": lambda: others.issue("camera"),
        "namesake": lambda: Authority(folders["namesake"], "ours").issue("camera"),
    }[kind]()
    camera = secured(rtsp, codec, signed)
    ca = ours.certificate.cert
    if kind == "authority":
        assert plays(config(url(camera, codec), ca))
        assert plays(config(url(camera, codec, "localhost"), ca))
    else:
        reason = refusal(url(camera, codec), ca)
        assert "the camera's certificate was rejected: " in reason
        assert words in reason


@protocols
def test_an_own_certificate_that_has_expired_is_rejected(rtsp: Cameras, tmp_path: Path, codec: str) -> None:
    ours = Authority(tmp_path, "ours")
    own = ours.issue("camera", names="DNS:elsewhere.example", from_days=-2, to_days=-1)
    both = tmp_path / "both.pem"
    both.write_text(own.cert.read_text() + ours.certificate.cert.read_text())
    assert "certificate has expired" in refusal(url(secured(rtsp, codec, own), codec), both)


def test_the_certificate_of_one_camera_does_not_vouch_for_another(rtsp: Cameras, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    own, other = (self_signed(tmp_path / name, "factory", names="DNS:IPCAM") for name in ("one", "two"))
    assert "certificate was rejected" in refusal(url(secured(rtsp, "h264", own), "h264"), other.cert)


class Eavesdropper:
    """A TLS server that accepts any connection with a certificate of its own, and records what clients send."""

    def __init__(self, certificate: Certificate) -> None:
        self.received = b""
        self.handshakes = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self.port = self._server.getsockname()[1]
        self._context, self._open = context, True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._open = False
        self._thread.join(PATIENCE_S)
        self._server.close()

    def _run(self) -> None:
        while self._open:
            try:
                plain = self._server.accept()[0]
            except TimeoutError:
                continue
            plain.settimeout(PATIENCE_S)
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    self.handshakes += 1
                    while more := connection.recv(4096):
                        self.received += more
            except OSError:
                continue


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
def test_nothing_is_sent_to_a_server_that_is_not_verified(tmp_path: Path, scheme: str, decoder: str) -> None:
    with closing(Eavesdropper(self_signed(tmp_path, "thief"))) as thief:
        source = RunningSource(f"{scheme}://camera:s3cret@127.0.0.1:{thief.port}/live", decoder)
        try:
            if decoder == "opencv":
                assert "needs the decoder gstreamer: OpenCV does not verify certificates" in source.wait_for("ended")
            else:
                assert "self-signed certificate" in source.wait_for("unreachable")
        finally:
            source.close()
        assert thief.received == b""


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_opencv_refuses_tls_at_the_start(scheme: str, tmp_path: Path) -> None:
    own = self_signed(tmp_path, "own")
    with pytest.raises(
        SourceError, match=rf"{scheme}:// needs the decoder gstreamer: OpenCV .*; install GStr"
    ) as fault:
        verify(config(f"{scheme}://h/x", own.cert, decoder="opencv"), Path())
    assert fault.value.state == "ended"


def test_pictures_of_a_tls_camera_are_not_sent_in_plain_text(tmp_path: Path) -> None:
    own = self_signed(tmp_path, "own")
    with pytest.raises(SourceError, match=r'"udp" would send the pictures of rtsps:// in plain text; set it to "tcp"'):
        verify(config("rtsps://h/x", own.cert, transport="udp"), Path())


@protocols
def test_plain_text_at_a_tls_address_is_named(rtsp: Cameras, codec: str) -> None:
    camera = rtsp("", "test:", "--codec", codec)
    reason = refusal(f"{SCHEMES[codec]}://127.0.0.1:{camera.port}/test")
    assert "the TLS handshake failed: " in reason
    assert reason.endswith("is this the camera's TLS port?")


def test_the_address_of_a_redirect_is_verified_with_the_same_file(tmp_path: Path) -> None:
    own = self_signed(tmp_path, "own")
    address = find(config("rtsps://camera/live", own.cert), Path())
    assert redirected(address, "rtsps://camera:8322/other").ca == own.cert


# The configuration


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('source = "rtsps://h/x"\nca_file = "absent"\n', r":4: camera\[0\]\.ca_file = 'absent': .*no such file"),
        ('source = "rtsps://h/x"\nca_file = "text"\n', r":4: camera\[0\]\.ca_file = 'text': .*no certificates in PEM"),
        ('source = "rtsps://h/x"\nca_file = "."\n', r":4: camera\[0\]\.ca_file = '\.': .* not a regular file"),
        ('source = "rtsp://h/x"\nca_file = "text"\n', r"'rtsp://h/x' has no TLS; ca_file needs rtsps:// or https://"),
        ('source = "a.mp4"\nca_file = "text"\n', r"'a.mp4' has no TLS; ca_file needs rtsps:// or https://"),
    ],
)
def test_a_wrong_ca_file_is_reported_with_line_and_key(tmp_path: Path, keys: str, message: str) -> None:
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(ConfigError, match=message):
        check_camera_access(load(write_camera(tmp_path, keys)), tmp_path)


def test_a_file_that_is_damaged_later_is_a_fault_of_the_camera(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(SourceError, match="text: GStreamer cannot use it: "):
        gstreamer.tls_database(tmp_path / "text")
    source = RunningSource("rtsps://127.0.0.1:1/x", base=tmp_path, ca_file="text")
    try:
        assert "no certificates in PEM" in source.wait_for("unreachable")
    finally:
        source.close()


def test_the_main_stream_is_verified_as_the_sub_stream_is(rtsp: Cameras, tmp_path: Path) -> None:
    """With the same user, password file and ca_file; only one of the two needs TLS."""
    own = self_signed(tmp_path, "own")
    camera = secured(rtsp, "h264", own)
    (tmp_path / "password").write_text("s3cret\n")
    keys = f'source = "rtsp://h/sub"\nrecord_source = "rtsps://127.0.0.1:{camera.port}/test"\nca_file = "own.pem"\n'
    loaded = load(write_camera(tmp_path, f'{keys}username = "camera"\npassword_file = "password"\n'))
    check_camera_access(loaded, tmp_path)
    main = loaded.camera[0].recorded
    with closing(open_capture(main, tmp_path)) as capture:
        eventually(lambda: capture.read(0.2) is not None)
    with pytest.raises(ExplainedError, match="self-signed certificate"):
        diagnose(find(main.model_copy(update={"ca_file": ""}), tmp_path))
