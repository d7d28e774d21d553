"""Tests of the order in which events are sent, without a broker."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT
from edge_tdn.delivery.outbox.outbox import Entry
from tests.support.event_feed import TIMING, FeedHarness, name


@pytest.fixture
def harness() -> Iterator[FeedHarness]:
    harness = FeedHarness()
    yield harness
    harness.outbox.close()


def test_events_are_sent_once_in_order(harness: FeedHarness) -> None:
    harness.put("a", "b", "a")
    assert harness.send() == ["a1", "b1", "a2"]
    assert harness.send() == []
    harness.put("b")
    assert harness.send() == ["b2"]


def test_no_more_is_sent_than_the_window_allows(harness: FeedHarness) -> None:
    harness.connect(window=2)
    harness.put("a", "a", "a", "a")
    assert harness.send() == ["a1", "a2"]
    harness.answer("a1")
    assert harness.send() == ["a3"]
    assert harness.feed.has_more
    harness.answer("a2")
    harness.answer("a3")
    assert harness.send() == ["a4"]
    assert not harness.feed.has_more


def test_unacknowledged_events_are_sent_again_on_the_next_connection(harness: FeedHarness) -> None:
    harness.put("a", "a", "a")
    harness.send()
    harness.answer("a2")
    harness.disconnect()
    harness.connect()
    assert harness.send() == ["a1", "a3"], "a2 is acknowledged, although the outbox does not know it yet"


def test_acknowledgements_are_stored_together(harness: FeedHarness) -> None:
    """Each write costs a flush of the disk; when nothing else is to do, they are stored at once."""
    harness.put(*["a"] * MAX_IN_FLIGHT)
    harness.send()
    harness.answer("a1")
    harness.feed.acknowledgements.store(more_to_come=True)
    harness.answer("a2")
    harness.feed.acknowledgements.store(more_to_come=True)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 1, "the second one waits"
    assert harness.feed.due_s() == harness.now_s + TIMING.store_s
    harness.now_s += TIMING.store_s
    harness.feed.acknowledgements.store(more_to_come=True)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 2
    harness.answer("a3")
    harness.feed.acknowledgements.store(more_to_come=False)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 3
    for number in range(4, 4 + MAX_IN_FLIGHT // 2):
        harness.answer(f"a{number}")
    harness.feed.acknowledgements.store(more_to_come=True)
    assert harness.outbox.waiting == MAX_IN_FLIGHT - 3 - MAX_IN_FLIGHT // 2


def test_a_rejected_camera_waits_and_the_others_are_sent(harness: FeedHarness) -> None:
    harness.put("a", "b", "a")
    harness.send()
    harness.answer("a1", "Not authorized")
    harness.answer("b1")
    harness.answer("a2", "Not authorized")
    harness.put("a", "b")
    assert harness.send() == ["b2"]
    assert harness.feed.rejections == {"a": "Not authorized"}
    assert not harness.feed.has_more


def test_a_rejected_camera_is_probed_with_its_first_event_after_doubling_waits(harness: FeedHarness) -> None:
    harness.put("a", "a")
    harness.send()
    harness.answer("a1", "no")
    harness.answer("a2", "no")
    for wait_s in (1, 2, 4, 4):
        assert harness.feed.due_s() == harness.now_s + wait_s
        harness.now_s += wait_s - 0.1
        assert harness.send() == []
        harness.now_s += 0.1
        assert harness.send() == ["a1"]
        assert harness.send() == []
        assert harness.feed.due_s() == float("inf")
        harness.answer("a1", "no")


def test_a_camera_is_probed_when_all_its_earlier_events_are_answered(harness: FeedHarness) -> None:
    """The late answer to an earlier event would be taken for the probe's, and the probe be sent a second time."""
    harness.put("a", "a")
    harness.send()
    harness.answer("a1", "no")
    harness.now_s += TIMING.min_retry_s
    assert harness.send() == []
    assert harness.feed.due_s() == float("inf"), "or the publisher's thread would not sleep"
    harness.answer("a2", "no")
    assert harness.send() == ["a1"]


def test_a_successful_probe_releases_all_events_of_the_camera(harness: FeedHarness) -> None:
    harness.put("a", "b", "a", "a")
    harness.send()
    harness.answer("b1")
    for event in ("a1", "a2", "a3"):
        harness.answer(event, "no")
    harness.now_s += 1
    assert harness.send() == ["a1"]
    packet_id, entry = next(iter(harness.in_flight._sent.items()))
    assert isinstance(entry, Entry)
    harness.in_flight.remove(packet_id)
    assert harness.feed.acknowledged(entry), "the access rules have changed"
    assert harness.feed.rejections == {}
    assert harness.send() == ["a2", "a3"]


def test_without_room_no_probe_is_due(harness: FeedHarness) -> None:
    """Or the publisher's thread would not sleep until there is."""
    harness.connect(window=2)
    harness.put("a", "b", "b", "b")
    harness.send()
    harness.answer("a1", "no")
    harness.send()
    assert harness.in_flight.room == 0
    assert harness.feed.due_s() == float("inf")
    harness.now_s += 1
    assert harness.send() == []
    harness.answer("b1")
    assert harness.send() == ["a1"]


def test_a_rejected_camera_without_events_is_forgotten(harness: FeedHarness) -> None:
    """Its events were dropped: without this its probe would be due for ever."""
    harness.put("a")
    harness.send()
    harness.answer("a1", "no")
    harness.now_s += 365 * 86_400
    harness.outbox.tick()
    assert harness.outbox.waiting == 0
    assert harness.send() == []
    assert harness.feed.rejections == {}
    assert harness.feed.due_s() == float("inf")


def test_an_event_that_does_not_fit_takes_no_room_and_holds_up_no_other(harness: FeedHarness) -> None:
    harness.limits.connected(1000)
    harness.connect(window=2)
    harness.put("a")
    harness.outbox.put([("a", 2, b"x" * 1000), ("a", 3, b"x" * 900)])
    harness.seqs["a"] = 3
    harness.put("a", "b")
    assert harness.send() == ["a1", "a4"]
    assert harness.feed.rejections == {
        "a": "too large for this broker, which accepts packets of 1000 bytes (900 bytes)"
    }, "the smallest one of the camera"
    harness.answer("a1")
    assert harness.send() == ["b1"]
    harness.limits.connected(2000)
    harness.limits.forget()
    harness.answer("a4")
    assert harness.send() == ["a2"]


def test_events_come_one_at_a_time_after_a_connection_that_acknowledged_none(harness: FeedHarness) -> None:
    harness.put("a", "b", "a")
    assert harness.send() == ["a1", "b1", "a2"]
    harness.disconnect()
    assert harness.feed.rejections == {}, "it may have ended over anything"
    harness.connect()
    assert harness.send() == ["a1"]
    assert harness.send() == []
    harness.put("b", "a")
    for event, following in (("a1", ["b1"]), ("b1", ["a2"]), ("a2", ["b2", "a3"])):
        harness.answer(event)
        assert harness.send() == following, "together when all of them are acknowledged"


def test_the_camera_over_which_the_broker_ends_the_connection_is_found(harness: FeedHarness) -> None:
    harness.put("a", "b", "b")
    harness.send()
    harness.disconnect()
    harness.connect()
    assert harness.send() == ["a1"]
    harness.disconnect()
    assert harness.feed.rejections == {"a": "the connection ended over it (2 bytes); do the broker's rules allow it?"}
    harness.connect()
    assert harness.send() == ["b1"], "still one at a time"
    harness.answer("b1")
    assert harness.send() == ["b2"]
    harness.answer("b2")
    harness.now_s += 1
    assert harness.send() == ["a1"], "a probe"
    harness.disconnect()
    harness.connect()
    assert harness.feed.due_s() == harness.now_s + 2, "the others come first"


def test_a_connection_that_ended_over_a_retained_message_blames_no_event(harness: FeedHarness) -> None:
    harness.put("a", "a")
    harness.send()
    harness.disconnect(only_events=False)
    harness.connect()
    assert harness.send() == ["a1", "a2"]


def test_cameras_that_end_the_connection_are_probed_one_at_a_time(harness: FeedHarness) -> None:
    harness.put("a", "b")
    harness.send()
    for entry in harness.in_flight.events:
        harness.feed.rejected(entry, "the connection ended over it", ends_connection=True)
    harness.in_flight.close()
    harness.connect()
    harness.now_s += TIMING.min_retry_s
    assert harness.send() == ["a1"]
    assert harness.feed.due_s() == float("inf"), "the answer comes first"
    harness.disconnect()
    harness.connect()
    harness.now_s += TIMING.max_retry_s
    assert harness.send() == ["b1"], "it waits for longer"
    harness.answer("b1")
    assert harness.send() == ["a1"]
    harness.answer("a1")
    assert harness.feed.rejections == {}


def test_an_event_larger_than_all_before_is_left_out_after_its_probes(harness: FeedHarness) -> None:
    harness.put("a")
    harness.send()
    harness.answer("a1")
    harness.outbox.put([("a", 2, b"x" * 500)])
    harness.seqs["a"] = 2
    harness.put("a")
    for sent in (["a2", "a3"], ["a2"], ["a2"], ["a2"]):
        harness.connect()
        harness.now_s += TIMING.max_retry_s
        assert harness.send() == sent
        harness.disconnect()
    harness.connect()
    assert harness.send() == ["a3"]
    harness.answer("a3")
    assert harness.feed.rejections["a"].startswith("too large for this broker or this line")


def test_a_connection_that_ends_over_nothing_rejects_no_camera(harness: FeedHarness) -> None:
    """Events were acknowledged on it: the network is at fault."""
    for _ in range(3):
        harness.put("a", "a")
        harness.send()
        harness.answer(f"a{harness.seqs['a'] - 1}")
        harness.disconnect()
        assert harness.feed.rejections == {}
        harness.connect()


def test_a_new_connection_forgets_ordinary_rejections(harness: FeedHarness) -> None:
    """The broker was restarted, perhaps with other access rules."""
    harness.put("a", "a")
    harness.send()
    harness.answer("a1", "no")
    harness.answer("a2", "no")
    harness.disconnect()
    harness.connect()
    assert harness.feed.rejections == {}
    assert harness.send()[:1] == ["a1"]


@given(st.lists(st.sampled_from(["put", "send", "answer", "reconnect"]), max_size=60), st.integers(1, 5))
@example(["put", *["send", "reconnect"] * 4], 1)
def test_lost_connections_change_no_order(steps: list[str], window: int) -> None:
    """Each event is acknowledged once, and sent again until then; late if connections keep ending over it."""
    harness, delivered, left_out = FeedHarness(window), list[str](), False
    for step in [*steps, "reconnect", *["send", "answer", "wait"] * (2 * len(steps))]:
        match step:
            case "put":
                harness.put("ab"[len(delivered) % 2])
            case "send":
                harness.send()
            case "answer":
                for entry in harness.in_flight.events[:1]:
                    delivered.append(name(entry))
                    harness.answer(name(entry))
            case "wait":
                harness.now_s += 2 * TIMING.max_probe_s
            case _:
                harness.disconnect()
                left_out = left_out or bool(harness.feed._too_large)
                harness.connect(window)
                harness.now_s += TIMING.max_retry_s  # probes are due
    harness.feed.acknowledgements.store(more_to_come=False)
    assert harness.outbox.waiting == 0
    for camera, last in harness.seqs.items():
        events = [event for event in delivered if event[0] == camera]
        assert (sorted(events, key=lambda event: int(event[1:])) if left_out else events) == [
            f"{camera}{n + 1}" for n in range(last)
        ]
    harness.outbox.close()
