"""Tests of what the host makes of messages on its topics."""

import json

import pytest

from edge_tdn.delivery.incoming import (
    AvailabilityOverwritten,
    CommandReceived,
    DashboardStarted,
    Incoming,
    IncomingMessages,
    SecondDaemon,
)
from edge_tdn.delivery.mqtt import Received
from edge_tdn.delivery.topics import Topics

TOPICS = Topics("edge-tdn/here")
BIRTH = "homeassistant/status"


def status(boot: str) -> bytes:
    return json.dumps({"boot": boot}).encode()


@pytest.fixture
def incoming() -> IncomingMessages:
    incoming = IncomingMessages(TOPICS, "b007")
    incoming.follow_dashboard(BIRTH)
    return incoming


def test_the_host_subscribes_to_its_own_topics_and_the_dashboards_birth() -> None:
    incoming = IncomingMessages(TOPICS, "b007")
    own = ["edge-tdn/here/cmd/#", "edge-tdn/here/availability", "edge-tdn/here/status"]
    assert incoming.subscriptions == own
    assert incoming.follow_dashboard(BIRTH)
    assert incoming.subscriptions == [*own, BIRTH]
    assert not incoming.follow_dashboard(BIRTH)


@pytest.mark.parametrize(
    ("topic", "payload", "retained", "meaning"),
    [
        ("cmd/replay", b"{}", False, CommandReceived("replay", b"{}")),
        ("cmd/door/set/enabled", b"ON", False, CommandReceived("door/set/enabled", b"ON")),
        ("cmd/replay", b"{}", True, None),
        ("availability", b"offline", False, AvailabilityOverwritten()),
        ("availability", b"stopped", False, AvailabilityOverwritten()),
        ("availability", b"online", False, None),
        ("availability", b"offline", True, None),
        ("status", status("b007"), False, None),
        ("status", status("other"), False, SecondDaemon("other")),
        ("status", status("x" * 999), False, SecondDaemon("x" * 16)),
        ("status", b"{}", False, None),
        ("status", b"[" * 100_000, False, None),
        ("status", b"\xff", False, None),
        ("status", b"7", False, None),
        ("other", b"online", False, None),
    ],
)
def test_the_meaning_of_a_message(
    incoming: IncomingMessages, topic: str, payload: bytes, retained: bool, meaning: Incoming | None
) -> None:
    assert incoming.interpret(Received(f"{TOPICS.base}/{topic}", payload, retained)) == meaning


@pytest.mark.parametrize("retained", [False, True])
def test_a_dashboard_starts_with_online(incoming: IncomingMessages, retained: bool) -> None:
    assert incoming.interpret(Received(BIRTH, b"online", retained)) == DashboardStarted()
    assert incoming.interpret(Received(BIRTH, b"offline", retained)) is None


def test_a_second_daemon_is_reported_when_it_has_replaced_our_status_twice(incoming: IncomingMessages) -> None:
    """A status from before our first one is an old one; once may be a broker that restored its state."""
    foreign = Received(TOPICS.status, status("other"), retained=True)
    for _ in range(3):
        assert incoming.interpret(foreign) is None
    incoming.acknowledged(f"{TOPICS.base}/door/status")
    assert incoming.interpret(foreign) is None
    incoming.acknowledged(TOPICS.status)
    assert incoming.interpret(foreign) is None
    assert incoming.interpret(foreign) == SecondDaemon("other")
