"""Initial weights: what is loaded from which file, and what is new."""

import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from edge_tdn_training.commands.given_network import input_spec
from edge_tdn_training.loop.initial_weights import load_backbone, load_initial_weights
from safetensors.torch import save_file
from torch import Tensor

from edge_tdn.errors import ModelError
from edge_tdn.manifest import Model, shipped_models
from tests.support.networks import imagenet_names, published_names

pytestmark = pytest.mark.training

CLASSES = ("a", "b", "c")
TINY = TDNConfig(arch="resnet18", classes=3, width=0.125, conv_bias=False)


@pytest.fixture(scope="module")
def imagenet() -> dict[str, Tensor]:
    """A ResNet-18 of random weights under torchvision's names; see `data`'s file for real ones."""
    torch.manual_seed(7)
    state = TDN(TDNConfig(arch="resnet18", conv_bias=False)).state_dict()
    return imagenet_names({name: value + 0.01 for name, value in state.items()})


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_imagenet_weights_fill_the_backbone_and_the_stdm(
    suffix: str, imagenet: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / f"resnet18{suffix}"
    match suffix:
        case ".pth":
            torch.save(imagenet, path)
        case ".safetensors":
            save_file(imagenet, path)
        case ".npz":
            np.savez(path, **{name: value.half().numpy() for name, value in imagenet.items()})
    half = suffix == ".npz"
    start = load_initial_weights(str(path), CLASSES, 1)
    state = start.model.state_dict()
    expected = {name: value.half().float() if half else value for name, value in imagenet.items()}
    for name in ("conv1.weight", "bn1.running_mean", "bn1.weight"):
        assert torch.equal(state[name], expected[name])
    for stage in (2, 3, 4, 5):
        own = {n: v for n, v in expected.items() if n.startswith(f"layer{stage - 1}.") and "num_batches" not in n}
        assert len(own) > 10
        for name, value in own.items():
            assert torch.equal(state[name.replace(f"layer{stage - 1}", f"res{stage}")], value)
            if stage == 2:
                assert torch.equal(state[name.replace("layer1", "stdm.res2")], value)
    mean = expected["conv1.weight"].mean(1)
    for channel in range(12):
        assert torch.equal(state["stdm.conv.weight"][:, channel], mean)
    shift = state["res3.0.temporal.weight"][:, 0]
    assert shift.argmax(1).tolist() == [2] * 16 + [0] * 16 + [1] * 96
    assert start.model.config == TDNConfig(arch="resnet18", classes=3, conv_bias=False)
    assert {"res2.0.bn1", "res5.1.bn2", "res3.0.downsample.1"} <= start.frozen_norms
    assert not {name for name in start.frozen_norms if "stdm" in name or "ltdm" in name or name == "bn1"}
    assert "new: linear layer of 3 classes, stdm.bn, L-TDM in res3, res4, res5" in start.notes


@pytest.mark.data
def test_the_real_imagenet_weights(data: Path) -> None:
    """Every entry of the file is used, except for its own classes."""
    start = load_initial_weights(str(data / "weights/resnet50_imagenet_fp16.npz"), CLASSES, 1, segments=8)
    state = start.model.state_dict()
    with np.load(data / "weights/resnet50_imagenet_fp16.npz") as arrays:
        names = [name for name in arrays.files if not name.startswith("fc.") and not name.endswith("tracked")]
        for name in names:
            ours = re.sub(r"^layer(\d)", lambda n: f"res{int(n[1]) + 1}", name)
            assert np.array_equal(state[ours].numpy(), arrays[name].astype(np.float32)), name
    assert len(names) == 265
    assert start.model.config.arch == "resnet50"


def test_a_published_checkpoint_gives_everything_but_its_classes(tmp_path: Path) -> None:
    """The network is read from the file; only its T has to be given, and a wrong network is refused."""
    torch.manual_seed(3)
    before = TDN(replace(TINY, arch="resnet34", classes=174)).state_dict()
    path = tmp_path / "best.pth.tar"
    torch.save({"epoch": 60, "arch": "resnet34", "state_dict": published_names(before)}, path)
    assert "module.base_model.layer3_bak.0.mse.conv3_smallscale4.weight" in published_names(before)
    start = load_initial_weights(str(path), CLASSES, 1, segments=16)
    state = start.model.state_dict()
    assert all(torch.equal(state[name], before[name]) for name in before if not name.startswith("linear."))
    assert start.model.config == replace(TINY, arch="resnet34", segments=16)
    assert {"res2.0.bn1", "stdm.bn", "res3.0.ltdm.squeeze_bn"} <= start.frozen_norms
    assert "everything but the linear layer from best.pth.tar" in start.notes
    with pytest.raises(ModelError, match="was trained with arch = 'resnet34', requested is 'resnet50'"):
        load_initial_weights(str(path), CLASSES, 1, arch="resnet50", segments=16)
    with pytest.raises(ModelError, match="does not state its T"):
        load_initial_weights(str(path), CLASSES, 1, arch="resnet34", width=0.125)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    checkpoint.save(TDN(TINY), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_our_own_weights_keep_the_classifier_of_the_same_classes(ours: Path) -> None:
    (ours.parent / "labels.txt").write_text("a\nb\nc\n")
    before = checkpoint.load(ours).state_dict()
    same, run = load_initial_weights(str(ours), CLASSES, 2), load_initial_weights(str(ours.parent), CLASSES, 2)
    for start in (same, run):
        for name, value in start.model.state_dict().items():
            assert torch.equal(value, before[name]), name
    assert {"res2.0.bn1", "stdm.bn", "res3.0.ltdm.squeeze_bn"} <= same.frozen_norms
    for labels in (("a", "b"), ("b", "a", "c")):
        other = load_initial_weights(str(ours), labels, 2)
        state = other.model.state_dict()
        assert state["linear.weight"].shape[0] == len(labels)
        assert not torch.equal(state["linear.weight"][:2], before["linear.weight"][:2])
        assert all(torch.equal(state[n], before[n]) for n in before if not n.startswith("linear."))
        assert any("new: linear layer" in line for line in other.notes)
    assert torch.equal(
        load_initial_weights(str(ours), ("x",), 5).model.linear.weight,
        load_initial_weights(str(ours), ("x",), 5).model.linear.weight,
    )


def test_a_backbone_is_taken_without_the_other_layers(ours: Path, imagenet: dict[str, Tensor], tmp_path: Path) -> None:
    """T-Conv begins with the backbone of a TDN; its linear layer is new although the classes are the same."""
    before = checkpoint.load(ours).state_dict()
    start = load_backbone(str(ours), CLASSES, 2, segments=4, stdm_stages=(), ltdm_stages=())
    assert start.model.config == replace(TINY, segments=4, stdm_stages=(), ltdm_stages=())
    state = start.model.state_dict()
    kept = [name for name in state if not re.search(r"^linear\.|\.temporal\.|num_batches_tracked$", name)]
    assert len(kept) > 50
    assert all(torch.equal(state[name], before[name]) for name in kept)
    assert not torch.equal(state["linear.weight"], before["linear.weight"])
    assert (start.source, start.sha256) == (ours.name, checkpoint.sha256(ours))
    tdn = load_backbone(str(ours), CLASSES, 2, segments=4).model.state_dict()
    assert torch.equal(tdn["stdm.res2.0.conv1.weight"], before["res2.0.conv1.weight"])
    assert not torch.equal(tdn["res3.0.ltdm.squeeze.weight"], before["res3.0.ltdm.squeeze.weight"])
    torch.save(imagenet, tmp_path / "r.pth")
    same = load_backbone(str(tmp_path / "r.pth"), CLASSES, 1).model.state_dict()
    expected = load_initial_weights(str(tmp_path / "r.pth"), CLASSES, 1).model.state_dict()
    assert all(torch.equal(same[name], expected[name]) for name in expected)


def test_classes_without_names_are_noted(ours: Path) -> None:
    assert any(
        "names of its classes are not known" in line for line in load_initial_weights(str(ours), CLASSES, 1).notes
    )


def test_labels_of_another_number_are_not_those_of_the_weights(tmp_path: Path) -> None:
    """A checkpoint of five classes in a folder with a list of three: its linear layer is not kept for these three."""
    checkpoint.save(TDN(replace(TINY, classes=5)), tmp_path / "w.safetensors")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    other = load_initial_weights(str(tmp_path / "w.safetensors"), CLASSES, 1)
    assert other.model.config.classes == 3
    assert "new: linear layer of 3 classes (it had 5 others)" in other.notes
    five = load_initial_weights(str(tmp_path / "w.safetensors"), ("a", "b", "c", "d", "e"), 1)
    assert any("names of its classes are not known" in note for note in five.notes)


def test_numbered_labels_beside_the_weights_are_read_as_by_convert(tmp_path: Path) -> None:
    checkpoint.save(TDN(TINY), tmp_path / "w.safetensors")
    (tmp_path / "labels.txt").write_text("0 a\n1 b\n2 c\n")
    assert load_initial_weights(str(tmp_path / "w.safetensors"), CLASSES, 1).notes == ("everything from w.safetensors",)


def test_a_local_folder_without_weights_does_not_hide_the_shipped_model(
    motion: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "motion").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_initial_weights("motion", motion.labels, 1).sha256 == motion.sha256


def test_a_model_folder_defines_the_input(motion: Model) -> None:
    same = load_initial_weights("motion", motion.labels, 1)
    assert same.spec == motion.manifest.input
    assert same.notes == ("everything from motion",)
    other = load_initial_weights(str(shipped_models() / "motion"), CLASSES, 1)
    assert other.model.config.classes == 3
    assert torch.equal(same.model.conv1.weight, other.model.conv1.weight)


@pytest.mark.parametrize("given", [{}, {"frame_rate": 30.0}])
def test_the_input_is_that_of_published_weights_where_these_state_none(given: dict[str, float], tmp_path: Path) -> None:
    """As `convert` takes it, so that a training of 16 segments and its model folder have the same stride."""
    checkpoint.save(TDN(replace(TINY, classes=400)), tmp_path / "w.safetensors")
    options = Namespace(size=None, resize=None, **{"frame_rate": None, **given})
    for source, network, expected in (
        (str(tmp_path / "w.safetensors"), {}, (25, 8)),
        ("", {"arch": "resnet18", "width": 0.125, "segments": 16}, (12, 3)),
    ):
        spec, notes = input_spec(options, load_initial_weights(source, CLASSES, 1, **network))
        assert (spec.frame_rate, spec.segment_stride) == (given.get("frame_rate", expected[0]), expected[1])
        assert len(notes) == 1
        assert ("frames per second" in notes[0]) == ("--frame-rate" in notes[0]) == (not given)
    spec, notes = input_spec(options, load_initial_weights("motion", CLASSES, 1))
    assert notes == []


def test_without_weights_the_seed_decides() -> None:
    one, again, other = (load_initial_weights("", CLASSES, seed, arch="resnet18", width=0.125) for seed in (1, 1, 2))
    assert torch.equal(one.model.conv1.weight, again.model.conv1.weight)
    assert not torch.equal(one.model.conv1.weight, other.model.conv1.weight)
    assert one.frozen_norms == frozenset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "resnet34"}, "has arch = 'resnet18', but the options require 'resnet34'"),
        ({"width": 0.5}, "ImageNet weights have width 1"),
        ({"conv_bias": True}, "has conv_bias = False, but the options require True"),
    ],
)
def test_options_that_contradict_imagenet_weights_are_an_error(
    options: dict[str, object], message: str, imagenet: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(imagenet, tmp_path / "r.pth")
    with pytest.raises(ModelError, match=re.escape(message)):
        load_initial_weights(str(tmp_path / "r.pth"), CLASSES, 1, **options)


def test_files_without_valid_weights_are_an_error(imagenet: dict[str, Tensor], tmp_path: Path, motion: Model) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(ModelError, match=r"x\.npz: damaged, or does not contain weights"):
        load_initial_weights(str(tmp_path / "x.npz"), CLASSES, 1)
    np.savez(tmp_path / "code.npz", a=np.array([{}], object))
    with pytest.raises(ModelError, match=r"code\.npz: damaged, or does not contain weights$"):  # no advice on pickles
        load_initial_weights(str(tmp_path / "code.npz"), CLASSES, 1)
    (tmp_path / "lfs.npz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n")
    with pytest.raises(ModelError, match=r"lfs\.npz: is a Git LFS pointer"):
        load_initial_weights(str(tmp_path / "lfs.npz"), CLASSES, 1)
    with pytest.raises(ModelError, match="no such checkpoint"):
        load_initial_weights("gone.pth", CLASSES, 1)
    with pytest.raises(ModelError, match="is a folder; give a checkpoint"):
        load_initial_weights(str(tmp_path), CLASSES, 1)
    lacking = {name: value for name, value in imagenet.items() if name != "layer2.0.bn1.weight"}
    torch.save(lacking, tmp_path / "r.pth")
    with pytest.raises(ModelError, match=r"(?s)missing \(1\).*res3\.0\.bn1\.weight"):
        load_initial_weights(str(tmp_path / "r.pth"), CLASSES, 1)
    with pytest.raises(ModelError, match="was trained with arch = 'resnet18', requested is 'resnet50'"):
        load_initial_weights("motion", motion.labels, 1, arch="resnet50")
