"""MQTT clients that record what a broker sends."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import jsonschema
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_tdn.status_messages import PUBLISHED, json_schema
from tests.support.waiting import PATIENCE_S, eventually

T = TypeVar("T")
MAX_SESSION_S = 0xFFFFFFFF  # a session that does not expire
SCHEMAS = {"events": "event", "status": "camera_status", "scores": "scores"}  # last part of a camera's topic -> schema


@dataclass(frozen=True)
class Recorded:
    """One message as it arrived."""

    topic: str
    payload: bytes
    retained: bool
    received_s: float  # wall clock
    received_ns: int  # monotonic clock

    def json(self) -> Any:
        return json.loads(self.payload)


class RecordingClient:
    """Records every message that matches `filters`, in the order of arrival; subscribed once it is constructed.

    `messages` is appended to by paho's network thread and read by the test. `durable_id`: a client id with a session
    that outlives its connection, so that the broker keeps messages between `disconnect` and `connect`.
    """

    def __init__(
        self,
        port: int,
        *filters: str,
        protocol: int = paho.MQTTv5,
        user: str | None = None,
        password: str = "",
        durable_id: str = "",
    ) -> None:
        self.messages: list[Recorded] = []
        self._filters = filters
        self._markers: set[str] = set()
        self._marker_topic = f"marker/{uuid.uuid4().hex}"
        self._port, self._is_durable = port, bool(durable_id)
        client_id = durable_id or f"recorder-{uuid.uuid4().hex}"
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=protocol)
        if user is not None:
            self._client.username_pw_set(user, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self.connect()

    def connect(self) -> None:
        """Connect, and wait until the subscriptions are in force."""
        self._markers.discard("connected")
        if self._is_durable:
            session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            session.SessionExpiryInterval = MAX_SESSION_S
            self._client.reconnect_delay_set(1, 1)
            self._client.connect("127.0.0.1", self._port, keepalive=5, clean_start=False, properties=session)
        else:
            self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self.synchronize()

    def disconnect(self) -> None:
        """Close the connection; `connect` opens another one."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe([(name, 1) for name in (*self._filters, f"{self._marker_topic}/#")])
        client.publish(f"{self._marker_topic}/connected", b"", qos=1)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.startswith(f"{self._marker_topic}/"):
            self._markers.add(message.topic.rsplit("/", 1)[1])
        else:
            received = Recorded(message.topic, message.payload, bool(message.retain), time.time(), time.monotonic_ns())
            self.check(received)
            self.messages.append(received)

    def check(self, message: Recorded) -> None:
        """Subclasses assert what every message must fulfil; a failure is kept, not raised on paho's thread."""

    def publish(self, topic: str, payload: bytes | Mapping[str, object], retain: bool = False) -> None:
        """Publish with QoS 1; a mapping becomes JSON."""
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, content, qos=1, retain=retain)

    def synchronize(self) -> None:
        """Wait until everything that the broker has now has arrived: our own marker comes behind it."""
        if "connected" not in self._markers:
            eventually(lambda: "connected" in self._markers, describe=lambda: "no connection to the broker")
        marker = uuid.uuid4().hex
        self._client.publish(f"{self._marker_topic}/{marker}", b"", qos=1)
        eventually(lambda: marker in self._markers, describe=lambda: self.messages[-12:])

    def wait_for(self, condition: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
        """Return the first truthy value of `condition`; a failure shows the last messages."""
        return eventually(condition, timeout_s, lambda: self.messages[-12:])

    def on(self, topic: str) -> list[Recorded]:
        """Return the messages on exactly this topic, oldest first."""
        return [message for message in list(self.messages) if message.topic == topic]

    def close(self) -> None:
        self.disconnect()


class HostRecorder(RecordingClient):
    """Records every message of one host, each validated against its published JSON schema."""

    def __init__(self, port: int, base: str) -> None:
        self._base = base
        self._validators = {name: jsonschema.Draft202012Validator(json.loads(json_schema(name))) for name in PUBLISHED}
        self._failures: list[Exception] = []
        super().__init__(port, f"{base}/#")

    def check(self, message: Recorded) -> None:
        topic = message.topic.removeprefix(f"{self._base}/")
        kind = topic.rsplit("/", 1)[-1]
        name = "daemon_status" if topic == "status" else SCHEMAS.get(kind)
        try:
            if name is not None:
                self._validators[name].validate(message.json())
            assert not (kind in ("events", "scores") and message.retained), f"{topic} is retained"
        except Exception as error:
            self._failures.append(error)

    def wait_for(self, condition: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
        value = super().wait_for(condition, timeout_s)
        assert not self._failures, self._failures
        return value

    @property
    def availability(self) -> list[str]:
        """The states of the daemon, oldest first."""
        return [message.payload.decode() for message in self.on(f"{self._base}/availability")]

    def state(self, camera: str) -> str:
        """Return the camera's last state; empty before the first."""
        statuses = self.of(camera, "status")
        return str(statuses[-1]["state"]) if statuses else ""

    def labels(self, camera: str) -> list[str]:
        """Return what was published on the camera's `action` topic, oldest first."""
        return [message.payload.decode() for message in self.on(f"{self._base}/{camera}/action")]

    def of(self, camera: str, kind: str) -> list[dict[str, Any]]:
        """Return the parsed payloads on `<base>/<camera>/<kind>`, oldest first."""
        return [message.json() for message in self.on(f"{self._base}/{camera}/{kind}")]

    def daemon_statuses(self) -> list[dict[str, Any]]:
        return [message.json() for message in self.on(f"{self._base}/status")]


def actions_of(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (label, reason) of each action; each has one start, then updates, then one end, `seq` without a gap."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    ended, open_id = [], None
    for event in events:
        if event["type"] == "start":
            assert open_id is None
            open_id = event["id"]
        else:
            assert event["id"] == open_id
        if event["type"] == "end":
            ended.append((event["label"], event["reason"]))
            open_id = None
    assert open_id is None
    return ended
