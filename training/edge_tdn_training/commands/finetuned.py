"""The outcome of step 2: networks with a last layer for the user's labels, and the data they were trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_tdn_export.network.tdn import TDN

from edge_tdn.manifest import InputSpec
from edge_tdn_training.commands.finetune_data import PreparedData


@dataclass(frozen=True, eq=False)
class FinetunedNetwork:
    """A network for the user's labels."""

    network: TDN
    source: tuple[tuple[str, str], ...]  # for the manifest: name and sha256 of its weights


@dataclass(frozen=True, eq=False)
class FinetunedModel:
    """Networks whose logits are added, and how they were trained."""

    networks: tuple[FinetunedNetwork, ...]
    spec: InputSpec  # of each network
    data: PreparedData
    record: Mapping[str, Any]  # for finetune.json
    curves: bytes | None = None  # a PNG
