"""`edge-tdn watch`: prints the events that hosts publish, as they come, and what is missing of them."""

import dataclasses
import json
import sys
import time
from typing import Any

from rich.console import Console

from edge_tdn.config import Access, BrokerConfig
from edge_tdn.errors import BrokerError, ConfigError
from edge_tdn.ledger import Gap, Recount
from edge_tdn.messages import ActionEvent, CameraStatus
from edge_tdn.mqtt import Connection
from edge_tdn.subscribe import Heard, Subscriber
from edge_tdn.terminal import event_line

CONNECT_S = 10.0  # how long a broker may take to answer


def watch(console: Console, broker: BrokerConfig, access: Access, base: str, as_json: bool, replay: bool) -> None:
    """Prints until Ctrl-C, then a summary to stderr. BrokerError if the broker does not answer.

    `as_json`: a line for each message, {"topic": ..., "message": as received}, and for what was noticed {"gap": ...} or
    {"recount": ...}. `replay`: have the hosts send again what was missed.
    """
    if "#" in base or not base:
        raise ConfigError(f"--base {base!r}: a topic, in which + stands for any one level; what is below is included")
    connection = Connection(broker, f"edge-tdn-watch-{time.time_ns()}", access)
    subscriber = Subscriber(base, connection, replay=replay)
    deadline = time.monotonic() + CONNECT_S
    states: dict[str, str] = {}  # by topic
    trouble = ""  # as last told
    try:
        while True:
            for heard in subscriber.messages(0.5):
                if as_json:
                    print(json.dumps(_document(heard), ensure_ascii=False), flush=True)  # noqa: T201  (plain, for pipes)
                else:
                    _print(console, heard, states)
            if subscriber.trouble != trouble and not as_json:
                trouble = subscriber.trouble
                console.print(
                    f"broker {connection.address}: {trouble or 'connected again'}", style="dim", soft_wrap=True
                )
            if subscriber.connected:
                deadline = float("inf")
            elif time.monotonic() > deadline:
                reason = subscriber.trouble or "no answer"
                raise BrokerError(f"{connection.address}: {reason}; is a broker running there?")
    except KeyboardInterrupt:
        sys.stderr.write(f"{_summary(subscriber)}\n")
    finally:
        subscriber.close()


def _document(heard: Heard) -> dict[str, Any]:
    match heard.said:
        case Gap() | Recount() as noticed:
            return {type(noticed).__name__.lower(): dataclasses.asdict(noticed)}
    return {"topic": heard.topic, "message": json.loads(heard.raw)}


def _print(console: Console, heard: Heard, states: dict[str, str]) -> None:
    """Events, what is missing of them, and cameras whose state changed."""
    match heard.said:
        case ActionEvent() as event:
            again = "  replayed" if event.replayed else ""
            console.print(f"{event.host}  {event_line(event)}{again}", soft_wrap=True)
        case Gap() as gap:
            console.print(f"{gap.topic}: {_told(gap)}", style="dim")
        case Recount() as recount:
            anew = f"counts anew from {recount.seq}, after {recount.highest_seq}: the host's outbox was deleted"
            console.print(f"{recount.topic}: {anew}", style="dim")
        case CameraStatus() as status if states.get(heard.topic) != status.state:
            states[heard.topic] = status.state
            console.print(f"{heard.topic}: {status.state} {status.reason}".rstrip(), style="dim")


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
    tally = subscriber.tally
    filled, left = tally.gaps["filled"], tally.gaps["open"] + tally.gaps["lost"]
    return f"events {tally.received}, duplicates {tally.duplicates}, gaps filled {filled}, left {left}"
