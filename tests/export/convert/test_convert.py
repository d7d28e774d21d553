"""Export: two graphs that compute what PyTorch computes, in a folder that is whole or not there."""

import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
import torch
from edge_tdn_export.__main__ import main
from edge_tdn_export.convert.convert import Recipe, channels_last, convert, moving_grating, open_any, steps, whole
from edge_tdn_export.convert.model_folder import whole_or_nothing
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN, TDNConfig, normalise
from numpy.typing import NDArray
from safetensors.torch import save_file

from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import InputSpec, Model, open_model
from tests.conftest import HAS_BF16, needs_bf16
from tests.export.network.test_tdn import T_CONV, TSN, small

pytestmark = pytest.mark.usefixtures("one_thread")
SPEC = InputSpec(segments=8, height=64, width=64, resize="stretch", frame_rate=12.0, segment_stride=3)
LABELS = ("one", "two", "three")
PRECISIONS = ("fp32", "fp16", "bf16", "onnx", "cuda-fp32", "cuda-bf16")
LIMIT = {"fp32": 1e-4, "onnx": 1e-4, "fp16": 2e-2, "bf16": 2e-2}  # of the largest logit


@pytest.fixture(scope="module")
def network() -> TDN:
    return small(width=0.125, classes=3)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.fixture(scope="module")
def exported(network: TDN, labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network in every precision."""
    out, said = tmp_path_factory.mktemp("export") / "model", []
    recipe = Recipe("small", labels, SPEC, background=("one",), precisions=PRECISIONS)
    convert(network, recipe, out, said.append)
    assert len(said) == steps(PRECISIONS)
    return out


def noise(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Segments uint8 [count, 5, 64, 64, 3] that look nothing like the golden clip."""
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 64, 64, 3), np.uint8)


def sliding_error(runtime: Runtime, network: TDN, segments: NDArray[np.uint8]) -> float:
    """Encoded once per segment, classified per hop: the worst of all windows, relative to its largest logit."""
    ring, errors = runtime.ring(), []
    for n, frames in enumerate(segments):
        runtime.encode([frames], [ring])
        if ring.full:
            expected = whole(network, segments[n - 7 : n + 1], SPEC)
            errors.append(np.abs(runtime.classify([ring])[0] - expected).max() / np.abs(expected).max())
    runtime.close()
    assert len(errors) == len(segments) - 7
    return float(max(errors))


@pytest.mark.parametrize("precision", ["fp32", "onnx", "fp16", pytest.param("bf16", marks=needs_bf16)])
def test_a_sliding_window_of_the_two_graphs_equals_the_whole_network(
    precision: str, network: TDN, exported: Path
) -> None:
    """In every precision, and after the ring has wrapped around twice."""
    assert sliding_error(open_any(open_model(exported), precision), network, noise(20)) <= LIMIT[precision]


@pytest.mark.parametrize(
    ("options", "graph", "node"),
    [
        pytest.param(TSN, "head", "linear", id="TSN"),
        pytest.param(T_CONV, "head", "res3.0.temporal/conv2d", id="T-Conv"),
        pytest.param(
            {"stdm_fusion": "attention", "upsample": "bilinear", "ltdm_multiscale": False}, "encoder", "sigmoid",
            id="attention, bilinear",
        ),
        pytest.param(
            {"ltdm_stages": (2,), "stdm_stages": (1, 2, 3), "ltdm_bidirectional": False, "ltdm_attention": False},
            "head", "res2.1.ltdm/sub", id="L-TDM in stage 2, S-TDM to stage 3",
        ),
    ],
)  # fmt: skip
def test_each_family_of_variants_exports(
    options: dict[str, Any], graph: str, node: str, labels: Path, tmp_path: Path
) -> None:
    variant = small(width=0.125, classes=3, **options)
    convert(variant, Recipe("variant", labels, SPEC, precisions=("fp32",)), tmp_path / "model")
    model = open_model(tmp_path / "model")
    assert list(model.build("fp32").graphs[0].features) == list(variant.features)
    assert TDNConfig.of(dict(model.manifest.members[0].network)) == variant.config
    assert checkpoint.load(tmp_path / "model/weights.safetensors").config == variant.config
    assert any(node in name for name in names_in(tmp_path / f"model/fp32/{graph}.xml"))
    assert sliding_error(open_runtime(model), variant, noise(12)) <= LIMIT["fp32"]


def names_in(graph: Path) -> set[str]:
    """Names of an IR's or ONNX graph's nodes."""
    if graph.suffix == ".onnx":
        return {node.name for node in onnx.load(graph).graph.node}
    return {node.get_friendly_name() for node in ov.Core().read_model(graph).get_ops()}


@pytest.mark.parametrize("graph", ["fp32/{}.xml", "fp16/{}.xml", "onnx/{}.onnx"])
def test_nodes_are_named_after_the_modules(graph: str, exported: Path) -> None:
    """So that a report can say where a precision goes astray, in the words of `edge_tdn_export.network.tdn`."""
    ltdm = {"res3.0.ltdm/sub", "res3.0.ltdm/tanh", "res5.1.ltdm/sub"}
    assert ltdm | {"res3.0.temporal/conv2d", "res4.1.temporal/conv2d"} <= names_in(exported / graph.format("head"))
    assert {"stdm/sub"} <= names_in(exported / graph.format("encoder"))


def test_the_folder_says_everything_about_itself(network: TDN, exported: Path) -> None:
    model = open_model(exported)
    manifest = model.manifest
    assert model.labels == LABELS
    assert manifest.input == SPEC
    assert manifest.background == ("one",)
    assert [TDNConfig.of(dict(member.network)) for member in manifest.members] == [network.config]
    assert tuple(manifest.precisions) == PRECISIONS
    errors = {name: build.golden_error for name, build in manifest.precisions.items()}
    if not HAS_BF16:  # which a host that has it will try
        assert errors.pop("bf16") is None
    else:
        assert errors["bf16"] > errors["fp32"]
    for name in LIMIT.keys() & errors:
        assert errors[name] <= LIMIT[name]
    assert manifest.parity == {}  # that is for `edge-tdn-export parity` to say
    assert {"torch", "onnx", "openvino", "edge-tdn"} <= set(manifest.tools)
    listed = {"manifest.json", *manifest.files}
    assert listed == {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    with np.load(exported / "golden.npz") as golden:
        assert golden["clip"].shape == (8, 5, 64, 64, 3)
        assert np.array_equal(golden["logits"], whole(network, golden["clip"], SPEC))


def test_the_written_weights_are_the_network(network: TDN, exported: Path) -> None:
    again = checkpoint.load(exported / "weights.safetensors")
    assert again.config == network.config
    clip = moving_grating(SPEC)
    assert np.array_equal(whole(again, clip, SPEC), whole(network, clip, SPEC))


def test_bf16_runs_the_graphs_of_fp32(exported: Path) -> None:
    builds = open_model(exported).manifest.precisions
    assert builds["bf16"].graphs == builds["fp32"].graphs
    folders = {path.name for path in exported.iterdir() if path.is_dir()}
    assert folders == {"fp32", "fp16", "onnx", "cuda-fp32", "cuda-bf16"}


def test_fp16_is_stored_in_half_the_size(exported: Path) -> None:
    size = {name: sum(path.stat().st_size for path in (exported / name).glob("*.bin")) for name in ("fp32", "fp16")}
    assert size["fp16"] / size["fp32"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("half", ["encoder", "head"])
def test_onnx_graphs_are_valid_and_whole(half: str, exported: Path) -> None:
    """Opset 17 or newer, in one file each, accepted by onnx's own checker."""
    path = exported / "onnx" / f"{half}.onnx"
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.load(path, load_external_data=False)
    assert {o.domain: o.version for o in graph.opset_import}[""] >= 17
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in graph.graph.initializer)


def test_the_encoder_takes_uint8_segments_in_batches_of_any_size(network: TDN, exported: Path) -> None:
    """In both formats: the pixels as a camera gives them, normalised inside the graph; three at once are three."""
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
            wanted = channels_last(tensor).numpy()
            assert feature.shape == wanted.shape
            assert np.abs(feature - wanted).max() <= 1e-4 * np.abs(wanted).max()


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
runtime = CudaRuntime(model, model.build("cuda-" + sys.argv[2]).graphs[0], 8, sys.argv[2], device="cpu", largest=1)
np.save(sys.argv[4], scores(runtime, np.load(sys.argv[3])))
"""


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), ("bf16", 2e-2)])
def test_the_cuda_program_loads_without_the_exporter(
    precision: str, limit: float, network: TDN, exported: Path, tmp_path: Path
) -> None:
    """On a host that has PyTorch and nothing of the export; here on its processor."""
    clip = noise(8, seed=3)
    np.save(tmp_path / "clip.npy", clip)
    program = [sys.executable, "-c", WITHOUT_EXPORTER, exported, precision, "clip.npy", "logits.npy"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    expected = whole(network, clip, SPEC)
    assert np.abs(np.load(tmp_path / "logits.npy") - expected).max() <= limit * np.abs(expected).max()


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_exists_already_is_left_alone(make: Any, network: TDN, labels: Path, tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = (tmp_path / "out").stat()
    with pytest.raises(ModelError, match="exists already"):
        convert(network, Recipe("small", labels, SPEC), tmp_path / "out")
    assert (tmp_path / "out").stat() == before
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"one\ntwo\n", "2 labels, but the model has 3 classes"),
        (b"one\ntwo\nthree\nfour\n", "4 labels, but the model has 3 classes"),
        (b"one\ntwo\ntwo\n", ":3: duplicate label 'two'"),
        (b"one\n\ntwo\n", ":2: empty label"),
        (b"one\ntw\xf6\nthree\n", r"not UTF-8 \(byte 6\)"),
        (b"", ":1: empty label"),
    ],
)
def test_labels_that_do_not_fit_leave_nothing_behind(network: TDN, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ModelError, match=rf"labels\.txt.*{said}"):
        convert(network, Recipe("small", tmp_path / "labels.txt", SPEC), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_labels_that_are_not_there_are_named(network: TDN, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.txt: No such file"):
        convert(network, Recipe("small", tmp_path / "gone.txt", SPEC), tmp_path / "out")


def test_clips_of_another_length_than_the_networks_are_refused(network: TDN, labels: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"segments": 16})
    with pytest.raises(ModelError, match="the input has 16 segments, the network 8"):
        convert(network, Recipe("small", labels, spec), tmp_path / "out")


@pytest.mark.parametrize("at", ["weights", "fp32 against"])
def test_an_interrupted_export_leaves_nothing_behind(at: str, network: TDN, labels: Path, tmp_path: Path) -> None:
    def interrupt(what: str) -> None:
        if what.startswith(at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(network, Recipe("small", labels, SPEC, precisions=("fp32",)), tmp_path / "out", interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def arguments(network: TDN, labels: Path, tmp_path: Path) -> list[str]:
    """A command line that writes `m`, of weights that say nothing about themselves."""
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    return ["convert", f"{tmp_path}/w.safetensors", f"{tmp_path}/m", "--arch", "resnet18", "--width", "0.125",
            "--segments", "8", "--labels", str(labels), "--size", "64", "--frame-rate", "25",
            "--segment-stride", "8"]  # fmt: skip


def test_the_command_line_converts(
    arguments: list[str], labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels as a Windows editor saves them included."""
    (tmp_path / "bom.txt").write_bytes("\ufeff".encode() + "\r\n".join(LABELS).encode())
    arguments[arguments.index(str(labels))] = f"{tmp_path}/bom.txt"
    assert main([*arguments, "--background", "one"]) == 0
    assert "of the largest logit from PyTorch" in capsys.readouterr().out
    model = open_model(tmp_path / "m")
    assert model.labels == LABELS
    assert model.manifest.input.short_side == 73
    assert list(model.manifest.precisions) == ["fp32", "bf16"]
    source = {"file": "w.safetensors", "sha256": checkpoint.sha256(tmp_path / "w.safetensors")}
    assert model.manifest.members[0].source == source
    assert main(arguments) == 78
    assert "exists already" in capsys.readouterr().err


def test_what_this_processor_cannot_try_is_left_to_a_host_that_can(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_tdn_export.convert.convert.processor_can", lambda precision: precision != "bf16")
    assert main(arguments) == 0
    assert "bf16, not tried: nothing here computes in it on the golden clip" in capsys.readouterr().out
    builds = open_model(tmp_path / "m").manifest.precisions
    assert builds["bf16"].golden_error is None
    assert builds["fp32"].golden_error <= LIMIT["fp32"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--segment-stride", "0"], "segment_stride"),
        (["--size", "32"], "the network cannot take pictures of 32x32"),
        (["--arch", "resnet34"], "missing ("),
        (["--width", "0.25"], "misshapen ("),
        (["--ltdm-stages", "3", "4"], "unexpected ("),
        (["--no-ltdm-multiscale"], "res3.0.ltdm.fine.weight"),
        (["--stdm-stages", "7"], "stdm_stages 7 is not known; allowed: 1 to 5"),
    ],
)
def test_what_does_not_fit_is_exit_78_and_nothing_written(
    more: list[str], said: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *more]) == 78
    told = capsys.readouterr().err
    assert re.search("^edge-tdn-export: ", told, re.M)
    assert "Traceback" not in told
    assert said in told
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_that_are_not_finite_are_exit_78_and_nothing_written(
    network: TDN, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["res4.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    assert main(arguments) == 78
    assert "1 entries are not finite, the first is res4.0.conv1.weight" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def environment(folder: Path) -> dict[str, str]:
    """With a TMPDIR of its own, so that what stays there is seen; one thread, as above."""
    (folder / "tmp").mkdir()
    return {**os.environ, "TMPDIR": f"{folder}/tmp", "OMP_NUM_THREADS": "1"}


def left_in(folder: Path) -> list[str]:
    """Everything below a folder, but for the mark that OpenVINO's telemetry leaves in TMPDIR."""
    return sorted(path.name for path in folder.rglob("*") if path.name != ".ses")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_behind(number: signal.Signals, arguments: list[str], tmp_path: Path) -> None:
    """In the middle of the real command, when its scratch folder has its first files."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_tdn_export", *arguments], stderr=subprocess.PIPE, text=True,
        env=environment(tmp_path),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".m-*/golden.npz")):
        assert process.poll() is None, "ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert told.splitlines()[-1] == "edge-tdn-export: stopped, nothing written"
    assert "Traceback" not in told
    assert left_in(tmp_path) == ["tmp", "w.safetensors"]


def test_what_a_crash_left_is_removed(tmp_path: Path) -> None:
    """Of this model and host alone, and of nobody who is alive."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    node = platform.node()
    names = [
        f".m-{node}-{dead.pid}",
        f".m-{node}-{os.getppid()}",
        f".m-elsewhere-{dead.pid}",
        f".other-{node}-{dead.pid}",
    ]
    for name in names:
        (tmp_path / name / "fp32").mkdir(parents=True)
    with whole_or_nothing(tmp_path / "m") as scratch:
        (scratch / "labels.txt").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"m", *names[1:]}


@pytest.mark.parametrize(
    "largest", [pytest.param(100_000, id="the weights do not fit"), pytest.param(1_200_000, id="nor CUDA's program")]
)
def test_a_full_disk_leaves_nothing_half_written(largest: int, arguments: list[str], tmp_path: Path) -> None:
    """No file may grow beyond `largest`: writing to it fails as it does on a full disk."""

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    done = subprocess.run(
        [sys.executable, "-m", "edge_tdn_export", *arguments, "--precisions", "fp32", "cuda-fp32"],
        preexec_fn=small_disk, capture_output=True, text=True, timeout=120, env=environment(tmp_path),
    )  # fmt: skip
    refused(done, tmp_path / "m")
    assert left_in(tmp_path) == ["tmp", "w.safetensors"]


def test_a_full_disk_under_openvino_leaves_nothing_half_written(arguments: list[str], tmp_path: Path) -> None:
    """Room for the weights, none for the graphs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        arguments[2] = str(disk / "m")
        command = [sys.executable, "-m", "edge_tdn_export", *arguments, "--precisions", "fp32"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(tmp_path))
        refused(done, disk / "m")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def refused(done: subprocess.CompletedProcess[str], out: Path) -> None:
    assert done.returncode == 78, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"edge-tdn-export: {out}: ")
    assert last.endswith("nothing written; is the disk full?")
    assert "Traceback" not in done.stderr


def test_the_shipped_model_equals_its_weights(motion: Model) -> None:
    """On a clip that is not its golden one."""
    network = checkpoint.load(motion.folder / "weights.safetensors", arch="resnet18", segments=8, width=0.5)
    clip = np.random.default_rng(2).integers(0, 256, (8, 5, 96, 96, 3), np.uint8)
    runtime = open_runtime(motion)
    expected = whole(network, clip, motion.manifest.input)
    assert np.abs(scores(runtime, clip) - expected).max() <= 1e-4 * np.abs(expected).max()
    runtime.close()


def test_the_manifest_is_json_that_people_can_read(exported: Path) -> None:
    content = json.loads((exported / "manifest.json").read_text())
    assert content["schema"] == 1
    assert content["input"]["frame_rate"] == 12.0
    assert content["precisions"]["bf16"]["graphs"][0]["encoder"] == "fp32/encoder.xml"
