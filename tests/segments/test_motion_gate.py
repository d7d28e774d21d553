"""The motion gate: a still scene is still whatever its noise, and every motion that a model could see is detected."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.capture.video_file import read_file
from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.manifest import InputSpec
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S, Frame, Segment
from edge_tdn.segments import motion_gate as gate_module
from edge_tdn.segments.motion_gate import CAP, FLOOR, MEMORY, MIN_LEARNED, MotionGate
from edge_tdn.segments.window import Window

RATE = 15  # ticks a second
SIZE = (480, 640)


def ground(seed: int = 3, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a textured scene, float32 [H, W], 30 to 225."""
    texture = Scene(np.random.default_rng(seed), *size).draw(None)[..., 1].astype(np.float32)
    return 30 + cv2.GaussianBlur(texture, (0, 0), 1) * 195 / 255


def noisy(scenes: Iterable[np.ndarray], sigma: float, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield the scenes as uint8 with noise of this standard deviation in grey levels, different in each picture."""
    rng = np.random.default_rng(seed)
    pool = rng.standard_normal(1 << 20, np.float32) * np.float32(sigma)
    for scene in scenes:
        begin = rng.integers(pool.size - scene.size) if scene.size < pool.size else 0
        yield np.clip(scene + pool[begin : begin + scene.size].reshape(scene.shape), 0, 255).astype(np.uint8)


def trained_gate(scene: np.ndarray, sigma: float, ticks: int = MIN_LEARNED + 1) -> MotionGate:
    """Return a gate that has learned the noise of a still scene."""
    gate = MotionGate()
    for picture in noisy([scene] * ticks, sigma, seed=9):
        gate.moved(picture)
    return gate


@pytest.mark.parametrize("sigma", [0, 1, 3, 6, 7])
def test_a_still_scene_is_still_at_every_level_of_noise(sigma: float) -> None:
    """Before any encoder smooths it. From 8 grey levels on, everything moves: the threshold stays below CAP."""
    scene = ground()
    gate = trained_gate(scene, sigma)
    assert not any(gate.moved(picture) for picture in noisy([scene] * 20 * RATE, sigma))


def test_everything_moves_until_the_noise_is_learned() -> None:
    gate, picture = MotionGate(), ground().astype(np.uint8)
    moved = [gate.moved(picture) for _ in range(MIN_LEARNED + 5)]
    assert moved == [True] * MIN_LEARNED + [False] * 5
    assert MotionGate().threshold is None


def test_a_noisy_camera_has_a_higher_threshold() -> None:
    thresholds = [trained_gate(ground(), sigma).threshold for sigma in (0, 3, 6, 7)]
    assert all(threshold is not None for threshold in thresholds)
    assert thresholds[0] == FLOOR
    assert thresholds == sorted(thresholds)  # type: ignore[type-var]
    assert FLOOR < thresholds[2] <= CAP  # type: ignore[operator]


def test_a_scene_that_always_moves_gives_no_threshold() -> None:
    gate = MotionGate()
    scene = np.hstack([ground(), ground(4)])
    assert all(gate.moved(scene[:, 8 * n : 8 * n + 640].astype(np.uint8)) for n in range(75))
    assert gate.threshold is None


def test_the_threshold_follows_the_noise_within_a_minute() -> None:
    gate, scene = trained_gate(ground(), 6), ground()
    loud = gate.threshold
    for picture in noisy([scene] * (MEMORY // 2 + MIN_LEARNED), 0):
        gate.moved(picture)
    assert loud is not None
    assert loud > FLOOR
    assert gate.threshold == FLOOR
    for picture in noisy([scene] * (MEMORY + 1), 6):
        gate.moved(picture)
    assert gate.threshold == loud


def test_after_motion_the_scene_is_still_again() -> None:
    scene = ground()
    gate = trained_gate(scene, 1)
    passing = [with_square(scene, x, 100, 40) for x in range(0, 600, 10)]
    assert all(gate.moved(picture) for picture in noisy(passing, 1))
    left = list(noisy([scene] * 10, 1, seed=2))
    assert gate.moved(left[0])
    assert not any(gate.moved(picture) for picture in left[1:])


def with_square(scene: np.ndarray, x: float, y: float, side: float, contrast: float = 40) -> np.ndarray:
    """Add a square of `side` pixels whose upper left corner is at x, y, drawn to a sixteenth of a pixel."""
    large = np.zeros(scene.shape, np.float32)
    place = np.array([[side / 64, 0, x], [0, side / 64, y]], np.float32)
    shape = cv2.warpAffine(np.ones((64, 64), np.float32), place, SIZE[::-1], flags=cv2.INTER_AREA)
    large[: shape.shape[0]] = shape
    return scene + contrast * large


@settings(max_examples=20)
@given(
    speed=st.floats(0.05, 20),
    sigma=st.floats(0, 2),
    side=st.floats(12, 60),
    contrast=st.sampled_from([-40, 40, 80]),
    y=st.integers(40, 400),
    seed=st.integers(0, 99),
)
def test_a_small_object_of_any_speed_is_detected(
    speed: float, sigma: float, side: float, contrast: float, y: int, seed: int
) -> None:
    """Before it has moved its own width, or half of it in 20 seconds. 12 pixels of 640 are 2 of a 96-pixel model."""
    scene = ground(seed % 5)
    gate = trained_gate(scene, sigma)
    steps = int(min(max(1.0, side / speed) + 1, 300))
    if speed * steps < side / 2:
        return  # slower than this test has time for
    first = with_square(scene, 50, y, side, contrast)
    for picture in noisy([first] * 5, sigma, seed):
        gate.moved(picture)  # it is still
    moving = (with_square(scene, 50 + speed * n, y, side, contrast) for n in range(1, steps + 1))
    assert any(gate.moved(picture) for picture in noisy(moving, sigma, seed))


def test_a_light_that_is_switched_on_is_motion() -> None:
    gate = trained_gate(ground(), 2)
    lit = list(noisy([ground() * 1.15 + 4] * 5, 2))
    assert [gate.moved(picture) for picture in lit] == [True] + [False] * 4


def test_slow_dusk_is_detected_from_time_to_time() -> None:
    """A tenth of a grey level a tick: two pictures in a row differ only by noise, but it adds up after some seconds."""
    scene = ground()
    gate = trained_gate(scene, 1)
    dusk = list(noisy((scene - 0.1 * n for n in range(20 * RATE)), 1))
    assert max(np.abs(a.mean() - b.mean()) for a, b in pairwise(dusk)) < 0.3
    moved = [n for n, picture in enumerate(dusk) if gate.moved(picture)]
    assert 3 <= len(moved) <= 15
    assert all(later - earlier > RATE for earlier, later in pairwise(moved))


@pytest.mark.parametrize("size", [(481, 639), (241, 321), (1080, 1920), (640, 360), (50, 60), (7, 2000), (1, 1)])
def test_pictures_of_any_size_are_accepted(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 200, size, np.uint8)
    gate = MotionGate()
    for _ in range(MIN_LEARNED + 1):
        gate.moved(picture)
    assert not gate.moved(picture)
    assert gate.moved(picture + 50)
    assert gate.moved(np.zeros((60, 80), np.uint8))  # another size


def test_a_row_may_be_padded() -> None:
    padded = np.pad(ground().astype(np.uint8), ((0, 0), (0, 64)), constant_values=7)[:, :640]
    gate = MotionGate()
    gate.moved(np.ascontiguousarray(padded))
    for _ in range(MIN_LEARNED):
        gate.moved(padded)
    assert not gate.moved(np.ascontiguousarray(padded))


@pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
@pytest.mark.parametrize(("kbps", "gop"), [(1500, 30), (400, 60)])
def test_key_frames_of_a_still_scene_are_noise(tmp_path: Path, kbps: int, gop: int) -> None:
    """Noise of 2 grey levels on 4x4 pixels is that of 4 on 8x8, as a camera of 640x480 has them."""
    scene = ground(size=(240, 320))
    video = x264(noisy([scene] * 330, 2), tmp_path / "still.mp4", kbps, gop)
    gate = MotionGate()
    moved = [gate.moved(frame.decoded.luma) for frame in read_file(video) if frame.seq % 2]
    assert len(moved) == 165
    assert not any(moved[MIN_LEARNED + 1 :])


def x264(pictures: Iterable[np.ndarray], path: Path, kbps: int, gop: int) -> Path:
    """Encode grey pictures as a camera would, at 30 frames per second."""
    Gst, _ = gstreamer.load()
    pipeline = Gst.parse_launch(
        f"appsrc name=src format=time block=true ! videoconvert ! video/x-raw,format=I420 ! x264enc bitrate={kbps} "
        f"key-int-max={gop} bframes=0 speed-preset=veryfast ! mp4mux ! filesink location={path}"
    )
    source = pipeline.get_by_name("src")
    for number, picture in enumerate(pictures):
        if number == 0:
            height, width = picture.shape
            caps = f"video/x-raw,format=GRAY8,width={width},height={height},framerate=30/1"
            source.set_property("caps", Gst.Caps.from_string(caps))
            pipeline.set_state(Gst.State.PLAYING)
        buffer = Gst.Buffer.new_wrapped(picture.tobytes())
        buffer.pts, buffer.duration = number * NS_PER_S // 30, NS_PER_S // 30
        source.emit("push-buffer", buffer)
    source.end_of_stream()
    pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    return path


# In the window


def segments(moves: Iterable[bool], stride: int, gate: MotionGate | None, rate: float = 15.0) -> list[Segment]:
    """Return the segments of a window whose picture n differs from the one before where `moves` is True."""
    spec = InputSpec(segments=4, height=32, width=32, resize="stretch", frame_rate=rate, segment_stride=stride)
    window, got, value = Window(spec, max_gap_s=0.5, gate=gate), [], 100
    for n, move in enumerate(moves):
        value = 250 - value if move else value  # 100, 150, 100, ...
        frame = Frame(Packed(np.full((60, 80, 3), value, np.uint8)), n * NS_PER_S // 15, n, n, n, 1)
        got += window.push(frame)
    return got


@settings(max_examples=60)
@given(st.sets(st.integers(MIN_LEARNED + 2, 150), max_size=4), st.integers(1, 9))
def test_a_segment_is_still_where_no_tick_since_the_one_before_moved(moves: set[int], stride: int) -> None:
    got = segments([n in moves for n in range(160)], stride, MotionGate())
    assert any(segment.still for segment in got)
    for segment in got:
        first = stride // 2 + stride * segment.index
        begin = min(first, first - stride + 5)  # ticks between two segments count for the later one
        moved = any(n in moves or n <= MIN_LEARNED - 1 for n in range(begin, first + 5))
        assert segment.still is not moved


def test_without_a_gate_nothing_is_still() -> None:
    assert not any(segment.still for segment in segments([False] * 160, 4, None))


def test_a_still_segment_has_the_same_frames_as_without_a_gate() -> None:
    with_gate, without = (segments([n == 100 for n in range(140)], 4, gate) for gate in (MotionGate(), None))
    assert len(with_gate) == len(without)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(with_gate, without, strict=True))


@pytest.mark.data
@pytest.mark.parametrize("reel", ["activities_reel.mp4", "asl_reel.mp4"])
def test_the_reels_have_no_still_segment(data: Path, reel: str) -> None:
    """So the gate changes none of their events."""
    gate = MotionGate()
    spec = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=4)
    window = Window(spec, max_gap_s=0.5, gate=gate)
    still = [segment.still for frame in read_file(data / "videos" / reel) for segment in window.push(frame)]
    assert len(still) > 150
    assert not any(still)


def test_every_motion_of_the_shipped_model_is_detected() -> None:
    """At the slowest speed, no clip of them is ever all still."""
    assert gate_module.GRID <= 96
    for label in ("left", "right", "up", "down", "approach", "recede", "wave"):
        scene = Scene(np.random.default_rng(14), 120, 160)
        motion, start = Motion(label, speed=0.12, growth=0.25, swing=0.05, frequency=0.8), Pose(0.5, 0.5, 0.3)
        gate = MotionGate()
        for _ in range(3 * MIN_LEARNED):
            gate.moved(scene.draw(start)[..., 1])
        moved = [gate.moved(scene.draw(motion.at(start, n / RATE))[..., 1]) for n in range(1, 2 * RATE)]
        assert sum(moved) > RATE / 2, label
