"""`edge-tdn doctor` on cameras whose protocol, not whose path or password, is the cause."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_tdn.capture import diagnosis
from edge_tdn.cli.doctor import cameras
from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.load import load
from edge_tdn.demo import demo_clip
from edge_tdn.media import gstreamer
from tests.support.authority import self_signed
from tests.support.rtsp import RtspCamera
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
TIMING = DoctorTiming(first_picture_s=60.0, look_s=0.5)
SECRET = "opensesame"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera of these tests always answers, on a busy machine late."""
    monkeypatch.setattr(diagnosis, "TIMEOUT_S", PATIENCE_S)


def examined(folder: Path, source: str, keys: str = "") -> list[Finding]:
    path = folder / "site.toml"
    path.write_text(f'[[camera]]\nname = "a"\nsource = "{source}"\n{keys}')
    found = list(cameras.examine(load(path), folder, lambda _: 15, TIMING))
    assert SECRET not in str(found)
    return found


def test_a_redirect_and_a_scheme_have_remedies_of_their_own(rtsp: Callable[..., RtspCamera], tmp_path: Path) -> None:
    camera = rtsp(SECRET)
    for fault, message, remedy in (
        ("redirect", "the camera redirects in a loop, back to ", "set `source` to the address that plays"),
        (
            "digest",
            "by Digest (SHA-256), which is not supported",
            "allow Digest with MD5, or Basic, in its own settings",
        ),
    ):
        camera.fault(fault)
        (finding,) = examined(tmp_path, camera.url(f"camera:{SECRET}@"))
        assert (finding.mark, finding.exit_status, finding.remedy) == ("failed", 66, remedy)
        assert message in finding.message


@pytest.mark.parametrize(("codec", "scheme"), [("h264", "rtsps"), ("http", "https")])
def test_a_certificate_has_a_remedy_and_plays_with_its_file(
    rtsp: Callable[..., RtspCamera], tmp_path: Path, codec: str, scheme: str
) -> None:
    own = self_signed(tmp_path, "camera", names="DNS:IPCAM")
    camera = rtsp(SECRET, "test:", "--codec", codec, "--tls", str(own.cert))
    source = f"{scheme}://camera:{SECRET}@127.0.0.1:{camera.port}/test"
    (finding,) = examined(tmp_path, source)
    assert finding.message.endswith("the camera's certificate was rejected: self-signed certificate")
    assert finding.remedy == "ca_file must contain the authority that signed it, or the certificate itself"
    picture, certificate = examined(tmp_path, source, 'ca_file = "camera.pem"')  # it is valid for two days
    assert (picture.mark, certificate.mark, certificate.what) == ("ok", "warning", "camera a, certificate")
    assert certificate.message == "the camera's certificate is valid for 2 days"


def test_a_certificate_of_a_year_causes_no_warning(rtsp: Callable[..., RtspCamera], tmp_path: Path) -> None:
    made = tmp_path / "camera.pem"
    camera = rtsp("", "test:", "--tls", str(made))
    (finding,) = examined(tmp_path, camera.url().replace("rtsp:", "rtsps:"), 'ca_file = "camera.pem"')
    assert (finding.mark, finding.what) == ("ok", "camera a")


@pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
def test_a_tls_camera_with_opencv_is_a_fault_of_the_configuration(tmp_path: Path, decoder: str) -> None:
    (finding,) = examined(tmp_path, "rtsps://127.0.0.1:1/x", f'decoder = "{decoder}"')
    refused = "rtsps:// needs the decoder gstreamer" in finding.message
    assert (finding.exit_status, refused) == ((78, True) if decoder == "opencv" else (66, False))


def test_a_password_in_plain_text_over_the_network_is_a_warning(
    rtsp: Callable[..., RtspCamera], tmp_path: Path
) -> None:
    """A camera on this machine itself causes none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unconnected:
        try:
            unconnected.connect(("192.0.2.1", 9))  # sends nothing: finds this machine's own address
        except OSError:
            pytest.skip("this machine has no network")
        own = unconnected.getsockname()[0]
    camera = rtsp(SECRET, "test:", "--address", "0.0.0.0")
    here = camera.url(f"camera:{SECRET}@")
    assert [finding.mark for finding in examined(tmp_path, here)] == ["ok"]
    picture, password = examined(tmp_path, here.replace("127.0.0.1", own))
    assert (picture.mark, password.mark, password.what) == ("ok", "warning", "camera a, password")
    assert "its password is sent in plain text" in password.message


def test_the_demo_clip_is_drawn_where_nothing_has_played_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the installation of the Debian package, whose configuration plays it; here a shorter one."""
    monkeypatch.setattr(demo_clip, "SCRIPT", demo_clip.SCRIPT[:2])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (finding,) = examined(tmp_path, "demo:")
    assert (finding.mark, finding.exit_status) == ("ok", 0)
    assert demo_clip.demo_clip_path().is_file()
