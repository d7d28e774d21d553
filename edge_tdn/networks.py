"""The networks that a configuration chooses: models, each with the runtime that computes it. Each is opened once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from edge_tdn.chosen_models import ChosenModels, NetworkKey
from edge_tdn.config.resolved_zones import ModelChoice
from edge_tdn.config.tables import Config
from edge_tdn.inference.compiled_cache import cache_folder
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.open_model import open_configured_runtime, warn_of_doubt
from edge_tdn.inference.rebuilding_runtime import RebuildingRuntime, RebuildTiming
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model
from edge_tdn.messages import ModelRef
from edge_tdn.process import heartbeat
from edge_tdn.process.process_usage import resident_bytes

# as inference/open_model.py's open_configured_runtime
OpenRuntime = Callable[[Config, Model, Path | None, ModelChoice], Runtime]
MB = 1_000_000


@dataclass(frozen=True, eq=False)
class Network:
    """A model in one precision, and the runtime that computes it."""

    model: Model
    ref: ModelRef
    runtime: RebuildingRuntime
    engine: Engine
    memory_mb: float  # by which the process grew when it was opened, estimated

    @property
    def key(self) -> NetworkKey:
        """The model's hash and the precision, which identify the network."""
        return self.ref.sha256, self.ref.precision


@dataclass(frozen=True, eq=False)
class OpenedNetworks:
    """The opened networks of a configuration, in the order in which cameras and zones name them; at least one."""

    chosen: ChosenModels
    by_key: Mapping[NetworkKey, Network]

    def of(self, choice: ModelChoice) -> Network:
        """Return the network of a choice."""
        return self.by_key[self.chosen.key(choice)]

    @property
    def first(self) -> Network:
        """The network that is named first."""
        return next(iter(self.by_key.values()))

    @property
    def all(self) -> tuple[Network, ...]:
        """All of them, each once."""
        return tuple(self.by_key.values())


@dataclass(frozen=True, eq=False)
class NetworkOpener:
    """Opens networks: for the daemon, at its start and for reloads, and for commands."""

    base: Path  # where relative paths start
    open_runtime: OpenRuntime = open_configured_runtime
    timing: RebuildTiming = field(default_factory=RebuildTiming)
    changed: Callable[[], None] = lambda: None  # called by the thread that uses a runtime, when its status changes
    cached: bool = True  # False: compile every network, whatever the cache of compiled graphs holds

    def open_all(
        self,
        config: Config,
        chosen: ChosenModels,
        open_already: Iterable[Network] = (),
        choices: Iterable[ModelChoice] | None = None,
    ) -> OpenedNetworks:
        """Return the networks of a configuration, or of some `choices` in it, those that are open already among them.

        ConfigError, ModelError, DeviceError: one does not run here; then none stays open that was opened here.
        """
        networks = {network.key: network for network in open_already}
        found: dict[NetworkKey, Network] = {}
        with ExitStack() as opened:
            for key, choice in chosen.networks(choices).items():
                model = chosen.models[choice]
                if key in networks:
                    found[key] = replace(networks[key], model=model, ref=model.ref(choice.precision))
                else:
                    found[key] = self._open(config, choice, model)
                    opened.callback(found[key].runtime.close)
            opened.pop_all()
        return OpenedNetworks(chosen, found)

    @contextmanager
    def opened(
        self, config: Config, chosen: ChosenModels, choices: Iterable[ModelChoice] | None = None
    ) -> Iterator[OpenedNetworks]:
        """Open the networks of a configuration, or of some `choices` in it, until the end of the block.

        ConfigError, ModelError, DeviceError: one does not run here.
        """
        networks = self.open_all(config, chosen, choices=choices)
        try:
            yield networks
        finally:
            for network in networks.all:
                network.runtime.close()

    def open_unshared(self, config: Config, choice: ModelChoice, model: Model) -> Runtime:
        """Return a runtime that only the caller uses, and closes; it is not rebuilt when its device fails.

        ConfigError, ModelError, DeviceError: the model does not run here.
        """
        folder = cache_folder(config.runtime.cache, self.base) if self.cached else None
        return self.open_runtime(config, model, folder, choice)

    def _open(self, config: Config, choice: ModelChoice, model: Model) -> Network:
        open_runtime = partial(self.open_unshared, config, choice, model)
        spec, before = model.manifest.input, resident_bytes()
        with heartbeat.patience(self.timing.compile_s):
            runtime = RebuildingRuntime(open_runtime, spec.segments, self.timing, self.changed)
        memory_mb = max(0, resident_bytes() - before) / MB
        return Network(model, model.ref(choice.precision), runtime, Engine(runtime, spec), memory_mb)


def warn_of_doubts(networks: Iterable[Network]) -> None:
    """Log a warning for each network whose precision is in doubt; it serves nevertheless."""
    for network in networks:
        warn_of_doubt(network.model, network.runtime.precision, network.runtime.device)
