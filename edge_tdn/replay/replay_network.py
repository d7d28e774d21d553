"""The networks of a replay: each zone has the model that the configuration chooses for it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.chosen_models import ChosenModels, NetworkKey
from edge_tdn.config.resolved_zones import ModelChoice, ResolvedZone
from edge_tdn.config.tables import Config
from edge_tdn.inference.open_model import open_configured_runtime, warn_of_doubt
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model


@dataclass(frozen=True, eq=False)
class ReplayNetwork:
    """A model, and the runtime that computes it."""

    model: Model
    runtime: Runtime


ReplayNetworks = Mapping[ModelChoice, ReplayNetwork]


@contextmanager
def open_networks(config: Config, base: Path, zones: Sequence[ResolvedZone]) -> Iterator[ReplayNetworks]:
    """Open the networks of some zones of a configuration, each once, until the end of the context.

    `base`: folder of relative paths. ConfigError, ModelError: a model of the configuration is wrong, or a name of an
    action. DeviceError: it does not run here.
    """
    chosen = ChosenModels.of(config, base)
    opened: dict[NetworkKey, ReplayNetwork] = {}
    with ExitStack() as runtimes:
        for choice in dict.fromkeys(zone.choice for zone in zones):
            key, model = chosen.key(choice), chosen.models[choice]
            if key not in opened:
                runtime = runtimes.enter_context(closing(open_configured_runtime(config, model, choice=choice)))
                warn_of_doubt(model, runtime.precision, runtime.device)
                opened[key] = ReplayNetwork(model, runtime)
        yield {zone.choice: opened[chosen.key(zone.choice)] for zone in zones}
