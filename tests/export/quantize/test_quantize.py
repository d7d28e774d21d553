"""`edge-tdn-export quantize`: INT8 within limits, or an unchanged model folder."""

import json
import logging
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_export.__main__ import main
from edge_tdn_export.clips import Clips, read_clips
from edge_tdn_export.commands.quantize import golden_line
from edge_tdn_export.convert.ensemble import ensemble
from edge_tdn_export.limits import LIMITS
from edge_tdn_export.parity.compare import MAX_CLIPS, compare, sample_clips
from edge_tdn_export.quantize.clip_split import divide
from edge_tdn_export.quantize.operators import operators
from edge_tdn_export.quantize.quantize import parse_limits, quantize
from edge_tdn_export.quantize.trial import scratch_folder

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import MANIFEST, open_model
from edge_tdn.verdict import MIN_CLIPS
from tests.conftest import ROOT
from tests.support.action_video import write_action
from tests.support.exports import SPEC, export
from tests.support.model_folders import reseal
from tests.support.networks import TSN, small_network
from tests.support.quantized import LABELS, SAMPLES, hashes, logits_of, mean_kl, quantised_inputs, read_graph
from tests.support.waiting import PROGRAM_S, eventually


def test_quantize_command_prints_clips_exceptions_and_golden_error(quantised: tuple[Path, str]) -> None:
    _, output = quantised
    verdict = f"too few clips: {SAMPLES // 2} clips of "
    for text in ("calibration", "held-out", "none: everything in INT8 keeps the limits", "golden clip", verdict):
        assert text in output
    assert re.search(r": int8 is off by [0-9.]+ % of the largest logit on the golden clip; a host", output)
    assert "held out, against the folder's fp32" in " ".join(output.split())
    assert re.search(r"95 %: at least \d\d\.\d%", output)
    folder, videos = re.search(r"edge-tdn-export parity (\S+) --clips (\S+) --precision int8$", output).groups()  # type: ignore[union-attr]
    assert (Path(folder) / MANIFEST).is_file()
    assert Path(videos).is_dir()
    assert "approach.mp4" in output
    assert "nncf" not in output.lower()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (0.4, "warning: m: int8 is off by 40 % of the largest logit on the golden clip; {host} 80 % does not serve it"),
        (0.0357, "m: int8 is off by 3.6 % of the largest logit on the golden clip; {host} 7.1 % does not serve it"),
        (0.0023, "m: int8 is off by 0.23 % of the largest logit on the golden clip; {host} 5 % does not serve it"),
    ],
)
def test_golden_error_is_beside_the_largest_one_that_a_host_allows(error: float, line: str) -> None:
    assert golden_line(Path("m"), error) == line.format(host="a host that is off by more than")


def test_int8_opens_and_is_a_quarter_of_the_size(exported: Path, quantised: tuple[Path, str]) -> None:
    folder, _ = quantised
    model = open_model(folder)
    open_runtime(model, "int8").close()
    weights = {p: sum(path.stat().st_size for path in (folder / p).glob("*.bin")) for p in ("fp32", "int8")}
    assert weights["int8"] < 0.3 * weights["fp32"]
    assert {p for p in model.manifest.files if p.startswith("int8/")} == {
        f"int8/{half}.{suffix}" for half in ("encoder", "head") for suffix in ("xml", "bin")
    }
    before = hashes(exported)
    int8_files = {name for name in model.manifest.files if name.startswith("int8/")}
    changed = {name for name, digest in hashes(folder).items() if before.get(name) != digest}
    assert changed == {MANIFEST, "int8/quantize.json", *int8_files}


def test_report_has_the_agreement_of_the_written_files(quantised: tuple[Path, str], videos: Path) -> None:
    """The runtime on the held-out set gives the reported figures replaced."""
    folder, _ = quantised
    report = json.loads((folder / "int8" / "quantize.json").read_text())
    _, held_out = divide(read_clips(videos, SPEC).recordings, SPEC, SAMPLES)
    assert report["held_out"]["videos"] == list(held_out.videos)
    assert not set(report["held_out"]["videos"]) & set(report["calibration"]["videos"])
    expected, got = logits_of(folder, "fp32", held_out), logits_of(folder, "int8", held_out)
    assert report["reached"]["mean_kl"] == pytest.approx(mean_kl(expected, got), rel=1e-3)
    assert report["reached"]["top1_agreement"] == np.mean(expected.argmax(1) == got.argmax(1))
    assert 0 < report["reached"]["mean_kl"] <= 0.05


def test_parity_compares_int8_on_videos_that_did_not_calibrate_it(quantised: tuple[Path, str], videos: Path) -> None:
    model = open_model(quantised[0])
    calibrated = set(model.manifest.precisions["int8"].calibrated_on)
    everything = {recording.name for recording in read_clips(videos, SPEC).recordings}
    assert calibrated
    assert calibrated < everything
    report = compare(model, ["fp32", "int8"], read_clips(videos, SPEC), "videos", lambda what: None, max_clips=8)
    fp32, int8 = ({clip.recording for clip in found.clips} for found in report.comparisons)
    assert fp32 == everything
    assert int8 == everything - calibrated
    assert report.comparisons[1].claim.recordings == len(int8)
    only_calibration = [one for one in read_clips(videos, SPEC).recordings if one.name in calibrated]
    clips = Clips(tuple(only_calibration), ())
    report = compare(model, ["int8"], clips, "videos", lambda what: None, max_clips=8)
    (again,) = report.comparisons
    assert {clip.recording for clip in again.clips} == calibrated
    assert again.calibrated
    assert again.claim.recordings == 0
    assert again.claim.evidence.startswith(f"{len(again.clips)} clips of no known held-out recording")


def test_calibration_videos_take_no_share_of_the_clips(quantised: tuple[Path, str], videos: Path) -> None:
    """Clips are as near to each other as the number of those that are compared allows, for each precision."""
    recordings = read_clips(videos, SPEC).recordings
    builds = open_model(quantised[0]).manifest.precisions
    (own,) = (one for one in recordings if one.name not in builds["int8"].calibrated_on)
    every = len(own.lasts(SPEC))
    fp32, int8 = (sample_clips(builds[name], recordings, SPEC, every) for name in ("fp32", "int8"))
    assert every / 2 <= sum(map(len, fp32.lasts.values())) <= every
    assert int8.lasts == {own: tuple(own.lasts(SPEC))}
    assert MAX_CLIPS >= 2 * MIN_CLIPS


@pytest.mark.parametrize("by", ["content", "name"])
def test_calibration_videos_are_known_wherever_they_are(
    by: str, quantised: tuple[Path, str], videos: Path, tmp_path: Path
) -> None:
    """In a folder above theirs, behind `finetune`'s links, and, by their content, under another name."""
    int8 = open_model(quantised[0]).manifest.precisions["int8"]
    assert len(int8.calibrated_sha256) == len(int8.calibrated_on) > 0
    if by == "name":  # as in an older manifest
        int8 = int8.model_copy(update={"calibrated_sha256": ()})
    calibrated = [videos / name for name in int8.calibrated_on]
    (tmp_path / "above/links").mkdir(parents=True)
    for number, video in enumerate(calibrated):
        (tmp_path / f"above/links/{number:04}-{video.name}").symlink_to(video)
    if by == "content":
        shutil.copy(calibrated[0], tmp_path / "above/renamed.mp4")
    found = sample_clips(int8, read_clips(tmp_path / "above", SPEC).recordings, SPEC, MAX_CLIPS)
    assert found.calibrated
    (held_out,) = (video for video in videos.iterdir() if video not in calibrated)
    shutil.copy(held_out, tmp_path / "above/links/0007-new.mp4")
    found = sample_clips(int8, read_clips(tmp_path / "above", SPEC).recordings, SPEC, MAX_CLIPS)
    assert not found.calibrated
    assert {recording.name for recording in found.lasts} == {"links/0007-new.mp4"}


def test_all_operators_but_the_mean_over_segments_are_in_int8(quantised: tuple[Path, str], exported: Path) -> None:
    folder, _ = quantised
    for half in ("encoder", "head"):
        original, graph = read_graph(exported, f"fp32/{half}.xml"), read_graph(folder, f"int8/{half}.xml")
        for operator in operators(original, (0, "head" if half == "head" else "encoder")):
            assert sum(quantised_inputs(graph, node) for node in operator.nodes) > 0, operator.name
    assert quantised_inputs(read_graph(folder, "int8/head.xml"), "logits") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "top2=0.9"], "'top2' is not known; allowed: top1=0..1, kl=0.."),
        (["--limit", "top1=1.5"], "top1: got '1.5', allowed is a number from 0 to 1"),
        (["--limit", "kl=-1"], "kl: got '-1', allowed is a number of nats, 0 or more"),
        (["--limit", "kl=inf"], "kl: got 'inf'"),
        (["--limit", "kl"], "kl: got ''"),
        (["--samples", "1"], "--samples 1: at least 2"),
    ],
)
def test_wrong_options_exit_with_78(
    exported: Path, videos: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", str(exported), "--clips", str(videos), *arguments]) == 78
    assert message in capsys.readouterr().err


def test_a_shipped_model_is_copied_first_as_the_error_advises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["quantize", "motion", "--clips", "videos"]) == 78
    message, copy = capsys.readouterr().err.strip().split("; copy it first: ")
    assert message.startswith("edge-tdn-export: motion: is a shipped model")
    subprocess.run(copy, shell=True, check=True)
    assert main(["quantize", "motion", "--clips", "videos"]) == 78
    assert "motion: has int8 already" in capsys.readouterr().err


def test_default_limits_are_those_of_parity() -> None:
    assert parse_limits([]) == LIMITS["int8"]
    assert (LIMITS["int8"].top1_agreement, LIMITS["int8"].mean_kl) == (0.99, 0.01)
    assert parse_limits(["kl=0.5"]) == replace(LIMITS["int8"], mean_kl=0.5)
    with pytest.raises(ConfigError):
        parse_limits(["kl=nan"])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (None, "no video in it"),
        (4, "too short"),
        (35, "one clip cannot be split into a calibration and a held-out set"),
    ],
)
def test_videos_with_fewer_than_two_clips_change_nothing(
    exported: Path, tmp_path: Path, frames: int | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(exported)
    (tmp_path / "clips").mkdir()
    if frames:
        write_action(tmp_path / "clips" / "one.mp4", "left", frames)
    assert main(["quantize", str(exported), "--clips", str(tmp_path / "clips")]) == 78
    assert message in capsys.readouterr().err
    assert hashes(exported) == before


def test_model_without_fp32_is_refused(exported: Path, videos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    reseal(folder, precisions={"bf16": open_model(folder).manifest.precisions["fp32"]})
    with pytest.raises(ModelError, match="made from the fp32 graphs, and this model has only bf16"):
        quantize(folder, videos)


@pytest.mark.slow
def test_limit_that_cannot_be_kept_changes_nothing(
    exported: Path, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    with pytest.raises(ModelError, match=r"the limits cannot be kept in INT8: .* operators in floating point"):
        quantize(folder, videos, parse_limits(["kl=0"]), samples=4)
    assert hashes(folder) == hashes(exported)
    logging.getLogger("edge_tdn").warning("from another logger")
    assert "from another logger" in caplog.text, "only NNCF is silenced"


def test_existing_int8_stays_without_replace(quantised: tuple[Path, str], videos: Path) -> None:
    before = hashes(quantised[0])
    with pytest.raises(ModelError, match="has int8 already; --replace"):
        quantize(quantised[0], videos)
    assert hashes(quantised[0]) == before


def test_interrupt_leaves_the_folder_unchanged(exported: Path, videos: Path, tmp_path: Path) -> None:
    """The command is interrupted when it has written graphs already."""
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    arguments = ["quantize", str(folder), "--clips", str(videos), "--samples", "4"]
    command = [sys.executable, "-m", "edge_tdn_export", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    eventually(
        lambda: process.poll() is not None or list(folder.glob(".int8-*/trial-*/0/head.bin")), timeout_s=PROGRAM_S
    )
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PROGRAM_S)
    assert process.returncode == 130
    assert output == ""  # in particular none of NNCF's
    assert "stopped, nothing written" in errors
    assert hashes(folder) == hashes(exported)


def test_scratch_folders_of_a_killed_quantization_are_removed(exported: Path, tmp_path: Path) -> None:
    """Those of other hosts stay: whether their processes live is not known here."""
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    dead = subprocess.Popen(["true"])
    dead.wait()
    left, other = (folder / f".int8-{node}-{dead.pid}" for node in (platform.node(), "elsewhere"))
    for one in (left, other):
        (one / "trial-1").mkdir(parents=True)
    with scratch_folder(folder) as scratch:
        assert scratch.parent == folder
        assert not left.exists()
        assert other.exists()
    assert not scratch.exists()


def test_full_disk_leaves_the_folder_unchanged(
    exported: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files fails writes as a full disk does."""
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        status = main(["quantize", str(folder), "--clips", str(videos), "--samples", "4"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 78
    assert "nothing written" in capsys.readouterr().err
    assert hashes(folder) == hashes(exported)


@pytest.mark.slow
def test_every_network_of_an_ensemble_is_quantised(exported: Path, videos: Path, tmp_path: Path) -> None:
    """Networks of 8 and of 16 segments; the second is a TSN, which reads no neighbours and has another cut."""
    spec = SPEC.model_copy(update={"segments": 16, "segment_stride": 3})
    network = small_network(segments=16, classes=len(LABELS), **TSN)
    other = export(network, tmp_path / "b", spec, LABELS, precisions=("fp32",))
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
