"""The sizes of messages that the broker accepts: as it announces them, and as its refusals show.

MQTT 5 has a limit that a broker may announce. Others end the connection over a message that is too large, without a
word. What is known is then two sizes: the largest message that was acknowledged, and the smallest that was refused.
"""

import math
import time
from collections.abc import Callable

from edge_tdn.delivery.mqtt import PROTOCOL_MAX_PACKET_BYTES, Message
from edge_tdn.delivery.timing import PublisherTiming

HEADER_BYTES = 200  # upper bound for a message's properties and lengths


class BrokerLimits:
    """The limits of the current broker. Owned by the publisher's thread.

    `generation`: grows whenever messages that did not fit may fit now.
    """

    def __init__(self, timing: PublisherTiming, clock: Callable[[], float] = time.monotonic) -> None:
        self._timing, self._clock = timing, clock
        self._announced_bytes = PROTOCOL_MAX_PACKET_BYTES
        self._accepted_bytes = 0  # the largest message that the broker acknowledged
        self._doubtful_bytes = math.inf  # the smallest larger one over which a connection ended
        self._endings = 0  # connections that ended over such a message
        self._refused_bytes = math.inf  # the smallest that the broker refuses because of its size
        self._wait_s = 0.0  # between two probes
        self._probe_at_s = math.inf  # monotonic time at which one message that does not fit is sent all the same
        self._refused_topics: set[str] = set()  # of such messages; those of other topics are sent first
        self.generation = 0

    def connected(self, max_packet_bytes: int) -> bool:
        """Take over the announced limit of a new connection. Return whether it is another one than before."""
        changed = max_packet_bytes != self._announced_bytes
        if changed:
            self.forget()
        self._announced_bytes = max_packet_bytes
        return changed

    def forget(self) -> None:
        """Forget what was learned: another broker, or the same one with other settings."""
        self._accepted_bytes = 0
        self._forget_refusals()

    def retry_soon(self) -> None:
        """Probe soon: the connection ended over nothing that was sent, perhaps because the broker was restarted."""
        self._accepted_bytes = 0
        if self._refused_bytes < math.inf:
            self._wait_s = self._timing.min_retry_s
            self._probe_at_s = self._clock() + self._wait_s

    def fits(self, message: Message) -> bool:
        """Return False if the broker would refuse the message or end the connection over it."""
        size = _bytes(message)
        return size + HEADER_BYTES <= self._announced_bytes and size < self._refused_bytes

    def is_doubtful(self, message: Message) -> bool:
        """Return whether a connection ended over a message that was not larger."""
        return _bytes(message) >= self._doubtful_bytes

    def may_probe(self, message: Message) -> bool:
        """Return whether a message that does not fit may be sent now, to see whether the limit still holds.

        Topics that were not yet refused come first: perhaps the topic was the reason, and not the size.
        """
        if _bytes(message) + HEADER_BYTES > self._announced_bytes:
            return False
        patience_s = self._wait_s if message.topic in self._refused_topics else 0.0
        return self._clock() >= self._probe_at_s + patience_s

    @property
    def probe_at_s(self) -> float:
        """Return the monotonic time of the next probe; infinity if there is none."""
        return self._probe_at_s

    def accepted(self, message: Message) -> None:
        """Record an acknowledgement."""
        size = _bytes(message)
        self._accepted_bytes = max(self._accepted_bytes, size)
        if size >= self._doubtful_bytes:
            self._doubtful_bytes, self._endings = math.inf, 0
        if size >= self._refused_bytes:
            self._forget_refusals()

    def ended_over(self, message: Message) -> int:
        """Record that a connection ended with the message alone in flight.

        Return over how many messages that are larger than all acknowledged ones connections have ended, with this one.
        """
        if _bytes(message) <= self._accepted_bytes:
            return 0
        self._doubtful_bytes = min(self._doubtful_bytes, _bytes(message))
        self._endings += 1
        return self._endings

    def refused(self, message: Message) -> bool:
        """Learn from a message that the broker refused, or that alone was in flight when it ended the connection.

        Return False if its size is not the reason: a larger one was acknowledged.
        """
        size = _bytes(message)
        if size <= self._accepted_bytes:
            return False
        known = size >= self._refused_bytes  # a probe
        if message.topic in self._refused_topics:  # all others were refused too, or there are none
            self._refused_topics.clear()
        self._refused_topics.add(message.topic)
        self._wait_s = min(2 * self._wait_s, self._timing.max_probe_s) if known else self._timing.min_probe_s
        self._refused_bytes = min(self._refused_bytes, size)
        self._doubtful_bytes, self._endings = math.inf, 0
        self._probe_at_s = self._clock() + self._wait_s
        return True

    def _forget_refusals(self) -> None:
        self._refused_bytes, self._probe_at_s = math.inf, math.inf
        self._doubtful_bytes, self._endings = math.inf, 0
        self._refused_topics.clear()
        self.generation += 1

    def explain(self, message: Message) -> str:
        """Return what is wrong with a message that does not fit, and what to change."""
        size = len(message.payload)
        if size and _bytes(message) + HEADER_BYTES > self._announced_bytes:
            return f"{size} bytes, too large for this broker, which accepts packets of {self._announced_bytes} bytes"
        return (
            f"{size} bytes, too large for this broker or this line: the connection ended over {self._refused_bytes:.0f}"
            " bytes; raise the broker's limit (mosquitto: max_packet_size, message_size_limit) or broker.keepalive_s"
        )


def _bytes(message: Message) -> int:
    return len(message.topic.encode()) + len(message.payload)
