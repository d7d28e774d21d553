"""Addresses and passwords of cameras: how they are read, sent and hidden, and how wrong ones are reported."""

import logging
import os
import re
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from codecs import BOM_UTF8
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import pytest

from edge_tdn.capture.address import find
from edge_tdn.capture.open_capture import open_capture, verify
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.config.credentials import check_camera_access
from edge_tdn.config.load import load
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S
from tests.support.http_camera import serving
from tests.support.ports import free_port
from tests.support.rtsp import RtspCamera
from tests.support.running_source import RunningSource
from tests.support.site import write_camera
from tests.support.waiting import PATIENCE_S, PROGRAM_S, eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
RATE = 15  # frames a second of the camera
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder into which systemd puts credentials."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


@pytest.fixture(scope="module")
def guarded() -> Iterator[RtspCamera]:
    """Yield a camera with the user `camera` and the password s3cret."""
    pytest.importorskip("gi").require_version("GstRtspServer", "1.0")
    camera = RtspCamera("s3cret")
    yield camera
    camera.kill()


def camera(source: str, **keys: object) -> CameraConfig:
    return CameraConfig.model_validate({"name": "c", "source": source, **keys})


# User and password


def test_user_and_password_are_taken_out_of_the_address() -> None:
    for written, username, password in (
        ("camera:s3cret@", "camera", "s3cret"),
        ("camera:s3c%40ret%2F@", "camera", "s3c@ret/"),
        ("camera:s3c@ret@", "camera", "s3c@ret"),
        ("camera@", "camera", ""),
        ("", "", ""),
    ):
        address = find(camera(f"rtsp://{written}host:8554/live?x=1"), Path())
        assert address.location == "rtsp://host:8554/live?x=1"
        assert (address.username, address.password) == (username, password)
        assert "s3c" not in repr(address)


def test_a_password_comes_from_a_file_or_a_credential(tmp_path: Path, credentials: Path) -> None:
    (tmp_path / "password").write_text("from file\nnot this\n")
    (credentials / "front").write_text("from systemd\n")
    for name, password in (("password", "from file"), ("credential:front", "from systemd")):
        address = find(camera("rtsp://host/live", username="u", password_file=name), tmp_path)
        assert (address.username, address.password) == ("u", password)
        assert address.with_password == f"rtsp://u:{password.replace(' ', '%20')}@host/live"


def test_a_whole_address_comes_from_a_credential(credentials: Path) -> None:
    """Only its name is ever shown."""
    (credentials / "camera-url").write_bytes(BOM_UTF8 + b"http://camera:s3cret@host/live?token=hidden\r\n")
    address = find(camera("credential:camera-url"), Path())
    assert (address.location, address.username) == ("http://host/live?token=hidden", "camera")
    assert (
        address.message(f"Not Found, URL: {address.location}")
        == "credential:camera-url: Not Found, URL: credential:camera-url"
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('source = "credential:none"\n', r":3: camera\[0\]\.source = 'credential:none': .*none cannot be read"),
        ('source = "credential:empty"\n', r":3: camera\[0\]\.source = 'credential:empty': .* is empty"),
        ('source = "credential:word"\n', r":3: .*'credential:word': its first line: not a URL; allowed: rtsp://"),
        ('source = "credential:path"\n', r":3: .*'credential:path': its first line: not a URL"),
        ('source = "credential:file"\n', r"its first line: unknown kind of source file://; allowed: rtsp://"),
        ('source = "credential:wide"\n', r":3: .*wide is UTF-16, not UTF-8; save the file as UTF-8"),
        ('source = "credential:two"\nusername = "u"\n', r"its first line: the URL already contains a user name"),
        (
            'source = "rtsp://h/x"\nusername = "u"\npassword_file = "absent"\n',
            r":5: camera\[0\]\.password_file = 'absent': .*absent cannot be read: no such file",
        ),
        (
            'source = "rtsp://h/x"\nusername = "u"\npassword_file = "credential:none"\n',
            r":5: camera\[0\]\.password_file = 'credential:none'",
        ),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_with_file_and_key(
    tmp_path: Path, credentials: Path, keys: str, message: str
) -> None:
    """Both at the start and later; no secret is shown."""
    contents = {"empty": "", "word": "s3cret", "path": "/s3cret.mp4", "file": "file:///s3cret"}
    for name, content in {**contents, "two": "rtsp://a:s3cret@h/x"}.items():
        (credentials / name).write_text(content)
    (credentials / "wide").write_text("rtsp://a:s3cret@h/x", encoding="utf-16")
    config = load(write_camera(tmp_path, keys))
    with pytest.raises(ConfigError, match=message) as fault:
        check_camera_access(config, tmp_path)
    assert "s3cret" not in str(fault.value)
    with pytest.raises(SourceError) as later:  # if it was removed since
        find(config.camera[0], tmp_path)
    assert "s3cret" not in str(later.value)


def test_without_systemd_there_is_no_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    config = load(write_camera(tmp_path, 'source = "credential:x"\n'))
    with pytest.raises(ConfigError, match=r"no \$CREDENTIALS_DIRECTORY; systemd sets it"):
        check_camera_access(config, tmp_path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('source = "a.mp4"\nusername = "u"\n', r"username is for rtsp:// and http\(s\)://"),
        ('source = "rtsp://h/x"\npassword_file = "p"\n', r"password_file needs a username"),
        ('source = "rtsp://a:s3cret@h/x"\nusername = "u"\n', r"the URL already contains a user name"),
        ('source = "rtsp://a:s3c/ret@h/x"\n', r":3: .*the port is a number from 1 to 65535; in a password, / # and \?"),
        ('source = "rtsp://h:99999/x"\n', r":3: .*source = 'rtsp://h:99999/x': the port is a number"),
        ('source = "a"\ntransport = "sctp"\n', r":4: .*transport = 'sctp': should be 'tcp' or 'udp'"),
        ('source = "a"\nhardware = "cuda"\n', r":4: .*hardware = 'cuda': should be a valid boolean"),
        ('source = "a"\nrotate = 45\n', r":4: .*rotate = 45: should be 0, 90, 180 or 270"),
        ('source = "a"\nregion = [0, 0, 1]\n', r":4: camera\[0\]\.region"),
        ('source = "a"\nregion = [0.5, 0, 0.6, 1]\n', r":4: .*region: allowed: \[left, top, width, height\]"),
        ('source = "a"\nregion = [0, 0, 0, 1]\n', r":4: .*region: allowed: .* width and height above 0"),
        ('source = "a"\nregion = [0, 0, nan, 1]\n', r":4: camera\[0\]\.region\[2\] = nan: should be a finite number"),
        ('source = "a"\nregion = [-0.1, 0, 1, 1]\n', r":4: .*region\[0\] = -0.1: should be greater than or equal to 0"),
        ('source = "a"\nregion = ["0", 0, 1, 1]\n', r":4: .*region\[0\] = '0': should be a valid number"),
    ],
)
def test_a_wrong_value_is_reported_with_the_allowed_ones(tmp_path: Path, keys: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as fault:
        load(write_camera(tmp_path, keys))
    assert "s3cret" not in str(fault.value)
    assert "s3c/ret" not in str(fault.value)


def test_a_region_may_be_written_in_tenths(tmp_path: Path) -> None:
    """0.7 + 0.1 + 0.2 is a little more than 1."""
    assert load(write_camera(tmp_path, 'source = "a"\nregion = [0.7, 0.9, 0.3, 0.1]\n')).camera[0].region[0] == 0.7


# Cameras with a password


@both
@pytest.mark.parametrize("file", [b"s3cret\n", BOM_UTF8 + b"s3cret\r\n"])
def test_a_camera_opens_with_a_password_file(guarded: RtspCamera, tmp_path: Path, decoder: str, file: bytes) -> None:
    """Also as Windows saves it, with a byte-order mark."""
    (tmp_path / "password").write_bytes(file)
    capture = open_capture(
        camera(guarded.url(), decoder=decoder, username="camera", password_file="password"), tmp_path
    )
    try:
        eventually(lambda: capture.read(0.2) is not None)
    finally:
        capture.close()


def test_a_corrected_password_file_is_read_at_the_next_retry(guarded: RtspCamera, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wr0ng\n")
    timing = CaptureTiming(unauthorized_retry_s=0.5)
    source = RunningSource(guarded.url(), timing=timing, username="camera", password_file=str(file))
    try:
        assert "wr0ng" not in source.wait_for("unauthorized")
        file.unlink()
        assert "password_file" in source.wait_for("unreachable")
        file.write_text("s3cret\n")
        source.wait(lambda: source.count > 0)
    finally:
        source.close()


class GuardedPage(BaseHTTPRequestHandler):
    """Requires the user `camera` with the password s3cret, and then finds nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        right = b64decode(given) == b"camera:s3cret"
        self.send_response(404 if right else 401)
        if not right:
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_http_requires_a_password_as_rtsp_does(tmp_path: Path) -> None:
    with serving(GuardedPage) as address:
        for password, state in (("wr0ng", "unauthorized"), ("s3cret", "unreachable")):
            (tmp_path / "password").write_text(password)
            source = RunningSource(f"{address}/live", base=tmp_path, username="camera", password_file="password")
            try:
                reason = source.wait_for(state)
            finally:
                source.close()
            assert password not in reason


def test_gstreamer_logs_no_password(guarded: RtspCamera, tmp_path: Path) -> None:
    """Not even when it logs everything about RTSP: neither in plain text nor encoded."""
    program = (
        "import logging, sys, time; logging.basicConfig(level=logging.DEBUG); "  # a log that hides nothing
        "from pathlib import Path; from edge_tdn.config.tables import CameraConfig; "
        "from edge_tdn.capture.open_capture import open_capture; "
        "capture = open_capture(CameraConfig(name='c', source=sys.argv[1]), Path()); "
        "until = time.monotonic() + 240; got = []\n"
        "while len(got) < 5 and time.monotonic() < until: got += filter(None, [capture.read(1.0)])\n"
        "capture.close(); assert got"
    )
    debug = {"GST_DEBUG": "*:4,*rtsp*:9,GST_PIPELINE:9", "GST_DEBUG_NO_COLOR": "1"}
    url = guarded.url("camera:s3cret@")
    command = [sys.executable, "-c", program, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_S, env=os.environ | debug)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "rtspsrc" in done.stderr
    for secret in ("s3cret", b64encode(b"camera:s3cret").decode()):
        assert secret not in done.stderr


# Wrong addresses


@both
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_that_does_not_answer_is_named(scheme: str, decoder: str) -> None:
    """The source retries: the name may resolve later, the port may open."""
    port = free_port()
    for address, reason in (
        ("no-such-host.invalid", "the name no-such-host.invalid does not resolve"),
        (f"127.0.0.1:{port}", f"127.0.0.1 port {port}: Connection refused"),
    ):
        source = RunningSource(f"{scheme}://{address}/live", decoder)
        try:
            assert source.wait_for("unreachable") == f"{scheme}://{address}/live: {reason}"
        finally:
            source.close()
        assert source.error is None


@both
def test_a_device_that_is_not_a_camera_is_named(decoder: str) -> None:
    """The source opens it again each time."""
    source = RunningSource("/dev/null", decoder)
    try:
        source.wait(lambda: source.entered().count("unreachable") >= 2)
    finally:
        source.close()
    reasons = {"gstreamer": "It isn't a v4l2 driver", "opencv": "no such camera"}
    assert source.wait_for("unreachable").startswith("/dev/null: ")
    assert reasons[decoder] in source.wait_for("unreachable")


def test_a_camera_without_a_declared_rate_plays() -> None:
    """Its caps declare 0/1: frames arrive at any time."""
    pictures = "videotestsrc num-buffers=10 ! video/x-raw,width=64,height=48,framerate=100/1"
    assert RunningSource(f"gst: {pictures} ! capssetter caps=video/x-raw,framerate=0/1").end().count == 10


# Transport and the camera's clock


def test_frames_over_udp_have_the_cameras_own_time(guarded: RtspCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame's wall clock is when the camera took it, once the camera sends its time: with its first RTCP report."""
    late_ns = PATIENCE_S * NS_PER_S  # a busy host reads frames late, and does not take the camera's clock for wrong
    monkeypatch.setattr("edge_tdn.capture.camera_clock.MAX_BEHIND_NS", late_ns)
    source = RunningSource(guarded.url("camera:s3cret@"), transport="udp")
    ahead_ns = time.time_ns() - time.monotonic_ns()  # from the clock of arrivals to the wall clock
    try:
        source.wait(lambda: source.source.clock == "camera")
        before = source.count
        source.wait(lambda: source.count >= before + 5)
    finally:
        source.close()
    assert source.source.decoder == "avdec_h264"
    assert source.entered() == ["connecting", "streaming"]
    taken = [frame.wall_ns for frame in source.frames[before + 1 :]]
    for before_ns, after_ns in pairwise(taken):  # on the camera's grid of 15 a second, however they arrived
        pictures = (after_ns - before_ns) * RATE / NS_PER_S
        assert pictures == pytest.approx(max(1, round(pictures)), abs=0.02)
    assert abs(taken[-1] - (source.frames[-1].received_ns + ahead_ns)) < late_ns


def test_a_wrong_camera_clock_is_replaced_by_the_hosts(
    guarded: RtspCamera, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An hour behind: the host's clock is used, and that is logged once."""
    monkeypatch.setattr("edge_tdn.capture.camera_clock.NTP_EPOCH_NS", (2_208_988_800 + 3600) * NS_PER_S)
    with caplog.at_level(logging.WARNING):
        source = RunningSource(guarded.url("camera:s3cret@"))
        ahead_ns = time.time_ns() - time.monotonic_ns()
        try:
            source.wait(lambda: "clock=host" in caplog.text)
            before = source.count
            source.wait(lambda: source.count >= before + 5)
        finally:
            source.close()
    assert source.source.clock == "host"
    assert caplog.text.count("clock=host") == 1
    logged = re.search(r"the camera's own is -(\d+\.\d) s off", caplog.text)
    assert logged
    assert 3600 <= float(logged[1]) < 3600 + PATIENCE_S  # and the time that the frame took
    assert all(abs(frame.wall_ns - frame.received_ns - ahead_ns) < 30 * NS_PER_S for frame in source.frames)


def test_opencv_refuses_udp(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r'transport = "udp" needs the decoder gstreamer'):
        verify(camera("rtsp://h/x", decoder="opencv", transport="udp"), tmp_path)
