"""The published training: SGD on TSN's random segments, with gradients clipped at a norm of 20.

The loss is the cross-entropy of a clip's logits, averaged over the clips of a step. The gradient of a step is the mean
over the N micro-batches of each process, and over all processes:

    grad = mean over processes of  sum over n of  d(loss_n / N) / dw,      loss_n: mean over the clips of a micro-batch

Batch norms that learn take their statistics of one micro-batch. Whether pretrained ones keep theirs (partial batch
norm: all but the first) depends on the batch: the published commands let them learn, with 64 clips per step and more.
So the size of the micro-batch changes the result. run.json records that of the first epoch, but does not compare it: a
run that has too little memory can be resumed with a smaller one.

Everything random has a generator of its own, seeded with the run's seed and the place where it is used: the order of
the clips with the epoch, a clip with epoch and number, dropout with epoch, step and clip. So a run that is killed and
resumed gives the same weights as one that is never interrupted, with any number of workers.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from edge_tdn_export.network.tdn import normalise
from edge_tdn_export.progress import ProgressDisplay
from torch import Tensor, nn
from torch.utils.data import Dataset

from edge_tdn.errors import ConfigError, DeviceError, last_line
from edge_tdn.inference.runtime import is_out_of_memory
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn.process.malloc import tune_for_training
from edge_tdn_training.data.loader import BatchOrder, ProcessShare, eval_loader, train_loader
from edge_tdn_training.loop.checks import check_batch, check_size
from edge_tdn_training.loop.distributed import DistributedContext
from edge_tdn_training.loop.dropout import ClipDropout, StepPlace
from edge_tdn_training.loop.early_stopping import best_epoch, has_stalled
from edge_tdn_training.loop.metrics import Metrics
from edge_tdn_training.loop.optimiser import make_optimiser
from edge_tdn_training.loop.run_folder import RunFolder
from edge_tdn_training.loop.task import TrainingTask

MEMORY_HEADROOM = 1.25  # factor of clips that must fit, for the optimiser and for clips that wait


def train(
    task: TrainingTask,
    folder: Path,
    context: DistributedContext,
    micro_batch: int,
    workers: int,
    patience: int = 0,
    name: str = "training",
) -> list[Metrics]:
    """Train the task's network in place, or resume the run in `folder`; return the metrics of its epochs.

    `micro_batch`: clips that a process computes at a time. `workers`: processes that make clips, for each process that
    trains. `patience`: end early when the held-out loss has not improved for so many epochs after the rate fell, and
    keep the weights of the best epoch; 0: as published, train all epochs and keep the last. `name`: of the progress.

    ConfigError: the batch does not fit the data or the processes, or the folder is of another run or damaged.
    DeviceError: not enough memory for a micro-batch; the error names the largest that fits.
    """
    tune_for_training()
    config, model = task.config, task.initial.model
    dataset = task.train.train_clips(config, task.spec)
    check_batch(config, len(task.train), context, micro_batch)
    check_size(model, task.spec)
    computed = {"device": context.device.type, "processes": context.world, "micro_batch": micro_batch}
    with context.leader_first(context.is_first):
        run = RunFolder(folder, task.identity() | {"computed": computed}, task.train.labels, writes=context.is_first)
    model.to(device=context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = make_optimiser(model, task.initial.frozen_norms, config)
    metrics = run.restore(model, optimiser)
    trainer = _Trainer(task, dataset, optimiser, context, micro_batch, workers)
    with ProgressDisplay(shown=context.is_first) as display:
        if 0 < len(metrics) < config.epochs and context.is_first:
            display.print(f"{folder}: resuming after epoch {len(metrics)}")
        while len(metrics) < config.epochs and not (patience and has_stalled(metrics, patience)):
            progress = _EpochProgress(display, f"{name}: epoch {len(metrics) + 1}/{config.epochs}")
            metrics.append(trainer.run_epoch(len(metrics), progress))
            is_best = not patience or best_epoch(metrics) == len(metrics) - 1
            run.save_epoch(model, optimiser, metrics, save_weights=is_best)
            if context.is_first:
                display.print(_summary(metrics[-1], config.epochs))
    run.draw(metrics)
    if patience:
        with context.leader_first(context.is_first):
            run.load_weights(model)
    model.dropout = nn.Dropout(config.dropout)  # the exporter names nodes after torch's own layers
    model.eval()
    return metrics


def _summary(metrics: Metrics, epochs: int) -> str:
    held_out = ""
    if "held_out_loss" in metrics:
        held_out = (
            f"; held out: loss {metrics['held_out_loss']:.3f}, top-1 {metrics['held_out_top1']:.1%} "
            f"({metrics['held_out_seconds']:.0f} s)"
        )
    return (
        f"epoch {metrics['epoch']:.0f}/{epochs}: loss {metrics['loss']:.3f}, top-1 {metrics['top1']:.1%} "
        f"({metrics['seconds']:.0f} s, {metrics['clips_per_s']:.1f} clips/s, {metrics['waited']:.0%} waiting for clips)"
        f"{held_out}"
    )


@dataclass(frozen=True)
class _EpochProgress:
    """The display of the progress, and the name of the epoch in it."""

    display: ProgressDisplay
    epoch: str

    def report(self, done: int, total: int, detail: str = "") -> None:
        """Report that `done` of `total` steps, or held-out clips, are done."""
        self.display.report(f"{self.epoch}{detail}", done, total)


class _Trainer:
    """The epochs of one process. It is used by one thread."""

    def __init__(
        self,
        task: TrainingTask,
        dataset: Dataset[tuple[Tensor, Any]],
        optimiser: torch.optim.Optimizer,
        context: DistributedContext,
        micro_batch: int,
        workers: int,
    ) -> None:
        config, model = task.config, task.initial.model
        self._task, self._context, self._micro_batch = task, context, micro_batch
        self._model, self._optimiser = model, optimiser
        self._dropout = model.dropout = ClipDropout(config.dropout, config.seed, model.config.segments)
        self._micro_batches = config.batch // (context.world * micro_batch)  # of this process in a step
        share = ProcessShare(context.rank, context.world, micro_batch // config.views)
        self._order = BatchOrder(len(task.train), config.batch // config.views, share, config.seed)
        self._train = train_loader(dataset, self._order, workers, pinned=context.device.type == "cuda")
        share = replace(share, micro_batch=micro_batch)
        held_out = task.held_out
        self._held_out = eval_loader(held_out.eval_clips(task.spec), share, workers) if held_out is not None else None
        if workers == 0:
            cv2.setNumThreads(1)

    def run_epoch(self, epoch: int, progress: _EpochProgress) -> Metrics:
        """Train on every video once, then evaluate. `epoch`: from 0. DeviceError: not enough memory."""
        try:
            return self._run_epoch(epoch, progress)
        except (RuntimeError, MemoryError) as error:
            killed = "DataLoader worker (pid" in str(error)  # by the system; PyTorch does not know why
            if killed or ("DataLoader worker" in str(error) and is_out_of_memory(error)):
                raise DeviceError(
                    f"not enough memory for the clips that wait: {last_line(error)}; use fewer --workers, or 0"
                ) from error
            if not is_out_of_memory(error):
                raise
        raise DeviceError(self._out_of_memory())  # outside of `except`: the failed step has released its memory

    def _run_epoch(self, epoch: int, progress: _EpochProgress) -> Metrics:
        config = self._task.config
        self._order.epoch = epoch
        began = time.monotonic()
        loss, correct, clips, waited_s = self._train_epoch(epoch, progress)
        if not math.isfinite(loss):
            raise ConfigError(f"epoch {epoch + 1}: the training diverged: its rate is too high, or rises too fast")
        seconds = time.monotonic() - began
        metrics = {
            "epoch": epoch + 1,
            "rate": config.rate_at(epoch),
            "loss": loss / clips,
            "top1": correct / clips,
            "seconds": seconds,
            "clips_per_s": clips / seconds,
            "waited": waited_s / seconds,
        }
        return metrics | self._evaluate(progress)

    def _train_epoch(self, epoch: int, progress: _EpochProgress) -> tuple[float, float, float, float]:
        """Return the sums of loss, correct answers and clips over all processes, and the seconds spent waiting."""
        config = self._task.config
        self._model.train()
        for name in self._task.initial.frozen_norms if config.partial_norm else ():
            self._model.get_submodule(name).eval()
        steps = len(self._order) // self._micro_batches
        progress.report(0, steps)
        batches, waited = iter(self._train), _Timer()
        loss_sum = correct = clips = 0.0
        for step in range(steps):
            for group in self._optimiser.param_groups:
                group["lr"] = group["scale"] * config.rate_at(epoch + step / steps)
            loss, hits = self._step(epoch, step, batches, waited)
            loss_sum, correct = loss_sum + loss, correct + hits
            clips += self._micro_batches * self._micro_batch
            progress.report(step + 1, steps, f", loss {loss_sum / clips:.3f}")
        self._context.broadcast(self._model.buffers())
        return (*self._context.sum(loss_sum, correct, clips), waited.seconds)  # type: ignore[return-value]

    def _step(self, epoch: int, step: int, batches: Iterator[Any], waited: "_Timer") -> tuple[float, float]:
        """Take one step of SGD; return the sums of loss and correct answers of this process's clips."""
        device = self._context.device
        self._optimiser.zero_grad(set_to_none=True)
        loss_sum = correct = torch.zeros((), device=device)
        for part in range(self._micro_batches):
            with waited:
                frames, labels = (tensor.to(device, non_blocking=True) for tensor in next(batches))
            frames, labels = frames.flatten(0, -6), labels.flatten()  # uint8 [B * views, T, 5, H, W, 3], [B * views]
            share = part * self._context.world + self._context.rank  # number of the micro-batch, as in BatchOrder
            self._dropout.place = StepPlace(epoch, step, share * self._micro_batch)
            logits = self._forward(frames)
            loss = F.cross_entropy(logits, labels)
            (loss / self._micro_batches).backward()  # type: ignore[no-untyped-call]
            loss_sum = loss_sum + loss.detach() * len(labels)
            correct = correct + (logits.detach().argmax(1) == labels).sum()
        self._context.average([p.grad for p in self._model.parameters() if p.grad is not None])
        nn.utils.clip_grad_norm_(self._model.parameters(), self._task.config.clip)
        self._optimiser.step()
        return float(loss_sum), float(correct)

    def _forward(self, frames: Tensor) -> Tensor:
        """Return logits float32 [B, classes] of frames uint8 [B, T, 5, H, W, 3]."""
        spec, mixed = self._task.spec, self._task.config.precision == "bf16"
        with torch.autocast(self._context.device.type, torch.bfloat16, enabled=mixed):
            logits: Tensor = self._model(normalise(frames, spec.mean, spec.std))
        return logits.float()

    @torch.inference_mode()
    def _evaluate(self, progress: _EpochProgress) -> Metrics:
        """Return held-out loss and accuracy, one clip of each held-out video; nothing if there are no such videos."""
        if self._held_out is None:
            return {}
        began = time.monotonic()
        self._model.eval()
        loss = correct = clips = 0.0
        total = len(self._held_out.dataset)  # type: ignore[arg-type]  # of this process
        progress.report(0, total, ", held-out clips")
        for frames, labels in self._held_out:
            labels = labels.to(self._context.device)
            logits = self._forward(frames.to(self._context.device))
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            correct, clips = correct + float((logits.argmax(1) == labels).sum()), clips + len(labels)
            progress.report(int(clips), total, ", held-out clips")
        loss, correct, clips = self._context.sum(loss, correct, clips)
        seconds = time.monotonic() - began
        return {"held_out_loss": loss / clips, "held_out_top1": correct / clips, "held_out_seconds": seconds}

    def _out_of_memory(self) -> str:
        """Return the message of an error that names the largest micro-batch for which the memory suffices."""
        config = self._task.config
        share, views = config.batch // self._context.world, config.views
        message = f"not enough memory on {self._context.device} for {self._micro_batch} clip(s) at once"
        for n in (n for n in range(self._micro_batch - views, 0, -views) if share % n == 0):
            if self._fits(n):
                return f"{message}; {n} fit: use --micro-batch {n} (a step still trains on {config.batch} clips)"
        return f"{message}, nor for a single one: use a smaller network or smaller pictures"

    def _fits(self, clips: int) -> bool:
        """Try a micro-batch of black clips, with some headroom; return whether the memory suffices."""
        spec = self._task.spec
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._optimiser.zero_grad(set_to_none=True)
        shape = (int(clips * MEMORY_HEADROOM), spec.segments, FRAMES_PER_SEGMENT, spec.height, spec.width, 3)
        try:
            frames = torch.zeros(shape, dtype=torch.uint8).to(self._context.device)
            self._forward(frames).sum().backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True


class _Timer:
    """A context manager that adds up the time inside of it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._began
