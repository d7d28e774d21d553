"""`edge-tdn watch`: prints the events that hosts publish, as they come, and what is missing of them."""

import dataclasses
import json
import sys
import time
from typing import Any

from rich.console import Console

from edge_tdn.cli.terminal import event_line
from edge_tdn.config.tables import Access, BrokerConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.errors import BrokerError
from edge_tdn.messages import ActionEvent, Availability, CameraStatus
from edge_tdn.subscriber import Gap, HostMessage, Recount, Subscriber

CONNECT_S = 10.0  # how long a broker may take to answer
HEAR_S = 10.0  # nothing for so long, and the topic is doubted


def watch(console: Console, broker: BrokerConfig, access: Access, base: str, as_json: bool, replay: bool) -> None:
    """Prints until Ctrl-C, then a summary to stderr. BrokerError if the broker does not answer.

    `as_json`: a line for each message, {"topic": ..., "message": as received}, and for what was noticed {"gap": ...} or
    {"recount": ...}. `replay`: have the hosts send again what was missed.
    """
    connection = Connection(broker, f"edge-tdn-watch-{time.time_ns()}", access)
    subscriber = Subscriber(base, connection, replay=replay)
    deadline = time.monotonic() + CONNECT_S
    screen = None if as_json else Screen(console, f"broker {connection.address}", base)
    try:
        while True:
            for message in subscriber.messages(0.5):
                if screen:
                    screen.link(subscriber.connected, subscriber.connection_error)
                    screen.show(message)
                else:
                    print(json.dumps(_document(message), ensure_ascii=False), flush=True)  # noqa: T201  (plain, for pipes)
            if screen:
                screen.link(subscriber.connected, subscriber.connection_error)
            if subscriber.connected:
                deadline = float("inf")
            elif time.monotonic() > deadline:
                reason = subscriber.connection_error or "no answer"
                raise BrokerError(f"{connection.address}: {reason}; is a broker running there?")
    except KeyboardInterrupt:
        sys.stderr.write(f"{_summary(subscriber)}\n")
    finally:
        subscriber.close()


def _document(message: HostMessage) -> dict[str, Any]:
    match message.content:
        case Gap() | Recount() as noticed:
            return {type(noticed).__name__.lower(): dataclasses.asdict(noticed)}
        case Availability(state):  # plain text, no JSON
            return {"topic": message.topic, "message": state}
    return {"topic": message.topic, "message": json.loads(message.raw)}


class Screen:
    """What a person reads: the link to the broker, events, what is missing of them, hosts and cameras whose state
    changed. Of a host that is away, what its cameras said last means nothing."""

    def __init__(self, console: Console, broker: str, base: str) -> None:
        self._console, self._broker, self._base = console, broker, base
        self._link = (False, "")  # connected, trouble: as last told
        self._heard = False  # anything
        self._doubt_s = float("inf")  # monotonic: when it is worth a word that nothing was
        self._hosts: dict[str, str] = {}  # by <base>: online, stopped, offline
        self._cameras: dict[str, dict[str, str]] = {}  # by <base> and topic: their state
        self._early: dict[str, dict[str, CameraStatus]] = {}  # came before their host's availability

    def link(self, connected: bool, trouble: str) -> None:
        """How it stands now; told when it changes."""
        now = time.monotonic()
        if (connected, trouble) != self._link:
            self._doubt_s = now + HEAR_S if connected and not self._heard else float("inf")
            self._link = connected, trouble
            self._note(f"{self._broker}: {f'connected, listening to {self._base}/#' if connected else trouble}")
        if connected and now > self._doubt_s:
            self._doubt_s = float("inf")
            self._note(f"nothing heard yet; is {self._base} right? A host speaks under its base_topic (edge-tdn/HOST)")

    def show(self, message: HostMessage) -> None:
        """One message, or what was noticed."""
        self._heard, self._doubt_s = True, float("inf")
        match message.content:
            case ActionEvent() as event:
                again = "  replayed" if event.replayed else ""
                self._console.print(f"{event.host}  {event_line(event)}{again}", soft_wrap=True)
            case Gap() as gap:
                self._note(f"{gap.topic}: {_told(gap)}")
            case Recount() as recount:
                anew = f"counts anew from {recount.seq}, after {recount.highest_seq}: the host's outbox was deleted"
                self._note(f"{recount.topic}: {anew}")
            case Availability(state):
                self._host(message.topic.rpartition("/")[0], state)
            case CameraStatus() as status:
                self._camera(message.topic, status)

    def _host(self, base: str, state: str) -> None:
        if self._hosts.get(base) == state:
            return
        self._hosts[base] = state
        self._cameras.pop(base, None)
        self._note(f"{base}: {state}")
        for topic, status in self._early.pop(base, {}).items():
            self._camera(topic, status)

    def _camera(self, topic: str, status: CameraStatus) -> None:
        base = topic.rsplit("/", 2)[0]
        if base not in self._hosts:
            self._early.setdefault(base, {})[topic] = status
        elif self._hosts[base] == "online" and self._cameras.setdefault(base, {}).get(topic) != status.state:
            self._cameras[base][topic] = status.state
            self._note(f"{topic}: {status.state} {status.reason}".rstrip())

    def _note(self, text: str) -> None:
        self._console.print(text, style="dim", soft_wrap=True)


def _told(gap: Gap) -> str:
    events = f"event {gap.from_seq}" if gap.from_seq == gap.to_seq else f"events {gap.from_seq} to {gap.to_seq}"
    match gap.state:
        case "open":
            return f"missed {events}"
        case "filled":
            return f"{events}: all there now"
        case "lost":
            return f"{events}: {gap.missing} lost, {gap.reason}"


def _summary(subscriber: Subscriber) -> str:
    counts = subscriber.counts
    filled, left = counts.gaps["filled"], counts.gaps["open"] + counts.gaps["lost"]
    return f"events {counts.received}, duplicates {counts.duplicates}, gaps filled {filled}, left {left}"
