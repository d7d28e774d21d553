"""Retained messages: what the broker should hold, and what of it has still to be sent.

All of them are kept here and sent at every connect, so that a broker that forgot them gets them back. Large ones are
sent last and one at a time, because they hold up everything behind them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import JSON, Message
from edge_tdn.delivery.timing import PublisherTiming

LARGE_BYTES = 16_384  # of a payload: a picture, a long list of labels
MAX_LOST_CONNECTIONS = 2  # with one large message in flight, before it is given up


@dataclass(frozen=True)
class Denial:
    """A retained message that the broker rejected."""

    message: Message
    reason: str


class RetainedState:
    """The retained messages of the host. Owned by the publisher's thread."""

    def __init__(
        self, in_flight: InFlight, timing: PublisherTiming, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._in_flight, self._timing, self._clock = in_flight, timing, clock
        self._messages: dict[str, Message] = {}  # the newest, by topic
        self._unsent: dict[str, Message] = {}  # of these, the small ones that this connection has still to send
        self._large: dict[str, Message] = {}  # the same of the large ones
        self._lost_connections: Counter[str] = Counter()  # with the topic's large message in flight
        self._denials: dict[str, Denial] = {}  # by topic
        self._retry_at_s = 0.0  # monotonic time at which denied messages are sent again
        self._announced: frozenset[str] = frozenset()  # topics of the current announcement

    @property
    def denials(self) -> Mapping[str, str]:
        """Return the topics that the broker rejects, with the reason."""
        return {topic: denial.reason for topic, denial in self._denials.items()}

    @property
    def has_unsent(self) -> bool:
        """Return whether a small message has still to be sent."""
        return bool(self._unsent)

    def set(self, message: Message) -> None:
        """Replace the topic's message; an empty payload removes it from the broker."""
        self._messages[message.topic] = message
        for waiting in (self._unsent, self._large):  # the one before need not be sent any more
            waiting.pop(message.topic, None)
        self._queue_of(message)[message.topic] = message

    def announce(self, documents: Mapping[str, bytes]) -> None:
        """Replace all announced documents, JSON by topic; those of other topics are removed from the broker."""
        for topic in self._announced - documents.keys():
            self.set(Message(topic, b"", retain=True))
        for topic, document in documents.items():
            message = Message(topic, document, retain=True, content_type=JSON)
            if self._messages.get(topic) != message:
                self.set(message)
        self._announced = frozenset(documents)

    def send_once(self, message: Message) -> None:
        """Send a message soon, but not again on later connections."""
        self._unsent[message.topic] = message

    def send_all(self, large: bool) -> None:
        """Send everything again. `large`: also large messages that the broker has already."""
        for topic, message in self._messages.items():
            if large or not _is_large(message):
                self._queue_of(message)[topic] = message

    def connected(self, birth: Message) -> None:
        """Send `birth` first, then everything small; of the large messages only those that never arrived."""
        self._denials.clear()
        self._unsent.clear()
        self.send_once(birth)
        self.send_all(large=False)

    def disconnected(self) -> list[Message]:
        """Queue the large messages in flight again. Return those that are given up.

        That is after several connections which ended while the message was in flight: the line is too slow for it.
        """
        given_up = []
        for message in self._large_in_flight:
            self._lost_connections[message.topic] += 1
            if self._messages.get(message.topic) is not message:
                continue  # replaced or removed since
            if self._lost_connections[message.topic] < MAX_LOST_CONNECTIONS:
                self._large[message.topic] = message
            else:
                given_up.append(message)
        return given_up

    def reconnecting(self, elsewhere: bool) -> None:
        """Queue the large messages that the next connection must send: all to another broker, else those in flight."""
        if elsewhere:
            self.send_all(large=True)
        else:
            unsent = (message for message in self._large_in_flight if self._messages.get(message.topic) is message)
            self._large |= {message.topic: message for message in unsent if message.topic not in self._large}

    def next_small(self) -> Iterator[Message]:
        """Yield the small messages to send now, while there is room in flight."""
        self._retry_denied()
        while self._in_flight.room > 0 and self._unsent:
            yield self._unsent.pop(next(iter(self._unsent)))

    def next_large(self) -> Message | None:
        """Return the next large message, if there is room and none is in flight."""
        if self._in_flight.room > 0 and self._large and not self._large_in_flight:
            return self._large.pop(next(iter(self._large)))
        return None

    def acknowledged(self, message: Message) -> None:
        """Record that the broker has the message."""
        self._lost_connections.pop(message.topic, None)
        if not message.payload and self._messages.get(message.topic) is message:
            del self._messages[message.topic]  # removed: the next connection need not do it again
        if self._denials.pop(message.topic, None):
            self.retry_soon()

    def rejected(self, message: Message, reason: str) -> None:
        """Keep the message to send it again later."""
        self._lost_connections.pop(message.topic, None)
        if not self._denials:
            self._retry_at_s = self._clock() + self._timing.max_retry_s
        self._denials[message.topic] = Denial(message, reason)

    def retry_soon(self) -> None:
        """Send denied messages again at once: the broker's access rules have changed."""
        self._retry_at_s = 0.0

    @property
    def _large_in_flight(self) -> list[Message]:
        return [message for message in self._in_flight.messages if message.retain and _is_large(message)]

    def _queue_of(self, message: Message) -> dict[str, Message]:
        return self._large if _is_large(message) else self._unsent

    def _retry_denied(self) -> None:
        now = self._clock()
        if self._denials and now >= self._retry_at_s:
            self._retry_at_s = now + self._timing.max_retry_s
            for topic, denial in self._denials.items():
                message = self._messages.get(topic, denial.message)
                self._queue_of(message).setdefault(topic, message)


def _is_large(message: Message) -> bool:
    return len(message.payload) > LARGE_BYTES
