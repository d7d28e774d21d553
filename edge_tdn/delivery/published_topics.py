"""The retained topics of this host at each broker, and the removal of those that the configuration no longer has.

Before anything is published at a broker, all topics of the configuration are recorded for it. Recorded topics that the
configuration no longer has are removed with empty retained messages, one at a time, pictures first, and stay recorded
until the broker has acknowledged that. Topics at other brokers are kept for the day when one of them is used again.
"""

from collections import deque
from collections.abc import Collection, Iterable

from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.recorded_topics import RecordedTopics

MAX_LOST_CONNECTIONS = 2  # perhaps over a removal, and none accepted in between, before removals are given up


class PublishedTopics:
    """Owned by the publisher's thread."""

    def __init__(self, recorded: RecordedTopics | None = None) -> None:
        self._recorded = recorded or RecordedTopics()
        self._configured: frozenset[str] = frozenset()
        self._broker = ""  # address of the connected broker, or of the last one
        self._connected = False
        self._leaving = False  # it for another
        self._queue: deque[str] = deque()  # topics to remove from it
        self._in_flight: Message | None = None  # the removal that the broker has not answered yet
        self._lost_connections = 0  # to this broker with a removal in flight, since it accepted one
        self._rejected: set[str] = set()  # topics whose removal this connection has rejected

    def configure(self, topics: Collection[str]) -> frozenset[str]:
        """Set the topics of the configuration. Return those that it no longer has; they are removed from here."""
        dropped = self._configured - set(topics)
        self._configured = frozenset(topics)
        if self._connected:
            self._expect()
        return dropped

    def connected(self, broker: str) -> None:
        """Record the topics that are going to be published, and queue the removal of all others."""
        if broker != self._broker:
            self._lost_connections = 0
        self._broker, self._connected, self._leaving, self._in_flight = broker, True, False, None
        self._rejected.clear()
        self._expect()

    def disconnected(self, blame: bool) -> bool:
        """Forget what is in flight. Return True if removals at this broker are given up until the next start.

        `blame`: the broker may have ended the connection over what was in flight. It is given up after several that
        ended with a removal in flight.
        """
        given_up = False
        if self._in_flight and blame:
            self._lost_connections += 1
            given_up = self._lost_connections == MAX_LOST_CONNECTIONS
        self._connected, self._in_flight = False, None
        self._queue.clear()
        return given_up

    @property
    def has_removals(self) -> bool:
        """Return whether `next_removal` may have one."""
        return bool(self._queue) and not self._in_flight

    def next_removal(self) -> Message | None:
        """Return the next removal to send; None if there is none, or if the last one is not answered yet."""
        while self._queue and not self._in_flight:
            topic = self._queue.popleft()
            if topic not in self._configured:  # it may have returned since
                self._in_flight = Message(topic, b"", retain=True)
                return self._in_flight
        return None

    def leave(self, keep: str) -> list[Message]:
        """Return the removals of everything that the connected broker holds, except the topic `keep`."""
        self._leaving, self._connected = True, False
        self._queue.clear()
        topics = removal_order(self._recorded.at(self._broker) - {keep})
        return [Message(topic, b"", retain=True) for topic in topics]

    def answered(self, message: Message, rejection: str | None) -> bool:
        """Record the broker's answer to a retained message. Return True if it rejected one of the removals above."""
        ours = message is self._in_flight
        if ours:
            self._in_flight = None
            if rejection:
                self._rejected.add(message.topic)
            else:
                self._lost_connections = 0
        if not message.payload and not rejection and (self._leaving or message.topic not in self._configured):
            self._recorded.remove(self._broker, message.topic)
        return ours and rejection is not None

    def tick(self) -> None:
        """Write what has changed, and try again what the disk has refused. Call it about once a second."""
        if self._recorded.is_read:
            self._recorded.synchronise(self._broker)
        elif self._connected:
            self._expect()

    def _expect(self) -> None:
        """Record the configured topics for the connected broker, and queue the removal of its others."""
        self._recorded.add(self._broker, self._configured)
        self._recorded.synchronise(self._broker)
        if self._lost_connections < MAX_LOST_CONNECTIONS:
            done = {self._in_flight.topic, *self._rejected} if self._in_flight else self._rejected
            self._queue = deque(removal_order(self._recorded.at(self._broker) - self._configured - done))


def removal_order(topics: Iterable[str]) -> list[str]:
    """Return topics in the order of their removal: pictures first, and last what shows that a host is there.

    A daemon that publishes below the same prefix restores all its topics when its status is removed.
    """
    topics = set(topics)

    def rank(topic: str) -> int:
        prefix, _, name = topic.rpartition("/")
        if name == "snapshot":
            return 0
        if name == "availability":
            return 3
        return 2 if name == "status" and f"{prefix}/availability" in topics else 1

    return sorted(topics, key=lambda topic: (rank(topic), topic))
