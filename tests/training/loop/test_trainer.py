"""The training: it learns, resumes after a kill, and gives the same with several processes."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN
from edge_tdn_training.__main__ import main
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.loader import TrainClips
from edge_tdn_training.loop.distributed import DistributedContext
from edge_tdn_training.loop.initial_weights import load_initial_weights
from edge_tdn_training.loop.run_folder import RunFolder
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.machine import default_workers
from edge_tdn_training.training_config import PUBLISHED
from PIL import Image
from torch import nn

from edge_tdn.errors import ConfigError, DeviceError
from tests.support.ports import free_port
from tests.support.training_clips import SPEC, decode_clips, make_clips
from tests.support.training_tasks import (
    CONFIG,
    NETWORK,
    environment,
    kill_trainer_when,
    make_task,
    run_weights,
    train_here,
)
from tests.support.waiting import PROGRAM_S, eventually

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of videos; beside it their cache."""
    return make_clips(tmp_path_factory.mktemp("learn") / "data")


@pytest.fixture(scope="module")
def decoded(clips: Path) -> DecodedDataSet:
    return decode_clips(clips, clips.parent / "cache")


@pytest.fixture
def command(clips: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """command("--epochs", 5) -> a training of some epochs into tmp_path / "run"."""

    def make(*more: str | int, out: str = "run") -> list[str]:
        line = (
            f"train --data {clips} --cache {clips.parent / 'cache'} --out {tmp_path / out} --arch resnet18 "
            f"--width 0.125 --segments 4 --size 64 --batch 4 --workers 0 --device cpu"
        )
        return [*line.split(), *map(str, more)]

    return make


def test_it_learns_the_direction_of_motion(decoded: DecodedDataSet, tmp_path: Path) -> None:
    """From random weights, in 14 epochs of eight clips; mirrored clips have the other label."""
    config = replace(CONFIG, epochs=14, rate=1.0, warm_up_epochs=0.5)
    initial = load_initial_weights("", decoded.data.labels, config.seed, stdm_fusion="add", **NETWORK)
    task = make_task(decoded, config, initial, held_out=True)
    metrics = train_here(task, tmp_path / "run")
    assert metrics[-1]["held_out_top1"] == 1
    assert metrics[-1]["held_out_loss"] < 0.5
    assert not task.initial.model.training
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines == metrics
    assert Image.open(tmp_path / "run/curves.png").size[0] > 800
    assert (tmp_path / "run/labels.txt").read_text() == "left\nright\n"
    recorded = json.loads((tmp_path / "run/run.json").read_text())
    assert recorded["course"]["seed"] == 1
    assert recorded["data"]["videos"] == 8
    assert recorded["versions"]["torch"] == torch.__version__
    for name, value in run_weights(tmp_path / "run").items():
        assert torch.equal(value, task.initial.model.state_dict()[name])


def test_a_killed_and_interrupted_run_gives_the_weights_of_an_undisturbed_one(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL in one epoch, Ctrl-C in a later one: the weights are bit for bit those of an undisturbed run."""
    epochs = 7
    assert main(command("--epochs", epochs, out="undisturbed")) == 0
    metrics = tmp_path / "run/metrics.jsonl"

    def reached(count: int) -> bool:
        return metrics.exists() and len(metrics.read_text().splitlines()) >= count

    kill_trainer_when(command("--epochs", epochs), lambda: reached(1))
    begun = len(metrics.read_text().splitlines())

    def interrupt() -> None:
        eventually(lambda: reached(begun + 1))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert main(command("--epochs", epochs)) == 130
    assert "stopped; run the same command again to resume after the last whole epoch" in capsys.readouterr().err
    assert begun + 1 <= len(metrics.read_text().splitlines()) < epochs
    assert main(command("--epochs", epochs)) == 0
    assert [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()] == list(range(1, epochs + 1))
    before, after = run_weights(tmp_path / "undisturbed"), run_weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert main(command("--epochs", epochs)) == 0, "a complete run is not changed"


TWO = """
import sys
from pathlib import Path
from dataclasses import replace
import torch
from tests.support.training_clips import decode_clips
from tests.support.training_tasks import CONFIG, make_task
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.loop.distributed import distributed_context

clips, out = map(Path, sys.argv[1:])
with distributed_context("cpu") as context:
    assert (context.world, context.local_rank) == (2, 0)
    decoded = decode_clips(clips, clips.parent / "cache")
    task = make_task(decoded, replace(CONFIG, dropout=0.5), held_out=True)
    metrics = train(task, out / "two", context, micro_batch=1, workers=0)
    torch.save((task.initial.model.state_dict(), metrics), out / f"{context.rank}.pt")
"""


def test_two_machines_give_the_weights_of_one(clips: Path, decoded: DecodedDataSet, tmp_path: Path) -> None:
    """Torchrun starts one process on each, which takes half of every step's clips; both use the same folder. The
    micro-batch is one clip in either case, and every clip has the same dropout.
    """
    (tmp_path / "two.py").write_text(TWO)
    torchrun = f"-m torch.distributed.run --nnodes 2 --master-addr 127.0.0.1 --master-port {free_port()} --node-rank"
    machines = [
        subprocess.Popen(
            [sys.executable, *torchrun.split(), str(rank), tmp_path / "two.py", clips, tmp_path],
            env=environment() | {"GLOO_SOCKET_IFNAME": "lo"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        for machine in machines:
            _, log = machine.communicate(timeout=PROGRAM_S)
            assert machine.returncode == 0, log
    finally:
        for machine in machines:
            machine.kill()
    recorded = json.loads((tmp_path / "two/run.json").read_text())
    assert recorded["computed"] == {"device": "cpu", "processes": 2, "micro_batch": 1}
    (one, metrics), (other, other_metrics) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one.keys() == run_weights(tmp_path / "two").keys()
    alone = make_task(decoded, replace(CONFIG, dropout=0.5), held_out=True)
    expected = train_here(alone, tmp_path / "one", micro_batch=1)
    for name, value in alone.initial.model.named_parameters():
        torch.testing.assert_close(one[name], value.detach(), rtol=1e-3, atol=1e-5, msg=name)
    for ours, others, lone in zip(metrics, other_metrics, expected, strict=True):
        assert ours["loss"] == others["loss"]
        assert ours["loss"] == pytest.approx(lone["loss"], rel=1e-3)
        assert ours["held_out_top1"] == others["held_out_top1"]


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_a_run_on_a_gpu_is_interrupted_and_resumed(
    command: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mixed precision. The loss is near that of an undisturbed run: a GPU adds in any order. Without the momentum
    in the checkpoint, the loss would differ by 8 %; without the weights, by 40 %.
    """
    line = ("--epochs", 2, "--rate", 4, "--hold-out", 0.5, "--device", "cuda", "--precision", "bf16")
    assert main(command(*line, out="undisturbed")) == 0
    record = RunFolder.save_epoch

    def stopped(self: RunFolder, *state: Any, **options: Any) -> None:
        record(self, *state, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_epoch", stopped)
        assert main(command(*line)) == 130
    metrics = tmp_path / "run/metrics.jsonl"
    first = metrics.read_text()
    assert main(command(*line)) == 0
    assert metrics.read_text().startswith(first), "a complete epoch is not trained again"
    assert json.loads((tmp_path / "run/run.json").read_text())["computed"]["device"] == "cuda"
    losses = [
        [json.loads(epoch)["held_out_loss"] for epoch in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("undisturbed", "run")
    ]
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


def test_pretrained_batch_norms_keep_their_statistics(decoded: DecodedDataSet, tmp_path: Path) -> None:
    checkpoint.save(load_initial_weights("", ("x", "y", "z"), 4, **NETWORK).model, tmp_path / "w.safetensors")
    for partial in (True, False):
        initial = load_initial_weights(str(tmp_path / "w.safetensors"), decoded.data.labels, 1)
        before = {name: value.clone() for name, value in initial.model.state_dict().items()}
        config = replace(CONFIG, epochs=1, partial_norm=partial, dropout=0.25)
        train_here(make_task(decoded, config, initial), tmp_path / f"run{partial}")
        assert initial.model.dropout.p == 0.25
        after = initial.model.state_dict()
        norms = [name for name, module in initial.model.named_modules() if isinstance(module, nn.BatchNorm2d)]
        kept = {n for n in norms if torch.equal(after[f"{n}.running_mean"], before[f"{n}.running_mean"])}
        assert kept == (set(norms) - {"bn1"} if partial else set())
        assert all(torch.equal(after[f"{n}.weight"], before[f"{n}.weight"]) for n in kept)
        assert not torch.equal(after["res4.0.conv1.weight"], before["res4.0.conv1.weight"])


def test_run_json_keeps_its_keys(decoded: DecodedDataSet, tmp_path: Path) -> None:
    """A run of an older version can be resumed only while the keys are the same."""
    identity = make_task(decoded, held_out=True).identity()
    assert list(identity) == ["network", "input", "course", "start", "data", "held_out"]
    assert list(identity["start"]) == ["from", "sha256", "notes"]
    assert list(identity["data"]) == ["videos", "labels", "swaps", "skipped", "sha256"]
    assert " ".join(identity["course"]) == (
        "epochs milestones rate warm_up_epochs cosine batch weight_decay momentum nesterov dropout clip last_layer "
        "partial_norm flip views window_s spliced precision seed"
    )
    train_here(make_task(decoded, replace(CONFIG, epochs=1)), tmp_path / "run")
    recorded = json.loads((tmp_path / "run/run.json").read_text())
    assert recorded["computed"] == {"device": "cpu", "processes": 1, "micro_batch": 4}


def test_the_published_schedules() -> None:
    """0.01 for the 64 clips of Something-Something, a tenth of it after 30, 45 and 55 epochs."""
    config = PUBLISHED["something"]
    assert {one.dropout for one in PUBLISHED.values()} == {0.5}
    assert [config.rate_at(e) for e in (0, 29.99, 30, 45, 55, 59)] == pytest.approx(
        [1e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-5]
    )
    assert replace(config, batch=128).rate_at(0) == pytest.approx(0.02)
    warm = replace(config, warm_up_epochs=2)
    rates = [warm.rate_at(epoch / 10) for epoch in range(30)]
    assert rates[0] == pytest.approx(1e-4)
    assert all(a < b for a, b in itertools.pairwise(rates[:20]))
    assert rates[20:] == pytest.approx([1e-2] * 10)


def test_a_folder_of_another_run_is_an_error(decoded: DecodedDataSet, tmp_path: Path) -> None:
    train_here(make_task(decoded, replace(CONFIG, epochs=1)), tmp_path / "run")
    before = (tmp_path / "run/checkpoint.pt").read_bytes()
    same = make_task(decoded, replace(CONFIG, epochs=1))
    moved = replace(same, initial=replace(same.initial, notes=("in other words",)))
    assert len(train_here(moved, tmp_path / "run")) == 1
    with pytest.raises(ConfigError, match=r"started with course\.rate = 0\.02, now it is 0\.3"):
        train_here(make_task(decoded, replace(CONFIG, epochs=1, rate=0.3)), tmp_path / "run")
    fewer = decoded.select(replace(decoded.data, videos=decoded.data.videos[:6]))
    with pytest.raises(ConfigError, match=r"started with data\.videos = 8, now it is 6"):
        train_here(make_task(fewer, replace(CONFIG, epochs=1)), tmp_path / "run")
    assert (tmp_path / "run/checkpoint.pt").read_bytes() == before
    (tmp_path / "run/checkpoint.pt").write_bytes(before[:-500])
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: damaged"):
        train_here(make_task(decoded, replace(CONFIG, epochs=1)), tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(ConfigError, match="exists already and is not a run"):
        train_here(make_task(decoded), tmp_path / "mine")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--batch", 64], "batch 64: a step would need more clips than an epoch has, 8; use --batch 8 or less"),
        (
            ["--micro-batch", 3],
            "3 clip(s) at once: a process's share of a step is 4 x 1 clip(s); use --micro-batch 1, 2 or 4",
        ),
        (["--size", 32], "size 32x32: too small for this network"),
        (["--size", 8], "height: Input should be greater than or equal to 32, got 8"),
        (["--size", 0], "height: Input should be greater than or equal to 32, got 0"),
        (["--frame-rate", 0], "frame_rate: Input should be greater than"),
        (["--evaluate-on", "{data}/left"], "no class in it"),
        (["--network", "colour=3"], "not an option of the network"),
        (["--network", "ltdm_stages=[7]"], "ltdm_stages 7 is not known"),
        (["--rate", "-1"], "rate -1.0: must be from 0 to 100"),
        (["--seed", "-1"], "seed -1: must be from 0 to"),
        (["--workers", "-1"], "--workers -1: must be 0 or more"),
        (["--from", "gone.pth"], "gone.pth: no such checkpoint"),
        (["--hold-out", "0.2", "--evaluate-on", "{data}"], "--evaluate-on and --hold-out: use one of them"),
    ],
)
def test_a_wrong_option_is_an_error_and_nothing_is_written(
    more: list[str | int],
    message: str,
    command: Callable[..., list[str]],
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command(*(str(part).format(data=clips) for part in more))) == 78
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_uneven_number_of_processes_is_an_error_that_names_the_even_ones(
    decoded: DecodedDataSet, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"batch 4: 3 processes cannot share it evenly; start 1, 2 or 4 processes$"):
        train(make_task(decoded), tmp_path / "run", DistributedContext(world=3), micro_batch=1, workers=0)


def test_the_processes_of_a_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    for local, each in (("1", 8), ("4", 2), ("16", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
        assert default_workers() == each


def test_a_training_that_diverges_stops_and_keeps_its_checkpoint(decoded: DecodedDataSet, tmp_path: Path) -> None:
    train_here(make_task(decoded), tmp_path / "run")
    state = torch.load(tmp_path / "run/checkpoint.pt")
    state["metrics"] = state["metrics"][:1]
    state["model"]["linear.weight"].fill_(1e38)
    torch.save(state, tmp_path / "run/checkpoint.pt")
    before = (tmp_path / "run/checkpoint.pt").read_bytes()
    with pytest.raises(ConfigError, match="epoch 2: the training diverged: its rate is too high"):
        train_here(make_task(decoded), tmp_path / "run")
    assert (tmp_path / "run/checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_a_complete_run_without_its_weights_names_the_file_to_remove(
    damage: Callable[[Path], object], decoded: DecodedDataSet, tmp_path: Path
) -> None:
    def tune() -> None:
        train(make_task(decoded, held_out=True), tmp_path / "run", DistributedContext(), 4, workers=0, patience=2)

    tune()
    damage(tmp_path / "run/weights.safetensors")
    with pytest.raises(
        ConfigError, match=r"run/weights\.safetensors: missing or damaged; to train again, remove .*run/checkpoint\.pt$"
    ):
        tune()
    (tmp_path / "run/checkpoint.pt").unlink()
    tune()


def test_a_single_class_or_one_without_videos_is_an_error(decoded: DecodedDataSet, tmp_path: Path) -> None:
    lefts = tuple(video for video in decoded.data.videos if video.label == 0)
    one = decoded.select(replace(decoded.data, labels=("left",), videos=lefts, swaps=(0,)))
    with pytest.raises(ConfigError, match="only one class, 'left': add a second class"):
        train_here(make_task(one), tmp_path / "run")
    none = decoded.select(replace(decoded.data, videos=lefts, skipped=("x.mp4: damaged",)))
    with pytest.raises(ConfigError, match=r"(?s)class 'right': no video to train on.*x\.mp4: damaged"):
        train_here(make_task(none), tmp_path / "run")


def test_too_little_memory_is_an_error_that_names_the_largest_micro_batch(
    decoded: DecodedDataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a headroom of a quarter; here there is room for three clips. With that micro-batch the same run is trained,
    and run.json records it, because batch norms depend on it.
    """
    encode = TDN.encode

    def greedy(self: TDN, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if frames.shape[0] > 3 * SPEC.segments:
            torch.empty(1 << 60, dtype=torch.uint8)  # the allocator's own error
        return encode(self, frames)

    monkeypatch.setattr(TDN, "encode", greedy)
    config = replace(CONFIG, epochs=1, batch=8)
    with pytest.raises(
        DeviceError, match=r"not enough memory on cpu for 8 clip.s. at once; 2 fit: use --micro-batch 2 "
    ):
        train_here(make_task(decoded, config), tmp_path / "run", micro_batch=8)
    assert len(train_here(make_task(decoded, config), tmp_path / "run", micro_batch=2)) == 1
    assert json.loads((tmp_path / "run/run.json").read_text())["computed"]["micro_batch"] == 2


def test_a_worker_that_is_killed_for_its_memory_is_an_error(
    decoded: DecodedDataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that trains only learns that the worker is gone."""
    monkeypatch.setattr(TrainClips, "__getitem__", lambda clips, key: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DeviceError, match=r"not enough memory for the clips that wait: .*; use fewer --workers, or 0"):
        train_here(make_task(decoded), tmp_path / "run", workers=1)
