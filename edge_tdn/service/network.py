"""The network that is served: a model, and the runtime that computes it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_tdn.config.tables import Config
from edge_tdn.inference.compiled_cache import cache_folder
from edge_tdn.inference.rebuilding_runtime import RebuildingRuntime, RebuildTiming
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model
from edge_tdn.messages import ModelRef

OpenRuntime = Callable[[Config, Model, Path | None], Runtime]  # as inference/open_model.py's open_configured_runtime


@dataclass(frozen=True, eq=False)
class Network:
    """A model, and the runtime that computes it."""

    model: Model
    ref: ModelRef
    runtime: RebuildingRuntime


@dataclass(frozen=True, eq=False)
class NetworkOpener:
    """Opens networks, at the start and for reloads."""

    base: Path  # where relative paths start
    open_runtime: OpenRuntime
    timing: RebuildTiming
    changed: Callable[[], None]  # called after the status of a runtime has changed, on the thread that uses it

    def open(self, config: Config, model: Model) -> Network:
        """Return the model with its runtime, compiled and tested. ModelError, DeviceError: it does not run here."""
        open_runtime = partial(self.open_runtime, config, model, cache_folder(config.runtime.cache, self.base))
        runtime = RebuildingRuntime(open_runtime, model.manifest.input.segments, self.timing, self.changed)
        return Network(model, model.ref(config.runtime.precision), runtime)
