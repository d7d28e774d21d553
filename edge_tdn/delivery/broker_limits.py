"""The sizes of messages that the broker accepts: as it announces them, and as its refusals show.

MQTT 5 has a limit that a broker may announce. Others end the connection over a message that is too large, without a
word. What is known is then two sizes: the largest message that was acknowledged on this connection, and the smallest
that was refused.
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
        self._accepted_bytes = 0  # the largest message that the broker acknowledged on this connection
        self._doubtful_bytes = math.inf  # the smallest larger one over which a connection ended
        self._endings = 0  # connections that ended over such a message
        self._refused_bytes = math.inf  # the smallest that the broker refuses because of its size
        self._refused_topics: set[str] = set()  # of such messages; those of other topics are probed first
        self._accepted_roots: set[str] = set()  # first parts of topics of which a message was acknowledged
        self._doubtful_roots: set[str] = set()  # of those of which none was, and one was in flight at the end
        self._refused_roots: set[str] = set()  # of those over which connections ended
        self._wait_s = 0.0  # between two probes
        self._probe_at_s = 0.0  # monotonic time from which something that was left out is sent, to see what happens
        self.generation = 0

    def connected(self, max_packet_bytes: int) -> bool:
        """Take over the announced limit of a new connection. Return whether it is another one than before."""
        changed = max_packet_bytes != self._announced_bytes
        self._announced_bytes, self._accepted_bytes = max_packet_bytes, 0
        return changed

    def forget(self) -> None:
        """Forget what was learned: another broker, or the same one with other settings."""
        self._accepted_roots.clear()
        self._doubtful_roots.clear()
        self._refused_roots.clear()
        self._forget_sizes()

    def fits(self, message: Message) -> bool:
        """Return False if the broker would refuse the message or end the connection over it."""
        return self._is_below_announced(message) and _bytes(message) < self._refused_bytes

    def is_doubtful(self, message: Message) -> bool:
        """Return whether a connection ended over one like it: not larger, or with the same first part of its topic."""
        return _bytes(message) >= self._doubtful_bytes or _root(message) in self._doubtful_roots

    def accepted(self, message: Message) -> None:
        """Record an acknowledgement."""
        size, root = _bytes(message), _root(message)
        self._accepted_roots.add(root)
        self._doubtful_roots.discard(root)
        self._refused_roots.discard(root)
        self._accepted_bytes = max(self._accepted_bytes, size)
        if size >= self._doubtful_bytes:
            self._doubtful_bytes, self._endings = math.inf, 0
        if size >= self._refused_bytes:
            self._forget_sizes()

    def lost(self, message: Message) -> None:
        """Record that the message was in flight when the connection ended."""
        if not self.is_known(message):
            self._doubtful_roots.add(_root(message))

    def ended_over(self, message: Message) -> int:
        """Record that a connection ended with the message alone in flight.

        Return how many connections, with this one, ended over a message larger than all that were acknowledged.
        """
        if _bytes(message) <= self._accepted_bytes:
            return 0
        self._doubtful_bytes = min(self._doubtful_bytes, _bytes(message))
        self._endings += 1
        return self._endings

    def refused(self, message: Message, certain: bool = False) -> bool:
        """Learn from a message that the broker refused. `certain`: because of its size, as its answer states.

        Return False if its size is not the reason: a larger one was acknowledged on the same connection.
        """
        size = _bytes(message)
        if certain:
            self._accepted_bytes = min(self._accepted_bytes, size - 1)
        elif size <= self._accepted_bytes:
            return False
        self.left_out(message, probe=size >= self._refused_bytes)
        self._refused_bytes = min(self._refused_bytes, size)
        self._doubtful_bytes, self._endings = math.inf, 0
        return True

    def is_known(self, message: Message) -> bool:
        """Return whether a message was acknowledged whose topic begins with the same part."""
        return _root(message) in self._accepted_roots

    def refuse_topic(self, message: Message, probe: bool) -> None:
        """Learn that connections end over a message because of its topic. `probe`: it was known before.

        If no topic with the same first part was ever accepted, all of them are refused.
        """
        self.left_out(message, probe)
        if not self.is_known(message):
            self._refused_roots.add(_root(message))

    def is_refused_topic(self, message: Message) -> bool:
        """Return whether a message is refused because of the first part of its topic."""
        return _root(message) in self._refused_roots

    # ------------------------------------------------------------------------------------------------------- probes

    def probe_due_s(self, message: Message) -> float:
        """Return the monotonic time at which a message that was left out is sent as a probe; infinity: never.

        Topics that were not yet refused come first: perhaps the topic was the reason, and not the size.
        """
        if not self._is_below_announced(message):
            return math.inf
        refused = message.topic in self._refused_topics or self.is_refused_topic(message)
        return self._probe_at_s + (self._wait_s if refused else 0.0)

    def may_probe(self, message: Message) -> bool:
        """Return whether a message that was left out may be sent now, alone."""
        return self._clock() >= self.probe_due_s(message)

    def left_out(self, message: Message, probe: bool) -> None:
        """Wait for the next probe: one at a time, of all that is left out. `probe`: this was one, so wait longer."""
        if message.topic in self._refused_topics:  # all others were refused too, or there are none
            self._refused_topics.clear()
        self._refused_topics.add(message.topic)
        wait_s = 2 * self._wait_s if probe else self._wait_s
        self._wait_s = min(max(wait_s, self._timing.min_probe_s), self._timing.max_probe_s)
        self._probe_at_s = self._clock() + self._wait_s

    def probe_soon(self) -> None:
        """Probe soon: the broker's rules have changed, or it may have been restarted."""
        self._wait_s, self._probe_at_s = 0.0, self._clock() + self._timing.min_retry_s

    def explain(self, message: Message) -> str:
        """Return what is wrong with a message that does not fit, and what to change; its own size at the end."""
        if self._is_below_announced(message):
            what = (
                f"too large for this broker or this line, which failed at {self._refused_bytes:.0f} bytes; raise the"
                " broker's limit (mosquitto: max_packet_size, message_size_limit) or broker.keepalive_s"
            )
        else:
            what = f"too large for this broker, which accepts packets of {self._announced_bytes} bytes"
        return f"{what} ({len(message.payload)} bytes)"

    def _forget_sizes(self) -> None:
        self._refused_bytes, self._doubtful_bytes, self._endings = math.inf, math.inf, 0
        self._refused_topics.clear()
        self._wait_s = self._probe_at_s = 0.0
        self.generation += 1

    def _is_below_announced(self, message: Message) -> bool:
        return _bytes(message) + HEADER_BYTES <= self._announced_bytes


def _bytes(message: Message) -> int:
    return len(message.topic.encode()) + len(message.payload)


def _root(message: Message) -> str:
    return message.topic.partition("/")[0]
