"""The rate of a camera's frames, compared with the model's."""

import time

import pytest

from edge_tdn.messages import NS_PER_S
from edge_tdn.service.frame_rate import FrameRate


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge the frames at the moment at which the last one arrives, also where the test itself is held up."""
    monkeypatch.setattr("time.monotonic_ns", lambda: 1000 * NS_PER_S)


def arrived(*intervals_s: float) -> FrameRate:
    """Return the rate of frames with these intervals between them, of which the last has just arrived."""
    rate = FrameRate()
    at_s = -sum(intervals_s)
    now_ns = time.monotonic_ns()
    for interval_s in (0.0, *intervals_s):
        at_s += interval_s
        rate.push(now_ns + round(at_s * NS_PER_S))
    return rate


@pytest.mark.parametrize(
    ("intervals_s", "fps"),
    [
        ([1 / 5] * 100, "5"),
        ([1 / 2] * 40, "2"),
        ([1 / 13] * 300, "13"),
        ([1 / 30] * 300 + [1 / 5] * 60, "5"),  # it has become dark
        ([0.0, 0.0, 0.6] * 40, "5"),  # in bursts
        ([1 / 10] * 60 + [1 / 5] * 30, "7"),  # a rate that varies
    ],
)
def test_a_rate_below_the_models_is_reported(intervals_s: list[float], fps: str) -> None:
    reason = f"{fps} fps, the model expects 15: frames are repeated, and actions missed"
    assert arrived(*intervals_s).shortage(15) == reason


@pytest.mark.parametrize(
    "intervals_s",
    [
        [1 / 15] * 200,
        [1 / 14] * 200,  # a little less
        [1 / 30] * 400,
        [1 / 240] * 3000,  # more than are remembered
        [1 / 5] * 60 + [1 / 30] * 400,  # it has become light
        [1 / 15] * 100 + [1.0] + [1 / 15] * 60,  # a hiccup
        [1 / 40, 1 / 10] * 100,  # a rate that varies
        [1 / 5] * 20,  # too new for a verdict
        [0.0],
        [],
    ],
)
def test_a_rate_that_is_enough_or_not_known_yet_is_not_reported(intervals_s: list[float]) -> None:
    assert arrived(*intervals_s).shortage(15) == ""


def test_frames_of_the_past_do_not_count() -> None:
    """After a camera has been away, its rate is that of the new frames."""
    rate = arrived(*[1 / 5] * 10)
    for _ in range(3):
        rate.push(time.monotonic_ns() - 60 * NS_PER_S)
    assert rate.shortage(15) == ""
    assert arrived(*[1 / 5] * 10).fps == pytest.approx(5, rel=0.1)
    assert FrameRate().fps == 0.0
