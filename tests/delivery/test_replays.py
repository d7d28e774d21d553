"""Tests of replies and replays, without a broker."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.replays import MAX_REPLAYS, ReplayRequest, Replays
from edge_tdn.delivery.topics import Topics
from edge_tdn.messages import Reply

TOPICS = Topics("edge-tdn/here")


def reply(id_: str, **result: int) -> Reply:
    return Reply(command="replay", id=id_, ok=True, error="", result=dict(result))


def request(id_: str, from_seq: int, to_seq: int) -> ReplayRequest:
    return ReplayRequest("door", from_seq, to_seq, reply(id_))


class ReplaysHarness:
    """Replays from an outbox that has the given events of a camera."""

    def __init__(self, window: int, *seqs: int) -> None:
        self.outbox, self.in_flight = Outbox(None, OutboxConfig()), InFlight()
        self.outbox.put([("door", seq, json.dumps({"seq": seq, "label": "ä"}).encode()) for seq in seqs])
        self.replays = Replays(TOPICS, self.outbox, self.in_flight)
        self.in_flight.open(window)

    def send(self) -> list[dict[str, object]]:
        """Send what the replays yield; return the payloads."""
        sent = []
        for packet_id, message in enumerate(self.replays.next(), 1):
            self.in_flight.add(packet_id, message)
            content = json.loads(message.payload)
            assert message.topic == (TOPICS.events("door") if "seq" in content else TOPICS.reply)
            assert not message.retain
            sent.append(content)
        return sent

    def send_all(self) -> list[dict[str, object]]:
        """Send everything, a window at a time."""
        everything = []
        while sent := self.send():
            everything += sent
            for packet_id in range(len(sent)):
                self.in_flight.remove(packet_id + 1)
        return everything


@pytest.fixture
def harness() -> Iterator[ReplaysHarness]:
    harness = ReplaysHarness(100, 1, 2, 3, 5)
    yield harness
    harness.outbox.close()


def test_events_come_first_and_the_reply_counts_them(harness: ReplaysHarness) -> None:
    harness.replays.replay(request("one", 2, 9))
    *events, answer = harness.send()
    assert events == [{"seq": seq, "label": "ä", "replayed": True} for seq in (2, 3, 5)]
    assert answer["id"] == "one"
    assert answer["result"] == {"sent": 3, "missing": 1}


def test_a_replay_of_nothing_is_answered(harness: ReplaysHarness) -> None:
    harness.replays.replay(request("one", 6, 9))
    (answer,) = harness.send()
    assert answer["result"] == {"sent": 0, "missing": 0}


def test_replies_wait_behind_earlier_replays(harness: ReplaysHarness) -> None:
    harness.replays.replay(request("one", 5, 5))
    harness.replays.reply(reply("two"))
    assert [content.get("id") for content in harness.send()] == [None, "one", "two"]


def test_too_many_replays_are_rejected(harness: ReplaysHarness) -> None:
    for number in range(MAX_REPLAYS + 1):
        harness.replays.replay(request(str(number), 6, 6))
    answers = harness.send()
    assert [answer["ok"] for answer in answers] == [True] * MAX_REPLAYS + [False]
    assert answers[-1]["error"] == f"busy: {MAX_REPLAYS} replays are waiting"
    assert answers[-1]["result"] == {}


def test_nothing_is_sent_without_a_connection_or_after_it(harness: ReplaysHarness) -> None:
    harness.in_flight.close()
    harness.replays.replay(request("one", 1, 9))
    assert harness.send() == []
    harness.replays.clear()
    harness.in_flight.open(100)
    assert harness.send() == []


@given(st.sets(st.integers(1, 30)), st.integers(1, 30), st.integers(1, 40), st.integers(1, 7))
def test_every_event_in_the_range_comes_once_whatever_the_window(
    seqs: set[int], from_seq: int, to_seq: int, window: int
) -> None:
    harness = ReplaysHarness(window, *sorted(seqs))
    harness.replays.replay(request("one", from_seq, to_seq))
    *events, answer = harness.send_all()
    in_range = [seq for seq in sorted(seqs) if from_seq <= seq <= to_seq]
    assert [event["seq"] for event in events] == in_range
    last = min(to_seq, max(seqs, default=0))
    assert answer["result"] == {"sent": len(in_range), "missing": max(0, last - from_seq + 1 - len(in_range))}
    harness.outbox.close()
