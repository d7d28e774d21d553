"""The subscriber whose events are counted: durable, and connected to the broker without the wire."""

import json
from dataclasses import dataclass

from tests.support.mqtt import RecordingClient


@dataclass(frozen=True)
class ReceivedEvent:
    """An event as it arrived."""

    at_ns: int  # monotonic clock
    payload: bytes
    camera: str
    seq: int
    id: str
    type: str
    replayed: bool

    @property
    def key(self) -> tuple[str, str, int]:
        """The fields by which a subscriber recognises a duplicate."""
        return self.id, self.type, self.seq


class EventRecorder(RecordingClient):
    """Records every event below `base`, with QoS 1, in a session that survives its connection."""

    def __init__(self, port: int, base: str) -> None:
        self._events: list[ReceivedEvent] = []
        super().__init__(port, f"{base}/+/events", durable_id="chaos-recorder")

    @property
    def count(self) -> int:
        """Messages so far, with duplicates."""
        return len(self.messages)

    @property
    def events(self) -> list[ReceivedEvent]:
        """The events in the order of arrival, with duplicates."""
        for message in self.messages[len(self._events) :]:
            event = json.loads(message.payload)
            fields = (event[name] for name in ("camera", "seq", "id", "type", "replayed"))
            self._events.append(ReceivedEvent(message.received_ns, message.payload, *fields))
        return self._events
