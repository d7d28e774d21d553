"""Export: two graphs that compute what PyTorch computes, in a folder that is whole or not there."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec, Model, open_model
from edge_tdn.runtime import open_runtime
from export import checkpoint
from export.__main__ import main
from export.convert import Recipe, convert, moving_grating, whole
from export.tdn import TDN, TDNConfig

SPEC = InputSpec(segments=8, height=64, width=64, resize="stretch", frame_rate=12.0, segment_stride=3)
LABELS = ("one", "two", "three")


@pytest.fixture(scope="module")
def network() -> TDN:
    torch.manual_seed(5)
    model = TDN(TDNConfig(arch="resnet18", segments=8, classes=3, width=0.25, conv_bias=False))
    torch.nn.init.normal_(model.linear.weight)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            module.running_mean = torch.randn_like(module.bias) * 0.1  # type: ignore[assignment]
    return model.eval()


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.fixture(scope="module")
def exported(network: TDN, labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "model"
    convert(network, Recipe("small", labels, SPEC, background=("one",)), out)
    return out


def test_a_sliding_window_of_the_two_graphs_equals_the_whole_network(network: TDN, exported: Path) -> None:
    """Encoded once per segment, classified per hop, and after the ring has wrapped around twice."""
    model = open_model(exported)
    runtime = open_runtime(model)
    ring = runtime.ring()
    rng = np.random.default_rng(0)
    segments = rng.integers(0, 256, (20, 5, 64, 64, 3), np.uint8)
    for n, frames in enumerate(segments):
        runtime.encode(frames, ring)
        if n >= 7:
            expected = whole(network, segments[n - 7 : n + 1], SPEC)
            error = np.abs(runtime.classify(ring) - expected).max()
            assert error <= 1e-4 * np.abs(expected).max()
    runtime.close()


def test_the_folder_says_everything_about_itself(network: TDN, exported: Path) -> None:
    model = open_model(exported)
    manifest = model.manifest
    assert model.labels == LABELS
    assert manifest.input == SPEC
    assert TDNConfig(**manifest.network) == network.config  # type: ignore[arg-type]
    assert manifest.background == ("one",)
    assert manifest.parity["fp32"].max_abs_logit_error <= 1e-4 * manifest.parity["fp32"].largest_logit
    listed = {"manifest.json", *manifest.files}
    assert listed == {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    with np.load(exported / "golden.npz") as golden:
        assert golden["clip"].shape == (8, 5, 64, 64, 3)
        assert np.allclose(golden["logits"], whole(network, golden["clip"], SPEC), atol=1e-5)


def test_the_written_weights_are_the_network(network: TDN, exported: Path) -> None:
    again = checkpoint.load(exported / "weights.safetensors", arch="resnet18", segments=8, width=0.25)
    clip = moving_grating(SPEC)
    assert np.array_equal(whole(again, clip, SPEC), whole(network, clip, SPEC))


def test_an_existing_folder_is_left_alone(network: TDN, labels: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="exists already"):
        convert(network, Recipe("small", labels, SPEC), tmp_path / "out")


@pytest.mark.parametrize("content", [b"one\ntwo\n", b"one\ntwo\ntwo\n", b"one\n\ntwo\n", b"one\ntw\xf6\nthree\n"])
def test_labels_that_do_not_fit_leave_nothing_behind(network: TDN, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ModelError, match=r"labels\.txt"):
        convert(network, Recipe("small", tmp_path / "labels.txt", SPEC), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_an_interrupted_export_leaves_nothing_behind(network: TDN, labels: Path, tmp_path: Path) -> None:
    def interrupt(what: str) -> None:
        if "head" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(network, Recipe("small", labels, SPEC), tmp_path / "out", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_converts(
    network: TDN, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    arguments = ["convert", f"{tmp_path}/w.safetensors", f"{tmp_path}/m", "--arch", "resnet18", "--width", "0.25",
                 "--labels", str(labels), "--size", "64", "--frame-rate", "25", "--segment-stride", "8"]  # fmt: skip
    assert main(arguments) == 0
    assert "of the largest logit from PyTorch" in capsys.readouterr().out
    model = open_model(tmp_path / "m")
    assert model.manifest.input.short_side == 73
    assert model.manifest.source["sha256"] == checkpoint.sha256(tmp_path / "w.safetensors")
    assert main(arguments) == 78
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments[:2], f"{tmp_path}/n", *arguments[3:], "--segment-stride", "0"]) == 78
    assert "segment_stride" in capsys.readouterr().err


def test_the_shipped_model_equals_its_weights(motion: Model) -> None:
    """On a clip that is not its golden one."""
    network = checkpoint.load(motion.folder / "weights.safetensors", arch="resnet18", segments=8, width=0.5)
    clip = np.random.default_rng(2).integers(0, 256, (8, 5, 96, 96, 3), np.uint8)
    runtime = open_runtime(motion)
    ring = runtime.ring()
    for frames in clip:
        runtime.encode(frames, ring)
    expected = whole(network, clip, motion.manifest.input)
    assert np.abs(runtime.classify(ring) - expected).max() <= 1e-4 * np.abs(expected).max()
    runtime.close()


def test_the_manifest_is_json_that_people_can_read(exported: Path) -> None:
    content = json.loads((exported / "manifest.json").read_text())
    assert content["schema"] == 1
    assert content["input"]["frame_rate"] == 12.0
