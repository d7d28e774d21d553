"""Tests of the window of unacknowledged messages."""

from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT, InFlight
from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.outbox.outbox import Entry


def test_without_a_connection_there_is_no_room() -> None:
    in_flight = InFlight()
    assert in_flight.room == 0
    in_flight.open(10)
    assert in_flight.room == 10
    in_flight.close()
    assert in_flight.room == 0


def test_a_new_connection_starts_with_an_empty_window() -> None:
    in_flight = InFlight()
    in_flight.open(10)
    in_flight.add(1, Message("a", b""))
    in_flight.open(5)
    assert in_flight.empty
    assert in_flight.room == 5
    assert in_flight.remove(1) is None


def test_events_and_messages_keep_the_order_of_sending() -> None:
    in_flight = InFlight()
    in_flight.open(10)
    items = [Entry(n, "door", n, b"", 0.0) if n % 2 else Message(str(n), b"") for n in (5, 4, 3, 2)]
    for packet_id, item in zip((9, 7, 8, 1), items, strict=True):
        in_flight.add(packet_id, item)
    assert in_flight.events == [items[0], items[2]]
    assert in_flight.messages == [items[1], items[3]]
    assert in_flight.remove(7) == items[1]
    assert in_flight.messages == [items[3]]


@given(st.integers(0, 0xFFFF), st.integers(0, MAX_IN_FLIGHT))
def test_the_window_is_the_smaller_of_ours_and_the_brokers(window: int, sent: int) -> None:
    in_flight = InFlight()
    in_flight.open(window)
    for packet_id in range(sent):
        in_flight.add(packet_id, Message("a", b""))
    assert in_flight.room == max(0, min(window, MAX_IN_FLIGHT) - sent)
