"""The folder of a training: its weights can be converted without any option."""

from pathlib import Path

import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.source import find_source
from edge_tdn_export.network.tdn import TDN
from edge_tdn_training.loop.run_folder import RunFolder

from edge_tdn.errors import ConfigError
from tests.support.training_clips import SPEC


def test_the_weights_of_a_run_state_their_network_and_input(tmp_path: Path) -> None:
    """Also where only the file was copied, without run.json beside it."""
    model = TDN(TDNConfig(arch="resnet18", segments=4, classes=2, width=0.125, conv_bias=False))
    run = RunFolder(tmp_path / "run", {"input": SPEC.model_dump(mode="json")}, ("a", "b"))
    run.save_epoch(model, torch.optim.SGD(model.parameters(), lr=0.1), [])
    source = find_source(run.folder)
    assert source.input == SPEC
    assert source.labels == run.folder / "labels.txt"
    assert checkpoint.load(source.weights).config == model.config
    copied = tmp_path / "copied.safetensors"
    copied.write_bytes(source.weights.read_bytes())
    alone = find_source(copied)
    assert (alone.weights, alone.input, alone.labels) == (copied, SPEC, None)


def test_a_run_of_an_older_version_is_resumed_with_the_defaults_of_newer_options(tmp_path: Path) -> None:
    network = TDNConfig(arch="resnet18").as_dict()
    older = {name: value for name, value in network.items() if name != "temporal"}
    RunFolder(tmp_path / "run", {"network": older}, ("a", "b"))
    RunFolder(tmp_path / "run", {"network": network}, ("a", "b"))
    with pytest.raises(ConfigError, match=r"started with network\.temporal = 'conv', now it is 'shift'"):
        RunFolder(tmp_path / "run", {"network": network | {"temporal": "shift"}}, ("a", "b"))
