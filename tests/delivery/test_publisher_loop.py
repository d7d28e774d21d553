"""Tests of the publisher's thread without a thread: the inbox is filled first, and the broker answers at once."""

import queue
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.event_query import EventQuery
from edge_tdn.delivery.mqtt import Acknowledged, Connected, Inbox, Lost, Message, Received, SubscriptionRejected
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.published_topics import PublishedTopics
from edge_tdn.delivery.publisher_loop import Announcement, Item, PublisherLoop, ReconnectRequest, StopRequest
from edge_tdn.delivery.replays import ReplayRequest
from edge_tdn.delivery.retained_state import LARGE_BYTES
from edge_tdn.delivery.stopwatch import Stopwatch
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics
from edge_tdn.errors import ConfigError
from edge_tdn.messages import Reply
from tests.support.delivery import BASE, action_event
from tests.support.fake_connection import FakeConnection, FakeLink

TIMING = PublisherTiming(tick_s=0.01, goodbye_s=5.0, min_retry_s=0.01, max_retry_s=0.02)


class AnsweringLink(FakeLink):
    """A link whose broker answers every message at once: `rejects` maps a topic to its reason."""

    def __init__(self, inbox: Inbox, rejects: dict[str, str], **limits: int) -> None:
        super().__init__(1, **limits)
        self._inbox, self._rejects = inbox, rejects

    def publish(self, message: Message) -> int:
        packet_id = super().publish(message)
        if message.qos:
            self._inbox.put(Acknowledged(packet_id, self._rejects.get(message.topic)))
        return packet_id


class LoopHarness:
    """A loop with an outbox in memory, and the connections that it opens."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self.outbox = Outbox(None, OutboxConfig())
        self.connections: list[FakeConnection] = []
        self.links: list[AnsweringLink] = []
        self.rejects: dict[str, str] = {}
        self.commands: list[tuple[str, bytes]] = []
        topics, stopwatch, published = Topics(BASE), Stopwatch(None), PublishedTopics()
        self.loop = PublisherLoop(
            topics, "b007", self.outbox, self.inbox, self.connect, self._commanded, stopwatch, TIMING, published
        )

    def connect(self, will: Callable[[int], Message], inbox: Inbox) -> Any:
        self.connections.append(FakeConnection(will, inbox))
        return self.connections[-1]

    def connect_and_link(self, will: Callable[[int], Message], inbox: Inbox) -> Any:
        """Open a connection that the broker accepts at once."""
        connection = self.connect(will, inbox)
        self.link()
        return connection

    def link(self, **limits: int) -> AnsweringLink:
        """Let the broker accept the newest connection."""
        inbox = self.connections[-1].inbox
        self.links.append(AnsweringLink(inbox, self.rejects, **limits))
        inbox.put(Connected(self.links[-1]))  # type: ignore[arg-type]
        return self.links[-1]

    def put(self, *items: Item) -> None:
        for item in items:
            self.inbox.put(item)

    def run(self) -> None:
        """Run until everything in the inbox is handled, then stop."""
        self.put(StopRequest())
        self.loop.run()

    def _commanded(self, topic: str, payload: bytes) -> None:
        self.commands.append((topic, payload))
        if topic == "stop":
            self.put(StopRequest())


@pytest.fixture
def harness() -> LoopHarness:
    return LoopHarness()


def retained(topic: str, payload: bytes = b"1") -> Message:
    return Message(topic, payload, retain=True)


def sent(link: FakeLink) -> list[tuple[str, bytes]]:
    return [(message.topic.removeprefix(f"{BASE}/"), message.payload) for message in link.published]


def topics(link: FakeLink) -> list[str]:
    return [topic for topic, _ in sent(link)]


def reply(id_: str) -> Reply:
    return Reply(command="replay", id=id_, ok=True, error="", result={})


def test_messages_are_sent_in_their_order(harness: LoopHarness) -> None:
    """Birth, small retained messages, events, replies, one large retained message, goodbye."""
    harness.put(
        retained("large", b"x" * (LARGE_BYTES + 1)),
        ReplayRequest("door", 1, 1, reply("a")),
        action_event(1),
        retained("small"),
    )
    link = harness.link(max_packet_bytes=10 * LARGE_BYTES)
    harness.run()
    door = "door/events"
    assert topics(link) == ["availability", "small", door, door, "reply", "large", "availability"]
    assert [payload for topic, payload in sent(link) if topic == "availability"] == [b"online", b"stopped"]
    assert harness.outbox.waiting == 0


def test_the_host_subscribes_when_it_is_connected_and_when_the_birth_topic_changes(harness: LoopHarness) -> None:
    own = [f"{BASE}/cmd/#", f"{BASE}/availability", f"{BASE}/status"]
    link = harness.link()
    harness.put(Announcement({"homeassistant/a": b"1"}, "homeassistant/status"))
    harness.run()
    assert link.subscribed == [*own, *own, "homeassistant/status"]
    assert "homeassistant/a" in topics(link)


def test_commands_are_passed_on_until_the_goodbye(harness: LoopHarness) -> None:
    harness.link()
    notes = harness.connections[0].inbox
    notes.put(Received(f"{BASE}/cmd/replay", b"{}", retained=False))
    notes.put(Received(f"{BASE}/cmd/old", b"{}", retained=True))
    harness.put(StopRequest())
    notes.put(Received(f"{BASE}/cmd/late", b"{}", retained=False))
    harness.loop.run()
    assert harness.commands == [("replay", b"{}")]


def test_online_is_sent_again_when_another_client_overwrites_it(harness: LoopHarness) -> None:
    link = harness.link()
    harness.connections[0].inbox.put(Received(f"{BASE}/availability", b"offline", retained=False))
    harness.run()
    assert sent(link)[-2:] == [("availability", b"online"), ("availability", b"stopped")]


def test_a_starting_dashboard_gets_everything_again(harness: LoopHarness) -> None:
    link = harness.link(max_packet_bytes=10 * LARGE_BYTES)
    harness.put(Announcement({"doc": b"x" * (LARGE_BYTES + 1)}, "birth"))
    harness.put(retained("a"))

    original = link.publish

    def publish(message: Message) -> int:
        packet_id = original(message)
        if message.topic == "doc" and topics(link).count("doc") == 1:
            harness.connections[0].inbox.put(Received("birth", b"online", retained=False))
            harness.connections[0].inbox.put(Received(f"{BASE}/cmd/stop", b"", retained=False))
        return packet_id

    link.publish = publish  # type: ignore[method-assign]
    harness.loop.run()
    assert topics(link).count("a") == 2
    assert topics(link).count("doc") == 2


def test_messages_that_are_too_large_for_the_broker_are_not_sent(
    harness: LoopHarness, caplog: pytest.LogCaptureFixture
) -> None:
    link = harness.link(max_packet_bytes=1000)
    harness.put(retained("a", b"x" * 1000), action_event(1, label="x" * 1000), action_event(1, "gate"))
    harness.run()
    assert topics(link) == ["availability", "gate/events", "availability"]
    assert "a was rejected: too large for this broker, which accepts packets of 1000 bytes (1000 bytes)" in caplog.text
    assert harness.outbox.waiting == 1
    assert harness.loop.status.current.state == "degraded"


def test_rejections_degrade_the_delivery(harness: LoopHarness, caplog: pytest.LogCaptureFixture) -> None:
    harness.rejects |= {f"{BASE}/door/events": "Not authorized", f"{BASE}/reply": "no", "a": "never"}
    harness.link()
    harness.connections[0].inbox.put(SubscriptionRejected("cmd/#", "Not authorized"))
    harness.put(action_event(1), retained("a"), reply("a"))
    harness.run()
    assert "subscribing to cmd/# was rejected: Not authorized; its messages are not received" in caplog.text
    assert f"{BASE}/reply was rejected: no" in caplog.text
    assert harness.loop.status.current.state == "degraded"
    assert harness.loop.status.current.reason.startswith(f"{BASE}/door/events was rejected: Not authorized; and 1 more")
    assert harness.outbox.waiting == 1


def test_a_lost_connection_is_reported_and_unanswered_events_are_sent_again(harness: LoopHarness) -> None:
    first = FakeLink(1)
    notes = harness.connections[0].inbox
    notes.put(Connected(first))  # type: ignore[arg-type]
    harness.put(action_event(1), action_event(2))

    def lose(message: Message, publish: Callable[[Message], int] = first.publish) -> int:
        if message.topic.endswith("/events") and len(first.published) == 2:
            notes.put(Lost("unreachable", "connection lost"))
            harness.link()
            notes.put(Received(f"{BASE}/cmd/stop", b"", retained=False))
        return publish(message)

    first.publish = lose  # type: ignore[method-assign]
    harness.loop.run()
    assert topics(first) == ["availability", "door/events", "door/events"]
    assert topics(harness.links[0]) == ["availability", "door/events", "door/events", "availability"]
    assert harness.outbox.waiting == 0
    assert harness.loop.uplink.connects == 2


def test_scores_are_sent_only_while_connected(harness: LoopHarness) -> None:
    scores = replace(retained("scores"), qos=0, retain=False)
    harness.put(scores)
    link = harness.link()
    harness.put(scores)
    harness.run()
    assert topics(link).count("scores") == 1


@pytest.mark.parametrize(("elsewhere", "goodbye"), [(True, b"stopped"), (False, b"offline")])
def test_a_replaced_connection_gets_a_goodbye(harness: LoopHarness, elsewhere: bool, goodbye: bytes) -> None:
    """A host that stays at its broker is `offline` in between, a host that moves has `stopped` there."""
    first = harness.link()
    late = harness.connections[0].inbox

    def connect(will: Callable[[int], Message], inbox: Inbox) -> Any:
        late.put(Lost("unreachable", "of the first connection"))
        connection = harness.connect_and_link(will, inbox)
        inbox.put(Received(f"{BASE}/cmd/stop", b"", retained=False))
        return connection

    harness.put(retained("a"), ReconnectRequest(connect, elsewhere))
    harness.loop.run()
    assert sent(first)[-1] == ("availability", goodbye)
    assert topics(harness.links[1]) == ["availability", "a", "availability"]
    assert harness.connections[0].closed
    assert harness.loop.status.current.state == "connected", "the late note is ignored"
    assert harness.loop.uplink.session == 2


def test_a_connection_that_cannot_be_opened_is_tried_again(harness: LoopHarness) -> None:
    states, failures = [], iter([True, True])

    def connect(will: Callable[[int], Message], inbox: Inbox) -> Any:
        states.append(harness.loop.status.current.state)
        if next(failures, False):
            raise ConfigError("ca.pem: not PEM")
        connection = harness.connect_and_link(will, inbox)
        inbox.put(Received(f"{BASE}/cmd/stop", b"", retained=False))
        return connection

    harness.link()
    harness.put(ReconnectRequest(connect, False))
    harness.loop.run()
    assert states == ["connected", "tls", "tls"]
    assert sent(harness.links[1])[0] == ("availability", b"online")


def test_the_newest_replacement_wins_and_a_stop_ends_everything(harness: LoopHarness) -> None:
    harness.link()
    opened = []

    def connect(name: str) -> Callable[[Any, Any], Any]:
        def opening(will: Callable[[int], Message], inbox: Inbox) -> Any:
            opened.append(name)
            connection = harness.connect_and_link(will, inbox)
            inbox.put(Received(f"{BASE}/cmd/stop", b"", retained=False))
            return connection

        return opening

    harness.put(ReconnectRequest(connect("first"), False), ReconnectRequest(connect("second"), False))
    harness.loop.run()
    assert opened == ["second"]
    stopped = LoopHarness()
    stopped.link()
    stopped.put(StopRequest(), ReconnectRequest(connect("late"), False))
    stopped.loop.run()
    assert opened == ["second"]


def test_without_an_answer_the_goodbye_is_sent_in_time(harness: LoopHarness) -> None:
    """A window full of unanswered messages does not delay the end."""
    harness.loop._timing = PublisherTiming(tick_s=0.01, goodbye_s=0.2)
    link = FakeLink(1, window=2)
    harness.connections[0].inbox.put(Connected(link))  # type: ignore[arg-type]
    harness.put(action_event(1), action_event(2))
    harness.run()
    assert sent(link)[-1] == ("availability", b"stopped")
    assert harness.outbox.waiting == 2


def test_a_query_is_answered_with_the_events_that_came_before_it(harness: LoopHarness) -> None:
    queries = [EventQuery(None, None, 2), EventQuery(2, "door", 9), EventQuery(None, "yard", 9)]
    harness.put(*(action_event(seq) for seq in (1, 2, 3)), *queries)
    harness.run()
    answers = [[entry.seq for entry in query.answer.result(0)] for query in queries]
    assert answers == [[3, 2], [1], []]


def test_a_query_that_was_given_up_is_left_out(harness: LoopHarness) -> None:
    given_up, query = EventQuery(None, None, 2), EventQuery(None, None, 2)
    assert given_up.answer.cancel()
    harness.put(action_event(1), given_up, query)
    harness.run()
    assert [entry.seq for entry in query.answer.result(0)] == [1]
