"""A runtime that fails when a test says so; between the daemon and the real one."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_tdn.config.resolved_zones import ModelChoice
from edge_tdn.config.tables import Config
from edge_tdn.inference.open_model import open_configured_runtime
from edge_tdn.inference.runtime import Ring, Runtime
from edge_tdn.manifest import Model
from tests.support.waiting import PATIENCE_S


class FailingRuntime:
    """Passes every call on to `runtime`, after `before` was called with its name; what that raises is the call's."""

    def __init__(self, runtime: Runtime, before: Callable[[str], None]) -> None:
        self.device, self.precision, self.batch = runtime.device, runtime.precision, runtime.batch
        self._runtime, self._before = runtime, before

    def ring(self) -> Ring:
        return self._runtime.ring()

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        self._before("encode")
        self._runtime.encode(segments, rings)

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        self._before("classify")
        return self._runtime.classify(rings)

    def close(self) -> None:
        self._before("close")
        self._runtime.close()


class FailingDevice:
    """A device of real runtimes; `open` is what a Daemon takes.

    `broken`: what every call of the open runtime raises. A runtime that is opened again works, but `repaired` is
    awaited first; `gone`: what opening raises instead.
    """

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.gone: Exception | None = None
        self.repaired = threading.Event()
        self.opened = 0

    def open(self, config: Config, model: Model, cache: Path | None, choice: ModelChoice) -> Runtime:
        if self.opened:
            assert self.repaired.wait(PATIENCE_S)
            self.broken = None
        if self.gone:
            raise self.gone
        self.opened += 1
        return FailingRuntime(open_configured_runtime(config, model, cache, choice), self._check)

    def _check(self, call: str) -> None:
        if self.broken:
            raise self.broken
