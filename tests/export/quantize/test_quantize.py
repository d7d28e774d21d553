"""INT8: calibrated on real clips, inside the limits on others, and the folder is whole before, after and in between."""

import hashlib
import io
import itertools
import json
import logging
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import pytest
import torch
from edge_tdn_export.__main__ import main
from edge_tdn_export.clips import Recording, read_clips
from edge_tdn_export.convert.convert import Recipe, convert
from edge_tdn_export.convert.ensemble import ensemble
from edge_tdn_export.network.tdn import TDN, TDNConfig
from edge_tdn_export.parity.compare import compare
from edge_tdn_export.parity.result import LIMITS, Limits
from edge_tdn_export.quantize.clip_split import ClipSet, divide
from edge_tdn_export.quantize.graph_rewrites import features_in_8_bits, quantise_behind_views
from edge_tdn_export.quantize.operators import by_name, in_floating_point, never_quantised, operators, quantised_inputs
from edge_tdn_export.quantize.quantize import parse_limits, quantize
from edge_tdn_export.quantize.report import Report, table
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import MANIFEST, InputSpec, Model, Parity, dump, open_model, seal
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Segment
from tests.conftest import ROOT

SPEC = InputSpec(segments=8, height=64, width=64, resize="stretch", frame_rate=12.0, segment_stride=3)
SAMPLES = 12


def _network(**options: object) -> TDN:
    """Small, and with weights that no layer's absence would leave unnoticed."""
    torch.manual_seed(5)
    config = {"arch": "resnet18", "segments": 8, "classes": 6, "width": 0.25, "conv_bias": False}
    model = TDN(TDNConfig(**(config | options)))  # type: ignore[arg-type]
    torch.nn.init.normal_(model.linear.weight)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
    return model.eval()


def _convert(network: TDN, spec: InputSpec, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "labels.txt").write_text("".join(f"label {n}\n" for n in range(6)))
    convert(network, Recipe("small", folder / "labels.txt", spec, precisions=("fp32",)), folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """L-TDM and temporal convolution in res5 alone, S-TDM after res1 alone: the fewer operators, the sooner done."""
    network = _network(stdm_stages=(1,), ltdm_stages=(5,), temporal_conv_stages=(5,))
    return _convert(network, SPEC, tmp_path_factory.mktemp("exported") / "whole")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for seed, label in enumerate(("left", "wave", "approach")):
        _write(folder / f"{label}.mp4", seed, label, 75)
    return folder


def _write(path: Path, seed: int, label: str, frames: int) -> None:
    scene, motion = Scene(np.random.default_rng(seed), 90, 120), Motion(label)
    write_video((scene.draw(motion.at(Pose(0.8, 0.5, 0.4), n / 15)) for n in range(frames)), 15, path)


@pytest.fixture(scope="module")
def quantised(exported: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with INT8 inside limits that need no exception, and what the command line said."""
    folder = Path(shutil.copytree(exported, tmp_path_factory.mktemp("quantised") / "model"))
    said = io.StringIO()
    with redirect_stdout(said):
        limits = ["--limit", "top1=0.8", "--limit", "kl=0.05"]
        assert main(["quantize", str(folder), "--clips", str(videos), "--samples", str(SAMPLES), *limits]) == 0
    return folder, said.getvalue()


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _graph(folder: Path, name: str) -> ov.Model:
    return ov.Core().read_model(folder / name)


def _logits(folder: Path, precision: str, clips: ClipSet) -> np.ndarray:
    runtime = open_runtime(open_model(folder), precision)  # its self-test included
    found = [scores(runtime, recording.clip(last, SPEC)) for recording, last in clips.clips]
    runtime.close()
    return np.stack(found).astype(np.float64)


def _mean_kl(expected: np.ndarray, got: np.ndarray) -> float:
    p, q = (np.exp(x - x.max(1, keepdims=True)) for x in (expected, got))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    return float((p * np.log(p / q)).sum(1).mean())


# What is written


def test_the_command_line_says_what_was_kept_and_why(quantised: tuple[Path, str]) -> None:
    _, said = quantised
    for line in ("calibration", "held-out", "none: everything in INT8 keeps the limits", "gain (KL)", "golden clip"):
        assert line in said
    assert "approach.mp4" in said
    assert "nncf" not in said.lower()


def test_int8_opens_and_is_a_quarter_of_the_size(exported: Path, quantised: tuple[Path, str]) -> None:
    folder, _ = quantised
    model = open_model(folder)
    open_runtime(model, "int8").close()
    weights = {p: sum(path.stat().st_size for path in (folder / p).glob("*.bin")) for p in ("fp32", "int8")}
    assert weights["int8"] < 0.3 * weights["fp32"]
    assert {p for p in model.manifest.files if p.startswith("int8/")} == {
        f"int8/{half}.{suffix}" for half in ("encoder", "head") for suffix in ("xml", "bin")
    }
    before = _hashes(exported)
    assert {name for name, digest in _hashes(folder).items() if before.get(name) != digest} == {
        MANIFEST, "int8/quantize.json", *(name for name in model.manifest.files if name.startswith("int8/")),
    }  # fmt: skip


def test_the_report_is_true_of_what_was_written(quantised: tuple[Path, str], videos: Path) -> None:
    """Measured again, through the runtime, on the held-out half."""
    folder, _ = quantised
    report = json.loads((folder / "int8" / "quantize.json").read_text())
    _, held_out = divide(read_clips(videos, SPEC).recordings, SPEC, SAMPLES)
    assert report["held_out"]["videos"] == list(held_out.videos)
    assert not set(report["held_out"]["videos"]) & set(report["calibration"]["videos"])
    expected, got = _logits(folder, "fp32", held_out), _logits(folder, "int8", held_out)
    assert report["reached"]["mean_kl"] == pytest.approx(_mean_kl(expected, got), rel=1e-3)
    assert report["reached"]["top1_agreement"] == np.mean(expected.argmax(1) == got.argmax(1))
    assert 0 < report["reached"]["mean_kl"] <= 0.05


def test_parity_compares_int8_on_videos_that_did_not_calibrate_it(quantised: tuple[Path, str], videos: Path) -> None:
    model = open_model(quantised[0])
    calibrated = set(model.manifest.precisions["int8"].calibrated_on)
    everything = {recording.name for recording in read_clips(videos, SPEC).recordings}
    assert calibrated
    assert calibrated < everything
    report = compare(model, ["fp32", "int8"], read_clips(videos, SPEC), "videos", lambda what: None)
    fp32, int8 = ({clip.recording for clip in found.clips} for found in report.comparisons)
    assert fp32 == everything
    assert int8 == everything - calibrated


def test_everything_is_in_int8_but_the_mean_over_the_segments(quantised: tuple[Path, str], exported: Path) -> None:
    folder, _ = quantised
    for half in ("encoder", "head"):
        original, graph = _graph(exported, f"fp32/{half}.xml"), _graph(folder, f"int8/{half}.xml")
        for operator in operators(original, (0, "head" if half == "head" else "encoder")):
            assert sum(quantised_inputs(graph, node) for node in operator.nodes) > 0, operator.name
    assert quantised_inputs(_graph(folder, "int8/head.xml"), "logits") == 0


# Exceptions


@dataclass(frozen=True)
class Again:
    """INT8 made anew, with a limit that everything in INT8 does not keep: a tenth of the divergence that it has."""

    folder: Path
    limits: Limits
    report: Report
    before: str  # the manifest's hash
    during: frozenset[str]  # at every step


@pytest.fixture(scope="module")
def again(videos: Path, quantised: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Again:
    folder = Path(shutil.copytree(quantised[0], tmp_path_factory.mktemp("again") / "model"))
    kl = json.loads((folder / "int8" / "quantize.json").read_text())["everything"]["mean_kl"]
    limits = parse_limits(["top1=0.8", f"kl={kl / 2}"])
    proof = Parity(clips=9, device="CPU", max_logit_error=0.0, top1_agreement=1.0, mean_kl=0.0, same_events=True,
                   proven=True, checked_at="2026-01-01T00:00:00Z")  # fmt: skip
    manifest = open_model(folder).manifest.model_copy(update={"parity": {"int8": proof, "fp32": proof}})
    (folder / MANIFEST).write_bytes(dump(seal(manifest)))
    before = open_model(folder).sha256
    during: dict[str, str] = {}

    def open_it(what: str, done: int, total: int) -> None:
        if what not in during:
            during[what] = open_model(folder).sha256

    report = quantize(folder, videos, limits, SAMPLES, replaces=True, step=open_it)
    return Again(folder, limits, report, before, frozenset(during.values()))


def test_exceptions_bring_it_inside_a_limit_that_it_did_not_keep(again: Again, videos: Path) -> None:
    folder, report, limits = again.folder, again.report, again.limits
    assert limits.mean_kl is not None
    _, held_out = divide(read_clips(videos, SPEC).recordings, SPEC, SAMPLES)
    kl = _mean_kl(_logits(folder, "fp32", held_out), _logits(folder, "int8", held_out))
    assert kl <= limits.mean_kl < report.everything.mean_kl
    assert 0 < len(report.exceptions) < len(report.sensitivities)


def test_exceptions_are_in_floating_point_and_nothing_else_is(
    again: Again,
) -> None:
    folder, report = again.folder, again.report
    graphs = {half: _graph(folder, f"int8-2/{half}.xml") for half in ("encoder", "head")}
    for one in report.sensitivities:
        quantised = sum(quantised_inputs(graphs[one.operator.part[1]], node) for node in one.operator.nodes)
        assert (quantised == 0) == (one.operator in report.exceptions), one.operator.name
    constants = [op for op in graphs["encoder"].get_ops() if op.get_type_name() == "Constant"]
    weights = [constant for constant in constants if constant.get_element_type() == ov.Type.i8]
    assert weights  # some really are stored in eight bits


def test_exceptions_are_told_with_what_they_gain(again: Again) -> None:
    folder, report = again.folder, again.report
    console = Console(file=io.StringIO(), width=160)
    console.print(table(report))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    written = json.loads((folder / "int8-2" / "quantize.json").read_text())
    assert [one["place"] for one in written["exceptions"]] == [one.place for one in report.exceptions]
    for operator in report.exceptions:
        (line,) = [line for line in said.splitlines() if line.startswith(operator.name + "  ")]
        assert line.rstrip().endswith("floating point")


# Operators


@pytest.mark.parametrize("half", ["encoder", "head"])
def test_every_operator_of_the_shipped_model_is_an_exception_or_never_quantised(motion: Model, half: str) -> None:
    graph = _graph(motion.folder, f"fp32/{half}.xml")
    found = operators(graph, (0, "encoder" if half == "encoder" else "head"))
    nodes = list(itertools.chain.from_iterable(operator.nodes for operator in found))
    left = never_quantised(graph)
    assert len(nodes) == len(set(nodes))
    assert not set(nodes) & set(left)
    always = {op.get_friendly_name() for op in _of_type(graph, "Tanh", "GroupConvolution", "ReduceMean")}
    assert always <= set(left)
    subtractions = [op for op in _of_type(graph, "Subtract") if "Constant" not in _sources(op)]
    assert subtractions
    assert {op.get_friendly_name() for op in subtractions} <= set(nodes if half == "encoder" else left)
    assert {op.get_friendly_name() for op in _of_type(graph, "Convolution", "MatMul")} <= set(nodes)
    blocks = [f"res{stage}.{block}" for stage in (3, 4, 5) for block in (0, 1)]
    expected = {f"{block} {kind}" for block in blocks for kind in ("multiply", "L-TDM scales")}
    if half == "encoder":
        expected = {"stdm S-TDM subtraction", "bn1 S-TDM sum", "res2.1 S-TDM sum", "res2.0 residual sum"}
    assert expected <= {operator.name for operator in found}


def _of_type(graph: ov.Model, *types: str) -> list[ov.Node]:
    return [op for op in graph.get_ordered_ops() if op.get_type_name() in types]


def _sources(op: ov.Node) -> list[str]:
    return [value.get_node().get_type_name() for value in op.input_values()]


@pytest.mark.parametrize("half", ["encoder", "head"])
def test_every_node_back_in_floating_point_is_the_original(exported: Path, half: str) -> None:
    original, inputs, graph = _quantised_by_nncf(exported, half)
    back = in_floating_point(graph, original, list(by_name(original)))
    first, second, third = (list(ov.compile_model(g, "CPU")(inputs).values()) for g in (original, back, graph))
    for a, b, c in zip(first, second, third, strict=True):
        assert np.array_equal(a, b)
        assert not np.allclose(a, c, atol=1e-4)


def _quantised_by_nncf(exported: Path, half: str) -> tuple[ov.Model, list[np.ndarray], ov.Model]:
    """One graph in full precision, what it was calibrated with, and quantised."""
    original, rng = _graph(exported, f"fp32/{half}.xml"), np.random.default_rng(0)
    inputs = [_random(rng, port) for port in original.inputs]
    names = [port.any_name for port in original.inputs]
    with redirect_stdout(io.StringIO()):
        quantised = nncf.quantize(
            original, nncf.Dataset([dict(zip(names, inputs, strict=True))]), subset_size=1,
            ignored_scope=nncf.IgnoredScope(names=list(never_quantised(original))),
        )  # fmt: skip
    return original, inputs, quantised


def test_features_in_8_bits_and_quantisers_behind_views_change_no_number(exported: Path) -> None:
    """The same steps, only made and read elsewhere."""
    _, (two,), encoder = _quantised_by_nncf(exported, "encoder")
    _, _, head = _quantised_by_nncf(exported, "head")
    frames = np.tile(two, (SPEC.segments // 2, 1, 1, 1, 1))
    features = _run(encoder, frames)
    before = _run(head, features)["logits"]
    scales = features_in_8_bits(encoder, head)
    quantise_behind_views(head)
    stored = _run(encoder, frames)
    assert {name: value.dtype for name, value in stored.items()} == {"h": np.uint8, "skip": np.int8}
    for name, value in stored.items():
        inside = np.abs(value - np.float32(np.iinfo(value.dtype).min)) > 0
        inside &= value < np.iinfo(value.dtype).max
        assert np.abs(value * scales[name] - features[name])[inside].max() <= 0.501 * scales[name]
    assert np.abs(_run(head, stored)["logits"] - before).max() <= 1e-3 * np.abs(before).max()


def _run(graph: ov.Model, inputs: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    compiled = ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {port.any_name: value for port, value in compiled(inputs).items()}


def _random(rng: np.random.Generator, port: ov.Output) -> np.ndarray:
    shape = [d.get_length() if d.is_static else 2 for d in port.partial_shape]
    if port.get_element_type() == ov.Type.u8:
        return rng.integers(0, 256, shape, np.uint8)
    values = rng.standard_normal(shape, np.float32)
    return values if port.any_name == "skip" else np.abs(values)  # h comes from a ReLU


# What cannot be done


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--limit", "top2=0.9"], "'top2' is not known; allowed: top1=0..1, kl=0.."),
        (["--limit", "top1=1.5"], "top1: got '1.5', allowed is a number from 0 to 1"),
        (["--limit", "kl=-1"], "kl: got '-1', allowed is a number of nats, 0 or more"),
        (["--limit", "kl=inf"], "kl: got 'inf'"),
        (["--limit", "kl"], "kl: got ''"),
        (["--samples", "1"], "--samples 1: at least 2"),
    ],
)
def test_what_cannot_be_meant_is_told(
    exported: Path, videos: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", str(exported), "--clips", str(videos), *arguments]) == 78
    assert says in capsys.readouterr().err


def test_limits_are_parity_s_unless_said() -> None:
    assert parse_limits([]) == LIMITS["int8"]
    assert (LIMITS["int8"].top1_agreement, LIMITS["int8"].mean_kl) == (0.99, 0.01)
    assert parse_limits(["kl=0.5"]) == replace(LIMITS["int8"], mean_kl=0.5)
    with pytest.raises(ConfigError):
        parse_limits(["kl=nan"])


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (None, "no video in it"),
        (4, "too short"),
        (35, "one clip cannot be divided into a calibration and a held-out half"),
    ],
)
def test_videos_that_do_not_give_two_clips_change_nothing(
    exported: Path, tmp_path: Path, frames: int | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _hashes(exported)
    (tmp_path / "clips").mkdir()
    if frames:
        _write(tmp_path / "clips" / "one.mp4", 0, "left", frames)
    assert main(["quantize", str(exported), "--clips", str(tmp_path / "clips")]) == 78
    assert says in capsys.readouterr().err
    assert _hashes(exported) == before


def test_without_fp32_there_is_nothing_to_start_from(exported: Path, videos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    manifest = open_model(folder).manifest
    precisions = {"bf16": manifest.precisions["fp32"]}
    (folder / MANIFEST).write_bytes(dump(seal(manifest.model_copy(update={"precisions": precisions}))))
    with pytest.raises(ModelError, match="made of the fp32 graphs; this model has: bf16"):
        quantize(folder, videos)


def test_a_limit_that_cannot_be_kept_changes_nothing(
    exported: Path, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    with pytest.raises(ModelError, match=r"the limits cannot be kept in INT8: .* operators in floating point"):
        quantize(folder, videos, parse_limits(["kl=0"]), samples=4)
    assert _hashes(folder) == _hashes(exported)
    logging.getLogger("edge_tdn").warning("of another")
    assert "of another" in caplog.text, "NNCF alone is silenced"


# An INT8 that is there already


def test_an_int8_that_is_there_stays_unless_replacing_is_asked(quantised: tuple[Path, str], videos: Path) -> None:
    before = _hashes(quantised[0])
    with pytest.raises(ModelError, match="has int8 already; --replace"):
        quantize(quantised[0], videos)
    assert _hashes(quantised[0]) == before


def test_an_older_int8_serves_until_the_new_one_does(again: Again) -> None:
    assert again.during == {again.before}
    model = open_model(again.folder)
    assert set(model.manifest.parity) == {"fp32"}  # what was proven was the older one
    assert {path.name for path in again.folder.iterdir() if path.is_dir()} == {"fp32", "int8-2"}
    assert {name.split("/")[0] for name in model.manifest.files if name.startswith("int8")} == {"int8-2"}


# Interruptions


def test_ctrl_c_leaves_the_folder_as_it_was(exported: Path, videos: Path, tmp_path: Path) -> None:
    """The real command line, at a moment when graphs are on disk already."""
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    command = [
        sys.executable,
        "-m",
        "edge_tdn_export",
        "quantize",
        str(folder),
        "--clips",
        str(videos),
        "--samples",
        "4",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    for _ in range(4000):
        if process.poll() is not None or list(folder.glob(".int8-*/0/head.bin")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ""  # above all, nothing of NNCF's
    assert "stopped, nothing written" in errors
    assert _hashes(folder) == _hashes(exported)


def test_a_full_disk_leaves_the_folder_as_it_was(
    exported: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on what a file may hold is to the writer what a full disk is."""
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        status = main(["quantize", str(folder), "--clips", str(videos), "--samples", "4"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 78
    assert "nothing written" in capsys.readouterr().err
    assert _hashes(folder) == _hashes(exported)


# Ensembles


def test_every_network_of_an_ensemble_is_quantised(exported: Path, videos: Path, tmp_path: Path) -> None:
    """Of 8 and of 16 segments; the second has no neighbours to look at, and so another cut."""
    spec = SPEC.model_copy(update={"segments": 16, "segment_stride": 3})
    other = _convert(
        _network(segments=16, stdm_stages=(), ltdm_stages=(), temporal_conv_stages=()), spec, tmp_path / "b"
    )
    ensemble([exported, other], tmp_path / "both", id="both", segment_stride=6)
    report = quantize(tmp_path / "both", videos, parse_limits(["top1=0.5", "kl=1"]), samples=4)
    assert {one.operator.part for one in report.sensitivities} == {(n, h) for n in (0, 1) for h in ("encoder", "head")}
    model = open_model(tmp_path / "both")
    folders = [Path(graphs.encoder).parent for graphs in model.build("int8").graphs]
    assert [folder.name for folder in folders] == ["int8", "int8"]
    assert [folder.parent for folder in folders] == [
        Path(graphs.encoder).parent.parent for graphs in model.build("fp32").graphs
    ]
    open_runtime(model, "int8").close()


# Halves


def _recordings(lengths: Iterable[tuple[str, int]]) -> list[Recording]:
    found = []
    for name, segments in lengths:
        frames = np.zeros((5, 2, 2, 3), np.uint8)
        one = (Segment(frames, n, 0, 0, 0, 0, 0, 0) for n in range(segments))
        found.append(Recording(name, Path(name), tuple(one)))
    return found


def _segments(half: ClipSet) -> set[Segment]:
    t = SPEC.segments
    return {segment for recording, last in half.clips for segment in recording.segments[last + 1 - t : last + 1]}


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(8, 60)), min_size=1, max_size=6),
    st.integers(2, 40),
)
def test_no_video_is_in_both_halves(lengths: list[tuple[str, int]], samples: int) -> None:
    recordings = _recordings(lengths)
    clips = sum(length - 7 for _, length in lengths)
    if clips < 2:
        with pytest.raises(ModelError, match="one clip cannot be divided"):
            divide(recordings, SPEC, samples)
        return
    halves = divide(recordings, SPEC, samples)
    for half in halves:
        assert 1 <= len(half.clips) == len(set(half.clips)) <= samples // 2
    if len({name for name, _ in lengths}) > 1:
        assert not set(halves[0].videos) & set(halves[1].videos)


@pytest.mark.parametrize("segments", [16, 17, 40])
def test_one_video_gives_its_beginning_and_its_end(segments: int) -> None:
    calibration, held_out = divide(_recordings([("a", segments)]), SPEC, 128)
    assert not _segments(calibration) & _segments(held_out)
    assert max(last for _, last in calibration.clips) < min(last for _, last in held_out.clips)


def test_two_clips_are_one_for_each_half() -> None:
    calibration, held_out = divide(_recordings([("a", 9)]), SPEC, 128)
    assert [last for _, last in (*calibration.clips, *held_out.clips)] == [7, 8]
