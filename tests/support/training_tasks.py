"""Small training tasks that a CPU finishes in seconds, and a way to run the trainer in a process that can be killed."""

import gc
import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_training.__main__ import main
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.loop.distributed import DistributedContext
from edge_tdn_training.loop.initial_weights import InitialWeights, load_initial_weights
from edge_tdn_training.loop.metrics import Metrics
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.training_config import TrainingConfig

from tests.conftest import ROOT
from tests.support.training_clips import SPEC
from tests.support.waiting import PROGRAM_S, eventually

FORK = multiprocessing.get_context("fork")  # importing torch again would take longer than what is tested
NETWORK = {"arch": "resnet18", "width": 0.125, "segments": 4}
CONFIG = TrainingConfig(epochs=2, batch=4, precision="fp32", dropout=0.0)


def make_task(
    decoded: DecodedDataSet,
    config: TrainingConfig = CONFIG,
    initial: InitialWeights | None = None,
    held_out: bool = False,
) -> TrainingTask:
    """Return a task for NETWORK and SPEC. `held_out`: evaluate on the same videos after each epoch."""
    initial = initial or load_initial_weights("", decoded.data.labels, config.seed, **NETWORK)
    return TrainingTask(initial, SPEC, decoded, decoded if held_out else None, config)


def train_here(task: TrainingTask, folder: Path, micro_batch: int = 4, workers: int = 0) -> list[Metrics]:
    """Train in this process on the CPU; return the metrics."""
    return train(task, folder, DistributedContext(), micro_batch, workers)


def environment() -> dict[str, str]:
    """Return an environment in which a process finds the three packages and the tests of this working tree."""
    folders = os.pathsep.join(map(str, (ROOT, ROOT / "export", ROOT / "training")))
    return {**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1"}


def run_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a run."""
    weights: dict[str, torch.Tensor] = checkpoint.load(folder / "weights.safetensors").state_dict()
    return weights


def kill_trainer_when(arguments: Sequence[str], condition: Callable[[], bool]) -> None:
    """Run `edge-tdn-train` in a process, and send it SIGKILL as soon as the condition holds."""
    process = _forked(lambda: main(arguments))
    process.start()
    eventually(lambda: condition() or not process.is_alive(), PROGRAM_S)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the trainer ended before it was killed"


def kill_trainer_at(arguments: Sequence[str], owner: Any, function: str, call: int) -> None:
    """Run `edge-tdn-train` in a process that sends itself SIGKILL instead of calling `owner.function` once more.

    `call`: the number of that call, from 1.
    """

    def run() -> None:
        real, calls = getattr(owner, function), itertools.count(1)

        def counted(*values: Any, **options: Any) -> Any:
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*values, **options)

        setattr(owner, function, counted)  # in this process only
        main(arguments)

    process = _forked(run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, f"{function} was not called {call} times"


def _forked(run: Callable[[], object]) -> ForkProcess:
    """Return a process with what this one has imported, not started yet.

    The objects that earlier tests have left are never destroyed in it: their threads do not exist there, and joining
    them would abort the process.
    """

    def without_garbage() -> None:
        gc.freeze()
        run()

    return FORK.Process(target=without_garbage)
