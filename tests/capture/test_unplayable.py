"""Sources that cannot be played: each is refused with its reason, and without its password."""

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_tdn.capture.gst_capture import GstCapture
from edge_tdn.capture.open_capture import verify
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.capture.video_file import length_s, read_file
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.process.passwords import without_password
from tests.support.http_camera import noisy_jpeg
from tests.support.patterns import animation, bars, encode
from tests.support.ports import free_port
from tests.support.running_source import RunningSource

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
both = pytest.mark.parametrize("decoder", ["gstreamer", "opencv"])
Run = Callable[..., RunningSource]
NO_CLOCK = CaptureTiming(first_frame_s=100_000.0)  # a test that depended on this limit would never end


def refused(source: RunningSource) -> str:
    """Return the message of a source that gave up at once."""
    source.end()
    assert source.error is not None
    assert source.count == 0
    message = str(source.error)
    assert source.states == [("connecting", ""), (source.error.state, message)]
    assert "Traceback" not in message
    assert "\n" not in message
    return message


@both
def test_a_missing_file_is_named(run: Run, tmp_path: Path, decoder: str) -> None:
    assert refused(run(tmp_path / "none.mp4", decoder)) == f"{tmp_path}/none.mp4: No such file or directory"


@both
def test_an_unreadable_file_is_named(run: Run, make_video: Callable[..., Path], decoder: str) -> None:
    path = make_video(frames=2)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user (root?) may read a file of mode 000")
    assert refused(run(path, decoder)) == f"{path}: Permission denied"


@both
def test_an_empty_file_is_named(run: Run, tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert refused(run(path, decoder)) == f"{path}: the file is empty"


NOT_VIDEOS = {
    "text.mp4": (b"This is not a video.\n" * 50, "a text file, not a video"),
    "page.mp4": (b"<!DOCTYPE html><html>404</html>", "a web page, not a video"),
    "clip.mp4": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS, not a video"),
    "clips.zip": (b"PK\x03\x04" + bytes(99), "an archive, not a video; unpack it"),
    "cat.gif": (animation("GIF"), "a GIF picture or animation, not a video; convert an animation to a video first"),
    "cat.png": (animation("PNG"), "a PNG picture or animation, not a video"),
    "cat.webp": (animation("WEBP"), "a WebP picture or animation, not a video"),
    "cat.mp4": (animation("GIF"), "a GIF picture or animation, not a video"),  # whatever its name
}


@both
@pytest.mark.parametrize("name", NOT_VIDEOS)
def test_a_file_that_is_not_a_video_is_refused_at_once(run: Run, tmp_path: Path, decoder: str, name: str) -> None:
    """With the reason, before it is decoded; `check` reports it as well."""
    content, reason = NOT_VIDEOS[name]
    (tmp_path / name).write_bytes(content)
    assert refused(run(tmp_path / name, decoder, timing=NO_CLOCK)).startswith(f"{tmp_path / name}: {reason}")
    with pytest.raises(SourceError, match=reason):
        verify(CameraConfig.model_validate({"name": "c", "source": name, "decoder": decoder}), tmp_path)


def test_a_folder_is_refused_as_such(run: Run, tmp_path: Path) -> None:
    assert refused(run(tmp_path)) == f"{tmp_path}: a folder, not a video"


def test_a_single_jpeg_ends_as_a_picture(run: Run, tmp_path: Path) -> None:
    """Not as a video that is over. A file of several JPEGs is a video."""
    (tmp_path / "one.jpg").write_bytes(noisy_jpeg(0))
    (tmp_path / "many.mjpg").write_bytes(noisy_jpeg(0) + noisy_jpeg(1))
    one, many = (run(tmp_path / name).end() for name in ("one.jpg", "many.mjpg"))
    assert one.states[-1] == ("ended", f"{tmp_path}/one.jpg: one picture, not a video")
    assert many.states[-1] == ("ended", "the video is over")
    assert (one.count, many.count) == (1, 2)


def test_a_pipe_in_place_of_a_file_is_refused(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a regular file" in refused(run(tmp_path / "pipe.mp4"))


# Sound without video

SOUND = {
    "ogg": "audiotestsrc num-buffers=50 ! vorbisenc ! oggmux",
    "mkv": "audiotestsrc num-buffers=50 ! opusenc ! matroskamux",
    "long.ogg": "audiotestsrc num-buffers=5000 ! vorbisenc ! oggmux",
    "wav": "audiotestsrc num-buffers=50 ! wavenc",
    "mp4": "audiotestsrc num-buffers=50 ! opusenc ! mp4mux",
}


@both
@pytest.mark.parametrize("kind", SOUND)
def test_a_file_with_sound_only_has_no_video_in_it(run: Run, tmp_path: Path, decoder: str, kind: str) -> None:
    """Its streams are recognised; the limit for the first frame plays no part."""
    path = encode(SOUND[kind], tmp_path / f"sound.{kind}")
    message = refused(run(path, decoder, timing=NO_CLOCK))
    assert message.startswith(f"{path}: ")
    assert {"gstreamer": "no video in it", "opencv": "no video"}[decoder] in message


@pytest.mark.parametrize("kind", SOUND)
def test_a_file_with_sound_only_is_recognised_without_a_report_by_gstreamer(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A demuxer's error is lost where a short file is over before its streams are linked: here it always is."""
    monkeypatch.setattr(GstCapture, "_raise_error", lambda capture: None)
    path = encode(SOUND[kind], tmp_path / f"sound.{kind}")
    assert refused(run(path, timing=NO_CLOCK)) == f"{path}: no video in it"
    with pytest.raises(SourceError, match="no video in it"):
        list(read_file(path, "gstreamer", timing=NO_CLOCK))
    with pytest.raises(SourceError, match="no video in it"):
        length_s(path, "gstreamer", NO_CLOCK)


@both
def test_sound_beside_the_video_is_ignored(run: Run, tmp_path: Path, decoder: str) -> None:
    """Also where the sound is the first stream of the file, and the longer one."""
    sound = "audiotestsrc num-buffers=100 ! opusenc ! mux."
    path = encode(f"{sound} {bars(64, 48)} ! x264enc ! mux. matroskamux name=mux", tmp_path / "both.mkv")
    source = run(path, decoder, timing=NO_CLOCK).end()
    assert source.count == 15


# Pipelines


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        ("videotestsrk", 'no element "videotestsrk"'),
        ("videotestsrc patern=ball", 'no property "patern" in element "videotestsrc"'),
        ("videotestsrc ! ! identity", "syntax error"),
        ("audiotestsrc", "could not link audiotestsrc"),
    ],
)
def test_a_typo_in_a_pipeline_ends_the_source_with_the_parsers_message(run: Run, pipeline: str, words: str) -> None:
    message = refused(run(f"gst: {pipeline}"))
    assert message.startswith(f"gst: {pipeline}: ")
    assert words in message


def test_opencv_plays_no_pipeline(run: Run) -> None:
    assert refused(run("gst: videotestsrc", "opencv")).startswith("gst: videotestsrc: gst: needs the decoder gstreamer")


def test_a_pipeline_that_does_not_start_is_retried(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """As for a camera that is not plugged in yet; GStreamer has nothing left over to complain about."""
    source = run("/dev/video-none")
    source.wait(lambda: source.entered().count("unreachable") >= 2)
    source.close()
    assert "/dev/video-none" in source.states[1][1]
    assert "CRITICAL" not in capfd.readouterr().err


# Passwords


@both
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_password_in_an_address_is_never_shown(run: Run, decoder: str, scheme: str) -> None:
    source = run(f"{scheme}://user:s3c@ret@127.0.0.1:{free_port()}/x?password=s3cret", decoder)
    reason = source.wait_for("unreachable")
    source.close()
    assert "user:***@" in reason
    assert "s3c" not in str(source.states)
    assert "ret@" not in str(source.states)


@pytest.mark.parametrize(
    ("source", "decoder"),
    [
        ("gst: rtspsrc location=rtsp://user:s3cret@host/x user-pw=s3cret ! foo", "gstreamer"),
        ("gst: rtspsrc location=rtsp://user:s3cret@host/x", "opencv"),
    ],
)
def test_a_password_is_in_no_exception(run: Run, source: str, decoder: str) -> None:
    running = run(source, decoder)
    assert "***" in refused(running)
    assert "s3cret" not in str(running.states)
    assert running.error is not None
    assert "s3cret" not in "".join(traceback.format_exception(running.error))


def test_a_password_with_a_space_is_hidden_and_the_rest_is_not() -> None:
    text = "gst: rtspsrc location=rtsp://a user:my s3cret!@host/x ! identity name=y@z"
    assert without_password(text) == "gst: rtspsrc location=rtsp://a user:***@host/x ! identity name=y@z"


@pytest.mark.parametrize("text", ["rtsp://host:554/live", "gst: videotestsrc ! x", "/videos/a@b.mp4", "demo:"])
def test_an_address_without_a_password_is_unchanged(text: str) -> None:
    assert without_password(text) == text
