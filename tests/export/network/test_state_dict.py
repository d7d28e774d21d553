"""Where the weights are in a checkpoint: entries and prefixes as trainers write them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from safetensors.torch import save_file
from torch import Tensor, nn

from edge_tdn.errors import ModelError
from tests.support.networks import published_names

CONFIG = TDNConfig(arch="resnet18", segments=8, classes=5, width=0.125, conv_bias=False)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> TDN:
    torch.manual_seed(1)
    return TDN(CONFIG)


@pytest.fixture
def state(network: TDN) -> State:
    return {name: value.contiguous() for name, value in network.state_dict().items()}


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def loaded(content: object, path: Path, entry: str = "") -> tuple[State, str]:
    """Save and load; return the weights and the note on their origin."""
    torch.save(content, path)
    notes: list[str] = []
    model = checkpoint.load(path, entry, notes.append, arch="resnet18", width=0.125, segments=8)
    return model.state_dict(), "".join(notes)


def assert_same(got: State, expected: State) -> None:
    assert all(torch.equal(got[name], value) for name, value in expected.items())


@pytest.mark.parametrize("entry", ["model", "model_state_dict", "net", "network", "weights", "checkpoint.model"])
def test_only_entry_with_weights_is_taken_whatever_its_name(entry: str, state: State, tmp_path: Path) -> None:
    outer, _, inner = entry.partition(".")
    others = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.1}]}}
    content = {**others, outer: {"epoch": 3, inner: state} if inner else state, "metrics": {"top1": torch.ones(1)}}
    got, note = loaded(content, tmp_path / "w.pth")
    assert_same(got, state)
    assert note == f"w.pth: entry `{entry}`"


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("model.", "model."),  # Lightning
        ("_orig_mod.", "_orig_mod."),  # torch.compile
        ("module.module.", "module.module."),
        ("_orig_mod.module.", "_orig_mod.module."),
        ("model.backbone.", "model.backbone."),
        ("module.network._orig_mod.", "module.network._orig_mod."),
    ],
)
@pytest.mark.parametrize("published", [False, True])
def test_prefix_of_all_names_is_taken_off(
    prefix: str, found: str, published: bool, state: State, tmp_path: Path
) -> None:
    names = {name.removeprefix("module."): value for name, value in published_names(state).items()}
    got, note = loaded({"state_dict": prefixed(prefix, names if published else state)}, tmp_path / "w.pth")
    assert_same(got, state)
    assert note == f"w.pth: entry `state_dict`, prefix `{found}` taken off"


def test_wrappers_are_taken_off_wherever_they_are(network: TDN, state: State, tmp_path: Path) -> None:
    """As where a part of the network was compiled, or ran on several GPUs."""
    wrapped = {
        name.replace("stdm.", "stdm._orig_mod.").replace("res3.0.", "res3.module.0."): v for name, v in state.items()
    }
    assert_same(loaded(wrapped, tmp_path / "w.pth")[0], state)
    assert_same(loaded(nn.DataParallel(network).state_dict(), tmp_path / "w.pth")[0], state)
    averaged = torch.optim.swa_utils.AveragedModel(network).state_dict()
    assert "n_averaged" in averaged  # a counter, in no layer
    assert_same(loaded(averaged, tmp_path / "w.pth")[0], state)


def test_recogniser_of_mmaction2_is_read(state: State, tmp_path: Path) -> None:
    head = {f"cls_head.fc_cls.{name}": state[f"linear.{name}"] for name in ("weight", "bias")}
    backbone = prefixed("backbone.", {name: value for name, value in state.items() if not name.startswith("linear.")})
    got, note = loaded({"meta": {"epoch": 50}, "state_dict": {**backbone, **head}}, tmp_path / "w.pth")
    assert_same(got, state)
    assert "prefix `backbone.` taken off" in note


def test_safetensors_of_other_programs_are_read(state: State, tmp_path: Path) -> None:
    """Whatever the name of the file: its content decides."""
    for name in ("w.safetensors", "w.bin"):
        save_file(prefixed("model.", state), tmp_path / name)
        model = checkpoint.load(tmp_path / name, arch="resnet18", width=0.125, segments=8)
        assert_same(model.state_dict(), state)
    torch.save(state, tmp_path / "pickle.safetensors")
    assert_same(checkpoint.load(tmp_path / "pickle.safetensors", **CONFIG.as_dict()).state_dict(), state)


AVERAGES: dict[str, tuple[str, Callable[[State, State], object]]] = {
    "timm": ("state_dict_ema", lambda state, ema: {"state_dict": state, "state_dict_ema": ema}),
    "DeiT": ("model_ema", lambda state, ema: {"model": state, "model_ema": ema}),
    "mmengine": (
        "ema_state_dict",
        lambda state, ema: {
            "state_dict": state,
            "ema_state_dict": {**prefixed("module.", ema), "steps": torch.ones(())},
        },
    ),
    "Lightning": (
        "state_dict.ema_model",
        lambda state, ema: {"state_dict": prefixed("model.", state) | prefixed("ema_model.module.", ema)},
    ),
    "alone": ("model_ema", lambda state, ema: prefixed("model.", state) | prefixed("model_ema.", ema)),
}


@pytest.mark.parametrize("trainer", AVERAGES)
def test_averaged_weights_are_named_and_taken_on_request(trainer: str, state: State, tmp_path: Path) -> None:
    entry, write = AVERAGES[trainer]
    averaged = {name: value + 1 for name, value in state.items()}
    content = write(state, averaged)
    got, note = loaded(content, tmp_path / "w.pth")
    assert_same(got, state)
    assert f"averaged weights (EMA) are in `{entry}`: --entry {entry} takes them" in note
    assert_same(loaded(content, tmp_path / "w.pth", entry)[0], averaged)


def test_averaged_weights_alone_are_taken(state: State, tmp_path: Path) -> None:
    got, note = loaded({"epoch": 3, "ema": state}, tmp_path / "w.pth")
    assert_same(got, state)
    assert note == "w.pth: entry `ema`"


def test_several_entries_need_a_choice(state: State, tmp_path: Path) -> None:
    content = {"student": state, "teacher": prefixed("module.", state), "epoch": 1}
    with pytest.raises(ModelError, match="several entries hold weights: `student`, `teacher`; choose one with --entry"):
        loaded(content, tmp_path / "w.pth")
    assert_same(loaded(content, tmp_path / "w.pth", "teacher")[0], state)
    with pytest.raises(ModelError, match="no entry 'tescher' with weights; it has: `student`, `teacher`"):
        loaded(content, tmp_path / "w.pth", "tescher")
    with pytest.raises(ModelError, match="no entry 'ema' with weights; it has: one only, without a name"):
        loaded(state, tmp_path / "w.pth", "ema")


def test_other_network_is_described_by_its_entry_prefix_and_names(tmp_path: Path) -> None:
    torch.save({"model": {f"encoder.{name}": torch.ones(2) for name in ("a.w", "b.w", "b.bias")}}, tmp_path / "w.pth")
    message = (
        r"w\.pth: not a TDN: it has no linear layer \(`new_fc` or `linear`\); its weights \(entry `model`, prefix "
        r"`encoder\.` taken off\) are below: a \(1\), b \(2\)"
    )
    with pytest.raises(ModelError, match=message):
        checkpoint.load(tmp_path / "w.pth", segments=8)


def test_weights_beside_others_in_an_entry_are_taken_by_their_first_name(state: State, tmp_path: Path) -> None:
    """As Lightning saves a network beside the weights of its loss."""
    state_dict = prefixed("model.", state) | {"criterion.weight": torch.ones(5)}
    content = {"state_dict": state_dict}
    advice = "--entry state_dict.model takes model alone"
    with pytest.raises(ModelError, match=rf"are below: model \({len(state)}\), criterion \(1\); {advice}$"):
        loaded(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"criterion \(1\); --entry model takes model alone$"):
        loaded(state_dict, tmp_path / "w.pth")
    assert_same(loaded(state_dict, tmp_path / "w.pth", "model")[0], state)
    with pytest.raises(ModelError, match=r"teacher \([0-9]+\)$"):  # it is open which one is meant
        loaded({"state_dict": prefixed("model.", state) | prefixed("teacher.", state)}, tmp_path / "w.pth")
    got, note = loaded(content, tmp_path / "w.pth", "state_dict.model")
    assert_same(got, state)
    assert note == "w.pth: entry `state_dict.model`, prefix `model.` taken off"


def test_names_that_become_the_same_are_refused(state: State, tmp_path: Path) -> None:
    both = {**state, "module.bn1.bias": state["bn1.bias"]}
    with pytest.raises(ModelError, match=r"`bn1\.bias` and `module\.bn1\.bias` are the same entry, `bn1\.bias`"):
        loaded(both, tmp_path / "w.pth")
