"""Reading checkpoints: every key accounted for, no code run, nothing guessed."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edge_tdn.errors import ModelError
from export import checkpoint
from export.tdn import TDN, TDNConfig

CONFIG = TDNConfig(arch="resnet18", segments=8, classes=5, width=0.25, conv_bias=False)


def load(path: Path) -> TDN:
    return checkpoint.load(path, arch="resnet18", segments=8, width=0.25)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {name: value.contiguous() for name, value in TDN(CONFIG).state_dict().items()}


@pytest.mark.parametrize("form", ["pickle", "bare", "module.", "safetensors"])
def test_every_form_of_file_gives_the_same_network(form: str, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth.tar")
    match form:
        case "pickle":
            torch.save({"epoch": 3, "arch": "resnet18", "state_dict": state, "best_prec1": 50.0}, path)
        case "bare":
            torch.save(state, path)
        case "module.":
            torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
        case "safetensors":
            save_file(state, path)
    model = load(path)
    assert model.config == CONFIG
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_all_wrong_keys_are_listed(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    del state["res4.1.conv2.weight"]
    del state["bn1.bias"]
    state["linear.weight"] = torch.zeros(5, 3)
    state["something.else"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError) as told:
        load(tmp_path / "w.pth")
    for part in ("missing (2)", "res4.1.conv2.weight", "bn1.bias", "unexpected (1)",
                 "something.else", "misshapen (1)", "(5, 3) in the file, (5, 128) in the network"):  # fmt: skip
        assert part in str(told.value)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/edge-tdn-hostile-pickle-ran",)


def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    torch.save({"state_dict": Hostile()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="refused"):
        load(tmp_path / "evil.pth")
    assert not Path("/tmp/edge-tdn-hostile-pickle-ran").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_a_truncated_file_is_named(name: str, keep: int, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / name
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=name):
        load(path)


def test_weights_that_are_not_finite_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state["conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"not finite.*conv1\.weight"):
        load(tmp_path / "w.pth")


def test_a_missing_file_and_another_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such checkpoint"):
        load(tmp_path / "absent.pth")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="no TDN"):
        load(tmp_path / "other.pth")
