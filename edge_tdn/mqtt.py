"""One connection to an MQTT broker. The only file that imports paho.

paho calls back on its network thread; an exception or a lock there kills or blocks it. So callbacks only put a note
into `notes`, and the owner's thread reads them.
"""

import queue
import sys
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_tdn.config import BrokerConfig

RETRY_S = (1, 30)  # paho doubles the wait between connects within these
CONNECT_S = 1.5  # how long one connect may take, and so how long closing may


@dataclass(frozen=True)
class Connected:
    pass


@dataclass(frozen=True)
class Lost:
    """Not connected any more, or still not; paho tries again by itself."""

    reason: str


@dataclass(frozen=True)
class Acknowledged:
    """PUBACK; `refused` is the broker's reason where it said no (MQTT 5 only: 3.1.1 cannot say it)."""

    mid: int
    refused: str | None


@dataclass(frozen=True)
class Received:
    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


Note = Connected | Lost | Acknowledged | Received


class Connection:
    """Connects in the background and reconnects by itself, from the moment it is opened until it is closed."""

    def __init__(self, broker: BrokerConfig, client_id: str, password: str | None = None, will: Message | None = None):
        self.address = "{}:{}".format(*broker.address)
        self.notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        version = MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=version)
        self._client.connect_timeout = CONNECT_S
        self._client.reconnect_delay_set(*RETRY_S)
        if broker.username:
            self._client.username_pw_set(broker.username, password)
        if will:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._refused = False
        self._client.on_publish = self._on_publish
        self._client.on_message = lambda client, data, m: self.notes.put(Received(m.topic, bytes(m.payload), m.retain))
        self._client.connect_async(*broker.address, keepalive=broker.keepalive_s)
        self._client.loop_start()

    def publish(self, message: Message) -> int:
        """Hands a message over; never blocks. Its id, for the PUBACK; after a loss paho sends again what had none."""
        return self._client.publish(message.topic, message.payload, message.qos, message.retain).mid

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, 1)

    def close(self) -> None:
        """A clean goodbye: the last will is not sent."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refused = reason.is_failure
        self.notes.put(Lost(f"refused: {reason}") if reason.is_failure else Connected())

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self._refused:  # else the true reason has been told
            self.notes.put(Lost(str(reason)))

    def _on_connect_fail(self, client: Any, data: Any) -> None:
        self.notes.put(Lost(str(sys.exc_info()[1] or "no answer")))  # paho calls while it handles the cause

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self.notes.put(Acknowledged(mid, str(reason) if reason.is_failure else None))
