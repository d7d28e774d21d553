"""The models that a configuration chooses for its zones, verified."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.actions.labels import NamedActions, check_all_names
from edge_tdn.config.resolved_zones import ModelChoice, all_zones
from edge_tdn.config.tables import Config
from edge_tdn.inference.open_model import open_configured_model
from edge_tdn.manifest import Model

NetworkKey = tuple[str, str]  # the SHA-256 of the model's manifest, and the precision


@dataclass(frozen=True, eq=False)
class ChosenModels:
    """The verified model of every choice of a configuration. Each folder is opened once."""

    models: Mapping[ModelChoice, Model]

    @classmethod
    def of(cls, config: Config, base: Path) -> "ChosenModels":
        """Open the models that a configuration chooses.

        ConfigError, ModelError: a folder or a model is wrong, or a name of an action.
        """
        models: dict[ModelChoice, Model] = {}
        opened: dict[str, Model] = {}  # by name
        uses = []
        for camera, zone in all_zones(config):
            choice = zone.choice
            if choice.model not in opened:
                opened[choice.model] = open_configured_model(config, base, choice)
            model = models[choice] = opened[choice.model]
            scope = f"zone {zone.name!r} of camera {camera.name!r}" if zone.name else f"camera {camera.name!r}"
            labels, background = model.labels, model.manifest.background
            uses.append(NamedActions(scope, zone.decide, zone.only_keys, zone.ignore_keys, labels, background))
        check_all_names(config, uses)
        return cls(models)

    def key(self, choice: ModelChoice) -> NetworkKey:
        """Return the key of the network that a choice needs."""
        return self.models[choice].sha256, choice.precision

    def networks(self, choices: Iterable[ModelChoice] | None = None) -> dict[NetworkKey, ModelChoice]:
        """Return the networks that choices need, by default all, each with the first choice that names it."""
        found: dict[NetworkKey, ModelChoice] = {}
        for choice in self.models if choices is None else choices:
            found.setdefault(self.key(choice), choice)
        return found
