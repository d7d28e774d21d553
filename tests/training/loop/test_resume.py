"""A run that is killed and resumed is the run that was never interrupted, bit for bit, with any number of workers."""

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_training.__main__ import main
from edge_tdn_training.commands import finetune
from edge_tdn_training.loop import run_folder
from edge_tdn_training.loop.dropout import ClipDropout, StepPlace
from edge_tdn_training.training_config import TrainingConfig

from tests.support.training_clips import decode_clips, make_clips
from tests.support.training_tasks import environment, kill_trainer_at
from tests.support.waiting import PROGRAM_S

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """command("run", "--workers", 2) -> a training of three epochs, with the default dropout and precision, into `run`.

    An epoch has two steps and an evaluation.
    """
    folder = tmp_path_factory.mktemp("resume")
    make_clips(folder / "data")

    def make(out: str | Path, *more: str | int) -> list[str]:
        line = (
            f"train --data {folder / 'data'} --cache {folder / 'cache'} --out {folder / out} --hold-out 0.5 --batch 2 "
            f"--epochs 3 --arch resnet18 --width 0.125 --segments 4 --size 64 --device cpu"
        )
        return [*line.split(), *map(str, more)]

    return make


@pytest.fixture(scope="module")
def undisturbed(command: Callable[..., list[str]]) -> Path:
    """The folder of a run that was never interrupted, with the default number of workers."""
    line = command("undisturbed")
    assert main(line) == 0
    return Path(line[line.index("--out") + 1])


def state_of(run: Path) -> dict[str, object]:
    """Return everything that a run has learned, as bytes: its weights, the optimiser's state and the losses."""
    kept = torch.load(run / "checkpoint.pt")
    momentum = [one["momentum_buffer"].numpy().tobytes() for one in kept["optimiser"]["state"].values()]
    losses = [(epoch["loss"], epoch["top1"], epoch["held_out_loss"]) for epoch in kept["metrics"]]
    return {"weights": (run / "weights.safetensors").read_bytes(), "momentum": momentum, "losses": losses}


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_run_that_is_killed_in_every_epoch_gives_the_weights_of_an_undisturbed_one(
    workers: int, command: Callable[..., list[str]], undisturbed: Path
) -> None:
    """SIGKILL in the middle of each epoch, and before the checkpoint is written, when the other files are newer."""
    assert TrainingConfig().dropout == 0.5
    line = command(f"killed-{workers}", "--workers", workers)
    for owner, function, call in (
        (torch.optim.SGD, "step", 2),  # epoch 1
        (torch.optim.SGD, "step", 4),  # epoch 2
        (run_folder, "write_at_once", 4),  # epoch 2: metrics, curves and weights are written
        (torch.optim.SGD, "step", 3),  # epoch 2 again, and 3
    ):
        kill_trainer_at(line, owner, function, call)
    assert main(line) == 0
    expected, found = state_of(undisturbed), state_of(undisturbed.parent / f"killed-{workers}")
    assert len(expected["losses"]) == 3  # type: ignore[arg-type]
    for what, value in expected.items():
        assert found[what] == value, what


def test_a_run_that_is_killed_while_it_writes_is_resumed_and_leaves_no_scratch_file(
    command: Callable[..., list[str]], undisturbed: Path
) -> None:
    """SIGKILL in the middle of each file, from the first one that a run writes."""
    line, run = command("written", "--workers", 0), undisturbed.parent / "written"
    for call in range(1, 7):  # run.json, labels.txt, metrics.jsonl, curves.png, weights.safetensors, checkpoint.pt
        kill_trainer_at(line, os, "fsync", call)
        assert [path for path in run.iterdir() if path.name.startswith(".")], "the file that was not complete"
    assert main(line) == 0
    assert state_of(run) == state_of(undisturbed)
    assert {path.name for path in run.iterdir()} == {path.name for path in undisturbed.iterdir()}


def test_a_training_leaves_the_generators_of_the_process_as_they_are(command: Callable[..., list[str]]) -> None:
    """Its random numbers then depend neither on other code that draws from them nor on how often it was resumed."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    assert main(command("alone", "--epochs", 1, "--workers", 1)) == 0
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])


def test_the_dropout_of_a_clip_depends_on_its_place_only() -> None:
    """Not on the other clips of its micro-batch: processes that share a step drop what one process would."""
    dropout = ClipDropout(0.25, seed=7, segments=2)

    def kept(epoch: int, step: int, clip: int, clips: int) -> torch.Tensor:
        dropout.place = StepPlace(epoch, step, clip)
        return dropout(torch.full((clips * 2, 5000), 3.0))

    whole = kept(1, 2, 0, 4)
    assert torch.equal(whole, torch.cat([kept(1, 2, clip, 1) for clip in range(4)]))
    assert torch.equal(whole, torch.cat([kept(1, 2, 0, 2), kept(1, 2, 2, 2)]))
    others = [kept(0, 2, 0, 4), kept(1, 1, 0, 4), kept(1, 2, 4, 4)]
    for one, other in itertools.combinations([whole, *others], 2):
        assert (one == other).float().mean() == pytest.approx(0.75**2 + 0.25**2, abs=0.01)
    assert whole.unique().tolist() == [0.0, 4.0]
    assert whole.mean() == pytest.approx(3.0, abs=0.05)
    dropout.eval()
    assert kept(1, 2, 0, 1).unique().tolist() == [3.0]


def test_a_fine_tuning_that_is_killed_gives_the_weights_of_an_undisturbed_one(
    command: Callable[..., list[str]], undisturbed: Path
) -> None:
    """With its own settings: clips that begin in another video, the best of the epochs, an early end.

    The run is looked at when the training is over and the export would begin.
    """
    folder = undisturbed.parent

    def line(out: str, *more: str | int) -> list[str]:
        options = f"finetune --data {folder / 'data'} --from {undisturbed} --out {folder / out} --epochs 4 --device cpu"
        return [*options.split(), "--without-background", "--cache", str(folder / "cache"), *map(str, more)]

    export = (finetune, "whole_or_nothing", 1)
    kill_trainer_at(line("whole"), *export)
    for owner, function, call in ((torch.optim.SGD, "step", 2), (torch.optim.SGD, "step", 8), export):
        kill_trainer_at(line("parts", "--workers", 2), owner, function, call)
    expected, found = state_of(folder / "whole.run"), state_of(folder / "parts.run")
    assert len(expected["losses"]) >= 4  # type: ignore[arg-type]
    for what, value in expected.items():
        assert found[what] == value, what


FOUR = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import torch
from tests.support.training_clips import decode_clips
from tests.support.training_tasks import CONFIG, make_task
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.loop.distributed import distributed_context

data, out, killed_at = *map(Path, sys.argv[1:3]), int(sys.argv[3])
torch.set_num_threads(1)
real, calls = torch.optim.SGD.step, []

def step(optimiser):
    calls.append(1)
    if len(calls) == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(optimiser)

torch.optim.SGD.step = step
with distributed_context("cpu") as context:
    decoded = decode_clips(data, data.parent / "cache")
    task = make_task(decoded, replace(CONFIG, epochs=3, dropout=0.5, precision="bf16"), held_out=True)
    train(task, out, context, micro_batch=1, workers=1)
"""


@pytest.mark.training
def test_four_processes_that_are_killed_give_the_weights_of_undisturbed_ones(
    command: Callable[..., list[str]], undisturbed: Path, tmp_path: Path
) -> None:
    """Gradients are added in the same order in every step: with more than two addends it decides the rounding."""
    decode_clips(undisturbed.parent / "data", undisturbed.parent / "cache")
    (tmp_path / "four.py").write_text(FOUR)

    def start(out: str, killed_at: int) -> int:
        line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
        line += [str(tmp_path / "four.py"), str(undisturbed.parent / "data"), str(tmp_path / out), str(killed_at)]
        variables = environment() | {"GLOO_SOCKET_IFNAME": "lo"}
        return subprocess.run(line, env=variables, capture_output=True, timeout=PROGRAM_S).returncode

    assert start("whole", 0) == 0
    assert start("parts", 4) != 0
    assert start("parts", 0) == 0
    assert state_of(tmp_path / "parts") == state_of(tmp_path / "whole")
