"""Tests of the wait between two connections."""

import pytest

from edge_tdn.delivery.backoff import MAX_SHORT_CONNECTIONS, Backoff
from edge_tdn.delivery.timing import ConnectionTiming

TIMING = ConnectionTiming(min_retry_s=1, max_retry_s=5, jitter=0, backoff_reset_s=10)


def test_the_wait_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(TIMING)
    waits = []
    for _ in range(5):
        backoff.ended(None)
        waits.append(backoff.next_wait_s())
    assert waits == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(("connected_s", "taken_over", "wait_s"), [(11, False, 1), (9, False, 4), (11, True, 4)])
def test_only_a_connection_that_lasted_resets_the_wait(connected_s: float, taken_over: bool, wait_s: float) -> None:
    backoff = Backoff(TIMING)
    for _ in range(2):
        backoff.ended(None)
        backoff.next_wait_s()
    backoff.ended(connected_s, taken_over)
    assert backoff.next_wait_s() == wait_s


def test_jitter_only_lengthens_the_wait() -> None:
    drawn = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high

    assert Backoff(ConnectionTiming(min_retry_s=2, jitter=0.5), uniform).next_wait_s() == 3
    assert drawn == [(1, 1.5)]


def test_short_connections_in_a_row_are_noticed() -> None:
    """A connection that the broker never accepted is not one of them."""
    backoff = Backoff(TIMING)
    for _ in range(MAX_SHORT_CONNECTIONS - 1):
        backoff.ended(1)
        backoff.ended(None)
    assert not backoff.keeps_ending
    backoff.ended(1)
    assert backoff.keeps_ending
    backoff.ended(11)
    assert not backoff.keeps_ending
