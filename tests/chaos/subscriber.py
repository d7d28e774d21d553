"""Who counts: a durable subscriber, with a paho client of its own, connected to the broker without the wire."""

import json
import time
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

FOR_EVER = 0xFFFFFFFF  # seconds that the broker keeps the session


@dataclass(frozen=True)
class Heard:
    """An event as it came."""

    at_ns: int  # monotonic clock
    payload: bytes
    camera: str
    seq: int
    id: str
    type: str
    replayed: bool

    @property
    def key(self) -> tuple[str, str, int]:
        """By which a subscriber knows a duplicate."""
        return self.id, self.type, self.seq


class Subscriber:
    """Hears every event below `base`, QoS 1, in a session that survives its connection."""

    def __init__(self, port: int, base: str, name: str = "books") -> None:
        self._base = base
        self._came: list[tuple[int, bytes]] = []
        self._parsed: list[Heard] = []
        self._ready = False
        self._words = self._words_back = 0
        self._client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{base}/+/events", 1)
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received
        self._session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        self._session.SessionExpiryInterval = FOR_EVER
        self._port = port
        self.come()

    def come(self) -> None:
        """Connects, and returns when it is subscribed."""
        self._ready = False
        self._client.connect("127.0.0.1", self._port, keepalive=5, clean_start=False, properties=self._session)
        self._client.loop_start()
        while not self._ready:
            time.sleep(0.01)

    def go(self) -> None:
        """Leaves; the broker keeps what comes."""
        self._client.disconnect()
        self._client.loop_stop()

    def catch_up(self, seconds: float = 60) -> None:
        """Waits until all that the broker has for us is here: our own word comes behind it. SystemExit: it does not."""
        self._words += 1
        self._client.publish(f"{self._base}/word/events", b"", 1)
        deadline = time.monotonic() + seconds
        while self._words_back < self._words:
            if time.monotonic() > deadline:
                raise SystemExit(f"the subscriber's own word did not come back within {seconds:g} s")
            time.sleep(0.01)

    def command(self, verb: str, content: dict[str, Any]) -> None:
        self._client.publish(f"{self._base}/cmd/{verb}", json.dumps(content), 1)

    @property
    def count(self) -> int:
        """Messages so far, duplicates among them."""
        return len(self._came)

    @property
    def heard(self) -> list[Heard]:
        """In the order in which they came."""
        for at_ns, payload in self._came[len(self._parsed) :]:
            said = json.loads(payload)
            self._parsed.append(
                Heard(at_ns, payload, said["camera"], said["seq"], said["id"], said["type"], said["replayed"])
            )
        return self._parsed

    def _subscribed(self, *_: object) -> None:
        self._ready = True

    def _received(self, client: Client, data: object, message: MQTTMessage) -> None:
        if message.payload:
            self._came.append((time.monotonic_ns(), message.payload))
        else:
            self._words_back += 1
