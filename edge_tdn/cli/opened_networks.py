"""The networks of a configuration, opened for a command: compiled here and now, whatever is in the cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_tdn.chosen_models import ChosenModels
from edge_tdn.config.resolved_zones import ModelChoice
from edge_tdn.config.tables import Config
from edge_tdn.inference.open_model import open_configured_runtime
from edge_tdn.inference.rebuilding_runtime import RebuildTiming
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model
from edge_tdn.service.network import NetworkOpener, OpenRuntime, ServedNetworks


def open_uncached(config: Config, model: Model, _cache: Path | None, choice: ModelChoice) -> Runtime:
    """Return the runtime of a choice, compiled and self-tested, as `open_configured_runtime` does."""
    return open_configured_runtime(config, model, None, choice)


@contextmanager
def opened_networks(
    config: Config, base: Path, chosen: ChosenModels, open_runtime: OpenRuntime = open_uncached
) -> Iterator[ServedNetworks]:
    """Open all networks of a configuration together, as the daemon holds them, within the block.

    `base`: where relative paths start. ConfigError, ModelError, DeviceError: one does not run here.
    """
    networks = NetworkOpener(base, open_runtime, RebuildTiming(), lambda: None).open_all(config, chosen)
    try:
        yield networks
    finally:
        for network in networks.all:
            network.runtime.close()
