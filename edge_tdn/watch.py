"""`edge-tdn watch`: prints the events that hosts publish, as they come."""

import json
import time

from rich.console import Console

from edge_tdn.config import Access, BrokerConfig
from edge_tdn.errors import BrokerError, ConfigError
from edge_tdn.messages import ActionEvent, CameraStatus
from edge_tdn.mqtt import Connection
from edge_tdn.subscribe import Heard, Subscriber
from edge_tdn.terminal import event_line

CONNECT_S = 10.0  # how long a broker may take to answer


def watch(console: Console, broker: BrokerConfig, access: Access, base: str, as_json: bool) -> None:
    """Prints until Ctrl-C. BrokerError if the broker does not answer.

    `as_json`: a line for each message, {"topic": ..., "message": as received}.
    """
    if "#" in base or not base:
        raise ConfigError(f"--base {base!r}: a topic, in which + stands for any one level; what is below is included")
    connection = Connection(broker, f"edge-tdn-watch-{time.time_ns()}", access)
    subscriber = Subscriber(base, connection)
    deadline = time.monotonic() + CONNECT_S
    states: dict[str, str] = {}  # by topic
    try:
        while True:
            for heard in subscriber.messages(0.5):
                if as_json:
                    line = json.dumps({"topic": heard.topic, "message": json.loads(heard.raw)}, ensure_ascii=False)
                    print(line, flush=True)  # noqa: T201  (plain, for pipes)
                else:
                    _print(console, heard, states)
            if subscriber.connected:
                deadline = float("inf")
            elif time.monotonic() > deadline:
                reason = subscriber.trouble or "no answer"
                raise BrokerError(f"{connection.address}: {reason}; is a broker running there?")
    except KeyboardInterrupt:
        return
    finally:
        subscriber.close()


def _print(console: Console, heard: Heard, states: dict[str, str]) -> None:
    """Events, and cameras whose state changed."""
    match heard.said:
        case ActionEvent() as event:
            console.print(f"{event.host}  {event_line(event)}")
        case CameraStatus() as status if states.get(heard.topic) != status.state:
            states[heard.topic] = status.state
            console.print(f"{heard.topic}: {status.state} {status.reason}".rstrip(), style="dim")
