"""One connection to an MQTT broker. The only file that imports paho.

paho calls back on its network thread; an exception or a lock there kills or blocks it. So callbacks only put a note
into `notes`, and the owner's thread reads them.
"""

import queue
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edge_tdn.config import BrokerConfig

RETRY_S = (1, 30)  # paho doubles the wait between connects within these
UNSENT_MOST = 10_000  # messages that wait in memory for a broker that is away


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
        self._client.max_queued_messages_set(UNSENT_MOST)
        self._client.reconnect_delay_set(*RETRY_S)
        if broker.username:
            self._client.username_pw_set(broker.username, password)
        if will:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = lambda *_: self.notes.put(Lost("no answer"))
        self._client.on_disconnect = lambda client, data, flags, reason, properties: self.notes.put(Lost(str(reason)))
        self._client.on_publish = self._on_publish
        self._client.on_message = lambda client, data, m: self.notes.put(Received(m.topic, bytes(m.payload), m.retain))
        self._client.connect_async(*broker.address, keepalive=broker.keepalive_s)
        self._client.loop_start()

    def publish(self, message: Message) -> int | None:
        """Hands a message over; never blocks. Its id for the PUBACK, or None when too many wait."""
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        return None if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else info.mid

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, 1)

    def close(self) -> None:
        """A clean goodbye: the last will is not sent."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.notes.put(Lost(f"refused: {reason}") if reason.is_failure else Connected())

    def _on_publish(self, client: Any, data: Any, mid: int, reason: Any, properties: Any) -> None:
        self.notes.put(Acknowledged(mid, str(reason) if reason.is_failure else None))
