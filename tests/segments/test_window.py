"""The window: the right frames at the right time, and never across a gap."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.manifest import InputSpec, Model
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S, Frame, Segment
from edge_tdn.segments.window import Window
from tests.conftest import number_in
from tests.support.published_sampling import published_frames

SIDE = 32


def spec(segments: int = 8, stride: int = 4, rate: float = 12.0) -> InputSpec:
    return InputSpec(
        segments=segments, height=SIDE, width=SIDE, resize="stretch", frame_rate=rate, segment_stride=stride
    )


def ensemble_spec(stride: int, per_segment: tuple[int, ...] = (1, 2)) -> InputSpec:
    """Return the input of two networks, with 8 and 16 segments; `stride` is that of the 16."""
    return spec(8, 2 * stride).model_copy(update={"per_segment": per_segment})


def frame(number: int, pts_s: float, stream: int = 1) -> Frame:
    """Return a frame that shows its own number."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[...] = (number // 256, number % 256, 0)
    pts_ns = int(pts_s * NS_PER_S)
    return Frame(Packed(picture), pts_ns, 5_000 + pts_ns, 7_000 + pts_ns, number, stream)


def numbers(segment: Segment) -> list[int]:
    """Return the numbers of a segment's frames."""
    return [int(f[0, 0, 0]) * 256 + int(f[0, 0, 1]) for f in segment.frames]


def fives(segments: list[Segment], first: int, count: int) -> list[list[int]]:
    """Return the frames of one network of an ensemble: `count` times five of each segment, from the `first` five on."""
    return [numbers(s)[5 * n : 5 * n + 5] for s in segments for n in range(first, first + count)]


def run(window: Window, frames: list[Frame]) -> list[Segment]:
    return [segment for f in frames for segment in window.push(f)]


@pytest.mark.parametrize("rate", [12.0, 15.0, 25.0, 29.97])
@pytest.mark.parametrize("segments", [8, 16])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7, 8])
def test_a_file_that_fits_the_grid_gives_the_published_frames(rate: float, segments: int, stride: int) -> None:
    count = segments * stride + 4
    window = Window(spec(segments, stride, rate), max_gap_s=0.5)
    got = run(window, [frame(n, n / rate) for n in range(count)])
    assert [numbers(s) for s in got] == published_frames(count, segments)
    assert [s.index for s in got] == list(range(segments))
    assert all(s.dropped == 0 for s in got)


@pytest.mark.parametrize("camera", [24.0, 25.0, 30.0, 60.0])
def test_each_tick_takes_the_frame_nearest_in_time(camera: float) -> None:
    window = Window(spec(stride=5), max_gap_s=0.5)
    got = run(window, [frame(n, n / camera) for n in range(int(camera * 4))])
    for segment in got:
        for j, number in enumerate(numbers(segment)):
            tick_s = (2 + segment.index * 5 + j) / 12
            assert abs(number / camera - tick_s) <= 0.5 / camera + 1e-6
    assert len(got) == (48 - 2 - 5) // 5 + 1


def test_a_segments_times_are_those_of_the_grid() -> None:
    window = Window(spec(stride=4), max_gap_s=0.5, clock=lambda: 99)
    segment = run(window, [frame(n, 3 + n / 24) for n in range(40)])[1]
    assert segment.from_ns == 3 * NS_PER_S + round(6 / 12 * NS_PER_S)
    assert segment.to_ns == 3 * NS_PER_S + round(10 / 12 * NS_PER_S)
    assert segment.ready_ns == 99
    assert segment.wall_ns == pytest.approx(7_000 + segment.to_ns, abs=2)
    assert segment.received_ns >= 5_000 + segment.to_ns - 1


def test_jitter_of_a_third_of_a_frame_loses_no_tick() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(60) / 12 + rng.uniform(-0.33, 0.33, 60) / 12
    window = Window(spec(stride=5), max_gap_s=0.5)
    got = run(window, [frame(n, t + 1) for n, t in enumerate(np.sort(times))])
    assert window.runs == 1
    assert sum(s.dropped for s in got) <= 2


def test_a_lost_frame_is_repeated_and_counted() -> None:
    window = Window(spec(stride=4), max_gap_s=0.5)
    got = run(window, [frame(n, n / 12) for n in range(20) if n != 4])
    assert got[0].dropped == 1
    assert numbers(got[0]) in ([2, 3, 3, 5, 6], [2, 3, 5, 5, 6])
    assert got[1].dropped == 0


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda n: frame(n, n / 12 + (2 if n >= 15 else 0)), id="gap"),
        pytest.param(lambda n: frame(n, n / 12 - (1 if n >= 15 else 0)), id="time decreases"),
        pytest.param(lambda n: frame(n, n / 12, stream=1 + (n >= 15)), id="reconnect or another size"),
    ],
)
def test_no_segment_spans_a_break_and_each_run_has_its_own_grid(broken) -> None:  # type: ignore[no-untyped-def]
    window = Window(spec(stride=4), max_gap_s=0.5)
    got = run(window, [broken(n) for n in range(30)])
    for segment in got:
        assert max(numbers(segment)) < 15 or min(numbers(segment)) >= 15
    assert [s.index for s in got] == [0, 1, 2, 0, 1, 2]
    assert numbers(got[3]) == [17, 18, 19, 20, 21]
    assert window.runs == 2


def test_a_pause_within_max_gap_does_not_end_the_run() -> None:
    window = Window(spec(stride=4), max_gap_s=0.5)
    got = run(window, [frame(n, n / 12) for n in range(40) if not 10 <= n < 15])
    assert window.runs == 1
    assert [s.index for s in got] == list(range(len(got)))
    assert sum(s.dropped for s in got) >= 4


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7, 8])
def test_each_network_of_an_ensemble_gets_its_own_published_frames(stride: int) -> None:
    count = 16 * stride + 4
    frames = [frame(n, n / 12) for n in range(count)]
    got = run(Window(ensemble_spec(stride), max_gap_s=0.5), frames)
    assert [s.index for s in got] == list(range(8))
    assert fives(got, 0, 1) == published_frames(count, 8)
    assert fives(got, 1, 2) == published_frames(count, 16)
    turned = run(Window(ensemble_spec(stride, (2, 1)), max_gap_s=0.5), frames)
    assert fives(turned, 0, 2) == published_frames(count, 16)
    assert fives(turned, 2, 1) == published_frames(count, 8)


def test_an_ensembles_segment_has_the_times_of_all_its_networks() -> None:
    window = Window(ensemble_spec(stride=3), max_gap_s=0.5)
    got = run(window, [frame(n, 3 + n / 12) for n in range(20)])
    assert [numbers(s) for s in got] == [
        [3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8],
        [9, 10, 11, 12, 13, 7, 8, 9, 10, 11, 10, 11, 12, 13, 14],
    ]
    assert [s.from_ns for s in got] == [3 * NS_PER_S + round(n / 12 * NS_PER_S) for n in (1, 7)]
    assert [s.to_ns for s in got] == [3 * NS_PER_S + round(n / 12 * NS_PER_S) for n in (8, 14)]


def test_an_ensembles_segment_is_complete_with_the_last_frame_of_any_network() -> None:
    window = Window(ensemble_spec(stride=3), max_gap_s=0.5)
    completed = [n for n in range(33) if window.push(frame(n, n / 12))]
    assert completed == [8, 14, 20, 26, 32]


def test_a_repeated_frame_is_counted_once_for_each_network_that_takes_it() -> None:
    window = Window(ensemble_spec(stride=3), max_gap_s=0.5)
    got = run(window, [frame(n, n / 12) for n in range(15) if n not in (5, 6)])
    assert numbers(got[0]) == [3, 4, 4, 7, 7, 1, 2, 3, 4, 4, 4, 4, 7, 7, 8]
    assert [s.dropped for s in got] == [2 + 1 + 2, 1]  # the second one begins with frame 7, which tick 6 took already
    assert numbers(got[1])[5:10] == [7, 8, 9, 10, 11]


def test_no_segment_of_an_ensemble_spans_a_gap() -> None:
    """Frame 13 completes the second segment of the 8, but not that of the 16: both are dropped."""
    window = Window(ensemble_spec(stride=3), max_gap_s=0.5)
    got = run(window, [frame(n, n / 12 + (2 if n >= 14 else 0)) for n in range(14 + 15)])
    assert [s.index for s in got] == [0, 0, 1]
    assert max(numbers(got[0])) < 14
    assert numbers(got[1]) == [14 + n for n in (3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8)]
    assert window.runs == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.001, 1.2), min_size=1, max_size=80),
    st.integers(1, 9),
    st.sampled_from([6.0, 12.0, 15.0, 30.0]),
)
def test_any_stream_gives_consecutive_segments_of_growing_frames(steps: list[float], stride: int, rate: float) -> None:
    window = Window(spec(stride=stride, rate=rate), max_gap_s=0.5)
    times = np.cumsum(steps)
    frames = [frame(n, t) for n, t in enumerate(times)]
    last = -1
    for f in frames:
        for segment in window.push(f):
            assert segment.index in (0, last + 1)
            last = segment.index
            shown = numbers(segment)
            assert shown == sorted(shown)
            assert shown[-1] <= f.seq
            gaps = np.diff([times[n] for n in range(shown[0], shown[-1] + 1)])
            assert np.all(gaps <= 0.5 + 1e-6)
            assert 0 <= segment.dropped <= 5


def test_a_real_file_streams_the_published_frames(make_video: Callable[..., Path], motion: Model) -> None:
    """Encoded, decoded by GStreamer, resampled by timestamp: every frame shows its number."""
    spec = motion.manifest.input
    count = spec.segments * spec.segment_stride + 4
    video = make_video(frames=count, rate=int(spec.frame_rate))
    source = Source(CameraConfig(name="file", source=str(video)), Path("/"), lambda state, reason: None)
    window = Window(spec, max_gap_s=0.5)
    got = [segment for f in source.frames(threading.Event()) for segment in window.push(f)]
    assert [[number_in(picture) for picture in segment.frames] for segment in got] == published_frames(
        count, spec.segments
    )
