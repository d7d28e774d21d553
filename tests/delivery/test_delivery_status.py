"""Tests of the reported delivery state and its log."""

import logging

import pytest

from edge_tdn.delivery.delivery_status import DeliveryStatus
from edge_tdn.delivery.timing import PublisherTiming
from tests.support.waiting import eventually


@pytest.fixture
def status(caplog: pytest.LogCaptureFixture) -> DeliveryStatus:
    caplog.set_level(logging.INFO)
    return DeliveryStatus("broker:1883", PublisherTiming(state_log_s=0, warning_log_s=3600))


def test_a_rejected_topic_degrades_the_delivery(status: DeliveryStatus) -> None:
    assert (status.current.state, status.current.reason) == ("connecting", "")
    status.connected({}, waiting=0)
    assert (status.current.state, status.current.reason) == ("connected", "")
    status.connected({"a/door/events": "Not authorized"}, waiting=0)
    assert (status.current.state, status.current.reason) == ("degraded", "a/door/events was rejected: Not authorized")
    status.connected({"a/door/events": "Not authorized", "b": "x", "c": "y"}, waiting=0)
    assert status.current.reason == "a/door/events was rejected: Not authorized; and 2 more topics"
    status.connected({}, waiting=0)
    assert (status.current.state, status.current.reason) == ("connected", "")


def test_another_size_of_a_rejected_message_changes_nothing(
    status: DeliveryStatus, caplog: pytest.LogCaptureFixture
) -> None:
    for size in (15_000, 15_200):
        status.connected({"snapshot": f"{size} bytes, too large", "status": f"{size} bytes, too large"}, waiting=0)
    assert status.current.reason == "snapshot was rejected: 15000 bytes, too large; and 1 more topics"
    assert [record.message.partition(" ")[2] for record in caplog.records] == [
        "status was rejected: 15000 bytes, too large",
        "degraded: snapshot was rejected: 15000 bytes, too large; and 1 more topics",
    ], "every topic is named once"
    status.connected({"snapshot": "Not authorized"}, waiting=0)
    assert status.current.reason == "snapshot was rejected: Not authorized"


def test_since_changes_with_the_state_alone(status: DeliveryStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 0
    monkeypatch.setattr("time.time_ns", lambda: now_ns)
    status.change("unreachable", "connection refused", waiting=0)
    since, now_ns = status.current.since, 10**10
    status.change("unreachable", "no route to host", waiting=0)
    assert status.current.reason == "no route to host"
    assert status.current.since == since
    status.change("connecting", "", waiting=0)
    assert status.current.since != since


def test_every_change_is_logged_once(status: DeliveryStatus, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        status.change("unreachable", "connection refused", waiting=3)
    for _ in range(2):
        status.connected({}, waiting=0)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "broker=broker:1883 unreachable: connection refused; 3 events wait"),
        ("INFO", "broker=broker:1883 connected"),
    ]


def test_frequent_changes_are_logged_together(caplog: pytest.LogCaptureFixture) -> None:
    status = DeliveryStatus("broker:1883", PublisherTiming(state_log_s=0.01))
    for number in range(100):
        status.change("unreachable", str(number), waiting=0)

    def newest_is_logged() -> bool:
        status.flush()
        return "unreachable: 99" in caplog.text

    eventually(newest_is_logged)
    assert len(caplog.records) < 100


def test_the_same_warning_is_logged_once(status: DeliveryStatus, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        status.warn("a", "too large")
        status.warn("b", "too slow", logging.ERROR)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "broker=broker:1883 too large"),
        ("ERROR", "broker=broker:1883 too slow"),
    ]
