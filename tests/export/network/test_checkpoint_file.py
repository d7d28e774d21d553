"""Foreign and hostile files in place of a checkpoint: each is described, and none makes a traceback."""

import argparse
import gzip
import io
import os
import re
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edge_tdn_export.__main__ import main
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.checkpoint_file import read_input
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from safetensors.torch import save_file
from torch import nn

from edge_tdn.errors import ModelError
from edge_tdn.manifest import shipped_models

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 102\n"
PAGE = b'\n<!DOCTYPE html><html lang="en"><head><title>Google Drive - Virus scan warning</title></head></html>'
ADVICE = re.compile(r"weights.only|torch\.load\b|Unsupported operand", re.IGNORECASE)  # PyTorch's, which runs code
HOSTILE = 1000


class Doubling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * 2  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def network() -> TDN:
    torch.manual_seed(1)
    return TDN(TDNConfig(arch="resnet18", classes=2, width=0.125, conv_bias=False))


def saved(content: object) -> bytes:
    torch.save(content, file := io.BytesIO())
    return file.getvalue()


def zipped(*names: str) -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def taped(name: str) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as tape:
        tape.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def scripted() -> bytes:
    torch.jit.save(torch.jit.script(Doubling()), file := io.BytesIO())
    return file.getvalue()


def exported() -> bytes:
    torch.export.save(torch.export.export(Doubling(), (torch.zeros(1, 2),)), file := io.BytesIO())
    return file.getvalue()


def numpy_archive() -> bytes:
    np.savez(file := io.BytesIO(), a=np.zeros(2), b=np.ones(3))
    return file.getvalue()


def onnx_model() -> bytes:
    from onnx import helper

    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    return helper.make_model(graph, producer_name="pytorch").SerializeToString()


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty; download or copy it again"),
    "zeros": (lambda: bytes(5000), "begins with nothing but zeros"),
    "Git LFS pointer": (lambda: LFS, "is a Git LFS pointer, not the file itself; fetch the file with `git lfs pull`"),
    "git-annex pointer": (lambda: b"/annex/objects/SHA256E-s1--ab.pth\n", "git annex get"),
    "web page": (lambda: PAGE, "is a web page, not the file itself; download it again"),
    "web page with a byte order mark": (lambda: b"\xef\xbb\xbf<html><body>Sign in</body></html>", "is a web page"),
    "server's error": (
        lambda: b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        "is an error message of the server",
    ),
    "text": (lambda: b"epoch,loss\n1,0.5\n", "not a checkpoint: neither a file of torch.save nor safetensors"),
    "ONNX": (onnx_model, "is an ONNX model; give the PyTorch weights that it was made of"),
    "OpenVINO": (lambda: b'<?xml version="1.0"?>\n<net name="m" version="11">', "is an OpenVINO model"),
    "gzip": (lambda: gzip.compress(saved({"a.b": torch.ones(2)})), "is compressed with gzip; unpack it"),
    "zip": (lambda: zipped("tdn/best.pth.tar", "README"), "it holds 'tdn/best.pth.tar', 'README'"),
    "tar": (lambda: taped("best.pth"), "is a tar archive; unpack it, and give the checkpoint: it holds"),
    "NumPy archive": (numpy_archive, r"is a NumPy archive \(\.npz\), not a checkpoint"),
    "TorchScript": (scripted, "is a TorchScript program, not weights; in the program that wrote it, save the weights"),
    "exported program": (exported, r"is an exported PyTorch program \(\.pt2\), not weights"),
    "whole module": (
        lambda: saved(Doubling()),
        r"holds a whole module \(.*Doubling\), which is code; .*state_dict\(\)",
    ),
    "half of a file": (
        lambda: saved({"a.b": torch.ones(5000)})[:9000],
        "is incomplete: 9000 bytes, and the end of the archive is missing; download it again",
    ),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(50), "is a picture"),
    "a list": (lambda: saved([1, 2]), "holds no `state_dict` of dense tensors; it holds: list"),
    "other entries": (
        lambda: saved({"epoch": 3, "state_dict": {"a.b": [1]}}),
        r"it holds: 'epoch' \(int\), 'state_dict' \(1 entries, `a.b` is not a dense tensor\)",
    ),
}


@pytest.mark.parametrize("name", ["w.pth.tar", "w.safetensors"])
@pytest.mark.parametrize("kind", FILES)
def test_foreign_file_is_described(kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The content decides, not the name; PyTorch's advice to load the file as code is never repeated."""
    make, message = FILES[kind]
    (tmp_path / name).write_bytes(make())
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    arguments = ["convert", str(tmp_path / name), str(tmp_path / "model"), "--labels", str(tmp_path / "labels.txt")]
    assert main([*arguments, "--segments", "8"]) == 78
    errors = capsys.readouterr().err
    assert re.search(f"{re.escape(name)}: .*{message}", errors), errors
    assert len(errors.splitlines()) == 1
    assert not ADVICE.search(errors)
    assert not (tmp_path / "model").exists()


def test_half_of_a_legacy_or_safetensors_file_is_described(network: TDN, tmp_path: Path) -> None:
    """Whichever function reads it first: `convert` begins with the input that the file states."""
    torch.save(network.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    checkpoint.save(network, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ModelError, match=r"damaged or incomplete.*; download or copy it again") as error:
            checkpoint.load(path, segments=8)
        assert not ADVICE.search(str(error.value))
    with pytest.raises(ModelError, match=r"damaged or incomplete.*; download or copy it again"):
        read_input(path)


def test_folder_in_place_of_a_checkpoint_is_described(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(ModelError) as error:
            checkpoint.load(path, segments=8)
        return str(error.value).removeprefix(f"{path}: ")

    assert message(tmp_path) == "is a folder; give a checkpoint"
    (tmp_path / "best.pth.tar").touch()
    assert message(tmp_path) == "is a folder; give a checkpoint in it, such as 'best.pth.tar'"
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/data.pkl").touch()
    assert message(tmp_path) == "is an unpacked checkpoint; download it again, and do not unpack it"
    assert message(shipped_models() / "motion") == "is a model folder, not a checkpoint: it is converted already"
    os.mkfifo(tmp_path / "pipe")
    assert message(tmp_path / "pipe") == "not a regular file; name a file"  # and does not wait for a writer


# --- hostile files --------------------------------------------------------------------------------------------------


def mutated_names(state: dict[str, Any], rng: np.random.Generator) -> Any:
    """Return the content of a checkpoint with other entries, names, prefixes and values."""
    state = dict(state)
    for _ in range(rng.integers(1, 5)):
        name = str(rng.choice([name for name, value in state.items() if isinstance(value, torch.Tensor)]))
        value = state.pop(name)
        match rng.integers(8):
            case 0:
                state[str(rng.choice(["", ".", "..", "a" * 5000, "\x1b[2J", "module", "module.", "\udc80"]))] = value
            case 1:
                state[f"module.{name}"] = value
            case 2:
                state[name] = rng.choice([None, 3, "x"])  # type: ignore[call-overload]
            case 3:
                state[name] = torch.zeros(tuple(rng.integers(0, 4, rng.integers(0, 6))))
            case 4:
                state[name] = value.to(torch.complex64 if rng.integers(2) else torch.int8)
            case 5:
                state[name] = {name: value}
            case 6:
                state[name] = value.fill_(torch.nan) if value.is_floating_point() else value
            case _:
                pass  # the entry is missing
    prefix = str(rng.choice(["", "module.", "model.", "ema_model.", ".", "backbone.", "a.b.c.d."]))
    state = {f"{prefix}{name}": value for name, value in state.items()}
    entries = ["state_dict", "model", "model_ema", "ema", "net", "", "optimizer", "\n"]
    chosen = rng.choice(entries, rng.integers(0, 4), replace=False)
    whole: dict[Any, Any] = {str(entry): state for entry in chosen} or state
    if rng.integers(4) == 0:
        whole["args"] = argparse.Namespace(num_segments=rng.choice([8, -1, 10**12]), root=Path("/x"))
    if rng.integers(8) == 0:
        whole[3] = state
    return whole if rng.integers(10) else [whole, state]


def mutated_bytes(raw: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with changed, missing, repeated or foreign bytes, mostly at its beginning or its end."""
    content = bytearray(raw)
    for _ in range(rng.integers(1, 6)):
        near = int(rng.choice([64, 2000, len(content)]))
        place = int(rng.integers(min(near, len(content)))) if rng.integers(2) else -int(rng.integers(1, near + 1))
        match rng.integers(5):
            case 0:
                content[place % len(content)] = rng.integers(256)
            case 1:
                content[place % len(content)] ^= 1 << int(rng.integers(8))
            case 2:
                content = content[: max(1, place % len(content))]
            case 3:
                content[place:place] = rng.bytes(int(rng.choice([1, 8, 500])))
            case _:
                content[place:place] = [LFS, PAGE, b"PK\x03\x04", b"\x80\x02", b"cos\nsystem\n", b"{"][rng.integers(6)]
    return bytes(content)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch warns about damaged content
def test_hostile_checkpoints_are_refused_or_read(
    network: TDN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1,000 files with mutated bytes or entries: each is read or refused with a ModelError that names the file."""
    rng, outcomes, wrong = np.random.default_rng(16), Counter[str](), list[str]()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(state, legacy := io.BytesIO(), _use_new_zipfile_serialization=False)
    save_file(dict(network.state_dict()), tmp_path / "own")
    whole = {"zip": saved({"state_dict": state}), "legacy": legacy.getvalue(), "own": (tmp_path / "own").read_bytes()}
    for number in range(HOSTILE):
        path = tmp_path / f"{number}.{rng.choice(['pth', 'safetensors', 'ckpt'])}"
        copy = {name: value.clone() for name, value in state.items()}
        kind = str(rng.choice([*whole, "entries", "entries"]))
        raw = saved(mutated_names(copy, rng)) if kind == "entries" else mutated_bytes(whole[kind], rng)
        path.write_bytes(raw)
        entry = str(rng.choice(["", "", "", "model", "ema"]))
        try:
            checkpoint.load(path, entry, arch="resnet18", width=0.125, segments=8)
            outcomes["read"] += 1
        except ModelError as error:
            outcomes["refused"] += 1
            wrong += [str(error)] if str(path) not in str(error) or ADVICE.search(str(error)) else []
        path.unlink()
    with capsys.disabled():
        sys.stdout.write(f"\n{HOSTILE} hostile checkpoints: {dict(outcomes)}, 0 tracebacks ")
    assert wrong == []
    assert outcomes.total() == HOSTILE
    assert min(outcomes["read"], outcomes["refused"]) > 20
