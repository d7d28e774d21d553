"""The other side: hears what a host says. Used by `edge-tdn watch` and the demo's view."""

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from edge_tdn.messages import ActionEvent, CameraStatus, DaemonStatus, Payload, TopScores
from edge_tdn.mqtt import Connected, Connection, Lost, Received

Said = ActionEvent | CameraStatus | DaemonStatus | TopScores


@dataclass(frozen=True)
class Heard:
    """A message that fits its schema."""

    topic: str
    said: Said
    raw: bytes  # as received: it may have keys that this version does not know


_KINDS: dict[str, type[Payload]] = {"events": ActionEvent, "status": CameraStatus, "scores": TopScores}


class Subscriber:
    """Subscribes to everything under `base`, in which `+` stands for any one level, at every connect."""

    def __init__(self, base: str, connection: Connection) -> None:
        self._base = base
        self._connection = connection
        self.connected = False
        self.trouble = ""  # why there is no connection
        self.invalid = 0  # messages that did not fit their schema

    def messages(self, timeout_s: float) -> Iterator[Heard]:
        """What arrives within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                note = self._connection.notes.get(timeout=left)
            except queue.Empty:
                return
            match note:
                case Connected(link):
                    self.connected, self.trouble = True, ""
                    link.subscribe(f"{self._base}/#")
                case Lost(reason=reason):
                    self.connected, self.trouble = False, reason
                case Received(topic, payload, _):
                    said = self._parse(topic, payload)
                    if said is not None:
                        yield Heard(topic, said, payload)

    def close(self) -> None:
        self._connection.close()

    def _parse(self, topic: str, payload: bytes) -> Said | None:
        below = topic.split("/")[len(self._base.split("/")) :]
        kind = DaemonStatus if below == ["status"] else _KINDS.get(below[-1]) if len(below) == 2 else None
        if kind is None:
            return None
        try:
            said: Said = kind.model_validate_json(payload)  # type: ignore[assignment]
        except ValidationError:
            self.invalid += 1
            return None
        return said
