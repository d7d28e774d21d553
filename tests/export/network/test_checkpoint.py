"""Checkpoints: every key must match, no code of the file is run, and nothing is guessed."""

import argparse
import builtins
import datetime
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from safetensors.torch import save_file

from edge_tdn.errors import ModelError

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
    with pytest.raises(ModelError) as error:
        load(tmp_path / "w.pth")
    missing = ("missing (2)", "res4.1.conv2.weight", "bn1.bias")
    others = ("unexpected (1)", "something.else", "misshapen (1)", "(5, 3) in the file, (5, 128) in the network")
    for part in (*missing, *others):
        assert part in str(error.value)


FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def respell(path: Path, before: bytes, after: bytes) -> None:
    """Change a name in the pickle of a checkpoint, which is a zip file or, in the legacy format, bare."""
    if not zipfile.is_zipfile(path):
        raw = path.read_bytes()
        assert before in raw
        path.write_bytes(raw.replace(before, after))
        return
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    assert any(before in raw for name, raw in entries.items() if name.endswith("data.pkl"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in entries.items():
            archive.writestr(name, raw.replace(before, after) if name.endswith("data.pkl") else raw)


@FORMATS
@pytest.mark.parametrize("spelling", [b"numpy.core.", b"numpy._core."])
@pytest.mark.parametrize("extra", [np.float64(51.3), np.int64(7), np.bool_(True), np.arange(3.0)])
def test_numpy_values_are_read_as_data(
    extra: Any, spelling: bytes, zipped: bool, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "best.pth.tar"
    torch.save({"state_dict": state, "best_prec1": extra}, path, _use_new_zipfile_serialization=zipped)
    respell(path, b"numpy._core.", spelling)
    assert torch.equal(load(path).state_dict()["conv1.weight"], state["conv1.weight"])


@FORMATS
def test_content_of_trainers_is_read_as_data(zipped: bool, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    left = {
        "args": argparse.Namespace(num_segments=8, root=Path("/data"), lr=0.1, steps=[30, 45], resume=None, n=2**70),
        "log": Path("/var/log/train.txt"),
        "finished": datetime.datetime(2021, 6, 1, tzinfo=datetime.UTC),
        "frozen": frozenset({"bn1"}),
        "version": torch.torch_version.TorchVersion("1.9"),
        "empty": argparse.Namespace(),
        "prec1": np.float32(49.2),
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }
    path = tmp_path / "best.pth.tar"
    torch.save({"state_dict": state, **left}, path, _use_new_zipfile_serialization=zipped)
    assert load(path).config == CONFIG


@FORMATS
def test_trained_number_of_segments_must_be_the_requested_one(
    zipped: bool, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """8 and 16 segments have the same keys and shapes, so that only the trainer's arguments distinguish them."""
    content = {"state_dict": state, "args": argparse.Namespace(num_segments=16)}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"w\.pth: was trained with segments = 16, requested is 8"):
        load(tmp_path / "w.pth")
    assert checkpoint.load(tmp_path / "w.pth", arch="resnet18", width=0.25).config.segments == 16


@pytest.mark.parametrize("name", ["pathlib.WindowsPath", "pathlib._local.PosixPath"])
def test_paths_of_other_systems_and_pythons_are_read_as_data(
    name: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"state_dict": state, "root": Path("/data")}, tmp_path / "w.pth")
    module, _, kind = name.rpartition(".")
    respell(tmp_path / "w.pth", b"cpathlib\nPosixPath\n", f"c{module}\n{kind}\n".encode())
    assert load(tmp_path / "w.pth").config == CONFIG


class Calls:
    """An object that calls `function` when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._reduced


class Options(argparse.Namespace):
    """A class of the file's author, whose `__setstate__` could run any code."""


@FORMATS
@pytest.mark.parametrize("where", ["state_dict", "args", "inside args"])
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda trace: Calls(os.system, f"touch {trace}"), "posix.system"),
        (lambda trace: Calls(builtins.eval, f"open({str(trace)!r}, 'w')"), "builtins.eval"),
        (lambda trace: Calls(builtins.getattr, Path(trace), "touch"), "builtins.getattr"),
        (lambda trace: Calls(torch.hub.load, str(trace), "model"), "torch.hub.load"),
        (lambda trace: Options(num_segments=8), f"{Options.__module__}.Options"),
        (lambda trace: argparse.Namespace(a=[{"b": Calls(os.system, f"touch {trace}")}]), "posix.system"),
        (
            lambda trace: Calls(np.float64(1).__reduce__()[0], np.dtype("O"), Calls(os.system, f"touch {trace}")),
            "posix.system",
        ),
        (lambda trace: np.array([Calls(os.system, f"touch {trace}")], dtype=object), "posix.system"),
    ],
)
def test_malicious_pickle_is_refused_by_name_and_runs_nothing(
    call: Any, named: str, where: str, zipped: bool, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path, evil = tmp_path / "evil.pth", call(tmp_path / "trace")
    content = {
        "state_dict": {"state_dict": evil},
        "args": {"state_dict": state, "args": evil},
        "inside args": {"state_dict": state, "args": argparse.Namespace(num_segments=8, then=(evil,))},
    }[where]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=rf"evil\.pth: refused: loading it would run code: it calls {named}"):
        load(path)
    assert [other.name for other in tmp_path.iterdir()] == ["evil.pth"]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(torch.zeros(64).to_sparse(), id="sparse"),
        pytest.param(torch.zeros(64, device="meta"), id="without numbers"),
        pytest.param([0.0] * 64, id="a list"),
        pytest.param(np.zeros(64), id="of numpy"),
    ],
)
def test_entries_other_than_dense_tensors_are_refused(
    wrong: Any, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save({"state_dict": {**state, "bn1.bias": wrong}}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds no `state_dict` of dense tensors"):
        load(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [{}, [], None, 3, {"state_dict": {}}, {"state_dict": 3}, {1: torch.zeros(1)}])
def test_file_without_weights_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds no `state_dict` of dense tensors"):
        load(tmp_path / "w.pth")


def test_our_own_file_needs_no_options(tmp_path: Path) -> None:
    config = TDNConfig(
        arch="resnet18",
        segments=16,
        classes=3,
        width=0.125,
        stdm_stages=(1, 2, 3),
        stdm_fusion="add",
        ltdm_stages=(2, 4),
        ltdm_attention=False,
        temporal_conv_stages=(),
        upsample="bilinear",
    )
    model = TDN(config)
    checkpoint.save(model, tmp_path / "w.safetensors")
    again = checkpoint.load(tmp_path / "w.safetensors")
    assert again.config == config
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    same = {"arch": "resnet18", "segments": 16, "stdm_stages": (3, 2, 1), "upsample": "bilinear"}
    assert checkpoint.load(tmp_path / "w.safetensors", **same).config == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segments": 16}, "segments = 8, requested is 16"),
        ({"arch": "resnet34"}, "arch = 'resnet18', requested is 'resnet34'"),
        ({"width": 0.5}, "width = 0.25, requested is 0.5"),
        ({"upsample": "bilinear"}, "upsample = 'nearest', requested is 'bilinear'"),
        ({"stdm_fusion": "add"}, "stdm_fusion = 'weighted', requested is 'add'"),
        ({"ltdm_attention": False}, "ltdm_attention = True, requested is False"),
        ({"classes": 6}, "classes = 5, requested is 6"),
    ],
)
def test_options_that_contradict_the_file_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Most of them change no key and no shape, only the logits."""
    checkpoint.save(TDN(CONFIG), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=rf"w\.safetensors: was trained with {message}"):
        checkpoint.load(tmp_path / "w.safetensors", **options)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{", "damaged or incomplete"),
        ("", "damaged or incomplete"),
        ("[" * 100_000, "damaged or incomplete"),
        ("[8]", "metadata 'tdn' is not a JSON object"),
        ("null", "metadata 'tdn' is not a JSON object"),
        ('"resnet18"', "metadata 'tdn' is not a JSON object"),
        (json.dumps({**CONFIG.as_dict(), "depth": 18}), "unknown option 'depth'; written by a newer version"),
        (json.dumps({**CONFIG.as_dict(), "arch": "resnet51"}), "arch 'resnet51' is not known"),
        (json.dumps({**CONFIG.as_dict(), "segments": "8"}), "segments must be int, got '8'"),
        (json.dumps({**CONFIG.as_dict(), "segments": 8.5}), "segments must be int, got 8.5"),
        (json.dumps({**CONFIG.as_dict(), "stdm_stages": 1}), "stdm_stages must be a list of stages, got 1"),
        (json.dumps({**CONFIG.as_dict(), "classes": 10**12}), "classes = 1000000000000, in its weights is 5"),
    ],
)
def test_invalid_metadata_is_refused(
    metadata: str, message: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "w.safetensors", {"tdn": metadata})
    with pytest.raises(ModelError, match=rf"w\.safetensors: .*{message}"):
        checkpoint.load(tmp_path / "w.safetensors")


def keys(reference: Path, name: str) -> dict[str, list[int]]:
    """Return the shape of every key of a published checkpoint."""
    found: dict[str, list[int]] = json.loads((reference / f"{name}.keys.json").read_text())
    return found


@pytest.mark.data
@pytest.mark.parametrize("prefix", ["", "module."])
def test_missing_blocks_of_published_weights_are_listed_in_the_spelling_of_the_file(
    prefix: str, reference: Path, tmp_path: Path
) -> None:
    """As a checkpoint of which a part was lost: no ResNet has these numbers of blocks, and the file states which."""
    shapes = keys(reference, "tdn_resnet50_8f_174c")
    lost = [key for key in shapes if key.startswith("base_model.layer3_bak.5.")]
    state = {prefix + key: torch.zeros(()).expand(shape) for key, shape in shapes.items() if key not in lost}
    torch.save({"arch": "resnet50", "state_dict": state}, tmp_path / "best.pth.tar")
    with pytest.raises(ModelError) as error:
        checkpoint.load(tmp_path / "best.pth.tar", segments=8)
    first, title, *names, more = str(error.value).splitlines()
    missing = [key for key in lost if not key.endswith("num_batches_tracked")]
    assert first == f"{tmp_path}/best.pth.tar: not the weights of resnet50, T=8:"
    assert title == f"  missing ({len(missing)}):"
    assert {name.strip() for name in names} <= {prefix + key for key in missing}
    assert len(names) == 5
    assert more.strip() == f"and {len(missing) - 5} more"


@pytest.mark.data
@pytest.mark.parametrize("name", ["tdn_resnet50_8f_174c", "tdn_resnet50_16f_174c", "tdn_resnet101_8f_174c"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_published_key_is_loaded(name: str, prefix: str, reference: Path, tmp_path: Path) -> None:
    shapes = keys(reference, name)
    torch.save(
        {prefix + key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}, tmp_path / "best.pth.tar"
    )
    arch, segments = name.split("_")[1], int(name.split("_")[2][:-1])
    model = checkpoint.load(tmp_path / "best.pth.tar", arch=arch, segments=segments)
    assert model.config == TDNConfig(arch=arch, segments=segments)
    assert all(not value.any() for value in model.state_dict().values())


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_truncated_file_is_named(name: str, keep: int, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
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


def test_missing_file_and_other_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such checkpoint"):
        load(tmp_path / "absent.pth")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="not a TDN"):
        load(tmp_path / "other.pth")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch warns about damaged content
@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "own.safetensors"])
def test_damaged_file_is_refused_or_read(name: str, tmp_path: Path) -> None:
    """One to five bytes are changed, 200 times; PyTorch's reader raises many kinds of exceptions for them."""
    model, path = TDN(TDNConfig(arch="resnet18", classes=2, width=0.125, conv_bias=False)), tmp_path / name
    if name.startswith("own"):
        checkpoint.save(model, path)
    else:
        content = {"state_dict": model.state_dict(), "args": argparse.Namespace(num_segments=8), "best": np.float64(1)}
        torch.save(content, path, _use_new_zipfile_serialization=name.startswith("zip"))
    whole, rng, refused, read = path.read_bytes(), np.random.default_rng(4), 0, 0
    for _ in range(200):
        raw = bytearray(whole)
        for place in rng.integers(0, 60_000, rng.integers(1, 6)):  # where names, shapes and offsets are
            raw[place] = rng.integers(256)
        path.write_bytes(raw)
        try:
            checkpoint.load(path, arch="resnet18", width=0.125, segments=8)
        except ModelError as error:
            refused += name in str(error)
        else:
            read += 1
    assert refused > 50
    assert refused + read == 200


def test_file_without_t_needs_the_option(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """The weights of 8 and of 16 segments have the same shapes, and other logits."""
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"does not state its T.*--segments"):
        checkpoint.load(tmp_path / "w.pth", arch="resnet18", width=0.25)
