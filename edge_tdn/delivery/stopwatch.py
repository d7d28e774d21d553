"""The latency of delivery: from the decision of an event until it is sent, and from there to its acknowledgement."""

import time
from collections.abc import Callable

MAX_DECIDED = 10_000  # events whose decision time is kept until they are sent

Observe = Callable[[str, str, float], None]  # camera, stage ("publish" or "puback"), seconds


class Stopwatch:
    """Measures only if there is an observer. Owned by the publisher's thread; `decided` may be called by any."""

    def __init__(self, observe: Observe | None) -> None:
        self._observe = observe
        self._decided: dict[tuple[str, int], float] = {}  # camera and seq -> monotonic seconds
        self._sent: dict[int, tuple[str, float]] = {}  # packet id -> camera, monotonic seconds

    def decided(self, camera: str, seq: int) -> None:
        """Record the decision of an event."""
        if self._observe:
            if len(self._decided) >= MAX_DECIDED:  # the broker has been away for long, or the outbox dropped them
                self._decided.clear()
            self._decided[camera, seq] = time.monotonic()

    def sent(self, camera: str, seq: int, packet_id: int) -> None:
        """Record that an event was sent."""
        if self._observe:
            now = time.monotonic()
            decided = self._decided.pop((camera, seq), None)
            if decided is not None:
                self._observe(camera, "publish", now - decided)
            self._sent[packet_id] = camera, now

    def answered(self, packet_id: int, rejection: str | None) -> None:
        """Record a PUBACK. `rejection`: the broker's reason, None if it took the event."""
        camera, sent = self._sent.pop(packet_id, ("", 0.0))
        if self._observe and camera and not rejection:
            self._observe(camera, "puback", time.monotonic() - sent)

    def disconnected(self) -> None:
        """Forget the events in flight: no PUBACK will come."""
        self._sent.clear()
