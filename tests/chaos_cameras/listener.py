"""A durable subscriber that records everything a host publishes, with a paho client of its own."""

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

SESSION_EXPIRY_S = 0xFFFFFFFF  # the broker keeps the session for ever
WITHOUT_FRAMES = ("stalled", "unreachable", "unauthorized", "frozen", "ended")


@dataclass(frozen=True)
class Received:
    """One message as it arrived."""

    at_s: float  # monotonic clock
    payload: dict[str, Any]


class Listener:
    """Records every message below `base`, with QoS 1.

    The lists and `_changed` are shared with paho's network thread, which appends.
    """

    def __init__(self, port: int, base: str) -> None:
        self.statuses: defaultdict[str, list[Received]] = defaultdict(list)  # by camera, retained ones too
        self.events: list[Received] = []
        self.scores: defaultdict[str, list[Received]] = defaultdict(list)  # by camera, one for each clip
        self.online: list[float] = []  # when availability became `online`
        self._base, self._changed = base, threading.Condition()
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "listener", protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{base}/#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._received
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = SESSION_EXPIRY_S
        self._client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self._client.loop_start()
        self._ready.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def enable(self, camera: str, enabled: bool) -> None:
        """Switch a camera on or off."""
        self._client.publish(f"{self._base}/cmd/{camera}/set/enabled", "ON" if enabled else "OFF", 1)

    def state(self, camera: str) -> str:
        """Return the camera's last state; empty before the first."""
        return self.statuses[camera][-1].payload["state"] if self.statuses[camera] else ""

    def wait(self, camera: str, states: tuple[str, ...], since_s: float, seconds: float) -> float | None:
        """Return when the first of these states arrived after `since_s`; None if not within `seconds` of it."""

        def found() -> float | None:
            later = (status for status in self.statuses[camera] if status.at_s > since_s)
            return next((status.at_s for status in later if status.payload["state"] in states), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, max(0.0, since_s + seconds - time.monotonic()))
            return found()

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Return True if the condition holds within `seconds`; it is checked at every message."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def _received(self, client: Client, data: object, message: MQTTMessage) -> None:
        topic, at_s = message.topic.removeprefix(f"{self._base}/").split("/"), time.monotonic()
        with self._changed:
            if topic == ["availability"] and message.payload == b"online":
                self.online.append(at_s)
            elif topic[1:] == ["status"]:
                self.statuses[topic[0]].append(Received(at_s, json.loads(message.payload)))
            elif topic[1:] == ["events"]:
                self.events.append(Received(at_s, json.loads(message.payload)))
            elif topic[1:] == ["scores"]:
                self.scores[topic[0]].append(Received(at_s, json.loads(message.payload)))
            self._changed.notify_all()
