"""Parity: exports are equal or within limits; others are reported with the node at which they leave PyTorch."""

import json
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.__main__ import main
from edge_tdn_export.clips import Clips, read_clips
from edge_tdn_export.convert.convert import whole
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.reference import open_networks, split
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.parity.compare import compare, record, steps
from edge_tdn_export.parity.nodes import node_errors, references
from edge_tdn_export.parity.result import ParityReport, PrecisionComparison

from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.demo.scene import Pose
from edge_tdn.errors import ModelError
from edge_tdn.manifest import MANIFEST, InputSpec, Model, open_model, shipped_models
from edge_tdn.verdict import Verdict, recorded_claim
from tests.conftest import HAS_BF16
from tests.support.action_video import write_action
from tests.support.exports import SPEC, SmallModel
from tests.support.model_folders import reseal

PRECISIONS = ["fp32", "fp16", *(["bf16"] if HAS_BF16 else []), "onnx"]  # that run on this CPU


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of a moving thing, 4 s each."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, label in enumerate(("left", "wave")):
        write_action(folder / f"{label}.mp4", label, 60, seed)
    return folder


@pytest.fixture
def copy(small_model: SmallModel, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_model.folder, tmp_path / "model"))


def compared(folder: Path, videos: Path) -> ParityReport:
    """Compare FP32 with PyTorch."""
    model = open_model(folder)
    return compare(model, ["fp32"], read_clips(videos, model.manifest.input), "videos", lambda what: None)


@pytest.fixture(scope="module")
def report(small_model: SmallModel, videos: Path) -> ParityReport:
    """The exact export in every precision, on both recordings and beside a video that was skipped."""
    model, clips = open_model(small_model.folder), read_clips(videos, SPEC)
    reported = list[str]()
    report = compare(model, PRECISIONS, Clips(clips.recordings, ("x.mp4: too short",)), "videos", reported.append)
    assert len(reported) == steps(clips, model, PRECISIONS)
    return report


def only(report: ParityReport, precision: str = "fp32") -> PrecisionComparison:
    (found,) = (found for found in report.comparisons if found.precision == precision)
    return found


def spoil(folder: Path, change: Callable[[TDN], None]) -> None:
    """Change the folder's full-precision weights, not its graphs; all hashes match again."""
    network = checkpoint.load(folder / "weights.safetensors")
    with torch.no_grad():
        change(network)
    checkpoint.save(network, folder / "weights.safetensors")
    reseal(folder)


def test_exact_export_is_within_the_limits_in_every_precision(report: ParityReport) -> None:
    assert report.sampling_agrees
    assert [found.precision for found in report.comparisons] == PRECISIONS
    for found in report.comparisons:
        assert found.failures == ()
        assert len(found.clips) == len(report.comparisons[0].clips) >= 16
        assert found.first_diverging is None
        assert {log.recording for log in found.events} == {"left.mp4", "wave.mp4"}
        assert len(found.nodes) > 180
        assert set(found.features) == {"h", "skip"}
        assert found.size > 0
    errors = {found.precision: found.max_logit_error for found in report.comparisons}
    assert errors["fp32"] <= 1e-5
    assert errors["onnx"] <= 1e-5
    rounded = [errors[name] for name in ("fp16", "bf16") if name in errors]
    assert [1e-5, *rounded, 2e-2] == sorted([1e-5, *rounded, 2e-2])  # rounding is visible, and within the limit
    for pixels in report.preprocessing:
        assert pixels.mean_error < 1
        assert pixels.frames == 40


@pytest.mark.parametrize(
    ("change", "node"),
    [
        (lambda n: n.res4[1].ltdm.fine.weight.mul_(1.5), "res4.1.ltdm.fine_bn"),
        (lambda n: n.res3[1].temporal.weight.copy_(n.res3[1].temporal.weight.flip(2)), "res3.1.temporal/conv2d"),
        (lambda n: n.res2[0].bn2.running_mean.add_(0.3), "res2.0.bn2"),
        (lambda n: n.stdm.conv.weight.neg_(), "stdm.bn"),
        (lambda n: n.linear.bias.add_(torch.arange(3) * 0.1), "linear"),
    ],
)
def test_first_diverging_node_is_named(change: Callable[[TDN], None], node: str, copy: Path, videos: Path) -> None:
    """Other weights, reversed shifts, a wrong statistic, negated differences, a wrong bias: each node is found."""
    spoil(copy, change)
    model = open_model(copy)
    recording = read_clips(videos, SPEC).recordings[0]
    expected = references(open_networks(model), recording.clip(7, SPEC))
    for precision in ("fp32", "onnx"):
        first = next(error for error in node_errors(model, expected, precision) if error.error > 1e-3)
        assert (precision, first.name) == (precision, node)


def test_unequal_model_is_outside_limits(copy: Path, videos: Path) -> None:
    spoil(copy, lambda n: n.res5[0].conv2.weight.mul_(-1))
    model = open_model(copy)
    report = compared(copy, videos)
    found = only(report)
    assert found.claim.verdict == Verdict.OUTSIDE
    assert found.failures[0].startswith("logits: ")
    assert found.first_diverging is not None
    assert found.first_diverging.name == "res5.0.bn2"
    flips = [clip for clip in found.clips if clip.flips]
    assert found.top1_agreement == pytest.approx(1 - len(flips) / len(found.clips))
    for clip in flips:
        assert len(clip.thumbnails) == 8
        assert clip.thumbnails[0].shape == (112, 112, 3)
    record(model, report)
    assert not open_model(copy).manifest.parity["fp32"].within_limits


def test_expected_logits_are_those_of_the_whole_network(
    report: ParityReport, small_model: SmallModel, videos: Path
) -> None:
    """The reference is the whole full-precision network on the same clip, not features of a runtime."""
    found = only(report)
    recordings = {r.name: r for r in read_clips(videos, SPEC).recordings}
    for clip in (found.clips[0], found.clips[-1]):
        recording = recordings[clip.recording]
        last = next(n for n in recording.lasts(SPEC) if recording.seconds(n) == clip.at_s)
        expected = whole(small_model.network, recording.clip(last, SPEC), SPEC)
        assert np.allclose(clip.expected, expected, atol=1e-5 * np.abs(expected).max())


def test_figures_match_their_definitions(report: ParityReport) -> None:
    """Mean KL and logit error are those that PyTorch computes from the logits."""
    found = only(report, "fp16")
    expected = torch.tensor(np.stack([clip.expected for clip in found.clips])).double()
    got = torch.tensor(np.stack([clip.got for clip in found.clips])).double()
    kl = torch.nn.functional.kl_div(got.log_softmax(1), expected.log_softmax(1), reduction="batchmean", log_target=True)
    assert found.mean_kl == pytest.approx(float(kl), rel=1e-6)
    assert found.max_logit_error == pytest.approx(float((got - expected).abs().max() / expected.abs().max()))


def test_shipped_model_gives_the_same_events_on_the_demo_clip() -> None:
    model = open_model(shipped_models() / "motion")
    clips = read_clips(demo_clip(), model.manifest.input)
    report = compare(model, ["fp32", *(["bf16"] if HAS_BF16 else [])], clips, "demo", lambda what: None)
    for found in report.comparisons:
        (log,) = found.events
        assert log.same
        assert sum("start" in line for line in log.expected) == 7
        assert log.expected[0].split() == ["2.80", "s", "start", "right"]
        assert found.claim.within_limits
        assert found.claim.verdict == Verdict.TOO_FEW  # one recording


def test_shipped_model_was_compared_on_real_clips(motion: Model) -> None:
    """Its INT8 gives too many of them another first label, and every page and command states that."""
    claims = {name: recorded_claim(motion, name) for name in motion.manifest.precisions}
    verdicts = {name: claim and claim.verdict for name, claim in claims.items()}
    assert verdicts == {"fp32": Verdict.EQUAL, "bf16": Verdict.WITHIN, "int8": Verdict.OUTSIDE}
    assert {claim and claim.clips for claim in claims.values()} == {142}


def test_record_writes_the_figures_into_the_manifest(report: ParityReport, copy: Path) -> None:
    """Those of the compared precisions: the manifest of a folder may have others already, which stay."""
    model = open_model(copy)
    record(model, replace(report, comparisons=(only(report, "fp16"),)))
    again = open_model(copy)
    parity = again.manifest.parity["fp16"]
    assert parity.within_limits
    assert parity.recordings == 2
    assert parity.max_logit_error == only(report, "fp16").max_logit_error
    assert "fp32" not in again.manifest.parity
    assert again.manifest.files == model.manifest.files


def test_frames_of_an_ensemble_are_split_by_network() -> None:
    spec = SPEC.model_copy(update={"segment_stride": 4, "per_segment": (1, 2)})
    frames = np.arange(2 * 15).reshape(2, 15, 1, 1, 1).astype(np.uint8)
    one, two = split(frames, spec)
    assert one[:, :, 0, 0, 0].tolist() == [[0, 1, 2, 3, 4], [15, 16, 17, 18, 19]]
    assert two[:, 0, 0, 0, 0].tolist() == [5, 10, 20, 25]  # oldest first, so that a clip is a reshape


def test_parity_command_writes_reports_and_prints_the_verdict(
    copy: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["parity", str(copy), "--clips", str(videos), "--max-clips", "2", "--precision", "fp32"]
    assert main(arguments) == 1  # too few clips, unless they are asked for
    assert "too few clips: 2 clips of 2 recordings, at least 50 of 3 are needed" in capsys.readouterr().out
    assert main([*arguments, "fp16", "--allow-few-clips"]) == 0
    shown = capsys.readouterr().out
    (evidence,) = set(re.findall(r"too few clips: (.*)", shown))
    report = json.loads((copy / "parity.json").read_text())
    assert [found["precision"] for found in report["comparisons"]] == ["fp32", "fp16"]
    assert "<svg" in (copy / "parity.html").read_text()
    assert set(open_model(copy).manifest.parity) == {"fp32", "fp16"}
    assert main(["inspect", str(copy)]) == 0
    inspected = " ".join(capsys.readouterr().out.split())
    assert inspected.count(f"too few clips: {evidence.strip()}; compared with PyTorch on CPU") == 2


def test_failed_comparison_exits_with_1_and_names_the_node(
    copy: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(copy, lambda n: n.res4[0].conv2.weight.mul_(0.5))
    before = (copy / MANIFEST).read_bytes()
    arguments = ["parity", str(copy), "--clips", str(videos), "--precision", "fp32", "--max-clips", "2"]
    assert main([*arguments, "--allow-few-clips", "--out", str(tmp_path / "new" / "reports")]) == 1
    shown = capsys.readouterr().out
    assert "outside limits" in shown
    assert "res4.0.bn2" in shown
    assert (copy / MANIFEST).read_bytes() == before  # --out leaves the model folder unchanged
    assert {p.name for p in (tmp_path / "new" / "reports").iterdir()} == {"parity.json", "parity.html"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--precision", "int4"],
            "no precision 'int4'; this model has: fp32, fp16, bf16, onnx, cuda-fp32, ",
        ),
        (["--clips", "/nowhere"], "/nowhere: no such folder of videos"),
    ],
)
def test_wrong_options_exit_with_78(
    arguments: list[str], message: str, small_model: SmallModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["parity", str(small_model.folder), *arguments]) == 78
    assert message in capsys.readouterr().err


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_interrupt_leaves_the_folder_unchanged(
    copy: Path, videos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is interrupted when PyTorch has scored the clips."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = contents(copy)
    monkeypatch.setattr("edge_tdn_export.parity.compare._score", stop)
    assert main(["parity", str(copy), "--clips", str(videos), "--max-clips", "2"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "edge-tdn-export: stopped, nothing written"
    assert contents(copy) == before


def test_report_lists_skipped_videos(report: ParityReport) -> None:
    assert report.skipped == ("x.mp4: too short",)


def test_manifest_of_another_process_is_not_overwritten(report: ParityReport, copy: Path) -> None:
    """When two commands run on one folder, the second fails and changes nothing."""
    model = open_model(copy)
    record(open_model(copy), report)
    now = (copy / MANIFEST).read_bytes()
    with pytest.raises(ModelError, match="another process has changed it"):
        record(model, report)
    assert (copy / MANIFEST).read_bytes() == now


def test_full_disk_leaves_the_folder_unchanged(copy: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit on the size of files fails writes as a full disk does."""
    before, limit = contents(copy), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    try:
        status = main(["parity", str(copy), "--clips", str(videos), "--precision", "fp32", "--max-clips", "2"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert status == 78
    assert "File too large; the file is unchanged" in capsys.readouterr().err
    assert contents(copy) == before


def test_fewer_clips_than_one_exit_with_78(copy: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", str(copy), "--clips", str(videos), "--max-clips", "0"]) == 78
    assert "--max-clips 0: must be at least 1" in capsys.readouterr().err


def test_folder_without_a_precision_that_runs_here_exits_with_78(
    copy: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA programs run on this machine")
    reseal(copy, precisions={"cuda-fp32": open_model(copy).manifest.precisions["cuda-fp32"]})
    assert main(["parity", str(copy), "--clips", str(videos)]) == 78
    assert "this machine cannot run any of its precisions: cuda-fp32" in capsys.readouterr().err


def test_other_frames_than_published_are_outside_limits(
    small_model: SmallModel, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InputSpec, "starts", property(lambda self: (self.segment_stride // 2 + 1,)))
    failures = only(compared(small_model.folder, videos)).failures
    assert "sampling: the window picks other frames" in " ".join(failures)


def test_video_with_a_gap_after_every_frame_is_skipped(small_model: SmallModel, tmp_path: Path) -> None:
    """A video that never gives a clip does not affect the others."""
    write_action(tmp_path / "whole.mp4", "right", 75, 5, Pose(0.2, 0.5, 0.4))
    reader = f"filesrc location={tmp_path}/whole.mp4 ! decodebin ! videorate max-rate=1"
    pipeline = f"{reader} ! x264enc ! mp4mux ! filesink location={tmp_path}/slow.mp4"
    made = subprocess.run(["gst-launch-1.0", "-q", *pipeline.split()], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"gst-launch-1.0 cannot make the video: {made.stderr.strip()}")
    clips = read_clips(tmp_path, SPEC)
    assert [recording.name for recording in clips.recordings] == ["whole.mp4"]
    assert "slow.mp4: too short" in clips.skipped[0]  # one frame per second: each begins a new run
    assert only(compared(small_model.folder, tmp_path)).claim.within_limits
