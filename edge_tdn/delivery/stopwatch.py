"""How long events take from the decision until they are sent, and from there to the PUBACK; where anybody asks."""

import time
from collections.abc import Callable

TIMED_MOST = 10_000  # events whose decision is remembered until they are sent

Observe = Callable[[str, str, float], None]  # camera, stage and the seconds that it took


class Stopwatch:
    """Used by the publisher's thread; `decided` by any."""

    def __init__(self, observe: Observe | None) -> None:
        self._observe = observe
        self._decided: dict[tuple[str, int], float] = {}  # camera and seq -> monotonic seconds
        self._sent: dict[int, tuple[str, float]] = {}  # packet id -> camera, monotonic seconds

    def decided(self, camera: str, seq: int) -> None:
        if self._observe:
            if len(self._decided) >= TIMED_MOST:  # the broker has been away for long, or the outbox dropped them
                self._decided.clear()
            self._decided[camera, seq] = time.monotonic()

    def sent(self, camera: str, seq: int, mid: int) -> None:
        if self._observe:
            now = time.monotonic()
            decided = self._decided.pop((camera, seq), None)
            if decided is not None:
                self._observe(camera, "publish", now - decided)
            self._sent[mid] = camera, now

    def answered(self, mid: int, refused: str | None) -> None:
        """A PUBACK; `refused`: the broker's reason where it said no."""
        camera, sent = self._sent.pop(mid, ("", 0.0))
        if self._observe and camera and not refused:
            self._observe(camera, "puback", time.monotonic() - sent)

    def disconnected(self) -> None:
        """What was on its way has no PUBACK any more."""
        self._sent.clear()
