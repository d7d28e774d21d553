"""A host and a broker without a network: what is sent on one connection after the other, and the answers."""

import json
import queue
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.broker_limits import HEADER_BYTES
from edge_tdn.delivery.delivery_status import DeliveryStatus
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import PROTOCOL_MAX_PACKET_BYTES, Acknowledged, Message
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.outgoing import Outgoing
from edge_tdn.delivery.published_topics import PublishedTopics
from edge_tdn.delivery.stopwatch import Stopwatch
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics
from edge_tdn.delivery.uplink import Uplink
from tests.support.fake_connection import FakeConnection, FakeLink

TOPICS = Topics("edge-tdn/here")
TIMING = PublisherTiming(min_probe_s=300)
RECONNECT_S = 2.0
SETTLED_S = 120.0  # until events are known to be too large; less than `min_probe_s`
CAMERAS = ("door", "gate")


@dataclass
class ModelBroker:
    """A broker that ends the connection over a message above `limit` bytes.

    `announces`: the limit, in its CONNACK. `rejects`: such a message with a reason instead. `loses_answers`: those to
    what came before on the connection, as a reset of the connection does. `silent`: topics that it never answers to.
    """

    limit: int
    announces: bool = False
    rejects: bool = False
    loses_answers: bool = False
    forbidden: frozenset[str] = frozenset()  # topics over which it ends the connection, whatever the size
    silent: frozenset[str] = frozenset()
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
        self.in_flight = InFlight(self.clock)
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.uplink = Uplink(TOPICS, "b007", inbox, self.in_flight, Stopwatch(None), FakeConnection)  # type: ignore[arg-type]
        self.status = DeliveryStatus("broker", TIMING)
        self.outgoing = Outgoing(
            TOPICS, self.outbox, self.in_flight, self.uplink, self.status, PublishedTopics(), TIMING, self.clock
        )
        self.seqs = dict.fromkeys(CAMERAS, 0)
        self.expected: dict[str, list[int]] = {camera: [] for camera in CAMERAS}  # the events that fit
        self.connections = 0
        self.link: FakeLink
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
        self.link = FakeLink(self.connections, self.window, most)
        self._arriving.clear()
        self.uplink.connection_made(self.link)  # type: ignore[arg-type]
        self.outgoing.connected(self.link, self.uplink.availability(b"online"))  # type: ignore[arg-type]

    def run(self, max_connections: int, for_s: float = SETTLED_S) -> None:
        """Connect, send and answer for a while."""
        end_s = self.now_s + for_s
        while True:
            if not self.uplink.connected:
                assert self.connections < max_connections, self.status.current
                self.now_s += RECONNECT_S
                self.connect()
            if self.step():
                continue
            if self.now_s >= end_s:
                return
            self.now_s += max(1.0, for_s / 200)

    def step(self, probes: bool = True) -> bool:
        """Send all that can be sent, and let the broker answer. Return whether anything was sent."""
        idle = 0
        while idle < 2:  # one turn may only find out what does not fit, which is a probe in the next one
            sent = len(self.link.published)
            self.outgoing.send(probes)
            self.outgoing.report()
            self.outgoing.events.acknowledgements.store(more_to_come=False)
            published = list(enumerate(self.link.published[sent:], sent + 1))
            self._arriving.extend(published)
            idle = 0 if published else idle + 1
        assert not probes or self.outgoing.due_s() > self.now_s, "the publisher's thread would not sleep"
        arrives = bool(self._arriving)
        if arrives:
            self._answer()
        return arrives

    def _answer(self) -> None:
        """Let the broker handle everything that has arrived."""
        answers = []
        while self._arriving:
            packet_id, message = self._arriving.popleft()
            if self.broker.fits(message):
                self.broker.take(message)
                if message.topic not in self.broker.silent:
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
