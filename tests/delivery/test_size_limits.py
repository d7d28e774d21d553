"""Brokers that end the connection over messages that are too large, without a broker: a model of one answers."""

import json
import queue
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.broker_limits import HEADER_BYTES
from edge_tdn.delivery.delivery_status import DeliveryStatus
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import PROTOCOL_MAX_PACKET_BYTES, Acknowledged, Message
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.outgoing import Outgoing
from edge_tdn.delivery.stopwatch import Stopwatch
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics
from edge_tdn.delivery.uplink import Uplink
from tests.support.fake_connection import FakeConnection, FakeLink

TOPICS = Topics("edge-tdn/here")
TIMING = PublisherTiming()
RECONNECT_S = 2.0
SETTLED_S = 25.0  # until events are known to be too large; less than `min_probe_s`
CAMERAS = ("door", "gate")


@dataclass
class ModelBroker:
    """A broker that ends the connection over a message above `limit` bytes.

    `announces`: the limit, in its CONNACK. `rejects`: such a message with a reason instead. `loses_answers`: those to
    what came before on the connection, as a reset of the connection does.
    """

    limit: int
    announces: bool = False
    rejects: bool = False
    loses_answers: bool = False
    forbidden: frozenset[str] = frozenset()  # topics over which it ends the connection, whatever the size
    held: dict[str, bytes] = field(default_factory=dict)
    events: dict[str, list[int]] = field(default_factory=lambda: {camera: [] for camera in CAMERAS})

    def fits(self, message: Message) -> bool:
        return len(message.topic) + len(message.payload) <= self.limit and message.topic not in self.forbidden

    def take(self, message: Message) -> None:
        if message.retain:
            self.held[message.topic] = message.payload
        elif message.topic.endswith("/events"):
            content = json.loads(message.payload)
            self.events[content["camera"]].append(content["seq"])


class Host:
    """A host's messages and its connections, one after the other; a broker, and a clock that the test moves."""

    def __init__(self, broker: ModelBroker, window: int = 20) -> None:
        self.broker, self.window, self.now_s = broker, window, 100.0
        self.outbox = Outbox(None, OutboxConfig())
        self.in_flight = InFlight()
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.uplink = Uplink(TOPICS, "b007", inbox, self.in_flight, Stopwatch(None), FakeConnection)  # type: ignore[arg-type]
        self.status = DeliveryStatus("broker", TIMING)
        self.outgoing = Outgoing(TOPICS, self.outbox, self.in_flight, self.uplink, self.status, TIMING, self.clock)
        self.seqs = dict.fromkeys(CAMERAS, 0)
        self.expected: dict[str, list[int]] = {camera: [] for camera in CAMERAS}  # the events that fit
        self.connections = 0
        self._link: FakeLink
        self._arriving: deque[tuple[int, Message]] = deque()

    def clock(self) -> float:
        return self.now_s

    def event(self, camera: str, size: int) -> None:
        self.seqs[camera] += 1
        payload = json.dumps({"camera": camera, "seq": self.seqs[camera], "label": "x" * size}).encode()
        self.outbox.put([(camera, self.seqs[camera], payload)])
        if self.broker.fits(Message(TOPICS.events(camera), payload)):
            self.expected[camera].append(self.seqs[camera])

    def retained(self, topic: str, size: int) -> None:
        self.outgoing.retained.set(Message(topic, b"x" * size, retain=True))

    def connect(self) -> None:
        self.connections += 1
        most = self.broker.limit + HEADER_BYTES if self.broker.announces else PROTOCOL_MAX_PACKET_BYTES
        self._link = FakeLink(self.connections, self.window, most)
        self._arriving.clear()
        self.uplink.connection_made(self._link)  # type: ignore[arg-type]
        self.outgoing.connected(self._link, self.uplink.availability(b"online"))  # type: ignore[arg-type]

    def run(self, max_connections: int, for_s: float = SETTLED_S) -> None:
        """Connect, send and answer for a while."""
        end_s = self.now_s + for_s
        while True:
            if not self.uplink.connected:
                assert self.connections < max_connections, self.status.current
                self.now_s += RECONNECT_S
                self.connect()
            sent = len(self._link.published)
            self.outgoing.send()
            self._arriving.extend(enumerate(self._link.published[sent:], sent + 1))
            if self._arriving:
                self._answer()
            elif self.now_s < end_s:
                self.now_s += max(1.0, for_s / 1000)
            else:
                return

    def _answer(self) -> None:
        """Let the broker handle everything that has arrived."""
        answers = []
        while self._arriving:
            packet_id, message = self._arriving.popleft()
            if self.broker.fits(message):
                self.broker.take(message)
                answers.append(Acknowledged(packet_id, None))
            elif self.broker.rejects:
                answers.append(Acknowledged(packet_id, "Packet too large", too_large=True))
            else:
                if not self.broker.loses_answers:
                    self._deliver(answers)
                self.lose_connection()
                return
        self._deliver(answers)

    def lose_connection(self) -> None:
        self.outgoing.disconnected()
        self.uplink.connection_lost()

    def _deliver(self, answers: Sequence[Acknowledged]) -> None:
        for answer in answers:
            if answer.packet_id in self.in_flight._sent:
                self.outgoing.answered(answer)


SIZES = st.sampled_from([0, 10, 100, 500, 900, 1500, 3000, 4500, 15_000, 20_000])
STEPS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(CAMERAS), SIZES),
    st.tuples(
        st.just("retained"), st.sampled_from(["status", "snapshot", "homeassistant/a", "homeassistant/b"]), SIZES
    ),
    st.tuples(st.just("run"), st.just(""), st.just(0)),
)


@given(
    steps=st.lists(STEPS, max_size=25),
    limit=st.integers(300, 17_000),
    announces=st.booleans(),
    rejects=st.booleans(),
    loses_answers=st.booleans(),
    window=st.sampled_from([1, 2, 20]),
)
@example(
    [("event", "door", 100), ("retained", "snapshot", 15_000), ("event", "door", 100)], 6000, *[False] * 2, True, 20
)
def test_everything_that_fits_arrives_in_order_within_few_connections(
    steps: list[tuple[str, str, int]], limit: int, announces: bool, rejects: bool, loses_answers: bool, window: int
) -> None:
    broker = ModelBroker(limit, announces, rejects, loses_answers)
    host = Host(broker, window)
    newest: dict[str, int] = {}
    too_large = 0
    for step, name, size in [*steps, ("run", "", 0)]:
        match step:
            case "event":
                before = len(host.expected[name])
                host.event(name, size)
                too_large += len(host.expected[name]) == before
            case "retained":
                host.retained(name, size)
                newest[name] = size
                too_large += len(name) + size > limit
            case _:
                host.run(max_connections=3 + 4 * too_large)
    assert {camera: list(dict.fromkeys(seqs)) for camera, seqs in broker.events.items()} == host.expected
    for topic, size in newest.items():
        if len(topic) + size <= limit:
            assert len(broker.held[topic]) == size, topic
        else:
            assert topic in host.outgoing.retained.denials
    assert host.outbox.waiting - len(list(host.outgoing.events.acknowledgements)) == sum(
        host.seqs[camera] - len(host.expected[camera]) for camera in CAMERAS
    ), "what does not fit is kept"
    host.outbox.close()


def test_a_picture_that_ends_the_connection_costs_three_connections_and_later_ones_none() -> None:
    host = Host(ModelBroker(6000))
    for camera in CAMERAS:
        host.event(camera, 500)
        host.retained(f"{camera}/status", 700)
    host.retained("door/snapshot", 15_000)
    host.run(max_connections=4, for_s=5)
    assert host.connections == 4, "three ended over it: it was suspected, and sent alone twice"
    assert host.broker.events == host.expected
    reason = host.outgoing.retained.denials["door/snapshot"]
    assert reason.startswith(
        "15000 bytes, too large for this broker or this line: the connection ended over 15013 bytes"
    )
    assert "mosquitto: max_packet_size, message_size_limit" in reason
    assert host.status.current.state == "degraded"
    host.retained("gate/snapshot", 15_100)
    host.retained("door/snapshot", 16_000)
    host.event("door", 500)
    host.run(max_connections=4, for_s=5)
    host.retained("door/snapshot", 4000)
    host.run(max_connections=4, for_s=5)
    assert len(host.broker.held["door/snapshot"]) == 4000
    assert list(host.outgoing.retained.denials) == ["gate/snapshot"]


def test_a_limit_that_was_raised_is_found_by_a_probe() -> None:
    host = Host(ModelBroker(1000))
    host.event("door", 2000)
    host.event("door", 100)
    host.retained("status", 500)
    host.retained("snapshot", 15_000)
    host.run(max_connections=8)
    assert host.broker.events["door"] == [2]
    host.run(max_connections=8 + 24 + 7, for_s=24 * 3600)  # the wait doubles from five minutes to one hour
    host.broker.limit = 50_000
    host.run(max_connections=8 + 24 + 7, for_s=3 * 3600)
    assert host.broker.events["door"] == [2, 1], "late, but not lost"
    assert len(host.broker.held["snapshot"]) == 15_000
    assert host.outgoing.retained.denials == {}


def test_a_restarted_broker_is_probed_soon() -> None:
    """A connection that ended with nothing in flight: the broker may have been restarted with another limit."""
    host = Host(ModelBroker(1000))
    host.retained("snapshot", 15_000)
    host.run(max_connections=4)
    host.run(max_connections=20, for_s=4 * 3600)
    host.broker.limit = 50_000
    host.lose_connection()
    host.run(max_connections=20, for_s=10)
    assert len(host.broker.held["snapshot"]) == 15_000


@pytest.mark.parametrize("forbidden", [TOPICS.events("door"), "snapshot", "status"])
def test_a_forbidden_topic_is_not_taken_for_a_limit_for_long(forbidden: str) -> None:
    """Its first message is larger than all that the broker has acknowledged."""
    host = Host(ModelBroker(10**6, forbidden=frozenset([forbidden])))
    sizes = {"snapshot": 16_000, "status": 12_000, "discovery": 13_000}
    for topic, size in sizes.items():
        host.retained(topic, size)
    for camera in CAMERAS:
        host.event(camera, 11_000)
        host.event(camera, 14_000)
    host.run(max_connections=50, for_s=600)
    missing = sizes.keys() - host.broker.held.keys() - {forbidden}
    assert not missing
    refused = host.outgoing.retained.denials.keys() | map(TOPICS.events, host.outgoing.events.rejections)
    assert refused == {forbidden}
    assert host.broker.events == host.expected


def test_another_limit_in_connack_is_tried_at_once() -> None:
    host = Host(ModelBroker(1000, announces=True))
    host.event("door", 2000)
    host.retained("snapshot", 15_000)
    host.run(max_connections=1)
    assert sorted(host.outgoing.retained.denials) == ["snapshot"]
    assert list(host.outgoing.events.rejections) == ["door"]
    host.broker.limit = 50_000
    host.lose_connection()
    host.run(max_connections=2)
    assert host.broker.events == host.expected | {"door": [1]}
    assert len(host.broker.held["snapshot"]) == 15_000
    assert host.outgoing.retained.denials == {}
    assert host.outgoing.events.rejections == {}
