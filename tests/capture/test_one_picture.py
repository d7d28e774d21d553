"""One picture of a source: after the time in which a camera sets its exposure, in one attempt."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_tdn.capture.one_picture import one_picture
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.messages import Decoded
from tests.conftest import number_in
from tests.support.rtsp import RtspCamera
from tests.support.running_source import PATIENT_TIMING

needs_gstreamer = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


def camera(source: str, **keys: object) -> CameraConfig:
    return CameraConfig.model_validate({"name": "a", "source": source, **keys})


def number(decoded: Decoded) -> int:
    """Return the number that a picture of `make_video` shows."""
    pixels = np.empty((*decoded.size, 4), np.uint8)
    decoded.rgbx(pixels)
    return number_in(pixels[..., :3])


@pytest.mark.parametrize("decoder", ["auto", "opencv"])
@pytest.mark.parametrize(("frames", "expected"), [(40, 15), (9, 8)])
def test_it_is_taken_a_second_after_the_first_or_at_the_end(
    decoder: str, frames: int, expected: int, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """At 15 frames a second."""
    video = camera(make_video(frames=frames).name, decoder=decoder)
    assert number(one_picture(video, tmp_path, PATIENT_TIMING)) == expected


@needs_gstreamer
def test_a_live_camera_gives_one_of_its_own_size(rtsp: Callable[..., RtspCamera]) -> None:
    upright, turned = (one_picture(camera(rtsp().url(), rotate=angle), Path(), PATIENT_TIMING) for angle in (0, 90))
    assert turned.size == upright.size[::-1]


@needs_gstreamer
def test_a_camera_that_connects_and_sends_nothing_is_an_error() -> None:
    silent = camera("gst: videotestsrc ! video/x-raw,width=64,height=48 ! valve drop=true")
    with pytest.raises(SourceError, match="no picture for 1 s"):
        one_picture(silent, Path(), replace(PATIENT_TIMING, first_frame_s=1.0))


def test_a_video_without_a_picture_is_an_error(make_video: Callable[..., Path], tmp_path: Path) -> None:
    whole = make_video(frames=40).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(SourceError, match=r"cut\.mp4"):
        one_picture(camera("cut.mp4"), tmp_path)
