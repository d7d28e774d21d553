"""Emitter, wire, broker and subscriber, put together in a folder."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.books import Books, books, last_numbers
from tests.chaos.broker import CAREFUL, Broker
from tests.chaos.emitter import BASE, CAMERAS, Emitter, drained
from tests.chaos.subscriber import Subscriber
from tests.support.wire import Wire

QUIET_S = 1.0  # nothing has come for so long: nothing more will


class Rig:
    """emitter ─► wire ─► broker ─► subscriber. `outbox`: another folder than the rig's own; `config`: of the outbox."""

    def __init__(self, folder: Path, memory: str = CAREFUL, outbox: Path | None = None, **config: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.outbox = folder / "emitted.log", outbox or folder / "outbox"
        self.broker = Broker(folder, memory)
        self.wire = Wire(self.broker.port)
        self.subscriber = Subscriber(self.broker.port, BASE)
        self.emitter = Emitter(self.wire.port, self.outbox, self.log, **config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.emitter.said and self.emitter.process.poll() is None:
            self.emitter.kill()
        self.subscriber.go()
        self.wire.close()
        self.broker.kill()

    def settle(self, seconds: float = 120) -> float:
        """All is whole again: waits until all was emitted, sent and heard, and stops the emitter. Seconds it took."""
        took = self.emitter.until(drained, seconds)
        self.quiet()
        self.emitter.stop()
        return took

    def quiet(self) -> None:
        """Waits until nothing more comes to the subscriber."""
        self.subscriber.catch_up()
        count, since = self.subscriber.count, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            time.sleep(0.05)
            if self.subscriber.count != count:
                count, since = self.subscriber.count, time.monotonic()

    def flowing(self, seconds: float) -> None:
        """Waits until something new comes, but not longer than this."""
        count, deadline = self.subscriber.count, time.monotonic() + seconds
        until(lambda: self.subscriber.count > count or time.monotonic() > deadline, seconds + 1)

    def books(self) -> Books:
        """The emitter must have been stopped."""
        return books(self.subscriber.heard, last_numbers(self.outbox, CAMERAS), self.log)


def until(condition: Callable[[], bool], seconds: float) -> None:
    """SystemExit: not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:g} s")
        time.sleep(0.02)
