"""Scores, which are sent with QoS 0: without acknowledgements, the ends of connections show what is wrong."""

import time
from collections import Counter
from collections.abc import Callable

from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.timing import PublisherTiming

MAX_ENDINGS = 3  # connections in a row that ended after scores and before an acknowledgement


class ScoreMessages:
    """Decides whether scores are sent. Owned by the publisher's thread."""

    def __init__(
        self, limits: BrokerLimits, timing: PublisherTiming, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits, self._timing, self._clock = limits, timing, clock
        self._unconfirmed: set[str] = set()  # topics of those sent since the last acknowledgement
        self._endings: Counter[str] = Counter()
        self._left_out: dict[str, float] = {}  # topic -> monotonic time at which it is tried again

    @property
    def denials(self) -> dict[str, str]:
        """Return the topics on which no scores are sent, with the reason."""
        reason = f"the connection ended over it {MAX_ENDINGS} times; do the broker's rules allow it, and its size?"
        return {topic: reason for topic, retry_at_s in self._left_out.items() if self._clock() < retry_at_s}

    def may_send(self, message: Message) -> bool:
        """Return whether to send these scores."""
        if not self._limits.fits(message) or self._clock() < self._left_out.get(message.topic, 0.0):
            return False
        self._left_out.pop(message.topic, None)
        self._unconfirmed.add(message.topic)
        return True

    def acknowledged(self) -> None:
        """Record an acknowledgement: what was sent before did not end the connection."""
        for topic in self._unconfirmed:
            self._endings.pop(topic, None)
        self._unconfirmed.clear()

    def disconnected(self, blame: bool) -> None:
        """Record the end of a connection. `blame`: it may have ended over scores."""
        for topic in self._unconfirmed if blame else ():
            self._endings[topic] += 1
            if self._endings[topic] >= MAX_ENDINGS:
                self._left_out[topic] = self._clock() + self._timing.max_probe_s
        self._unconfirmed.clear()

    def forget(self) -> None:
        """Leave nothing out any more: another broker, or the same one with other settings."""
        self._left_out.clear()
        self._endings.clear()
