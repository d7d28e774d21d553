"""Reading the retained messages of hosts and cameras into an Overview."""

import json
import queue
import secrets
import time
from contextlib import ExitStack, suppress

from rich.console import Console
from rich.live import Live

from edge_tdn.cli.status_table import LOGS_HINT, Overview
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

SUFFIXES = ("availability", "status", "+/status", "+/action")  # topics below <base>


class StatusReader:
    """Subscribes to states and actions, and passes them to the overview."""

    def __init__(self, connection: Connection, overview: Overview, timing: StatusTiming) -> None:
        self._connection, self._overview, self._timing = connection, overview, timing
        token = f"status-{secrets.token_hex(6)}"
        self._topics = [f"{overview.base}/{suffix}" for suffix in SUFFIXES]
        self._marker = f"{overview.base.replace('+', token)}/{token}/marker"  # a topic that only this reader uses
        self._refused: dict[str, str] = {}  # topics that this user may not read, and why

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
                    raise BrokerError(f"{self._connection.address}: {reason}; is a broker running there? {LOGS_HINT}")
                case Connected():
                    deadline, connected = time.monotonic() + timing.marker_s, True
                case Received(topic=topic) if topic == self._marker and self._overview.complete:
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
            raise BrokerError(f"{self._connection.address}: no answer; is a broker running there? {LOGS_HINT}")
        if len(self._refused) == len(self._topics):
            topic, reason = next(iter(self._refused.items()))
            raise BrokerError(f"{self._connection.address}: this user may not read {topic}: {reason}")

    def next(self, timeout_s: float) -> Note | None:
        """Return the next note of the connection, after passing it to the overview; None after `timeout_s`."""
        try:
            note: Note = self._connection.notes.get(timeout=timeout_s)
        except queue.Empty:
            return None
        match note:
            case Connected(link):
                self._overview.trouble = ""
                self._subscribe(link)
            case Lost(reason=reason):
                self._overview.trouble = reason
            case SubscriptionRejected(topic, reason) if topic in self._topics:
                self._refused[topic] = reason
            case Received(topic, payload) if topic != self._marker:
                self._overview.take(topic, payload)
        return note

    def _subscribe(self, link: Link) -> None:
        for topic in (*self._topics, self._marker):
            link.subscribe(topic)
        link.publish(Message(self._marker, b"edge-tdn status"))


def follow(console: Console, reader: StatusReader, overview: Overview, as_json: bool, draw_every_s: float) -> None:
    """Redraw the table in place, or print a line of JSON for every change, until Ctrl-C."""
    printed = ""
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        live = None if as_json else stack.enter_context(Live(overview, console=console, auto_refresh=False))
        while True:
            if live:
                live.refresh()
            elif (now := json.dumps(overview.document())) != printed:
                printed = now
                print(printed, flush=True)  # noqa: T201  (for pipes)
            draw_s = time.monotonic() + draw_every_s
            while (left_s := draw_s - time.monotonic()) > 0:
                reader.next(left_s)
