"""Redirects of cameras: followed a few times, never in a loop, never with the password to another host."""

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_tdn.capture.address import Address, find
from edge_tdn.capture.open_capture import open_capture
from edge_tdn.capture.redirects import MAX_REDIRECTS, MAX_SHOWN, Trail, redirected
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import ExplainedError, SourceError
from edge_tdn.media import gstreamer
from tests.support.http_camera import HttpCamera, serving
from tests.support.rtsp import RtspCamera
from tests.support.running_source import PATIENT_TIMING, RunningSource
from tests.support.scripted_camera import ScriptedCamera, scripted, status
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
HOSTILE = 1000  # redirects of the fuzz test
ONCE = replace(PATIENT_TIMING, retry_min_s=10_000.0, retry_max_s=10_000.0)  # hours before the second connection
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
protocols = pytest.mark.parametrize("scheme", ["rtsp", "http"])
BASIC = 'WWW-Authenticate: Basic realm="camera"'


def address(location: str = "rtsp://camera/live", **keys: str) -> Address:
    return Address(location, keys.pop("shown", location), **keys)  # type: ignore[arg-type]


def first_failure(url: str, decoder: str) -> str:
    """Return the reason of the first failed connection."""
    source = RunningSource(url, decoder, timing=ONCE)
    try:
        return source.wait_for("unreachable")
    finally:
        source.close()


# Real servers


@both
@pytest.mark.parametrize("codec", ["h264", "http"])
def test_a_camera_that_redirects_to_itself_is_asked_once_per_connection(
    rtsp: Callable[..., RtspCamera], codec: str, decoder: str
) -> None:
    camera = rtsp("", "test:", "--codec", codec)
    camera.fault("redirect")
    reason = first_failure(camera.url(), decoder)
    assert reason == (
        f"{camera.url()}: the camera redirects in a loop, back to {camera.url()}; set `source` to the address that "
        "plays"
    )


@both
@protocols
@pytest.mark.parametrize("codec", ["h264", "http"])
def test_a_redirect_to_another_camera_plays_it(
    rtsp: Callable[..., RtspCamera], codec: str, scheme: str, decoder: str
) -> None:
    """Also from RTSP to HTTP and back, which rtspsrc, souphttpsrc and FFmpeg do not follow."""
    second = rtsp("", "test:", "--codec", codec, "--size", "160x128")
    moved = f"Location: {second.url()}"
    with scripted(lambda request: status(request, 302, "Moved", moved), scheme) as first:
        config = CameraConfig.model_validate({"name": "c", "source": first.url, "decoder": decoder})
        with closing(open_capture(config, Path())) as capture:
            frame = eventually(lambda: capture.read(0.2))
            assert capture.live
            assert capture.decoder
    assert frame
    assert frame.decoded.luma.shape == (128, 160)


@both
def test_a_redirected_file_ends_where_it_ends(make_video: Callable[..., Path], decoder: str) -> None:
    HttpFile = type("HttpFile", (HttpCamera,), {"video": make_video(frames=12).read_bytes()})
    with (
        serving(HttpFile) as server,
        scripted(lambda request: status(request, 307, "Moved", f"Location: {server}/file.mp4"), "http") as first,
    ):
        source = RunningSource(first.url, decoder).end()
    assert source.count == 12
    assert source.entered() == ["connecting", "streaming", "ended"]


@both
@protocols
def test_a_loop_of_two_servers_ends_where_it_closes(scheme: str, decoder: str) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(scripted(lambda _: "", scheme)) for _ in range(2))
        first.reply = lambda request: status(request, 301, "Moved", f"Location: {second.url}")
        second.reply = lambda request: status(request, 302, "Found", f"Location: {first.url}")
        reason = first_failure(first.url, decoder)
    assert f"the camera redirects in a loop, back to {first.url}" in reason


@both
@protocols
def test_an_endless_chain_of_new_addresses_is_left_after_a_few(scheme: str, decoder: str) -> None:
    with scripted(lambda _: "", scheme) as camera:
        camera.reply = lambda request: status(
            request, 302, "Found", f"Location: {camera.url}/{len(camera.requests):04}"
        )
        reason = first_failure(camera.url, decoder)
        asked = sum(not request.startswith("OPTIONS") for request in camera.requests)
    assert f"the camera redirects more than {MAX_REDIRECTS} times, at last to {camera.url}/" in reason
    by_ffmpeg = 9 if (scheme, decoder) == ("http", "opencv") else 0  # which limits those of HTTP itself
    assert MAX_REDIRECTS < asked <= MAX_REDIRECTS + 2 + by_ffmpeg


def test_a_failing_redirect_costs_little_time_and_few_requests() -> None:
    """The libraries' own following sent 1,400 requests a second, with the processor at work."""
    with scripted(lambda _: "") as camera:
        camera.reply = lambda request: status(request, 302, "Found", f"Location: {camera.url}")
        source = RunningSource(camera.url)
        busy_s = time.process_time()
        try:
            source.wait(lambda: source.entered().count("unreachable") >= 3)
            busy_s = time.process_time() - busy_s
        finally:
            source.close()
        assert len(camera.requests) <= 4 * source.entered().count("connecting")
    assert busy_s < 2.0


@both
@protocols
def test_the_password_is_not_sent_to_another_host(scheme: str, decoder: str) -> None:
    """The same host may have another port and another path."""

    def guarded(request: str, location: str) -> str:
        if "Authorization:" not in request and not request.startswith("OPTIONS") and decoder == "gstreamer":
            return status(request, 401, "Unauthorized", BASIC)
        return status(request, 302, "Found", f"Location: {location}")

    with ExitStack() as stack:
        thief, second = (
            stack.enter_context(scripted(lambda request: status(request, 401, "Unauthorized", BASIC), scheme, host))
            for host in ("127.0.0.2", "127.0.0.1")
        )
        camera = stack.enter_context(scripted(lambda request: guarded(request, thief.url), scheme))
        url = camera.url.replace("://", "://camera:s3cret@")
        reason = first_failure(url, decoder)
        assert f"the camera redirects to {thief.url}, another host, which must not get the password; set `so" in reason
        assert "s3cret" not in reason
        assert thief.connections_with_password == 0
        if (scheme, decoder) != ("http", "opencv"):  # FFmpeg asks without a password
            assert thief.requests == []
        camera.reply = lambda request: guarded(request, second.url)
        source = RunningSource(url, decoder)
        try:
            source.wait(lambda: second.connections_with_password > 0)
        finally:
            source.close()


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ("Location: http://camera.invalid/x", "the name camera.invalid does not resolve"),
        ("Location: file:///etc/passwd", "the camera redirects to file:///etc/passwd: unknown kind of source file://"),
        ("Location: nonsense", "the camera redirects in a loop, back to"),
        ("Location:", "the camera redirects without an address; set `source` to"),
        ("", "the camera redirects without an address; set `source` to"),
    ],
)
@both
@protocols
def test_a_redirect_to_nowhere_is_a_fault_of_the_camera(scheme: str, decoder: str, headers: str, words: str) -> None:
    with scripted(lambda request: status(request, 302, "Found", headers), scheme) as camera:
        reason = first_failure(camera.url, decoder)
        assert reason.startswith(camera.url)
        assert words in reason
        assert len(camera.requests) < 30


# The rules


def test_the_same_machine_may_get_the_password_under_another_name_port_and_path() -> None:
    before = address("rtsp://127.0.0.1/live", username="u", password="p4ssword")
    for location in ("rtsp://127.0.0.1:8554/other?x=1", "rtsp://localhost/live2", "http://127.0.0.1/live.mjpg"):
        after = redirected(before, location)
        assert (after.location, after.username, after.password) == (location, "u", "p4ssword")


def test_a_huge_location_is_refused_at_once() -> None:
    """To look for passwords in it would take minutes."""
    with pytest.raises(ExplainedError, match=r"the camera redirects to an address of 60000 characters; set `source`"):
        redirected(address(), "://a:" * 12_000)


def test_a_location_with_a_user_brings_its_own_password() -> None:
    after = redirected(address(username="u", password="p4ssword"), "rtsp://other:0wn-pass@203.0.113.9/x")
    assert (after.location, after.username, after.password) == ("rtsp://203.0.113.9/x", "other", "0wn-pass")
    assert "0wn-pass" not in repr(after)


@pytest.mark.parametrize("target", ["rtsp://camera/live", "http://camera/live"])
@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_redirect_never_leaves_tls(scheme: str, target: str) -> None:
    with pytest.raises(ExplainedError, match=rf"redirects to {target}, which is without TLS; set `source`"):
        redirected(address(f"{scheme}://camera/live"), target)
    assert redirected(address("http://camera/"), "https://camera/").location == "https://camera/"


def test_a_scheme_in_capitals_is_the_same() -> None:
    assert redirected(address(), "HTTP://camera/x").location == "http://camera/x"
    assert redirected(address(), "RTSP://camera/x").location == "rtsp://camera/x"


def test_a_relative_location_is_of_the_same_host() -> None:
    before = address("http://camera:81/cgi/live?x=1", username="u", password="p")
    assert redirected(before, "/mjpg?y=2").location == "http://camera:81/mjpg?y=2"
    assert redirected(before, "stream").location == "http://camera:81/cgi/stream"
    assert redirected(before, "stream").username == "u"


def test_of_a_secret_address_only_the_host_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "url").write_text("https://camera/live?token=h1dden-token")
    before = find(CameraConfig(name="c", source="credential:url"), Path())
    with pytest.raises(ExplainedError) as refused:
        redirected(before, "http://camera/h1dden-path?key=h1dden-token")
    assert str(refused.value).startswith("credential:url: the camera redirects to http://camera, which")
    assert "h1dden" not in str(refused.value)


def test_hostile_locations_are_followed_or_refused_and_never_crash() -> None:
    """Parts of addresses, mutated and put together at random; the counts are printed."""
    generator = random.Random(16)
    parts = [
        *("rtsp://", "rtsps://", "http://", "https://", "file://", "gst:", "//", "/", "\\", "javascript:", ""),
        *("camera", "127.0.0.1", "[::1]", "[::1", "[v1.x]", "xn--", "\u212a.example", "a" * 300, "\ud800", "..", "@"),
        *(":80", ":99999", ":-1", ":\u0663", ":", "u:p4ssword@", "u:p@q@", "%00", "%zz", "?a=b", "#", "?token=t0ken"),
        *("\r\nX: y", "\0", "\t", " ", "\u202e", "\x7f", "\x85", "{}", "%s", "\u4f8b\u3048.jp", "/../..", ";"),
    ]
    bases = [address(), address("https://camera/x?y=z", username="u", password="s3cret-pass"), address("http://[::1]/")]
    followed, refused = list[str](), list[str]()
    for _ in range(HOSTILE):
        location = "".join(generator.choices(parts, k=generator.randint(1, 6)))
        try:
            followed.append(Trail(generator.choice(bases)).follow(location).location)
        except SourceError as error:
            refused.append(str(error))
    counts = f"{len(followed)} followed, {len(refused)} refused, 0 tracebacks"
    print(f"{len(followed) + len(refused)} redirects: {counts}")  # noqa: T201  (shown with -s)
    assert len(followed) + len(refused) == HOSTILE
    assert min(len(followed), len(refused)) > HOSTILE // 20
    assert all(location.startswith(("rtsp://", "rtsps://", "http://", "https://")) for location in followed)
    for text in refused:
        assert text.isprintable()
        assert len(text) < 3 * MAX_SHOWN
        assert "s3cret-pass" not in text
        assert "://u:p4ssword@" not in text


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_hostile_locations_of_a_real_server_end_in_a_reason(scheme: str) -> None:
    """Both libraries parse the header before the project does."""
    generator = random.Random(8)
    values = ["rtsp://", "http://[", "x" * 5000, "rtsp://[::1", "rtsp://h:99999/", "\x01", "\xe9\xe9", "//", "?", "%"]
    with scripted(lambda _: "", scheme) as camera:
        assert isinstance(camera, ScriptedCamera)
        for decoder in ("gstreamer", "opencv"):
            for _ in range(6):
                location = "".join(generator.choices(values, k=generator.randint(1, 2)))
                camera.reply = lambda request, to=location: status(request, 302, "Found", f"Location: {to}")  # type: ignore[misc]
                assert first_failure(camera.url, decoder).startswith(camera.url)
