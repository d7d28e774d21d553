"""Frozen pictures and live ones, through real encoders and decoders, in front of the detector."""

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
import pytest

from edge_tdn.capture.capture import CapturedFrame
from edge_tdn.capture.frozen import KEYLESS, FrozenDetector, FrozenWatch, step
from edge_tdn.capture.key_frames import KeyFrames
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.capture.video_file import read_file
from edge_tdn.config.tables import CameraConfig
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S, Luma, Picture

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
RATE = 10  # frames per second
SIZE = (320, 240)
AFTER_S = CameraConfig(name="any", source="any").frozen_s
FROZE_S = 4  # the picture is live until then
Sampled = tuple[Luma, bool | None]  # a picture's samples, and whether it comes from a key frame
H264 = "x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max=20"
RARE = H264.replace("key-int-max=20", "key-int-max=100")
DECODED = "h264parse ! avdec_h264 max-threads=1"
ENCODERS = {
    "h264 of a fixed quality": f"{H264} pass=quant quantizer=28 ! {DECODED}",
    "h264 of a fixed bitrate that soon stops improving": f"{H264} bitrate=500 qp-min=24 ! {DECODED}",
    "mjpeg": "jpegenc quality=50 ! jpegdec",
}
STARVED = {
    "h264 at 60 kbit/s": f"{H264} bitrate=60 ! {DECODED}",
    "h264 at 1 Mbit/s": f"{H264} bitrate=1000 ! {DECODED}",
    "h264 that removes fine detail": f"{H264} pass=quant quantizer=38 ! {DECODED}",
    "h264 with a key frame every 10 s": f"{RARE} pass=quant quantizer=30 ! {DECODED}",
}


@cache
def scene() -> Picture:
    return cv2.resize(next(read_file(demo_clip())).picture, SIZE)  # type: ignore[return-value]


def noisy(seconds: float, sigma: float, light: float = 1.0) -> Iterator[Picture]:
    """Yield a still scene as a sensor sees it, with noise of `sigma` grey levels."""
    random = np.random.default_rng(0)
    for _ in range(int(seconds * RATE)):
        noise = random.normal(0, sigma, (SIZE[1], SIZE[0], 1))
        yield np.clip(np.rint(cv2.GaussianBlur(scene() * light, (3, 3), 0.8) + noise), 0, 255).astype(np.uint8)


def freezing(pictures: Iterator[Picture], seconds: float) -> Iterator[Picture]:
    """Yield these pictures, and then the last of them again and again."""
    for last in pictures:
        yield last
    for _ in range(int(seconds * RATE)):
        yield last


def coded(pictures: Iterator[Picture], encoder: str) -> Iterator[Sampled]:
    """Yield the samples of pictures that went through an encoder and its decoder."""
    Gst, _ = gstreamer.load()
    width, height = SIZE
    raw = f"video/x-raw,format=RGB,width={width},height={height},framerate={RATE}/1"
    pipeline = Gst.parse_launch(
        f"appsrc name=in format=time max-bytes=0 caps={raw} ! videoconvert ! video/x-raw,format=I420 ! {encoder} "
        "! videoconvert ! video/x-raw,format=RGB ! appsink name=out sync=false max-buffers=1"
    )
    key_frames = KeyFrames(pipeline)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        for number, picture in enumerate(pictures):
            buffer = Gst.Buffer.new_wrapped(picture.tobytes())
            buffer.pts, buffer.duration = number * NS_PER_S // RATE, NS_PER_S // RATE
            pipeline.get_by_name("in").emit("push-buffer", buffer)
        pipeline.get_by_name("in").emit("end-of-stream")
        while sample := pipeline.get_by_name("out").try_pull_sample(20 * Gst.SECOND):
            buffer = sample.get_buffer()
            data = buffer.extract_dup(0, width * height * 3)
            decoded = Packed(np.frombuffer(data, np.uint8).reshape(height, width, 3))
            yield decoded.sampled(step(decoded.size)), key_frames.shown(buffer.pts)
    finally:
        pipeline.set_state(Gst.State.NULL)


def new_detector() -> FrozenDetector:
    return FrozenDetector(AFTER_S, DEFAULT_TIMING.max_frozen_doubt_s)


def detected(pictures: Iterator[Sampled], detector: FrozenDetector | None = None, first: int = 0) -> list[bool]:
    """Return whether the camera counts as frozen after each picture. `first`: number of the first picture."""
    detector = detector or new_detector()
    return [detector.push(luma, (first + n) * NS_PER_S // RATE, key) for n, (luma, key) in enumerate(pictures)]


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_a_frozen_sensor_is_detected_behind_its_encoder(encoder: str) -> None:
    """The detector needs at most 10 s, and the camera stays frozen."""
    frozen = detected(coded(freezing(noisy(FROZE_S, 2), 14), encoder))
    assert len(frozen) == (FROZE_S + 14) * RATE
    detected_at = frozen.index(True)
    assert FROZE_S + AFTER_S - 0.5 < detected_at / RATE <= FROZE_S + 10
    assert all(frozen[detected_at:])


@pytest.mark.parametrize("encoder", [*ENCODERS.values(), *STARVED.values()], ids=[*ENCODERS, *STARVED])
def test_a_still_scene_with_noise_is_not_frozen(encoder: str) -> None:
    assert not any(detected(coded(noisy(18, 0.5), encoder)))


def test_a_still_scene_at_night_is_not_frozen() -> None:
    assert not any(detected(coded(noisy(18, 1, 0.08), STARVED["h264 that removes fine detail"])))


def picture(*values: int) -> Luma:
    return np.resize(np.array(values, np.uint8), (60, 80))


def again(luma: Luma, seconds: float, key: bool | None = True) -> Iterator[Sampled]:
    return iter([(luma, key)] * int(seconds * RATE))


def keys(*samples: Luma) -> Iterator[Sampled]:
    return ((luma, True) for luma in samples)


@pytest.fixture
def frozen() -> FrozenDetector:
    """Return a detector whose camera is frozen after 8 s."""
    detector = new_detector()
    assert detected(again(picture(100, 120, 140), 8), detector)[-1]
    return detector


def test_the_same_picture_is_frozen_after_the_configured_seconds() -> None:
    assert detected(again(picture(100, 120, 140), 8)).index(True) / RATE == pytest.approx(AFTER_S, abs=0.5)


def test_detection_takes_longer_where_key_frames_are_unknown() -> None:
    frozen = detected(again(picture(100, 120, 140), 15, None))
    assert frozen.index(True) / RATE == pytest.approx(KEYLESS * AFTER_S, abs=0.8)


def test_pictures_repeated_between_key_frames_are_not_frozen() -> None:
    random = np.random.default_rng(0)
    groups = (picture(100, 120, 140) + random.integers(0, 3, (60, 80), np.uint8) for _ in range(4))
    assert not any(detected((luma, n == 0) for luma in groups for n in range(10 * RATE)))


def test_a_black_picture_that_stays_the_same_is_frozen() -> None:
    assert detected(again(picture(16, 17), 8))[-1]


def test_motion_ends_a_frozen_picture_at_once(frozen: FrozenDetector) -> None:
    assert detected(again(picture(100, 120, 210), 1), frozen, 8 * RATE) == [False] * RATE


def test_noise_ends_a_frozen_picture_within_five_seconds(frozen: FrozenDetector) -> None:
    random = np.random.default_rng(0)
    living = (picture(100, 120, 140) + random.integers(0, 3, (60, 80), np.uint8) for _ in range(6 * RATE))
    assert detected(keys(*living), frozen, 8 * RATE).index(False) < 5 * RATE


def test_a_reconnect_alone_does_not_end_a_frozen_picture(frozen: FrozenDetector) -> None:
    """The encoder restarts: its first pictures differ a little from those before."""
    frozen.reconnected(8 * NS_PER_S)
    improving = [picture(100, 120, 140) + np.uint8(max(0, 20 - n)) for n in range(3 * RATE)]
    assert all(detected(keys(*improving, *[picture(100, 120, 140)] * 100), frozen, 8 * RATE))


def test_pictures_far_apart_are_not_frozen() -> None:
    """Two pictures a minute apart, however alike, do not show what happened between them."""
    detector = new_detector()
    assert not any(detector.push(picture(100, 120), n * 60 * NS_PER_S, None) for n in range(3))


def test_a_test_pattern_that_moves_to_and_fro_is_not_frozen() -> None:
    pattern = [picture(*[40] * n, 200, *[40] * (9 - n)) for n in range(10)]
    assert not any(detected(keys(*pattern * 20)))


# The watch: when to reconnect a frozen camera


def watched(watch: FrozenWatch, second: float, luma: Luma) -> bool:
    frame = CapturedFrame(Packed(np.repeat(luma[..., None], 3, 2)), int(second * NS_PER_S), key=True)
    return watch.push(frame, int(second * NS_PER_S))


def test_a_frozen_camera_is_reconnected_ever_more_rarely_until_it_is_live() -> None:
    watch = FrozenWatch(1.0, CaptureTiming(frozen_retry_min_s=2.0, frozen_retry_max_s=4.0, max_frozen_doubt_s=0.0))
    second, reasons = 0.0, []

    def freeze_until_reconnect() -> float:
        """Return how long a new connection was frozen before it was given up."""
        nonlocal second
        watch.connected(int(second * NS_PER_S))
        since = None
        while True:
            if watched(watch, second, picture(100, 120, 140)):
                since = second if since is None else since
                try:
                    watch.check_retry(int(second * NS_PER_S))
                except SourceError as error:
                    reasons.append((str(error), error.state))
                    return second - since
            second += 0.125

    reconnects = [freeze_until_reconnect() for _ in range(4)]
    assert reconnects == [2.0, 4.0, 4.0, 4.0]
    assert not watched(watch, second, picture(100, 220))  # something moves
    watch.check_retry(int(second * NS_PER_S))  # there is no reason to reconnect
    assert freeze_until_reconnect() == 2.0
    assert set(reasons) == {("the same picture for 1 s", "frozen")}
