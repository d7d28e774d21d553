"""Tests of the measured latency."""

import pytest

from edge_tdn.delivery import stopwatch as module
from edge_tdn.delivery.stopwatch import Stopwatch


@pytest.fixture
def observed() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def stopwatch(observed: list[tuple[str, str]]) -> Stopwatch:
    def observe(camera: str, stage: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        observed.append((camera, stage))

    return Stopwatch(observe)


def test_an_event_is_measured_once_for_each_stage(stopwatch: Stopwatch, observed: list[tuple[str, str]]) -> None:
    stopwatch.decided("door", 1)
    stopwatch.sent("door", 1, packet_id=7)
    stopwatch.answered(7, None)
    stopwatch.answered(7, None)
    assert observed == [("door", "publish"), ("door", "puback")]


def test_a_rejected_event_was_never_acknowledged(stopwatch: Stopwatch, observed: list[tuple[str, str]]) -> None:
    stopwatch.decided("door", 1)
    stopwatch.sent("door", 1, packet_id=7)
    stopwatch.answered(7, "Not authorized")
    assert observed == [("door", "publish")]


def test_a_lost_connection_ends_no_measurement(stopwatch: Stopwatch, observed: list[tuple[str, str]]) -> None:
    """The event is sent again, with a packet id that another event may have had; its decision was long ago."""
    stopwatch.decided("door", 1)
    stopwatch.sent("door", 1, packet_id=7)
    stopwatch.disconnected()
    stopwatch.answered(7, None)
    stopwatch.sent("door", 1, packet_id=1)
    stopwatch.answered(1, None)
    assert observed == [("door", "publish"), ("door", "puback")]


def test_events_that_are_never_sent_do_not_fill_the_memory(stopwatch: Stopwatch) -> None:
    for seq in range(2 * module.MAX_DECIDED + 10):
        stopwatch.decided("door", seq)
    assert len(stopwatch._decided) <= module.MAX_DECIDED


def test_without_an_observer_nothing_is_kept() -> None:
    stopwatch = Stopwatch(None)
    stopwatch.decided("door", 1)
    stopwatch.sent("door", 1, packet_id=7)
    stopwatch.answered(7, None)
    assert not stopwatch._decided
    assert not stopwatch._sent
