"""The state of delivery to the broker: in the daemon's status, and in the log."""

import logging
import time
from collections.abc import Mapping

from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.messages import DeliveryState, iso
from edge_tdn.process.log import RateLimitedLog
from edge_tdn.status_messages import Delivery

log = logging.getLogger(__name__)


class DeliveryStatus:
    """The current delivery state and its log lines. Owned by the publisher's thread; `current` may be read by any.

    `address`: the broker's, for the log.
    """

    def __init__(self, address: str, timing: PublisherTiming) -> None:
        self.address = address
        self.current = Delivery(state="connecting", reason="", since=iso(time.time_ns()))
        self._rejected: dict[str, str] = {}  # topic -> reason, at the last report
        self._states = RateLimitedLog(log, timing.state_log_s)
        self._warnings = RateLimitedLog(log, timing.warning_log_s)

    def connected(self, rejections: Mapping[str, str], waiting: int) -> None:
        """Report a connection. `rejections`: topics that the broker rejects, with the reason; `waiting`: events."""
        before, self._rejected = self._rejected, {}
        for topic, reason in rejections.items():
            same = _without_size(before.get(topic, "")) == _without_size(reason)  # every picture has another one
            self._rejected[topic] = before[topic] if same else reason
        for topic in [*self._rejected][1:]:  # the first one is in the reason of the state
            if topic not in before:
                self.warn(topic, f"{topic} was rejected: {self._rejected[topic]}")
        if rejections:
            topic, reason = next(iter(self._rejected.items()))
            more = f"; and {len(rejections) - 1} more topics" if len(rejections) > 1 else ""
            self.change("degraded", f"{topic} was rejected: {reason}{more}", waiting)
        else:
            self.change("connected", "", waiting)

    def change(self, state: DeliveryState, reason: str, waiting: int) -> None:
        """Report a state; nothing happens if it is the current one. `waiting`: events in the outbox."""
        if (state, reason) == (self.current.state, self.current.reason):
            return
        if state != self.current.state:
            self.current = Delivery(state=state, reason=reason, since=iso(time.time_ns()))
        else:
            self.current = self.current.model_copy(update={"reason": reason})
        level = logging.INFO if state == "connected" else logging.WARNING
        text = f"{state}{f': {reason}' if reason else ''}{f'; {waiting} events wait' if waiting else ''}"
        self._states.log(level, "broker=%s %s", self.address, text)

    def warn(self, about: str, text: str, level: int = logging.WARNING) -> None:
        """Log a warning. `about`: repeated ones of the same subject are limited together."""
        self._warnings.log(level, "broker=%s %s", self.address, text, about=about)

    def flush(self) -> None:
        """Log the newest state if it was held back and is due."""
        self._states.flush()


def _without_size(reason: str) -> str:
    """Return a reason without the size of the message in brackets at its end."""
    return reason.rpartition(" (")[0] or reason
