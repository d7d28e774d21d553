"""The time of a video from its file to its scores, in the form of the paper's table 6: data loading included.

A network in PyTorch takes 16 clips at a time, as in the paper; exported graphs take one, as in the daemon. Videos are
decoded in parallel, 16 at a time, and the network waits for them.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from edge_tdn_training.data.dataset import DataSet
from edge_tdn_training.data.video_cache import Step, decode
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.protocols import PYTORCH, EvaluatedModel, Protocol, Score, Views, decoding, views
from edge_tdn_training.evaluation.report import percent_or_dash

BATCH = 16  # clips, as in the paper; also the videos that are decoded together
PAPER = "ICLR 2021 submission, table 6: Tesla V100, data loading included; top-1 on Something-Something V1"
PAPER_ROWS = (  # network, frames x clips x crops, ms a video, top-1 in per cent
    ("TSN", "8x1x1", 7.9, 19.7),
    ("TSM", "16x1x1", 16.7, 47.2),
    ("STM", "8x1x1", 11.1, 47.5),
    ("I3D", "32x3x2", 2095.0, 41.6),
    ("S-TDM", "8x1x1", 12.3, 49.5),
    ("L-TDM", "8x1x1", 15.8, 48.9),
    ("TDN", "8x1x1", 22.1, 51.3),
)


@dataclass(frozen=True)
class VideoTime:
    """The time of a video in one precision, the mean over `videos`."""

    views: str  # frames x clips x crops
    batch: int  # clips
    device: str
    threads: int  # of the CPU: PyTorch's, else the processors that OpenVINO may use
    videos: int
    loading_ms: float  # decoding, resizing, cropping
    network_ms: float

    @property
    def ms(self) -> float:
        return self.loading_ms + self.network_ms


def time_videos(
    data: DataSet,
    model: EvaluatedModel,
    protocol: Protocol,
    device: torch.device,
    cache: Path,
    step: Step = lambda _: None,
) -> dict[str, VideoTime]:
    """Return the time of a video by precision, over the videos of `data`, all of which can be decoded.

    Every precision decodes each video again. A first batch is computed before, for what is done only once.
    `device`: that of PYTORCH. `cache`: an existing folder; what is decoded there is removed. DeviceError: not enough
    memory.
    """
    clips, crops = (10, 3) if protocol == "10x3" else (1, 1)
    found = {}
    for name, score in model.scorers.items():
        step(name)
        _timed(replace(data, videos=data.videos[:BATCH]), model, protocol, score, cache)
        loading_s, network_s = _timed(data, model, protocol, score, cache)
        found[name] = VideoTime(
            views=f"{model.spec.segments}x{clips}x{crops}",
            batch=min(BATCH, len(data.videos) * clips * crops) if name == PYTORCH else 1,
            device=device.type.upper() if name == PYTORCH else "CUDA" if name.startswith("cuda-") else "CPU",
            threads=torch.get_num_threads() if name == PYTORCH else len(os.sched_getaffinity(0)),
            videos=len(data.videos),
            loading_ms=1000 * loading_s / len(data.videos),
            network_ms=1000 * network_s / len(data.videos),
        )
    return found


def _timed(data: DataSet, model: EvaluatedModel, protocol: Protocol, score: Score, cache: Path) -> tuple[float, float]:
    """Return the seconds of loading all videos and of computing their scores."""
    began = time.perf_counter()
    network_s = 0.0
    for batch in _batches(data, model, protocol, cache):
        since = time.perf_counter()
        score(batch)
        network_s += time.perf_counter() - since
    return time.perf_counter() - began - network_s, network_s


def _batches(data: DataSet, model: EvaluatedModel, protocol: Protocol, cache: Path) -> Iterator[Views]:
    """Yield the clips and crops of all videos, BATCH at a time: [BATCH or fewer, T, InputSpec.frames, H, W, 3]."""
    waiting: list[Views] = []
    for first in range(0, len(data.videos), BATCH):
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            part = replace(data, videos=data.videos[first : first + BATCH])
            for frames in decode(part, *decoding(model), Path(scratch)).frames:
                for clip in views(frames, model.spec, protocol):
                    waiting += list(clip)
                    while len(waiting) >= BATCH:
                        yield np.stack(waiting[:BATCH])
                        del waiting[:BATCH]
    if waiting:
        yield np.stack(waiting)


def times_note() -> str:
    """Return what a reader of the table needs to know."""
    return (
        "time of a video from its file to its scores: loading is decoding, resizing, a cache on disk and cropping; the "
        f"network waits for it. Rows of the paper: {PAPER}. They are of another device, other videos and mostly other "
        "networks, so that only rows of one source can be compared"
    )


def times_json(found: dict[str, VideoTime]) -> dict[str, Any]:
    paper = [
        {"network": name, "views": seen, "ms_per_video": ms, "top1": round(top1 / 100, 3)}
        for name, seen, ms, top1 in PAPER_ROWS
    ]
    return {
        "precisions": {
            name: {
                "views": one.views,
                "batch": one.batch,
                "device": one.device,
                "threads": one.threads,
                "videos": one.videos,
                "ms_per_video": one.ms,
                "loading_ms": one.loading_ms,
                "network_ms": one.network_ms,
            }
            for name, one in found.items()
        },
        "paper_of": PAPER,
        "paper": paper,
    }


def times_table(found: dict[str, VideoTime], accuracies: dict[str, Accuracy]) -> Table:
    """Return a table with a row for each precision, then the rows of the paper's table 6."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("precision, network")
    for column in ("frames x clips x crops", "batch", "device", "threads", "ms a video", "loading", "network", "top-1"):
        table.add_column(column, justify="right")
    for name, one in found.items():
        times = (f"{ms:.1f}" for ms in (one.ms, one.loading_ms, one.network_ms))
        where = (str(one.batch), one.device, str(one.threads))
        table.add_row(name, one.views, *where, *times, percent_or_dash(accuracies[name].top1))
    for network, seen, ms, top1 in PAPER_ROWS:
        table.add_row(f"paper: {network}", seen, str(BATCH), "Tesla V100", "", f"{ms:.1f}", "", "", f"{top1:.1f}%")
    return table
