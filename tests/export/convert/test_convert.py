"""Export: two graphs that compute what PyTorch computes, in a folder that is written whole or not at all."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
import torch
from edge_tdn_export.commands.output import print_golden_errors
from edge_tdn_export.convert.convert import Recipe, convert, measure_golden, moving_grating, open_any, whole
from edge_tdn_export.convert.graphs import channels_last
from edge_tdn_export.convert.precisions import PRECISIONS
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.checkpoint_file import read_input
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import normalise

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import WEIGHTS, Model, open_model
from tests.conftest import HAS_BF16, needs_bf16
from tests.support.exports import LABELS, SPEC, SmallModel, export, noise, relative_error, sliding_error, write_labels
from tests.support.networks import T_CONV, TSM, TSN, small_network
from tests.support.waiting import PROGRAM_S

pytestmark = pytest.mark.usefixtures("one_thread")
LIMIT = {"fp32": 1e-4, "onnx": 1e-4, "fp16": 2e-2, "bf16": 2e-2}  # of the largest logit


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize("precision", ["fp32", "onnx", "fp16", pytest.param("bf16", marks=needs_bf16)])
def test_sliding_window_of_the_two_graphs_equals_the_whole_network(precision: str, small_model: SmallModel) -> None:
    """The error stays within the limit after the ring has wrapped around twice."""
    runtime = open_any(open_model(small_model.folder), precision)
    assert sliding_error(runtime, small_model.network, noise(20)) <= LIMIT[precision]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "graph", "node"),
    [
        pytest.param(TSN, "head", "linear", id="TSN"),
        pytest.param({**TSN, "pooling": "statistics"}, "head", "abs", id="TSN with statistics"),
        pytest.param({"ltdm_stages": (3,), "shrink": 2}, "encoder", "avg_pool2d", id="on smaller pictures"),
        pytest.param(T_CONV, "head", "res3.0.temporal/conv2d", id="T-Conv"),
        pytest.param(TSM, "head", "res3.0.temporal/conv2d", id="TSM"),
        pytest.param({**TSM, "temporal": "online_shift"}, "head", "res3.0.temporal/conv2d", id="TSM online"),
        pytest.param(
            {"stdm_fusion": "attention", "upsample": "bilinear", "ltdm_multiscale": False},
            "encoder",
            "sigmoid",
            id="attention, bilinear",
        ),
        pytest.param(
            {"ltdm_stages": (2,), "stdm_stages": (1, 2, 3), "ltdm_bidirectional": False, "ltdm_attention": False},
            "head",
            "res2.1.ltdm/sub",
            id="L-TDM in stage 2, S-TDM to stage 3",
        ),
    ],
)
def test_each_family_of_variants_exports(options: dict[str, Any], graph: str, node: str, tmp_path: Path) -> None:
    """Features, configuration, node names and logits of the exported variant are those of the network."""
    variant = small_network(width=0.125, classes=3, **options)
    model = open_model(export(variant, tmp_path / "model", precisions=("fp32",)))
    assert list(model.build("fp32").graphs[0].features) == list(variant.features)
    assert TDNConfig.of(dict(model.manifest.members[0].network)) == variant.config
    assert checkpoint.load(tmp_path / "model/weights.safetensors").config == variant.config
    assert any(node in name for name in names_in(tmp_path / f"model/fp32/{graph}.xml"))
    assert sliding_error(open_runtime(model), variant, noise(12)) <= LIMIT["fp32"]


def names_in(graph: Path) -> set[str]:
    """Return the names of the nodes of an IR or ONNX graph."""
    if graph.suffix == ".onnx":
        return {node.name for node in onnx.load(graph).graph.node}
    return {node.get_friendly_name() for node in ov.Core().read_model(graph).get_ops()}


@pytest.mark.parametrize("graph", ["fp32/{}.xml", "fp16/{}.xml", "onnx/{}.onnx"])
def test_nodes_are_named_after_the_modules(graph: str, small_model: SmallModel) -> None:
    """Reports name the node at which a precision diverges after the modules of `edge_tdn_export.network.tdn`."""
    exported = small_model.folder
    ltdm = {"res3.0.ltdm/sub", "res3.0.ltdm/tanh", "res5.1.ltdm/sub"}
    assert ltdm | {"res3.0.temporal/conv2d", "res4.1.temporal/conv2d"} <= names_in(exported / graph.format("head"))
    assert {"stdm/sub"} <= names_in(exported / graph.format("encoder"))


def test_manifest_describes_the_folder(small_model: SmallModel) -> None:
    """The manifest has the labels, input, network, errors and tools, and lists every file of the folder."""
    network, exported = small_model.network, small_model.folder
    model = open_model(exported)
    manifest = model.manifest
    assert model.labels == LABELS
    assert manifest.input == SPEC
    assert manifest.background == ("one",)
    assert [TDNConfig.of(dict(member.network)) for member in manifest.members] == [network.config]
    assert tuple(manifest.precisions) == PRECISIONS
    errors = {name: build.golden_error for name, build in manifest.precisions.items()}
    if not HAS_BF16:  # a host that has BF16 will measure it
        assert errors.pop("bf16") is None
    else:
        assert errors["bf16"] > errors["fp32"]
    for name in LIMIT.keys() & errors:
        assert errors[name] <= LIMIT[name]
    assert manifest.parity == {}  # written by `edge-tdn-export parity` only
    assert {"torch", "onnx", "openvino", "edge-tdn"} <= set(manifest.tools)
    listed = {"manifest.json", *manifest.files}
    assert listed == {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    with np.load(exported / "golden.npz") as golden:
        assert golden["clip"].shape == (8, 5, 64, 64, 3)
        assert np.array_equal(golden["logits"], whole(network, golden["clip"], SPEC))


def test_written_weights_are_the_network(small_model: SmallModel) -> None:
    network, exported = small_model.network, small_model.folder
    again = checkpoint.load(exported / WEIGHTS)
    assert read_input(exported / WEIGHTS) == SPEC
    assert again.config == network.config
    clip = moving_grating(SPEC)
    assert np.array_equal(whole(again, clip, SPEC), whole(network, clip, SPEC))


def test_bf16_runs_the_graphs_of_fp32(small_model: SmallModel) -> None:
    exported = small_model.folder
    builds = open_model(exported).manifest.precisions
    assert builds["bf16"].graphs == builds["fp32"].graphs
    folders = {path.name for path in exported.iterdir() if path.is_dir()}
    assert folders == {"fp32", "fp16", "onnx", "cuda-fp32", "cuda-fp16", "cuda-bf16"}


def test_fp16_is_stored_in_half_the_size(small_model: SmallModel) -> None:
    exported = small_model.folder
    size = {name: sum(path.stat().st_size for path in (exported / name).glob("*.bin")) for name in ("fp32", "fp16")}
    assert size["fp16"] / size["fp32"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("half", ["encoder", "head"])
def test_onnx_graphs_are_valid_single_files(half: str, small_model: SmallModel) -> None:
    """The graphs have opset 17 or newer, hold their own weights, and pass onnx's checker."""
    path = small_model.folder / "onnx" / f"{half}.onnx"
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.load(path, load_external_data=False)
    assert {o.domain: o.version for o in graph.opset_import}[""] >= 17
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in graph.graph.initializer)


def test_encoder_takes_uint8_segments_in_batches_of_any_size(small_model: SmallModel) -> None:
    """In both formats, a batch of three segments of camera pixels gives PyTorch's features; the graph normalises."""
    network, exported = small_model.network, small_model.folder
    frames = noise(3)
    with torch.inference_mode():
        expected = network.encode(normalise(torch.from_numpy(frames)))
    session = onnxruntime.InferenceSession(exported / "onnx/encoder.onnx", providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.type, taken.shape[1:]) == ("tensor(uint8)", [5, 64, 64, 3])
    graph = ov.Core().read_model(exported / "fp32/encoder.xml")
    assert graph.input(0).element_type == ov.Type.u8
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for features in (session.run(None, {"frames": frames}), list(compiled(frames).values())):
        for feature, tensor in zip(features, expected, strict=True):
            assert feature.shape == channels_last(tensor).shape
            assert relative_error(feature, channels_last(tensor).numpy()) <= 1e-4


WITHOUT_EXPORTER = """
import sys
from pathlib import Path

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("edge_tdn_export", "edge_tdn_training"):
            raise ImportError(name + " is not on this host")

sys.meta_path.insert(0, Refuse())
import numpy as np
from edge_tdn.manifest import open_model
from edge_tdn.inference.self_test import scores
from edge_tdn.inference.cuda import CudaRuntime

model = open_model(Path(sys.argv[1]))
for precision in sys.argv[2:]:
    graphs = model.build("cuda-" + precision).graphs[0]
    runtime = CudaRuntime(model, graphs, 8, precision, device="cpu", largest=1)
    np.save(precision + ".npy", scores(runtime, np.load("clip.npy")))
"""


def test_cuda_programs_load_without_the_exporter(small_model: SmallModel, tmp_path: Path) -> None:
    """A host with PyTorch and without the exporter loads the programs and gets their logits; here on the CPU."""
    precisions = ("fp32", "bf16")
    clip = noise(8, seed=3)
    np.save(tmp_path / "clip.npy", clip)
    program = [sys.executable, "-c", WITHOUT_EXPORTER, small_model.folder, *precisions]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=PROGRAM_S)
    assert done.returncode == 0, done.stderr
    expected = whole(small_model.network, clip, SPEC)
    for precision in precisions:
        assert relative_error(np.load(tmp_path / f"{precision}.npy"), expected) <= LIMIT[precision], precision


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_existing_files_and_folders_are_not_touched(
    make: Any, small_model: SmallModel, labels: Path, tmp_path: Path
) -> None:
    make(tmp_path / "out")
    before = (tmp_path / "out").stat()
    with pytest.raises(ModelError, match="exists already"):
        convert(small_model.network, Recipe("small", labels, SPEC), tmp_path / "out")
    assert (tmp_path / "out").stat() == before
    assert {path.name for path in tmp_path.rglob("*")} == {"out", "labels.txt"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\ntwo\n", "2 labels, but the model has 3 classes"),
        (b"one\ntwo\nthree\nfour\n", "4 labels, but the model has 3 classes"),
        (b"one\ntwo\ntwo\n", ":3: duplicate label 'two'"),
        (b"one\n\ntwo\n", ":2: empty label"),
        (b"one\ntw\xf6\nthree\n", r"not UTF-8 \(byte 6\)"),
        (b"", "is empty"),
    ],
)
def test_wrong_labels_leave_nothing_behind(
    content: bytes, message: str, small_model: SmallModel, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises((ConfigError, ModelError), match=rf"labels\.txt.*{message}"):
        convert(small_model.network, Recipe("small", tmp_path / "labels.txt", SPEC), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_missing_labels_file_is_named(small_model: SmallModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.txt: No such file"):
        convert(small_model.network, Recipe("small", tmp_path / "gone.txt", SPEC), tmp_path / "out")


def test_input_with_another_number_of_segments_than_the_network_is_refused(
    small_model: SmallModel, labels: Path, tmp_path: Path
) -> None:
    spec = SPEC.model_copy(update={"segments": 16})
    with pytest.raises(ModelError, match="the input has 16 segments, the network 8"):
        convert(small_model.network, Recipe("small", labels, spec), tmp_path / "out")


@pytest.mark.parametrize("at", ["weights", "fp32 against"])
def test_interrupted_export_leaves_nothing_behind(at: str, labels: Path, tmp_path: Path) -> None:
    def interrupt(what: str) -> None:
        if what.startswith(at):
            raise KeyboardInterrupt

    recipe = Recipe("small", labels, SPEC, precisions=("fp32",))
    with pytest.raises(KeyboardInterrupt):
        convert(small_network(width=0.125, classes=len(LABELS), **TSN), recipe, tmp_path / "out", interrupt)
    assert list(tmp_path.iterdir()) == [labels]


def test_precision_that_cannot_run_here_is_written_without_golden_error(
    small_model: SmallModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(small_model.folder, tmp_path / "m")
    manifest = open_model(folder).manifest
    builds = {name: build.model_copy(update={"golden_error": None}) for name, build in manifest.precisions.items()}
    monkeypatch.setattr("edge_tdn_export.convert.convert.processor_can", lambda precision: precision != "bf16")
    unmeasured = manifest.model_copy(update={"precisions": builds})
    measured = measure_golden(folder, unmeasured, ["fp32", "bf16"], lambda what: None)
    print_golden_errors(folder, measured)
    assert "bf16, golden clip: this machine cannot run it" in capsys.readouterr().out
    builds = open_model(folder).manifest.precisions
    assert builds == measured.precisions
    assert builds["bf16"].golden_error is None
    assert builds["fp32"].golden_error is not None
    assert builds["fp32"].golden_error <= 1e-4


def test_shipped_model_equals_its_weights(motion: Model) -> None:
    """The shipped FP32 graphs give the logits of the shipped weights on a random clip, which is not the golden one."""
    network = checkpoint.load(motion.folder / "weights.safetensors", arch="resnet18", segments=8, width=0.5)
    clip = np.random.default_rng(2).integers(0, 256, (8, 5, 96, 96, 3), np.uint8)
    runtime = open_runtime(motion)
    expected = whole(network, clip, motion.manifest.input)
    assert relative_error(scores(runtime, clip), expected) <= 1e-4
    runtime.close()


def test_manifest_is_readable_json(small_model: SmallModel) -> None:
    content = json.loads((small_model.folder / "manifest.json").read_text())
    assert content["schema"] == 1
    assert content["input"]["frame_rate"] == 12.0
    assert content["precisions"]["bf16"]["graphs"][0]["encoder"] == "fp32/encoder.xml"
