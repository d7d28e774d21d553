"""Reading everything that a broker retains on some topics, and following it."""

import queue
import secrets
import time
from collections.abc import Callable, Sequence

from edge_tdn.cli.terminal import BROKER_HINT, LOGS_HINT
from edge_tdn.cli.timing import StatusTiming
from edge_tdn.delivery.mqtt import (
    Acknowledged,
    Connected,
    Connection,
    Link,
    Lost,
    Message,
    Note,
    Received,
    SubscriptionRejected,
)
from edge_tdn.errors import BrokerError


class RetainedReader:
    """Subscribes to topics, and passes every message on.

    `base`: a topic prefix below which a message of our own is published. `complete`: returns True if nothing more is
    expected to be retained.
    """

    def __init__(
        self,
        connection: Connection,
        topics: Sequence[str],
        base: str,
        take: Callable[[Received], None],
        complete: Callable[[], bool],
        timing: StatusTiming,
    ) -> None:
        self._connection, self._topics, self._timing = connection, topics, timing
        self._take, self._complete = take, complete
        token = f"status-{secrets.token_hex(6)}"
        self._marker = f"{base.replace('+', token)}/{token}/marker"  # a topic that only this reader uses
        self.link: Link | None = None  # the open connection
        self.trouble = ""  # why there is none
        self.refused: dict[str, str] = {}  # topics that this user may not read, and why

    def collect(self) -> None:
        """Wait for everything that is retained: a message of our own (the marker) returns behind it.

        If the broker rejects the marker, or delivers in another order, wait until nothing has arrived for a while.
        Raises BrokerError if the broker does not answer, or does not let this user read any of the topics.
        """
        timing = self._timing
        deadline, connected = time.monotonic() + timing.connect_s, False
        while note := self.next(max(0.0, deadline - time.monotonic())):
            match note:
                case Lost(reason=reason):
                    hint = "" if "; " in reason else f"; {BROKER_HINT} {LOGS_HINT}"
                    raise BrokerError(f"{self._connection.address}: {reason}{hint}")
                case Connected():
                    deadline, connected = time.monotonic() + timing.marker_s, True
                case Received(topic=topic) if topic == self._marker and self._complete():
                    break
                case Acknowledged(rejection=None):
                    pass
                case Received(topic=topic) | SubscriptionRejected(topic=topic) if topic == self._marker:
                    deadline = time.monotonic() + timing.quiet_s
                case Acknowledged():
                    deadline = time.monotonic() + timing.quiet_s
                case Received(retained=True):  # more may follow
                    deadline = max(deadline, time.monotonic() + timing.quiet_s)
        if not connected:
            raise BrokerError(f"{self._connection.address}: no answer; {BROKER_HINT} {LOGS_HINT}")
        if len(self.refused) == len(self._topics):
            topic, reason = next(iter(self.refused.items()))
            raise BrokerError(f"{self._connection.address}: this user may not read {topic}: {reason}")

    def next(self, timeout_s: float) -> Note | None:
        """Return the next note of the connection, after passing on what it received; None after `timeout_s`."""
        try:
            note: Note = self._connection.notes.get(timeout=timeout_s)
        except queue.Empty:
            return None
        match note:
            case Connected(link):
                self.link, self.trouble = link, ""
                self._subscribe(link)
            case Lost(reason=reason):
                self.link, self.trouble = None, reason
            case SubscriptionRejected(topic, reason) if topic in self._topics:
                self.refused[topic] = reason
            case Received(topic=topic) if topic != self._marker:
                self._take(note)
        return note

    def _subscribe(self, link: Link) -> None:
        for topic in (*self._topics, self._marker):
            link.subscribe(topic)
        link.publish(Message(self._marker, b"edge-tdn status"))
