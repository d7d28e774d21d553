"""`edge-tdn status`: how the hosts and their cameras are, as their retained messages at the broker say it."""

import json
import queue
import secrets
import time
from contextlib import ExitStack, suppress

from rich.console import Console
from rich.live import Live

from edge_tdn.cli.status_table import LOOK_THERE, Overview
from edge_tdn.config.tables import Access, BrokerConfig
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
from edge_tdn.errors import BrokerError, ConfigError

CONNECT_S = 10.0  # how long a broker may take to answer
MARKER_S = 3.0  # how long our own message may take to come back, behind all that is retained
QUIET_S = 0.5  # where it may not be sent: nothing for so long, and all has come
DRAW_EVERY_S = 0.5
TOLD = ("availability", "status", "+/status", "+/action")  # topics below <base>


def status(console: Console, broker: BrokerConfig, access: Access, base: str, as_json: bool, watched: bool) -> int:
    """Prints how all hosts under `base` are, in which `+` stands for any one level. 0: all is well, 1: not all is.

    `watched`: until Ctrl-C, the table in its place, or with `as_json` a line whenever something has changed.
    BrokerError: the broker does not answer, or does not let us read.
    """
    if watched and not as_json and not console.is_terminal:
        raise ConfigError("--watch draws on a terminal; into a pipe write `--watch --json` and `edge-tdn watch`")
    overview = Overview(base)
    connection = Connection(broker, f"edge-tdn-status-{time.time_ns()}", access)
    try:
        listener = _Listener(connection, overview)
        listener.collect()
        if watched:
            _follow(console, listener, overview, as_json)
        elif as_json:
            print(json.dumps(overview.document(), indent=1))  # noqa: T201  (plain, for pipes)
        else:
            console.print(overview)
    finally:
        connection.close()
    return 0 if overview.well else 1


class _Listener:
    """Subscribes, and hands on what comes."""

    def __init__(self, connection: Connection, overview: Overview) -> None:
        self._connection, self._overview = connection, overview
        mine = f"status-{secrets.token_hex(6)}"
        self._topics = [f"{overview.base}/{told}" for told in TOLD]
        self._marker = f"{overview.base.replace('+', mine)}/{mine}/marker"  # where nobody listens but we
        self._refused: dict[str, str] = {}  # what we may not read, and why

    def collect(self) -> None:
        """Until all that is retained has come: a message of our own comes back behind it. BrokerError: as `status`.

        Where the broker refuses that message, or keeps another order, until nothing has come for a while.
        """
        deadline, connected = time.monotonic() + CONNECT_S, False
        while note := self.next(max(0.0, deadline - time.monotonic())):
            match note:
                case Lost(reason=reason):
                    raise BrokerError(f"{self._connection.address}: {reason}; is a broker running there? {LOOK_THERE}")
                case Connected():
                    deadline, connected = time.monotonic() + MARKER_S, True
                case Received(topic=topic) if topic == self._marker and self._overview.complete:
                    break
                case Acknowledged(rejection=None):
                    pass
                case Received(topic=topic) | SubscriptionRejected(topic=topic) if topic == self._marker:
                    deadline = time.monotonic() + QUIET_S
                case Acknowledged():
                    deadline = time.monotonic() + QUIET_S
                case Received(retained=True):  # the others may be behind it
                    deadline = max(deadline, time.monotonic() + QUIET_S)
        if not connected:
            raise BrokerError(f"{self._connection.address}: no answer; is a broker running there? {LOOK_THERE}")
        if len(self._refused) == len(self._topics):
            topic, reason = next(iter(self._refused.items()))
            raise BrokerError(f"{self._connection.address}: this user may not read {topic}: {reason}")

    def next(self, timeout_s: float) -> Note | None:
        """What the connection says within this time; the overview has it already."""
        try:
            note: Note = self._connection.notes.get(timeout=timeout_s)
        except queue.Empty:
            return None
        match note:
            case Connected(link):
                self._overview.trouble = ""
                self._ask(link)
            case Lost(reason=reason):
                self._overview.trouble = reason
            case SubscriptionRejected(topic, reason) if topic in self._topics:
                self._refused[topic] = reason
            case Received(topic, payload) if topic != self._marker:
                self._overview.take(topic, payload)
        return note

    def _ask(self, link: Link) -> None:
        for topic in (*self._topics, self._marker):
            link.subscribe(topic)
        link.publish(Message(self._marker, b"edge-tdn status"))


def _follow(console: Console, listener: _Listener, overview: Overview, as_json: bool) -> None:
    """The table in its place, or a line of JSON for every change, until Ctrl-C."""
    said = ""
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        live = None if as_json else stack.enter_context(Live(overview, console=console, auto_refresh=False))
        while True:
            if live:
                live.refresh()
            elif (now := json.dumps(overview.document())) != said:
                said = now
                print(said, flush=True)  # noqa: T201  (plain, for pipes)
            draw_s = time.monotonic() + DRAW_EVERY_S
            while (left_s := draw_s - time.monotonic()) > 0:
                listener.next(left_s)
