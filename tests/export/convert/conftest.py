"""Model folders of ensembles, exported once per test run."""

from pathlib import Path

import pytest
from edge_tdn_export.convert.ensemble import ensemble

from edge_tdn.manifest import Model, open_model
from tests.support.ensembles import Pair, export_pair, pair_networks
from tests.support.exports import built_once, torch_threads


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A network of 8 and one of 16 segments, and their folders."""
    return Pair(pair_networks(), built_once(tmp_path_factory, "pair", export_pair))


@pytest.fixture(scope="session")
def both(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The ensemble of the two."""

    def build(folder: Path) -> None:
        with torch_threads(1):
            ensemble([pair.t8, pair.t16], folder, id="both")

    return open_model(built_once(tmp_path_factory, "both", build))
