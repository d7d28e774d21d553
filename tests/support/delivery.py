"""Events, statuses and a recording client for the tests of delivery."""

import json
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as paho

from edge_tdn.delivery.publisher import Publisher
from edge_tdn.messages import ActionEvent, EventWindow, ModelRef
from edge_tdn.status_messages import CameraStatus
from tests.support.mqtt import Recorded, RecordingClient

HOST = "here"
BASE = f"edge-tdn/{HOST}"
MOMENT = "2026-03-01T12:00:00.000Z"
StartPublisher = Callable[..., Publisher]  # the fixture `start_publisher`
MODEL = ModelRef(id="m", precision="fp32", sha256="0" * 64)


def action_event(seq: int, camera: str = "door", label: str = "left") -> ActionEvent:
    return ActionEvent(
        id=f"{HOST}/{camera}/b007/{seq}",
        seq=seq,
        type="start",
        host=HOST,
        camera=camera,
        label=label,
        label_index=1,
        score=0.9,
        peak_score=0.9,
        started_at=MOMENT,
        model=MODEL,
        window=EventWindow(from_=MOMENT, to=MOMENT, frames=40, dropped=0),
    )


def camera_status(state: str = "streaming") -> CameraStatus:
    counts = {"fps": 30, "width": 640, "height": 480, "hop": 1, "latency_ms": 9, "clips": 3, "gated": 0, "shed": 0}
    about = {"camera": "door", "state": state, "reason": "", "since": MOMENT, "gaps": 0}
    return CameraStatus.model_validate(about | counts)


def raise_failure(error: BaseException) -> None:
    """Fail a publisher's thread, for tests in which it must not fail."""
    raise AssertionError from error


class DeliveryRecorder(RecordingClient):
    """Records everything below BASE."""

    def __init__(self, port: int, protocol: str = "5") -> None:
        super().__init__(port, f"{BASE}/#", protocol=paho.MQTTv5 if protocol == "5" else paho.MQTTv311)

    def below(self, topic: str) -> list[Recorded]:
        """Return the messages on <base>/`topic`, oldest first."""
        return self.on(f"{BASE}/{topic}")

    def last(self, topic: str) -> bytes | None:
        """Return the newest payload on <base>/`topic`."""
        messages = self.below(topic)
        return messages[-1].payload if messages else None

    def last_json(self, topic: str) -> dict[str, Any]:
        content = json.loads(self.last(topic) or b"{}")
        assert isinstance(content, dict)
        return content

    def events(self, camera: str = "") -> list[ActionEvent]:
        """Return the events of a camera, or of all, in the order of arrival."""
        payloads = [message.payload for message in list(self.messages) if message.topic.endswith("/events")]
        events = [ActionEvent.model_validate_json(payload) for payload in payloads]
        return [event for event in events if camera in ("", event.camera)]

    def seqs(self, camera: str = "") -> list[int]:
        """Return their `seq`."""
        return [event.seq for event in self.events(camera)]

    def publish_below(self, topic: str, payload: bytes) -> None:
        """Publish on <base>/`topic`."""
        self.publish(f"{BASE}/{topic}", payload)
