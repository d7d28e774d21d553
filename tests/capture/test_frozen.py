"""Frozen pictures and living ones, through real encoders and decoders, before the judge."""

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
import pytest

from edge_tdn.capture.frozen import KEYLESS, FrozenJudge, step
from edge_tdn.capture.key_frames import KeyFrames
from edge_tdn.capture.video_file import read_file
from edge_tdn.config.tables import CameraConfig
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S, Luma, Picture

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
RATE = 10  # frames a second
SIZE = (320, 240)
AFTER_S = CameraConfig(name="any", source="any").frozen_s
FROZE_S = 4  # it lives so long before
Seen = tuple[Luma, bool | None]  # a picture's samples, and whether it comes from a key frame
H264 = "x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max=20"
RARE = H264.replace("key-int-max=20", "key-int-max=100")
DECODED = "h264parse ! avdec_h264 max-threads=1"
ENCODERS = {
    "h264 of a fixed quality": f"{H264} pass=quant quantizer=28 ! {DECODED}",
    "h264 of a fixed bitrate that need not mend for ever": f"{H264} bitrate=500 qp-min=24 ! {DECODED}",
    "mjpeg": "jpegenc quality=50 ! jpegdec",
}
STARVED = {
    "h264 at 60 kbit/s": f"{H264} bitrate=60 ! {DECODED}",
    "h264 at 1 Mbit/s": f"{H264} bitrate=1000 ! {DECODED}",
    "h264 that removes what is fine": f"{H264} pass=quant quantizer=38 ! {DECODED}",
    "h264 with a key frame every 10 s": f"{RARE} pass=quant quantizer=30 ! {DECODED}",
}


@cache
def scene() -> Picture:
    return cv2.resize(next(read_file(demo_clip())).picture, SIZE)  # type: ignore[return-value]


def noisy(seconds: float, sigma: float, light: float = 1.0) -> Iterator[Picture]:
    """A still scene as a sensor sees it: noise of so many grey levels."""
    random = np.random.default_rng(0)
    for _ in range(int(seconds * RATE)):
        noise = random.normal(0, sigma, (SIZE[1], SIZE[0], 1))
        yield np.clip(np.rint(cv2.GaussianBlur(scene() * light, (3, 3), 0.8) + noise), 0, 255).astype(np.uint8)


def freezing(pictures: Iterator[Picture], seconds: float) -> Iterator[Picture]:
    """The last of these pictures stays."""
    for last in pictures:
        yield last
    for _ in range(int(seconds * RATE)):
        yield last


def coded(pictures: Iterator[Picture], encoder: str) -> Iterator[Seen]:
    """Pictures that went through an encoder and its decoder."""
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


def judged(pictures: Iterator[Seen], judge: FrozenJudge | None = None, first: int = 0) -> list[bool]:
    judge = judge or FrozenJudge(AFTER_S)
    return [judge.push(luma, (first + n) * NS_PER_S // RATE, key) for n, (luma, key) in enumerate(pictures)]


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_a_frozen_sensor_is_noticed_behind_its_encoder(encoder: str) -> None:
    """Within 10 s, and it stays so."""
    frozen = judged(coded(freezing(noisy(FROZE_S, 2), 14), encoder))
    assert len(frozen) == (FROZE_S + 14) * RATE
    noticed = frozen.index(True)
    assert FROZE_S + AFTER_S - 0.5 < noticed / RATE <= FROZE_S + 10
    assert all(frozen[noticed:])


@pytest.mark.parametrize("encoder", [*ENCODERS.values(), *STARVED.values()], ids=[*ENCODERS, *STARVED])
def test_a_still_scene_with_noise_is_not_frozen(encoder: str) -> None:
    assert not any(judged(coded(noisy(18, 0.5), encoder)))


def test_a_still_scene_at_night_is_not_frozen() -> None:
    assert not any(judged(coded(noisy(18, 1, 0.08), STARVED["h264 that removes what is fine"])))


def picture(*values: int) -> Luma:
    return np.resize(np.array(values, np.uint8), (60, 80))


def again(luma: Luma, seconds: float, key: bool | None = True) -> Iterator[Seen]:
    return iter([(luma, key)] * int(seconds * RATE))


def keys(*samples: Luma) -> Iterator[Seen]:
    return ((luma, True) for luma in samples)


@pytest.fixture
def frozen() -> FrozenJudge:
    judge = FrozenJudge(AFTER_S)
    assert judged(again(picture(100, 120, 140), 8), judge)[-1]
    return judge


def test_the_same_picture_again_and_again_is_frozen_after_so_many_seconds() -> None:
    assert judged(again(picture(100, 120, 140), 8)).index(True) / RATE == pytest.approx(AFTER_S, abs=0.5)


def test_it_takes_longer_where_nobody_says_which_are_key_frames() -> None:
    frozen = judged(again(picture(100, 120, 140), 15, None))
    assert frozen.index(True) / RATE == pytest.approx(KEYLESS * AFTER_S, abs=0.8)


def test_what_an_encoder_repeats_between_its_key_frames_is_not_frozen() -> None:
    random = np.random.default_rng(0)
    groups = (picture(100, 120, 140) + random.integers(0, 3, (60, 80), np.uint8) for _ in range(4))
    assert not any(judged((luma, n == 0) for luma in groups for n in range(10 * RATE)))


def test_a_black_picture_that_stays_the_same_is_frozen() -> None:
    assert judged(again(picture(16, 17), 8))[-1]


def test_what_moves_wakes_a_frozen_picture_at_once(frozen: FrozenJudge) -> None:
    assert judged(again(picture(100, 120, 210), 1), frozen, 8 * RATE) == [False] * RATE


def test_noise_wakes_a_frozen_picture_within_five_seconds(frozen: FrozenJudge) -> None:
    random = np.random.default_rng(0)
    living = (picture(100, 120, 140) + random.integers(0, 3, (60, 80), np.uint8) for _ in range(6 * RATE))
    assert judged(keys(*living), frozen, 8 * RATE).index(False) < 5 * RATE


def test_a_new_connection_alone_wakes_no_frozen_picture(frozen: FrozenJudge) -> None:
    """The encoder begins anew: its first pictures differ a little from those before."""
    frozen.reopened(8 * NS_PER_S)
    mending = [picture(100, 120, 140) + np.uint8(max(0, 20 - n)) for n in range(3 * RATE)]
    assert all(judged(keys(*mending, *[picture(100, 120, 140)] * 100), frozen, 8 * RATE))


def test_a_pause_of_the_camera_is_no_repetition() -> None:
    """Two pictures a minute apart, however alike, say nothing of what came between."""
    judge = FrozenJudge(AFTER_S)
    assert not any(judge.push(picture(100, 120), n * 60 * NS_PER_S, None) for n in range(3))


def test_a_test_pattern_that_moves_to_and_fro_is_not_frozen() -> None:
    pattern = [picture(*[40] * n, 200, *[40] * (9 - n)) for n in range(10)]
    assert not any(judged(keys(*pattern * 20)))
