"""`edge-tdn-export convert`: exit statuses, messages, and no files left behind by interrupts and full disks."""

import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from edge_tdn_export.__main__ import main
from edge_tdn_export.convert.convert import moving_grating, whole
from edge_tdn_export.convert.model_folder import whole_or_nothing
from edge_tdn_export.limits import LIMITS
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from safetensors.torch import save_file

from edge_tdn.inference.self_test import SELF_TEST_LIMIT
from edge_tdn.manifest import InputSpec, open_model
from tests.conftest import needs_bf16
from tests.support.exports import LABELS, SmallModel, planned, write_labels
from tests.support.networks import TSN, small_network
from tests.support.waiting import PROGRAM_S, eventually

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labels(tmp_path_factory.mktemp("labels") / "labels.txt")


def write_weights(network: TDN, path: Path) -> None:
    """Write the weights of a network without metadata."""
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)


def command_line(folder: Path, labels: Path) -> list[str]:
    """Return a command line that converts `folder`/w.safetensors, of a small network, to `folder`/m."""
    network = ["--arch", "resnet18", "--width", "0.125", "--segments", "8"]
    spec = ["--size", "64", "--frame-rate", "25", "--segment-stride", "8"]
    return ["convert", f"{folder}/w.safetensors", f"{folder}/m", *network, "--labels", str(labels), *spec]


@pytest.fixture
def arguments(small_model: SmallModel, labels: Path, tmp_path: Path) -> list[str]:
    """The command line, for a network with every part of a TDN."""
    write_weights(small_model.network, tmp_path / "w.safetensors")
    return command_line(tmp_path, labels)


def test_convert_writes_a_model_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The labels are numbered, with a byte order mark and CRLF, as Windows editors save it; a second run is refused."""
    write_weights(small_network(width=0.125, classes=len(LABELS), **TSN), tmp_path / "w.safetensors")
    labels = tmp_path / "classInd.txt"
    labels.write_bytes("\ufeff2 two\r\n1 one\r\n3 three".encode())
    arguments = [*command_line(tmp_path, labels), "--stdm-stages", "--ltdm-stages", "--temporal-conv-stages"]
    assert main([*arguments, "--background", "one"]) == 0
    printed = capsys.readouterr().out
    assert f"{labels}: numbered labels, 1-based, 3 labels\n" in printed
    assert "of the largest logit from PyTorch" in printed
    model = open_model(tmp_path / "m")
    assert model.labels == LABELS
    assert (tmp_path / "m/labels.txt").read_text() == "one\ntwo\nthree\n"
    assert model.manifest.background == ("one",)
    assert model.manifest.input.short_side == 73
    assert list(model.manifest.precisions) == ["fp32", "bf16"]
    source = {"file": "w.safetensors", "sha256": checkpoint.sha256(tmp_path / "w.safetensors")}
    assert model.manifest.members[0].source == source
    assert main(arguments) == 78
    assert "exists already" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.data
def test_the_published_case_is_converted_as_documented(
    published: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights, entries and folder as the published trainer writes them, and the labels as the data set has them."""
    state = {f"module.{name}": torch.from_numpy(v) for name, v in published.state_dict("tdn_resnet50_8f_174c").items()}
    folder = tmp_path / "TDN__somethingv2_RGB_resnet50_avg_segment8_e60"
    folder.mkdir()
    torch.save({"epoch": 60, "arch": "resnet50", "state_dict": state, "best_prec1": 64.0}, folder / "best.pth.tar")
    labels = tmp_path / "something-something-v2-labels.json"
    labels.write_text(json.dumps({f"Pushing something {number}": str(number) for number in range(174)}))
    arguments = ["convert", f"{folder}/best.pth.tar", f"{tmp_path}/ssv2", "--labels", str(labels)]
    assert main([*arguments, "--precisions", "fp32"]) == 0
    printed = capsys.readouterr().out
    assert f"best.pth.tar: resnet50, 174 classes, T = 8 by the name `{folder.name}`\n" in printed
    assert "assumed preprocessing: that of Something-Something (174 classes), which is 12 frames per second" in printed
    manifest = open_model(tmp_path / "ssv2").manifest
    assert manifest.members[0].network == TDNConfig().as_dict()
    assert (manifest.input.frame_rate, manifest.input.segment_stride) == (12, 5)
    assert manifest.precisions["fp32"].golden_error < 1e-4


@needs_bf16
@pytest.mark.slow
def test_precision_that_exceeds_its_limit_can_be_left_out_as_the_error_proposes(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "bf16", replace(LIMITS["bf16"], max_logit_error=1e-12))
    assert main(arguments) == 78
    message, advice = capsys.readouterr().err.splitlines()[-1].split("; nothing written; to leave it out: ")
    assert message.startswith("edge-tdn-export: the export to bf16 differs from PyTorch by ")
    assert message.endswith(" of the largest logit, allowed 1e-12")
    assert left_in(tmp_path) == ["w.safetensors"]
    assert planned([*arguments, *advice.split()])[0].recipe.precisions == ("fp32",)


@needs_bf16
@pytest.mark.slow
def test_precision_that_the_host_would_refuse_can_be_left_out_too(
    small_model: SmallModel, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The logits are small sums of large terms, which BF16 rounds: it exceeds the limit of the self-test as well."""
    state = {name: value.contiguous() for name, value in small_model.network.state_dict().items()}
    spec = InputSpec(segments=8, height=64, width=64, resize="stretch", frame_rate=25, segment_stride=8)
    logits = torch.from_numpy(whole(small_model.network, moving_grating(spec), spec))
    save_file(state | {"linear.bias": state["linear.bias"] - 0.99 * logits}, tmp_path / "w.safetensors")
    assert main(arguments) == 78
    message, advice = capsys.readouterr().err.splitlines()[-1].split("; nothing written; to leave it out: ")
    found = re.fullmatch(
        r"edge-tdn-export: the export to bf16 differs from PyTorch by (\S+) of .*, allowed 0.02", message
    )
    assert found is not None
    assert float(found[1]) > SELF_TEST_LIMIT["bf16"]
    assert left_in(tmp_path) == ["w.safetensors"]
    assert planned([*arguments, *advice.split()])[0].recipe.precisions == ("fp32",)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--segment-stride", "0"], "segment_stride"),
        (["--size", "32"], "the network cannot take frames of 32x32"),
        (["--arch", "resnet34"], "its weights have arch = 'resnet18', requested is 'resnet34' (by 2, 2, 2, 2 blocks"),
        (["--width", "0.25"], "its weights have width = 0.125, requested is 0.25 (by 8 channels of conv1)"),
        (["--ltdm-stages", "3", "4"], "its weights have ltdm_stages = (3, 4, 5), requested is (3, 4)"),
        (["--no-ltdm-multiscale"], "its weights have ltdm_multiscale = True, requested is False"),
        (["--stdm-stages", "1", "2", "3"], "missing ("),
        (["--stdm-stages", "7"], "stdm_stages 7 is not known; allowed: 1 to 5"),
    ],
)
def test_wrong_options_exit_with_78_and_write_nothing(
    more: list[str], message: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *more]) == 78
    errors = capsys.readouterr().err
    assert re.search("^edge-tdn-export: ", errors, re.M)
    assert "Traceback" not in errors
    assert message in errors
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_that_are_not_finite_exit_with_78_and_write_nothing(
    small_model: SmallModel, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: value.clone() for name, value in small_model.network.state_dict().items()}
    state["res4.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    assert main(arguments) == 78
    assert "1 entries are not finite, the first is res4.0.conv1.weight" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process with one thread and a TMPDIR of its own, where leftovers are visible."""
    (folder / "tmp").mkdir()
    return {**os.environ, "TMPDIR": f"{folder}/tmp", "OMP_NUM_THREADS": "1"}


def left_in(folder: Path) -> list[str]:
    """Return the names of everything below a folder but `.ses`, which OpenVINO's telemetry writes to TMPDIR."""
    return sorted(path.name for path in folder.rglob("*") if path.name != ".ses")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing_behind(number: signal.Signals, arguments: list[str], tmp_path: Path) -> None:
    """The signal arrives in the middle of the command, when its scratch folder has the first files."""
    command = [sys.executable, "-m", "edge_tdn_export", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(tmp_path))

    def has_begun() -> bool:
        assert process.poll() is None, "ended before it could be interrupted"
        return bool(list(tmp_path.glob(".m-*/weights.safetensors")))

    eventually(has_begun, PROGRAM_S)
    process.send_signal(number)
    errors = process.communicate(timeout=PROGRAM_S)[1]
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "edge-tdn-export: stopped, nothing written"
    assert "Traceback" not in errors
    assert left_in(tmp_path) == ["tmp", "w.safetensors"]


def test_scratch_folders_of_crashed_processes_are_removed(tmp_path: Path) -> None:
    """Those of other models, other hosts and living processes stay."""
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "largest", [pytest.param(100_000, id="the weights do not fit"), pytest.param(1_200_000, id="nor CUDA's program")]
)
def test_full_disk_leaves_nothing_behind(largest: int, arguments: list[str], tmp_path: Path) -> None:
    """No file may grow beyond `largest` bytes: writing to it fails as on a full disk."""

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    command = [sys.executable, "-m", "edge_tdn_export", *arguments, "--precisions", "fp32", "cuda-fp32"]
    done = subprocess.run(
        command, preexec_fn=small_disk, capture_output=True, text=True, timeout=PROGRAM_S, env=environment(tmp_path)
    )
    check_refused(done, tmp_path / "m")
    assert left_in(tmp_path) == ["tmp", "w.safetensors"]


@pytest.mark.slow
def test_full_disk_under_openvino_leaves_nothing_behind(arguments: list[str], tmp_path: Path) -> None:
    """The disk has room for the weights, not for the graphs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        arguments[2] = str(disk / "m")
        command = [sys.executable, "-m", "edge_tdn_export", *arguments, "--precisions", "fp32"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_S, env=environment(tmp_path))
        check_refused(done, disk / "m")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def check_refused(done: subprocess.CompletedProcess[str], out: Path) -> None:
    """Assert exit status 78 and one message about a full disk."""
    assert done.returncode == 78, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"edge-tdn-export: {out}: ")
    assert last.endswith("nothing written; is the disk full?")
    assert "Traceback" not in done.stderr
