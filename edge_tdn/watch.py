"""`edge-tdn watch`: prints the events that hosts publish, as they come."""

import sys
import time

from pydantic import ValidationError
from rich.console import Console

from edge_tdn.config import BrokerConfig
from edge_tdn.errors import BrokerError, ConfigError
from edge_tdn.messages import ActionEvent, CameraStatus
from edge_tdn.mqtt import Connection
from edge_tdn.subscribe import Subscriber
from edge_tdn.terminal import event_line

CONNECT_S = 10.0  # how long a broker may take to answer


def watch(console: Console, broker_url: str, base: str, protocol: str, as_json: bool) -> None:
    """Prints until Ctrl-C. BrokerError if the broker does not answer."""
    try:
        broker = BrokerConfig.model_validate({"url": broker_url, "protocol": protocol})
    except ValidationError as error:
        raise ConfigError(f"--broker {broker_url}: {error.errors()[0]['msg']}") from error
    connection = Connection(broker, f"edge-tdn-watch-{time.time_ns()}")
    subscriber = Subscriber(base, connection)
    deadline = time.monotonic() + CONNECT_S
    states: dict[str, str] = {}
    try:
        while True:
            for message in subscriber.messages(0.5):
                if as_json:
                    sys.stdout.buffer.write(message.json_bytes() + b"\n")
                    sys.stdout.buffer.flush()
                elif isinstance(message, ActionEvent):
                    console.print(f"{message.host}  {event_line(message)}", highlight=False)
                elif isinstance(message, CameraStatus) and states.get(message.camera) != message.state:
                    states[message.camera] = message.state
                    console.print(f"{message.camera}: {message.state} {message.reason}", style="dim")
            if subscriber.connected:
                deadline = float("inf")
            elif time.monotonic() > deadline:
                raise BrokerError(
                    f"{connection.address}: {subscriber.trouble or 'no answer'}; is a broker running there?"
                )
    finally:
        subscriber.close()
