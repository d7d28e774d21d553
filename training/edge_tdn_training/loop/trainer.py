"""The training as the paper does it: SGD in steps, from TSN's random segments, gradients clipped at 20.

The published commands learn at a rate of 0.02 for 128 clips a step (0.01 for the 64 of Something-Something), which is
scaled with the batch, and divided by ten at the milestones. Biases learn twice as fast as weights, and neither they nor
batch norms decay. Whether the batch norms that came with statistics keep these (partial batch norm: all but the first)
is a question of the batch: the published commands let them learn, with 64 clips a step and more.

Nothing is drawn from a generator that lives longer than an epoch. So a run that was killed and went on gives what one
gives that was not.

Norms that learn take their statistics of the clips that a process computes at once. How many these are changes what
comes out, then. run.json tells it of the first epoch; it is not compared: where memory does not suffice a run may go on
with fewer.
"""

import copy
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN, normalise
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from edge_tdn.errors import ConfigError, DeviceError, last_line
from edge_tdn.inference.runtime import is_out_of_memory
from edge_tdn.manifest import WEIGHTS, InputSpec
from edge_tdn.process.malloc import tune_for_training
from edge_tdn_training.data.loader import Order, Turn, exam, lessons
from edge_tdn_training.loop.distributed import Place
from edge_tdn_training.loop.initial_weights import Start
from edge_tdn_training.loop.run_folder import Metrics, Run
from edge_tdn_training.progress import counted

REFERENCE_BATCH = 128  # clips a step that `Course.rate` is given for
FALL = 0.1  # of the rate, at each milestone
HEADROOM = 1.25  # of memory, for the optimiser's, and for clips that wait
COLDEST = 0.01  # of the rate: where a warm-up begins
RANGES = {
    "epochs": (1, 10_000), "rate": (0, 100), "warm_up_epochs": (0, 10_000), "batch": (1, 1 << 20),
    "weight_decay": (0, 1), "momentum": (0, 1), "dropout": (0, 1), "clip": (0, math.inf), "last_layer": (0, 100),
    "window_s": (0, math.inf), "views": (1, 64), "spliced": (0, 1), "seed": (0, (1 << 32) - 1),
}  # fmt: skip


@dataclass(frozen=True)
class Course:
    """How to learn. The defaults are published; see PUBLISHED for the two data sets' own."""

    epochs: int = 60
    milestones: tuple[float, ...] = (30 / 60, 45 / 60, 55 / 60)  # shares of all epochs; the rate falls after each
    rate: float = 0.02  # for 128 clips a step
    warm_up_epochs: float = 0.0  # while the rate rises to its full height
    cosine: bool = False  # after it the rate falls as half a cosine, to 0 at the end, instead of at the milestones
    batch: int = 64  # clips a step, of all processes together
    weight_decay: float = 5e-4
    momentum: float = 0.9
    nesterov: bool = False
    dropout: float = 0.5
    clip: float = 20.0  # largest norm of a step's gradient
    last_layer: float = 1.0  # its rate relative to the others'; published: 5 for fine-tuning on small data sets
    partial_norm: bool = True  # batch norms that came with statistics keep them, all but the first
    flip: bool = True  # half of the clips are mirrored
    views: int = 1  # clips that stand and fall together: all that are made of one drawing; of videos always one
    window_s: float = 0.0  # of longer videos a random stretch of so many seconds; 0: the whole video, as published
    spliced: float = 0.0  # share of the clips that begin in another video, as a camera's do when it changes
    precision: Literal["bf16", "fp32"] = "bf16"  # of what autocast may compute in less than FP32
    seed: int = 1

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} {getattr(self, name)}: must be from {least:g} to {most:g}")

    def rate_at(self, epoch: float) -> float:
        """The learning rate when so many epochs have passed."""
        rate = self.rate * self.batch / REFERENCE_BATCH
        if epoch < self.warm_up_epochs:
            return rate * (COLDEST + (1 - COLDEST) * epoch / self.warm_up_epochs)
        if self.cosine:
            passed = (epoch - self.warm_up_epochs) / (self.epochs - self.warm_up_epochs)
            return rate * (1 + math.cos(math.pi * passed)) / 2
        return rate * float(FALL ** sum(epoch >= share * self.epochs - 1e-9 for share in self.milestones))


PUBLISHED = {
    "something": Course(),
    "kinetics": Course(epochs=100, milestones=(0.5, 0.75, 0.9), batch=128, weight_decay=1e-4),
}


class Examples(Protocol):
    """What to learn from, or to judge by: `frames.Decoded`, or `generated.Generated`. As long as an epoch of it."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def summary(self) -> dict[str, object]:
        """For run.json: what must be the same when a run goes on."""

    def lessons(self, course: Course, spec: InputSpec) -> Dataset[tuple[Tensor, Any]]:
        """By (epoch, number): uint8 [T, 5, H, W, 3] and its label; or [V, T, 5, H, W, 3], int64 [V], V `course.views`.

        ConfigError: nothing can be learnt from these.
        """

    def exam(self, spec: InputSpec) -> Dataset[tuple[Tensor, Any]]:
        """By number: uint8 [T, 5, H, W, 3] and its label."""


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that fixes what comes out, but for the clips that batch norms see: see `learn`, `at_once`."""

    start: Start
    spec: InputSpec
    lessons: Examples
    held_out: Examples | None
    course: Course

    def fixed(self) -> dict[str, Any]:
        """For run.json: what must be the same when a run goes on."""
        return {
            "network": self.start.model.config.as_dict(),
            "input": self.spec.model_dump(mode="json"),
            "course": asdict(self.course),
            "start": {"from": self.start.source, "sha256": self.start.sha256, "said": self.start.said},
            "data": self.lessons.summary(),
            "held_out": self.held_out.summary() if self.held_out is not None else None,
        }


def learn(
    task: Task, folder: Path, place: Place, at_once: int, workers: int, patience: int = 0,
    bars: Progress | None = None,
) -> list[Metrics]:  # fmt: skip
    """Trains, or goes on with the run in `folder`; the metrics of its epochs. The task's network is then trained.

    `at_once`: clips that a process computes at a time, of which norms that learn take their statistics; a step adds up
    as many as it takes. `workers`: processes of each that cut clips. `patience`: it ends early when the rate has fallen
    once and the held-out loss has not been lower for so many epochs since, and the weights are those of the `best`
    epoch; 0: as published, neither. `bars`: a larger work's, where this one's are shown, too.
    ConfigError: a batch that cannot be made of these, a folder of another run. DeviceError: no memory for so many clips
    at once; it names how many fit.
    """
    tune_for_training()
    course, model = task.course, task.start.model
    dataset = task.lessons.lessons(course, task.spec)
    _check_batch(course, len(task.lessons), place, at_once)
    _check_size(model, task.spec)
    computed = {"device": place.device.type, "processes": place.world, "at_once": at_once}
    with place.in_turn(place.first):
        run = Run(folder, task.fixed() | {"computed": computed}, task.lessons.labels, writes=place.first)
    model.to(device=place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.dropout.p = course.dropout
    optimiser = _optimiser(model, task.start.settled, course)
    metrics = run.restore(model, optimiser)
    trainer = _Trainer(task, dataset, optimiser, place, at_once, workers)
    with nullcontext(bars) if bars else counted(shown=place.first) as progress:
        if 0 < len(metrics) < course.epochs and place.first:
            progress.console.print(f"{folder}: going on after epoch {len(metrics)}", soft_wrap=True)
        while len(metrics) < course.epochs and not (patience and _stands_still(metrics, patience)):
            metrics.append(trainer.epoch(len(metrics), progress))
            run.record(model, optimiser, metrics, keeps=not patience or best(metrics) == len(metrics) - 1)
            if place.first:
                progress.console.print(_line(metrics[-1], course.epochs), soft_wrap=True)
    run.draw(metrics)
    if patience:
        with place.in_turn(place.first):
            model.load_state_dict(checkpoint.load(folder / WEIGHTS).state_dict())
    model.eval()
    return metrics


def _stands_still(metrics: list[Metrics], patience: int) -> bool:
    """Noise of a high rate is no standing still."""
    calm = _calm(metrics)
    return bool(calm) and len(metrics) - max(best(metrics) + 1, calm.start) >= patience


def best(metrics: list[Metrics]) -> int:
    """The epoch, from 0, whose held-out loss is lowest: of those since the rate fell, as soon as there are some.

    At a high rate the loss goes up and down from step to step, and where it happens to be low nothing is settled.
    """
    return min(_calm(metrics) or range(len(metrics)), key=lambda epoch: metrics[epoch]["held_out_loss"], default=0)


def _calm(metrics: list[Metrics]) -> range:
    """The epochs since the rate fell for the first time."""
    rates = [epoch["rate"] for epoch in metrics]
    top = rates.index(max(rates)) if rates else 0
    fell = (epoch for epoch in range(top, len(rates)) if rates[epoch] < rates[top] / 2)
    return range(next(fell, len(rates)), len(rates))


def _check_batch(course: Course, examples: int, place: Place, at_once: int) -> None:
    """A command without --batch has one that neither of the first two errors can come of."""
    clips, groups = examples * course.views, course.batch // course.views
    if course.batch > clips:
        raise ConfigError(f"batch {course.batch}: more clips a step than an epoch's {clips}; at most --batch {clips}")
    if course.batch % course.views:
        raise ConfigError(f"batch {course.batch}: no multiple of {course.views} views; change --batch")
    if groups % place.world:
        raise ConfigError(
            f"batch {course.batch}: {place.world} processes cannot share it evenly; start {_either(_divisors(groups))}"
        )
    fitting = [course.views * n for n in _divisors(groups // place.world)]
    if at_once not in fitting:
        raise ConfigError(
            f"{at_once} clip(s) at once: a process's share of a step is {groups // place.world} x {course.views} "
            f"clip(s); --at-once {_either(fitting)}"
        )


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _either(numbers: list[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} or {last}" if most else last


def _check_size(model: TDN, spec: InputSpec) -> None:
    """Without computing anything: on a device that has shapes only."""
    clip = torch.empty((1, spec.segments, 5, 3, spec.height, spec.width), device="meta")
    try:
        copy.deepcopy(model).to("meta")(clip)
    except RuntimeError as error:
        raise ConfigError(f"size {spec.height}x{spec.width}: too small for this network: {last_line(error)}") from error


def _line(metrics: Metrics, epochs: int) -> str:
    held_out = f", held out {metrics['held_out_top1']:.1%}" if "held_out_top1" in metrics else ""
    return (
        f"epoch {metrics['epoch']:.0f}/{epochs}: loss {metrics['loss']:.3f}, top-1 {metrics['top1']:.1%}{held_out}; "
        f"{metrics['seconds']:.0f} s, {metrics['clips_per_s']:.1f} clips/s, {metrics['waited']:.0%} waiting for clips"
    )


class _Trainer:
    """One process's part in all epochs."""

    def __init__(
        self, task: Task, dataset: Dataset[tuple[Tensor, Any]], optimiser: torch.optim.Optimizer, place: Place,
        at_once: int, workers: int,
    ) -> None:  # fmt: skip
        course, spec, model = task.course, task.spec, task.start.model
        self._course, self._spec, self._place, self._at_once = course, spec, place, at_once
        self._model, self._optimiser, self._settled = model, optimiser, task.start.settled
        warnings.filterwarnings("ignore", "Grad strides do not match")  # of axes that have one element
        self._net: nn.Module = DistributedDataParallel(model) if place.world > 1 else model
        self._parts = course.batch // (place.world * at_once)  # batches that a step adds up
        turn = Turn(place.rank, place.world, at_once // course.views)
        self._order = Order(len(task.lessons), course.batch // course.views, turn, course.seed)
        self._lessons = lessons(dataset, self._order, workers, pinned=place.device.type == "cuda")
        turn = replace(turn, at_once=at_once)
        self._exam = exam(task.held_out.exam(spec), turn, workers) if task.held_out is not None else None
        if workers == 0:
            cv2.setNumThreads(1)

    def epoch(self, epoch: int, progress: Progress) -> Metrics:
        """Learns from every video once, then is judged. `epoch`: from 0."""
        try:
            return self._epoch(epoch, progress)
        except (RuntimeError, MemoryError) as error:
            ended = "DataLoader worker (pid" in str(error)  # by the system, and that is all PyTorch knows
            if ended or ("DataLoader worker" in str(error) and is_out_of_memory(error)):
                raise DeviceError(
                    f"no memory left for clips that wait: {last_line(error)}; take fewer --workers, or 0"
                ) from error
            if not is_out_of_memory(error):
                raise
        raise DeviceError(self._what_fits())  # here, where the failed step has given its memory back

    def _epoch(self, epoch: int, progress: Progress) -> Metrics:
        torch.manual_seed(
            int(np.random.SeedSequence((self._course.seed, epoch, self._place.rank)).generate_state(1)[0])
        )
        self._order.epoch = epoch
        began = time.monotonic()
        loss, right, clips, waited_s = self._learn(epoch, progress)
        if not math.isfinite(loss):
            raise ConfigError(f"epoch {epoch + 1}: the training diverged: its rate is too high, or rises too fast")
        seconds = time.monotonic() - began
        metrics = {
            "epoch": epoch + 1,
            "rate": self._course.rate_at(epoch),
            "loss": loss / clips,
            "top1": right / clips,
            "seconds": seconds,
            "clips_per_s": clips / seconds,
            "waited": waited_s / seconds,
        }
        return metrics | self._judge(progress)

    def _learn(self, epoch: int, progress: Progress) -> tuple[float, float, float, float]:
        """Sums of loss, right answers and clips over all processes; seconds that this one waited for clips."""
        self._model.train()
        for name in self._settled if self._course.partial_norm else ():
            self._model.get_submodule(name).eval()
        steps = len(self._order) // self._parts
        name = f"epoch {epoch + 1}/{self._course.epochs}"
        bar = progress.add_task(name, total=steps)
        batches, waited = iter(self._lessons), _Stopwatch()
        loss_sum = right = clips = 0.0
        for step in range(steps):
            for group in self._optimiser.param_groups:
                group["lr"] = group["scale"] * self._course.rate_at(epoch + step / steps)
            loss, hits = self._step(batches, waited)
            loss_sum, right, clips = loss_sum + loss, right + hits, clips + self._parts * self._at_once
            progress.update(bar, advance=1, description=f"{name}, loss {loss_sum / clips:.3f}")
        progress.remove_task(bar)
        self._place.agree(self._model.buffers())
        return (*self._place.total(loss_sum, right, clips), waited.seconds)  # type: ignore[return-value]

    def _step(self, batches: Iterator[Any], waited: "_Stopwatch") -> tuple[float, float]:
        """One step of SGD: sums of loss and right answers of this process's clips."""
        device = self._place.device
        self._optimiser.zero_grad(set_to_none=True)
        loss_sum = right = torch.zeros((), device=device)
        for part in range(self._parts):
            with waited:
                frames, labels = (tensor.to(device, non_blocking=True) for tensor in next(batches))
            frames, labels = frames.flatten(0, -6), labels.flatten()  # views beside each other
            last = part == self._parts - 1
            with nullcontext() if last or not isinstance(self._net, DistributedDataParallel) else self._net.no_sync():
                logits = self._forward(self._net, frames)
                loss = F.cross_entropy(logits, labels)
                (loss / self._parts).backward()  # type: ignore[no-untyped-call]
            loss_sum = loss_sum + loss.detach() * len(labels)
            right = right + (logits.detach().argmax(1) == labels).sum()
        nn.utils.clip_grad_norm_(self._model.parameters(), self._course.clip)
        self._optimiser.step()
        return float(loss_sum), float(right)

    def _forward(self, net: nn.Module, frames: Tensor) -> Tensor:
        """uint8 [B, T, 5, H, W, 3] -> logits float32 [B, classes]."""
        with torch.autocast(self._place.device.type, torch.bfloat16, enabled=self._course.precision == "bf16"):
            logits: Tensor = net(normalise(frames, self._spec.mean, self._spec.std))
        return logits.float()

    @torch.inference_mode()
    def _judge(self, progress: Progress) -> Metrics:
        """On the held-out videos, one clip of each; nothing where there are none."""
        if self._exam is None:
            return {}
        self._model.eval()
        loss = right = clips = 0.0
        bar = progress.add_task("judging", total=len(self._exam))
        for frames, labels in self._exam:
            labels = labels.to(self._place.device)
            logits = self._forward(self._model, frames.to(self._place.device))
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            right, clips = right + float((logits.argmax(1) == labels).sum()), clips + len(labels)
            progress.update(bar, advance=1)
        progress.remove_task(bar)
        loss, right, clips = self._place.total(loss, right, clips)
        return {"held_out_loss": loss / clips, "held_out_top1": right / clips}

    def _what_fits(self) -> str:
        """Tries ever fewer clips at once, with pictures of nothing."""
        spec, share = self._spec, self._course.batch // self._place.world
        said = f"no memory left on {self._place.device} for {self._at_once} clip(s) at once"
        views = self._course.views
        for n in (n for n in range(self._at_once - views, 0, -views) if share % n == 0):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._optimiser.zero_grad(set_to_none=True)
            try:
                clips = int(n * HEADROOM)
                frames = torch.zeros((clips, spec.segments, 5, spec.height, spec.width, 3), dtype=torch.uint8)
                self._forward(self._model, frames.to(self._place.device)).sum().backward()  # type: ignore[no-untyped-call]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                return f"{said}; {n} fit: --at-once {n} (a step still learns from {self._course.batch} clips)"
        return f"{said}; not even one fits: take a smaller network or smaller pictures"


class _Stopwatch:
    """Adds up the time inside `with`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._began


def _optimiser(model: TDN, settled: frozenset[str], course: Course) -> torch.optim.Optimizer:
    """SGD with the published groups; `scale` is a group's rate relative to the course's. Frozen batch norms are out."""
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        module, _, kind = name.rpartition(".")
        if course.partial_norm and module in settled:
            parameter.requires_grad_(False)
            continue
        scale = 2.0 if kind == "bias" and module not in norms else 1.0
        decay = 0.0 if kind == "bias" or module in norms else course.weight_decay
        groups.setdefault((scale * (course.last_layer if module == "linear" else 1.0), decay), []).append(parameter)
    return torch.optim.SGD(
        [{"params": own, "scale": scale, "weight_decay": decay} for (scale, decay), own in groups.items()],
        lr=course.rate_at(0), momentum=course.momentum, nesterov=course.nesterov,
    )  # fmt: skip
