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
        self._unconfirmed: dict[str, Message] = {}  # by topic, sent since the last acknowledgement
        self._endings: Counter[str] = Counter()
        self._left_out: dict[str, float] = {}  # topic -> monotonic time at which it is tried again

    @property
    def denials(self) -> dict[str, str]:
        """Return the topics on which no scores are sent, with the reason."""
        reason = f"the connection ended over it {MAX_ENDINGS} times; do the broker's rules allow it, and its size?"
        return dict.fromkeys(self._left_out, reason)

    def may_send(self, message: Message) -> bool:
        """Return whether to send these scores."""
        if not self._limits.fits(message):
            return False
        if self._clock() < self._left_out.get(message.topic, 0.0):
            return False
        self._left_out.pop(message.topic, None)
        self._unconfirmed[message.topic] = message
        return True

    def acknowledged(self) -> None:
        """Record an acknowledgement: what was sent before did not end the connection."""
        for topic in self._unconfirmed:
            self._endings.pop(topic, None)
        self._unconfirmed.clear()

    def disconnected(self) -> None:
        """Count the end of a connection."""
        for topic, message in self._unconfirmed.items():
            self._endings[topic] += 1
            if self._endings[topic] >= MAX_ENDINGS and not self._limits.refused(message):
                self._left_out[topic] = self._clock() + self._timing.max_probe_s
        self._unconfirmed.clear()
