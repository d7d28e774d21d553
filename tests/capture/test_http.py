"""Answers of web servers: MJPEG in the forms that cameras send, and what is not a video."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.capture import gst_capture
from edge_tdn.capture.address import Address
from edge_tdn.capture.pipeline import SINK, parse
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S
from tests.support.http_camera import RATE, answering, noisy_jpeg, serving
from tests.support.patterns import animation, bars, encode
from tests.support.rtsp import RtspCamera
from tests.support.running_source import RunningSource

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
Run = Callable[..., RunningSource]
REPLACE = "multipart/x-mixed-replace; boundary=next"
NO_CLOCK = CaptureTiming(first_frame_s=100_000.0)  # a test that depended on this limit would never end
NEVER_STALLED = replace(NO_CLOCK, stall_s=100_000.0)  # nor by a host that is busy for seconds
EAGER = replace(NEVER_STALLED, retry_min_s=0.1)
EARLY = 12  # pictures that may have been decoded before the pipeline had a clock
BODY = b"<!DOCTYPE html>\n<html><head><title>Camera</title></head><body><form>user, password</form></body></html>"

# MJPEG


def parts(
    head: bytes = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n",
    boundary: bytes = b"--next\r\n",
    before: bytes = b"",
    skipped: int = 0,
) -> Callable[[io.BufferedIOBase], None]:
    """Return what writes MJPEG for ever. `before`: first. `skipped`: bytes that are missing at the beginning."""

    def write(out: io.BufferedIOBase) -> None:
        out.write(before)
        for number in count():
            picture = noisy_jpeg(number)
            part = boundary + (head % len(picture) if b"%d" in head else head) + b"\r\n" + picture + b"\r\n"
            out.write(part if number else part[skipped:])
            time.sleep(1 / RATE)

    return write


FORMS = {
    "with a boundary first": (REPLACE, parts()),
    "without the first boundary": (REPLACE, parts(skipped=len(b"--next\r\n"))),
    "without the first boundary, lines end with LF": (
        REPLACE,
        parts(b"Content-Type: image/jpeg\n", b"--next\n", skipped=len(b"--next\n")),
    ),
    "without the first headers": (REPLACE, parts(b"", skipped=len(b"--next\r\n\r\n"))),
    "with a preamble": (REPLACE, parts(before=b"This is a message in MIME format.\r\n")),
    "with a picture in place of the preamble": (REPLACE, parts(before=noisy_jpeg(99_999) + b"\r\n")),
    "multipart/mixed": ("multipart/mixed; boundary=next", parts()),
    "dashes in the header": ("multipart/x-mixed-replace; boundary=--next", parts()),
    "a quoted boundary": ('multipart/x-mixed-replace;boundary="next"', parts()),
    "no boundary in the header": ("Multipart/X-Mixed-Replace", parts(skipped=len(b"--next\r\n"))),
    "no dashes before the boundary": (REPLACE, parts(boundary=b"next\r\n")),
    "no Content-Length": (REPLACE, parts(b"Content-Type: image/jpeg\r\n")),
    "a wrong Content-Length": (REPLACE, parts(b"Content-Type: image/jpeg\r\nContent-Length: 10\r\n")),
    "headers in small letters": (REPLACE, parts(b"content-type: image/jpeg\r\ncontent-length: %d\r\n")),
    "no Content-Type of the parts": (REPLACE, parts(b"Content-Length: %d\r\n")),
    "no headers of the parts": (REPLACE, parts(b"")),
    "image/jpg": (REPLACE, parts(b"Content-Type: image/jpg\r\nContent-Length: %d\r\n")),
    "image/jpeg without multipart": ("image/jpeg", parts(b"", b"")),
    "without a type": ("", parts()),
}


@pytest.mark.parametrize("form", FORMS)
def test_mjpeg_plays_in_every_form(run: Run, form: str) -> None:
    """Every picture arrives, once, and has a time of its own."""
    content_type, body = FORMS[form]
    with serving(answering(body, content_type)) as address:
        source = run(f"{address}/live", timing=NEVER_STALLED)

        def is_on_time() -> bool:
            """Return whether none comes early; a busy host may skip some."""
            timed = source.frames[EARLY:]
            enough = len(timed) >= 9
            return enough and (timed[-1].pts_ns - timed[0].pts_ns) / 1e9 > 0.5 * (len(timed) - 1) / RATE

        source.wait(is_on_time)  # also after pictures that a busy host takes together
        source.close()
    assert source.entered() == ["connecting", "streaming"]
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))
    assert all((before.picture != after.picture).any() for before, after in pairwise(source.frames))


def test_pictures_whose_times_lie_in_the_future_are_not_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As GStreamer times those that arrive at an unlucky moment of its start; here it does so all the time."""

    def parse_shifted(address: Address, camera: CameraConfig) -> Any:
        parsed = parse(address, camera)
        parsed.get_by_name(SINK).get_static_pad("sink").set_offset(8 * 3600 * NS_PER_S)
        return parsed

    monkeypatch.setattr(gst_capture, "parse", parse_shifted)
    with serving(answering(parts(), REPLACE)) as address:
        source = run(f"{address}/live", timing=NEVER_STALLED)
        source.wait(lambda: source.count >= 9)
        source.close()
    assert source.entered() == ["connecting", "streaming"]
    assert all(after.pts_ns > before.pts_ns for before, after in pairwise(source.frames))
    assert source.frames[-1].pts_ns < 3600 * NS_PER_S


def test_a_camera_that_leaves_out_the_first_boundary_plays(run: Run, rtsp: Callable[..., RtspCamera]) -> None:
    """The simulator's fault, while the camera is served."""
    camera = rtsp("", "test:", "--codec", "http")
    source = run(camera.url(), timing=EAGER)
    source.wait(lambda: source.count >= 5)
    camera.fault("boundary")
    source.wait(lambda: source.stream == 2)
    before = source.count
    source.wait(lambda: source.count >= before + 5)
    source.close()
    assert source.entered() == ["connecting", "streaming", "stalled", "connecting", "streaming"]


# What is not a video


ANSWERS = {
    "a web page": ("text/html", BODY, "a web page, not a video; is this the address of the video stream itself?"),
    "a web page of another type": ("video/mp4", BODY, "a web page, not a video"),
    "JSON": ("application/json", b'{"error": {"code": 17, "text": "no such stream"}}', "a JSON document, not a video"),
    "XML": ("application/xml", b'<?xml version="1.0"?><Error><Code>17</Code></Error>', "an XML document, not a video"),
    "text": ("text/plain", b"busy: 4 of 4 viewers\n", "a text file, not a video"),
    "nothing": ("image/jpeg", b"", "an empty answer; is this the address of the video stream itself?"),
    "PNG": ("image/png", animation("PNG"), "a PNG picture or animation, not a video"),
    "GIF": ("image/gif", animation("GIF"), "a GIF picture or animation, not a video"),
    "WebP": ("image/webp", animation("WEBP"), "a WebP picture or animation, not a video"),
    "an archive": ("application/zip", b"PK\x03\x04" + bytes(5000), "an archive, not a video; unpack it"),
    "no picture": ("image/jpeg", bytes(range(256)) * 20, "no JPEG picture in it"),
    "multipart text": (REPLACE, b"no picture here\r\n" * 500, "a text file, not a video"),
}


@pytest.mark.parametrize("length", [True, False], ids=["with a length", "without a length"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_what_is_not_a_video_is_named_at_once(run: Run, kind: str, length: bool) -> None:
    """And requested again: the camera may just have started."""
    content_type, body, reason = ANSWERS[kind]
    headers = {"Content-Length": str(len(body))} if length else {}
    with serving(answering(body, content_type, headers=headers)) as address:
        source = run(f"{address}/live", timing=CaptureTiming(first_frame_s=100_000.0, retry_min_s=0.1))
        source.wait(lambda: source.entered().count("unreachable") >= 2)
        source.close()
    assert source.count == 0
    assert {found for state, found in source.states if state == "unreachable"} == {
        found for _, found in source.states if found.startswith(f"{address}/live: {reason}")
    }


@pytest.mark.parametrize("kind", ["a web page", "JSON", "XML", "text", "an archive"])
def test_opencv_names_what_is_not_a_video_too(run: Run, kind: str) -> None:
    content_type, body, reason = ANSWERS[kind]
    with serving(answering(body, content_type)) as address:
        assert run(f"{address}/live", "opencv").wait_for("unreachable").startswith(f"{address}/live: {reason}")


@pytest.mark.parametrize(("decoder", "length"), [("gstreamer", True), ("gstreamer", False), ("opencv", True)])
def test_a_single_picture_is_not_a_stream_and_is_tried_again(run: Run, decoder: str, length: bool) -> None:
    """The address of a snapshot: the video is not over for good."""
    picture = noisy_jpeg(0)
    headers = {"Content-Length": str(len(picture))} if length else {}
    with serving(answering(picture, "image/jpeg", headers=headers)) as address:
        source = run(f"{address}/snapshot.jpg", decoder, timing=EAGER)
        source.wait(lambda: source.entered().count("stalled") >= 2)
        source.close()
    assert source.wait_for("stalled") == (
        f"{address}/snapshot.jpg: one picture, not a stream; is this the address of a snapshot?"
    )


def test_a_redirect_to_a_login_page_is_named_as_a_page(run: Run) -> None:
    with (
        serving(answering(BODY, "text/html")) as login,
        serving(answering(BODY, "text/html", 302, {"Location": f"{login}/login.html?session=s3cret"})) as address,
    ):
        reason = run(f"{address}/live", timing=NO_CLOCK).wait_for("unreachable")
    assert reason == f"{address}/live: a web page, not a video; is this the address of the video stream itself?"


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [(401, "unauthorized", "Unauthorized"), (404, "unreachable", "Not Found"), (503, "unreachable", "Unavailable")],
)
def test_an_error_page_is_an_error_and_not_a_page(run: Run, status: int, state: str, reason: str) -> None:
    headers = {"WWW-Authenticate": 'Basic realm="camera"'} if status == 401 else {}
    with serving(answering(BODY, "text/html", status, headers)) as address:
        found = run(f"{address}/live", timing=NO_CLOCK).wait_for(state)
    assert found.startswith(f"{address}/live: ")
    assert reason in found
    assert "page" not in found


def test_a_playlist_is_followed_to_its_video(run: Run, tmp_path: Path) -> None:
    """HLS: text that leads to a video, served as text."""
    video = encode(f"{bars(64, 48, 30)} ! x264enc key-int-max=15 ! h264parse ! mpegtsmux", tmp_path / "video.ts")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{}/video.ts\n#EXT-X-ENDLIST\n"
    with (
        serving(answering(video.read_bytes(), "video/mp2t")) as segments,
        serving(answering(playlist.format(segments).encode(), "text/plain")) as address,
    ):
        source = run(f"{address}/live.m3u8").end()
    assert source.count == 30
    assert source.states[-1] == ("ended", "the video is over")
