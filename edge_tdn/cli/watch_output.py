"""The output of `edge-tdn watch`: lines for people, JSON documents for programs, and the summary at the end."""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console

from edge_tdn.cli.terminal import event_line
from edge_tdn.messages import ActionEvent
from edge_tdn.status_messages import Availability, CameraStatus
from edge_tdn.subscriber import EventCounts, Gap, HostMessage, Recount, Snapshot


class Screen:
    """Lines for people: the connection, events, gaps, and the changing states of hosts and cameras.

    The last statuses of the cameras of a host that is offline are retained too, but outdated: they are not printed.
    """

    def __init__(
        self, console: Console, broker: str, base: str, silence_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`silence_s`: time without any message after which the topic prefix `base` is called into question."""
        self._console, self._broker, self._base = console, broker, base
        self._silence_s, self._clock = silence_s, clock
        self._link = (False, "")  # connected, error; as last printed
        self._received = False  # any message
        self._hint_at_s = float("inf")  # by the clock: when to print that nothing was received
        self._hosts: dict[str, str] = {}  # by <base>: online, stopped, offline
        self._cameras: dict[str, dict[str, str]] = {}  # by <base> and topic: their state
        self._early: dict[str, dict[str, CameraStatus]] = {}  # received before the availability of their host

    def show_link(self, connected: bool, error: str) -> None:
        """Print the state of the connection if it has changed."""
        now = self._clock()
        if (connected, error) != self._link:
            self._hint_at_s = now + self._silence_s if connected and not self._received else float("inf")
            self._link = connected, error
            self._note(f"{self._broker}: {f'connected, listening to {self._base}/#' if connected else error}")
        if connected and now > self._hint_at_s:
            self._hint_at_s = float("inf")
            self._note(
                f"nothing received yet; is {self._base} right? A host publishes below its topic prefix (edge-tdn/HOST)"
            )

    def show(self, message: HostMessage) -> None:
        """Print one message, or one gap."""
        self._received, self._hint_at_s = True, float("inf")
        match message.content:
            case ActionEvent() as event:
                replayed = "  replayed" if event.replayed else ""
                self._console.print(f"{event.host}  {event_line(event)}{replayed}", soft_wrap=True)
            case Gap() as gap:
                self._note(f"{gap.topic}: {_gap_text(gap)}")
            case Recount() as recount:
                restarted = f"numbering restarted at {recount.seq}, after {recount.highest_seq}"
                self._note(f"{recount.topic}: {restarted}: the host's outbox was deleted")
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


def document(message: HostMessage) -> dict[str, Any]:
    """Return the JSON document of one message or gap."""
    match message.content:
        case Gap() | Recount() as noticed:
            return {type(noticed).__name__.lower(): dataclasses.asdict(noticed)}
        case Snapshot(jpeg, id_):
            return {"topic": message.topic, "snapshot": {"id": id_, "bytes": len(jpeg)}}
        case Availability(state):  # plain text, not JSON
            return {"topic": message.topic, "message": state}
    return {"topic": message.topic, "message": json.loads(message.raw)}


def summary(counts: EventCounts) -> str:
    filled, left = counts.gaps["filled"], counts.gaps["open"] + counts.gaps["lost"]
    return f"events {counts.received}, duplicates {counts.duplicates}, gaps filled {filled}, left {left}"


def _gap_text(gap: Gap) -> str:
    events = f"event {gap.from_seq}" if gap.from_seq == gap.to_seq else f"events {gap.from_seq} to {gap.to_seq}"
    match gap.state:
        case "open":
            return f"missed {events}"
        case "filled":
            return f"{events}: all there now"
        case "lost":
            return f"{events}: {gap.missing} lost, {gap.reason}"
