"""Retained states of hosts and cameras that tests leave at a broker."""

import time

from edge_tdn.delivery.mqtt import Acknowledged, Message
from edge_tdn.messages import NS_PER_S, iso
from edge_tdn.status_messages import CameraStatus, DaemonStatus
from tests.support.broker import Mosquitto
from tests.support.mqtt import RecordingClient
from tests.support.waiting import PROGRAM_S


def ago(seconds: float) -> str:
    return iso(time.time_ns() - int(seconds * NS_PER_S))


def daemon_status(*cameras: str, **changed: object) -> bytes:
    """Return the payload of <base>/status, with a day and an hour of uptime."""
    content: dict[str, object] = {
        "host": "barn",
        "version": "1.2.3",
        "boot": "b",
        "started_at": ago(90_000),
        "at": ago(5),
        "device": "CPU",
        "model": {"id": "motion", "precision": "int8", "sha256": "0" * 64},
        "cameras": cameras,
        "segment_s": 0.25,
        "session": 1,
        "delivery": {"state": "connected", "reason": "", "since": ago(60)},
        "outbox": {"state": "ok", "reason": "", "waiting": 0, "dropped": 0, "lost": 0},
        "config": {"state": "in_force", "reason": "", "since": ago(60)},
    }
    return DaemonStatus.model_validate(content | changed).json_bytes()


def camera_status(name: str, **changed: object) -> bytes:
    """Return the payload of <base>/<camera>/status, of a camera that has streamed for 3 h 4 min."""
    content: dict[str, object] = {
        "camera": name,
        "state": "streaming",
        "reason": "",
        "since": ago(3 * 3600 + 240),
        "fps": 25.0,
        "width": 1920,
        "height": 1080,
        "hop": 2,
        "latency_ms": 31.4,
        "clips": 1234567,
        "gated": 0,
        "shed": 0,
        "gaps": 0,
    }
    return CameraStatus.model_validate(content | changed).json_bytes()


def zone_status(name: str, **changed: object) -> dict[str, object]:
    """Return a zone of a camera's status, to be passed in `zones`."""
    content: dict[str, object] = {
        "zone": name,
        "reason": "",
        "action": None,
        "model": {"id": "motion", "precision": "int8", "sha256": "0" * 64},
        "width": 640,
        "height": 480,
        "segment_s": 0.25,
        "hop": 2,
        "latency_ms": 31.4,
        "clips": 12,
        "gated": 0,
        "shed": 0,
        "repeated": 0,
        "thresholds": {"enter": 0.7, "exit": 0.4},
    }
    return content | changed


def model_status(id_: str, **changed: object) -> dict[str, object]:
    """Return a model of a daemon's status, to be passed in `models`."""
    runtime = {"state": "ok", "reason": "", "since": ago(60)}
    model = {"id": id_, "precision": "int8", "sha256": "0" * 64}
    return {"model": model, "device": "CPU", "zones": 1, "memory_mb": 40.0, "runtime": runtime} | changed


def retained_topics(port: int, topic: str = "#") -> set[str]:
    """Return the topics of all retained messages at a broker, as a new client receives them before its marker."""
    client = RecordingClient(port, topic)
    client.close()
    return {message.topic for message in client.messages if message.retained}


class RetainedStates:
    """Publishes retained messages, which the broker has acknowledged when a method returns."""

    def __init__(self, broker: Mosquitto) -> None:
        self._connection, self._link = broker.link()

    def leave(self, base: str, **payloads: bytes) -> None:
        """Publish below `base`; `door__status` is <base>/door/status."""
        self.leave_on({f"{base}/{name.replace('__', '/')}": payload for name, payload in payloads.items()})

    def leave_on(self, payloads: dict[str, bytes]) -> None:
        for topic, payload in payloads.items():
            self._link.publish(Message(topic, payload, retain=True))
        for _ in payloads:
            assert isinstance(self._connection.notes.get(timeout=PROGRAM_S), Acknowledged)

    def close(self) -> None:
        self._connection.close()
