"""Emitter, wire, broker and recorder, connected with each other in a folder."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.balance import Balance, balance, last_numbers
from tests.chaos.broker import CAREFUL, Broker
from tests.chaos.emitter import BASE, CAMERAS, Emitter, is_drained
from tests.chaos.subscriber import EventRecorder
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.wire import Wire

QUIET_S = 1.0  # without a message, nothing more is expected


class Rig:
    """emitter ─► wire ─► broker ─► recorder. `outbox`: a folder outside the rig's own; `config`: keys of [outbox]."""

    def __init__(self, folder: Path, memory: str = CAREFUL, outbox: Path | None = None, **config: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.outbox = folder / "emitted.log", outbox or folder / "outbox"
        self.broker = Broker(folder, memory)
        self.wire = Wire(self.broker.port)
        self.recorder = EventRecorder(self.broker.port, BASE)
        self.emitter = Emitter(self.wire.port, self.outbox, self.log, **config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.emitter.status and self.emitter.process.poll() is None:
            self.emitter.kill()
        self.recorder.close()
        self.wire.close()
        self.broker.kill()

    def settle(self, timeout_s: float = PATIENCE_S) -> float:
        """Wait until all is emitted, sent and received, with nothing broken any more, and stop the emitter.

        Return how many seconds that took.
        """
        took_s = self.emitter.wait_for(is_drained, timeout_s)
        self.wait_until_quiet()
        self.emitter.stop()
        return took_s

    def wait_until_quiet(self) -> None:
        """Wait until no more messages arrive at the recorder."""
        self.recorder.synchronize()
        count, since_s = self.recorder.count, time.monotonic()
        while time.monotonic() - since_s < QUIET_S:
            time.sleep(0.05)
            if self.recorder.count != count:
                count, since_s = self.recorder.count, time.monotonic()

    def wait_for_flow(self, seconds: float) -> None:
        """Wait until a new message arrives, but not longer than this."""
        count, deadline = self.recorder.count, time.monotonic() + seconds
        eventually(lambda: self.recorder.count > count or time.monotonic() > deadline, seconds + 1)

    def request_replay(self, request: Mapping[str, object]) -> None:
        """Publish the command `replay`."""
        self.recorder.publish(f"{BASE}/cmd/replay", request)

    def balance(self) -> Balance:
        """Return the balance. The emitter must have been stopped."""
        return balance(self.recorder.events, last_numbers(self.outbox, CAMERAS), self.log)
