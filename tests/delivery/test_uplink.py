"""Tests of the current connection and its sessions, without a broker."""

import queue
from collections.abc import Callable
from typing import Any

import pytest

from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import Inbox, Lost, Message
from edge_tdn.delivery.outbox.outbox import Entry
from edge_tdn.delivery.stopwatch import Stopwatch
from edge_tdn.delivery.topics import Topics
from edge_tdn.delivery.uplink import ConnectionNote, Uplink
from edge_tdn.errors import ConfigError
from tests.support.fake_connection import FakeConnection, FakeLink


class UplinkHarness:
    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.in_flight = InFlight()
        self.connections: list[FakeConnection] = []
        self.uplink = Uplink(Topics("edge-tdn/here"), "b007", self.inbox, self.in_flight, Stopwatch(None), self.connect)

    def connect(self, will: Callable[[int], Message], inbox: Inbox) -> Any:
        self.connections.append(FakeConnection(will, inbox))
        return self.connections[-1]

    def connected(self, session: int, **limits: int) -> FakeLink:
        link = FakeLink(session, **limits)
        self.uplink.connection_made(link)  # type: ignore[arg-type]
        return link


@pytest.fixture
def harness() -> UplinkHarness:
    return UplinkHarness()


def test_sessions_are_numbered_across_replaced_connections(harness: UplinkHarness) -> None:
    uplink = harness.uplink
    for session in (1, 3):  # the second attempt failed
        harness.connected(session)
        assert uplink.session == session
        uplink.connection_lost()
    assert uplink.connects == 2
    uplink.close()
    uplink.replace(harness.connect)
    first, second = harness.connections
    assert first.closed
    assert dict(second.will(1).user) == {"boot": "b007", "session": "4"}
    harness.connected(1)
    assert uplink.session == 4
    assert dict(uplink.availability(b"online").user)["session"] == "4"


def test_the_last_will_is_offline_and_retained(harness: UplinkHarness) -> None:
    will = harness.connections[0].will(7)
    assert (will.topic, will.payload, will.retain) == ("edge-tdn/here/availability", b"offline", True)
    assert dict(will.user) == {"boot": "b007", "session": "7"}


def test_late_notes_of_a_replaced_connection_are_known(harness: UplinkHarness) -> None:
    harness.uplink.replace(harness.connect)
    for connection in harness.connections:
        connection.inbox.put(Lost("unreachable", ""))
    late, current = (harness.inbox.get() for _ in range(2))
    assert isinstance(late, ConnectionNote)
    assert not harness.uplink.is_current(late)
    assert harness.uplink.is_current(current)


def test_a_connection_that_cannot_be_replaced_leaves_the_uplink_closed(harness: UplinkHarness) -> None:
    def refuse(will: Callable[[int], Message], inbox: Inbox) -> Any:
        raise ConfigError("ca.pem: not PEM")

    harness.connected(1)
    harness.uplink.close()
    with pytest.raises(ConfigError):
        harness.uplink.replace(refuse)
    assert not harness.uplink.connected
    harness.uplink.replace(harness.connect)
    assert dict(harness.connections[-1].will(1).user)["session"] == "2"


def test_what_is_published_is_in_flight_until_it_is_answered(harness: UplinkHarness) -> None:
    link, entry = harness.connected(1), Entry(1, "door", 1, b"{}", 0.0)
    harness.uplink.publish(Message("a", b"1"))
    harness.uplink.publish_event(Message("b", b"2"), entry)
    assert [message.topic for message in link.published] == ["a", "b"]
    assert harness.uplink.answered(2, None) is entry
    assert harness.uplink.answered(2, None) is None
    assert harness.uplink.answered(1, "no") == Message("a", b"1")
    assert harness.in_flight.empty


def test_messages_with_qos_0_are_never_in_flight(harness: UplinkHarness) -> None:
    harness.uplink.send(Message("a", b"", qos=0))
    link = harness.connected(1)
    harness.uplink.send(Message("b", b"", qos=0))
    assert [message.topic for message in link.published] == ["b"]
    assert harness.in_flight.empty


def test_a_lost_connection_leaves_nothing_in_flight(harness: UplinkHarness) -> None:
    harness.connected(1)
    harness.uplink.publish(Message("a", b""))
    harness.uplink.connection_lost()
    assert harness.in_flight.empty
    assert harness.in_flight.room == 0
    harness.uplink.subscribe(["a"])  # does nothing


def test_the_brokers_window_is_kept(harness: UplinkHarness) -> None:
    harness.connected(1, window=3)
    assert harness.in_flight.room == 3


def test_nothing_is_sent_beside_a_message_that_is_sent_alone(harness: UplinkHarness) -> None:
    harness.connected(1)
    harness.uplink.publish(Message("a", b""), alone=True)
    assert harness.in_flight.alone == Message("a", b"")
    assert harness.in_flight.room == 0
    harness.uplink.answered(1, None)
    assert harness.in_flight.alone is None
    assert harness.in_flight.room > 0
