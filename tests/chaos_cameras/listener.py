"""Who counts: a durable subscriber of everything that a host says, with a paho client of its own."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

FOR_EVER = 0xFFFFFFFF  # seconds that the broker keeps the session
WITHOUT_PICTURES = ("stalled", "unreachable", "unauthorized", "frozen", "ended")


@dataclass(frozen=True)
class Heard:
    """A message as it came."""

    at_s: float  # monotonic clock
    said: dict[str, Any]


class Listener:
    """Hears all below `base`, QoS 1."""

    def __init__(self, port: int, base: str) -> None:
        self.statuses: defaultdict[str, list[Heard]] = defaultdict(list)  # by camera; what was retained too
        self.events: list[Heard] = []
        self.scores: defaultdict[str, list[Heard]] = defaultdict(list)  # by camera: one for each clip
        self.online: list[float] = []  # when availability said so
        self._base, self._changed = base, threading.Condition()
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "listener", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{base}/#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._received
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = FOR_EVER
        self._client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self._client.loop_start()
        self._ready.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def enable(self, camera: str, enabled: bool) -> None:
        """Has the daemon look at a camera, or let it be."""
        self._client.publish(f"{self._base}/cmd/{camera}/set/enabled", "ON" if enabled else "OFF", 1)

    def state(self, camera: str) -> str:
        """As last told; empty: never."""
        return self.statuses[camera][-1].said["state"] if self.statuses[camera] else ""

    def wait(self, camera: str, states: tuple[str, ...], since_s: float, seconds: float) -> float | None:
        """When the first of these states was told after `since_s`; None: not within so many seconds of it."""

        def found() -> float | None:
            told = self.statuses[camera]
            return next((one.at_s for one in told if one.at_s > since_s and one.said["state"] in states), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, max(0.0, since_s + seconds - time.monotonic()))
            return found()

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether it came to be so within so many seconds; looked at with every message."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def _received(self, client: Client, data: object, message: MQTTMessage) -> None:
        topic, at_s = message.topic.removeprefix(f"{self._base}/").split("/"), time.monotonic()
        with self._changed:
            if topic == ["availability"] and message.payload == b"online":
                self.online.append(at_s)
            elif topic[1:] == ["status"]:
                self.statuses[topic[0]].append(Heard(at_s, json.loads(message.payload)))
            elif topic[1:] == ["events"]:
                self.events.append(Heard(at_s, json.loads(message.payload)))
            elif topic[1:] == ["scores"]:
                self.scores[topic[0]].append(Heard(at_s, json.loads(message.payload)))
            self._changed.notify_all()
