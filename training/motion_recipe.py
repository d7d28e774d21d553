"""Trains the shipped `motion` model from scratch, on generated clips:

    edge-tdn-train motion --out runs/motion

writes weights.safetensors, labels.txt and metrics.json there; `make motion` also turns them into the model folder.
The seed fixes the clips, their order and the first weights.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Picture
from edge_tdn.scene import LABELS
from export import checkpoint
from export.tdn import TDN, TDNConfig, normalise
from training.backdrops import read_photos
from training.motion import HELD_OUT, lesson

SPEC = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15.0, segment_stride=4)
NETWORK = TDNConfig(arch="resnet18", segments=8, classes=len(LABELS), width=0.5, conv_bias=False)
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


class Lessons(Dataset[tuple[Tensor, int]]):
    """Clips `first`, `first + 1`, ...: uint8 [T, 5, H, W, 3] and a label. `photos`: as `lesson`."""

    def __init__(self, first: int, count: int, photos: Sequence[Picture] = ()) -> None:
        self._first, self._count, self._photos = first, count, photos

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        cv2.setNumThreads(1)
        clip = lesson(self._first + index, SPEC, self._photos)
        return torch.from_numpy(clip.frames), clip.label


def add_parser(commands: Any) -> None:
    """Makes it a subcommand."""
    parser = commands.add_parser("motion", help="trains the shipped model anew", description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.set_defaults(command=run)
    parser.add_argument("--clips", type=int, default=20_000, help="clips to learn from (default: 20000)")
    parser.add_argument("--held-out", type=int, default=1000, help="clips to judge by (default: 1000)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0.1, help="highest learning rate of the one-cycle schedule")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw clips (default: 1)")
    parser.add_argument("--backdrops", type=Path, metavar="DIR",
                        help="videos whose pictures become backdrops of half of the clips (default: none)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and metrics")


def run(arguments: argparse.Namespace) -> int:
    """Trains, judges, and writes what came of it."""
    torch.manual_seed(arguments.seed)
    model = TDN(NETWORK).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    began = time.monotonic()
    _learn(model, arguments)
    confusion = _judge(model, arguments)
    right = float(np.trace(confusion)) / arguments.held_out
    arguments.out.mkdir(parents=True, exist_ok=True)
    checkpoint.save(model, arguments.out / "weights.safetensors")
    (arguments.out / "labels.txt").write_text("\n".join(LABELS) + "\n")
    metrics = {
        "network": NETWORK.as_dict(),
        "input": SPEC.model_dump(),
        "labels": LABELS,
        "clips": arguments.clips,
        "seed": arguments.seed,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "held_out_top1": right,
        "confusion": confusion.tolist(),
    }
    (arguments.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    Console(highlight=False).print(f"held-out top-1 {right:.1%}, written to {arguments.out}")
    return 0


def _learn(model: TDN, arguments: argparse.Namespace) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = arguments.clips // arguments.batch
    photos = read_photos(arguments.backdrops) if arguments.backdrops else ()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=arguments.rate, total_steps=steps, pct_start=0.2)
    model.train()
    loader = DataLoader(
        Lessons(arguments.seed << 24, arguments.clips, photos),
        arguments.batch,
        num_workers=arguments.workers,
        prefetch_factor=4,
        drop_last=True,
    )
    smooth_loss = float(np.log(len(LABELS)))  # what a guess costs
    with Progress(*COLUMNS) as progress:
        bar = progress.add_task("learning", total=steps)
        for frames, labels in loader:
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(normalise(frames))
            loss = F.cross_entropy(logits.float(), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            smooth_loss += 0.02 * (loss.item() - smooth_loss)
            progress.update(bar, advance=1, description=f"learning, loss {smooth_loss:.3f}")


@torch.inference_mode()
def _judge(model: TDN, arguments: argparse.Namespace) -> NDArray[np.int64]:
    """Confusion matrix on held-out clips: rows are true labels, columns what the network says."""
    model.eval()
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    loader = DataLoader(Lessons(HELD_OUT, arguments.held_out), 25, num_workers=arguments.workers)
    with Progress(*COLUMNS) as progress:
        for frames, labels in progress.track(loader, description="judging"):
            np.add.at(confusion, (labels.numpy(), model(normalise(frames)).argmax(1).numpy()), 1)
    return confusion
