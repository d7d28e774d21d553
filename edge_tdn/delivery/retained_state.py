"""Retained messages: what the broker should hold, and what of it has still to be sent.

All of them are kept here and sent at every connect, so that a broker that forgot them gets them back. Large ones are
sent last and one at a time, because they hold up everything behind them.

A message that was in flight when the connection ended is a suspect: the broker may have ended the connection over it.
Suspects are sent alone, the smallest first. One over which connections keep ending is left out. The reason is its size,
unless the broker has acknowledged a larger one, or no topic with the same first part. Now and then, one of what is left
out is sent as a probe.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import JSON, Message
from edge_tdn.delivery.timing import PublisherTiming

LARGE_BYTES = 16_384  # of a payload: a picture, a long list of labels
RULES = "connections ended over it, or over all that is like it; do the broker's rules allow it?"
MAX_ENDINGS = 2  # connections that ended with a message alone in flight, before it is left out


@dataclass(frozen=True)
class Denial:
    """A retained message that the broker rejected."""

    message: Message
    reason: str


@dataclass
class Suspect:
    """A topic whose message may be what the broker ends the connection over."""

    endings: int = 0  # connections that ended with the message alone in flight

    @property
    def left_out(self) -> bool:
        return self.endings >= MAX_ENDINGS


class RetainedState:
    """The retained messages of the host. Owned by the publisher's thread."""

    def __init__(
        self,
        in_flight: InFlight,
        limits: BrokerLimits,
        timing: PublisherTiming,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._in_flight, self._limits, self._timing, self._clock = in_flight, limits, timing, clock
        self._messages: dict[str, Message] = {}  # the newest, by topic
        self._unsent: dict[str, Message] = {}  # of these, the small ones that this connection has still to send
        self._large: dict[str, Message] = {}  # the same of the large ones
        self._alone: dict[str, Message] = {}  # the same of the suspects
        self._too_large: dict[str, Message] = {}  # those that do not fit
        self._generation = limits.generation  # at that time
        self._dropped: set[str] = set()  # topics: an answer that is still to come says nothing
        self._suspects: dict[str, Suspect] = {}  # by topic
        self._denials: dict[str, Denial] = {}  # by topic
        self._retry_at_s = 0.0  # monotonic time at which denied messages are sent again

    @property
    def denials(self) -> Mapping[str, str]:
        """Return the topics that the broker refuses, with the reason."""
        denied = {topic: denial.reason for topic, denial in self._denials.items()}
        too_large = {topic: self._limits.explain(message) for topic, message in self._too_large.items()}
        left_out = {topic: RULES for topic, suspect in self._suspects.items() if suspect.left_out}
        return denied | too_large | left_out

    @property
    def has_unsent(self) -> bool:
        """Return whether a small message has still to be sent."""
        return bool(self._unsent)

    def has_suspects(self, probes: bool) -> bool:
        """Return whether `next_alone` has a message to send now; with `probes`, or `next_probe`."""
        return self._next_suspect() is not None or (probes and self._next_probe() is not None)

    def set(self, message: Message) -> None:
        """Replace the topic's message; an empty payload removes it from the broker."""
        self._dropped.discard(message.topic)
        self._messages[message.topic] = message
        self._queue(message)

    def drop(self, topics: Collection[str]) -> None:
        """Forget the messages of topics that the configuration no longer has."""
        self._dropped.update(topics)
        for topic in topics:
            self._messages.pop(topic, None)
            self._unqueue(topic)
            self._suspects.pop(topic, None)
            self._denials.pop(topic, None)

    def announce(self, documents: Mapping[str, bytes]) -> None:
        """Set the documents, JSON by topic, that have changed."""
        for topic, document in documents.items():
            message = Message(topic, document, retain=True, content_type=JSON)
            if self._messages.get(topic) != message:
                self.set(message)

    def send_once(self, message: Message) -> None:
        """Send a message soon, but not again on later connections."""
        self._unsent[message.topic] = message

    def send_all(self, large: bool) -> None:
        """Send everything again. `large`: also large messages that the broker has already."""
        for message in self._messages.values():
            if large or not _is_large(message):
                self._queue(message)

    def connected(self, birth: Message) -> None:
        """Send `birth` first, then everything small; of the large messages only those that never arrived."""
        for topic, denial in self._denials.items():
            if topic in self._messages and _is_large(denial.message):
                self._queue(self._messages[topic])
        self._denials.clear()
        self._unsent.clear()
        self.send_once(birth)
        self.send_all(large=False)

    def disconnected(self, blame: bool) -> bool:
        """Queue what was in flight again. Return False if nothing was.

        `blame`: the connection may have ended over it, so it is suspected. The message of `send_once` never is.
        """
        lost = [one for one in self._in_flight.messages if one.retain and one.topic in self._messages]
        for message in lost:
            if blame:
                self._limits.lost(message)
                suspect = self._suspects.setdefault(message.topic, Suspect())
                if message is self._in_flight.alone:
                    self._ended_over(message, suspect)
            self._queue(self._messages[message.topic])
        return bool(lost)

    def retry_soon(self) -> None:
        """Send soon what was denied: the broker's rules have changed."""
        self._retry_at_s = 0.0

    def forget(self) -> None:
        """Suspect nothing any more: another broker, or the same one with other settings."""
        self._suspects.clear()
        for message in list(self._alone.values()):
            self._queue(message)

    def reconnecting(self, elsewhere: bool) -> None:
        """Queue the large messages that the next connection must send: all to another broker, else those in flight."""
        if elsewhere:
            self.forget()
            self.send_all(large=True)
        else:
            for message in self._in_flight.messages:
                if _is_large(message) and self._messages.get(message.topic) is message:
                    self._queue(message)

    def next_small(self) -> Iterator[Message]:
        """Yield the small messages to send now, while there is room in flight."""
        self._retry_denied()
        self._retry_too_large()
        while self._in_flight.room > 0 and self._unsent:
            message = self._unsent.pop(next(iter(self._unsent)))
            if self._fits(message) and not self._is_doubtful(message):
                yield message

    def next_large(self) -> Message | None:
        """Return the next large message, if there is room and none is in flight."""
        while self._in_flight.room > 0 and self._large and not any(map(_is_large, self._in_flight.messages)):
            message = self._large.pop(next(iter(self._large)))
            if self._fits(message) and not self._is_doubtful(message):
                return message
        return None

    def next_alone(self) -> Message | None:
        """Return a message over which the broker may end the connection; None if there is none.

        The caller adds it to `in_flight` as the only message.
        """
        while message := self._next_suspect():
            del self._alone[message.topic]
            if self._fits(message):
                return message
        return None

    def next_probe(self) -> Message | None:
        """Return a message that was left out, if it is time to see what happens. The caller sends it alone."""
        probe = self._next_probe()
        if probe:
            self._unqueue(probe.topic)
        return probe

    def acknowledged(self, message: Message) -> None:
        """Record that the broker has the message."""
        suspect = self._suspects.get(message.topic)
        if suspect and suspect.left_out:  # the others may be accepted too
            for other in self._suspects.values():
                other.endings = 0
        self._clear(message.topic)
        if not message.payload and self._messages.get(message.topic) is message:
            del self._messages[message.topic]  # removed: the next connection need not do it again
        if self._denials.pop(message.topic, None):
            self.retry_soon()

    def rejected(self, message: Message, reason: str) -> None:
        """Keep the message to send it again later."""
        self._clear(message.topic)
        if message.topic in self._dropped:
            return
        if not self._denials:
            self._retry_at_s = self._clock() + self._timing.max_retry_s
        self._denials[message.topic] = Denial(message, reason)

    def too_large(self, message: Message) -> None:
        """Leave the message out until the limits change; a newer one of its topic may fit."""
        self._clear(message.topic)
        if message.topic not in self._dropped:
            self._queue(self._messages.get(message.topic, message))

    def _clear(self, topic: str) -> None:
        """Suspect the topic no longer."""
        self._suspects.pop(topic, None)
        if topic in self._alone:  # a newer message
            self._queue(self._alone[topic])

    def _ended_over(self, message: Message, suspect: Suspect) -> None:
        was_left_out = suspect.left_out
        suspect.endings += 1
        is_size_probe = not self._limits.fits(message)
        endings = max(suspect.endings, self._limits.ended_over(message))
        if not (is_size_probe or endings >= MAX_ENDINGS):
            return
        if (is_size_probe or self._limits.is_known(message)) and self._limits.refused(message):
            del self._suspects[message.topic]
        else:
            suspect.endings = endings
            self._limits.refuse_topic(message, probe=was_left_out)

    def _next_suspect(self) -> Message | None:
        """Return a suspect that is not left out: one over which a connection ended, else the smallest."""
        suspects = [message for topic, message in self._alone.items() if not self._suspects[topic].left_out]
        return min(suspects, key=lambda one: (-self._suspects[one.topic].endings, len(one.payload)), default=None)

    def _next_probe(self) -> Message | None:
        """Return the smallest message of those that were left out and may be sent now."""
        left_out = [message for topic, message in self._alone.items() if self._suspects[topic].left_out]
        due = [message for message in [*left_out, *self._too_large.values()] if self._limits.may_probe(message)]
        return min(due, key=lambda message: len(message.payload), default=None)

    def _fits(self, message: Message) -> bool:
        """Return whether the broker accepts a message of this size; if not, leave it out."""
        fits = self._limits.fits(message)
        if not fits:
            self._suspects.pop(message.topic, None)
            if message.topic in self._messages:
                self._too_large[message.topic] = message
        return fits

    def _is_doubtful(self, message: Message) -> bool:
        """Return whether connections ended over such a message: as large, or on such a topic. It is a suspect then."""
        refused = self._limits.is_refused_topic(message)
        doubtful = (refused or self._limits.is_doubtful(message)) and message.topic in self._messages
        if doubtful:
            self._suspects[message.topic] = Suspect(MAX_ENDINGS if refused else 0)
            self._alone[message.topic] = message
        return doubtful

    def _queue(self, message: Message) -> None:
        """Put a message where it waits to be sent, in place of an earlier one of its topic."""
        self._unqueue(message.topic)
        if self._limits.is_refused_topic(message):
            self._suspects[message.topic] = Suspect(MAX_ENDINGS)
        if message.topic in self._suspects:
            self._alone[message.topic] = message
        elif _is_large(message):
            self._large[message.topic] = message
        else:
            self._unsent[message.topic] = message

    def _unqueue(self, topic: str) -> None:
        for waiting in (self._unsent, self._large, self._alone, self._too_large):
            waiting.pop(topic, None)

    def _retry_denied(self) -> None:
        now = self._clock()
        if self._denials and now >= self._retry_at_s:
            self._retry_at_s = now + self._timing.max_retry_s
            for topic, denial in self._denials.items():
                message = self._messages.get(topic, denial.message)
                if topic not in self._unsent and topic not in self._large and topic not in self._alone:
                    self._queue(message)

    def _retry_too_large(self) -> None:
        if self._generation != self._limits.generation:
            self._generation = self._limits.generation
            for message in list(self._too_large.values()):
                self._queue(message)


def _is_large(message: Message) -> bool:
    return len(message.payload) > LARGE_BYTES
