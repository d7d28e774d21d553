"""Measuring how long a hop takes: encoding its segments and classifying the clip."""

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from rich.console import Console
from rich.progress import Progress

from edge_tdn.errors import EdgeTdnError, ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.openvino import devices
from edge_tdn.inference.runtime import CUDA, Runtime, build_name, enough_memory
from edge_tdn.inference.self_test import SELF_TEST_LIMIT, golden_error
from edge_tdn.manifest import Model
from edge_tdn.verdict import NOT_COMPARED, recorded_claim

HOPS = (1, 2, 4)  # segments from one clip to the next
MIN_ROUNDS = 3  # hops of each kind at each visit, even if the time is over


@dataclass
class Candidate:
    """One way to run the model, and its measurements."""

    precision: str
    device: str
    threads: int  # 0: the device has no such setting
    parity: str  # verdict of the manifest
    golden_error: float | None = None  # on this host: largest logit difference from PyTorch / largest logit
    refused: str = ""  # why it cannot be measured
    seconds: dict[int, list[float]] = field(default_factory=lambda: {hop: [] for hop in HOPS})  # of every hop, by size

    def hop_s(self, hop: int) -> float:
        """Return the median time of encoding `hop` segments and classifying the clip, seconds."""
        return median(self.seconds[hop])

    def p95_s(self, hop: int) -> float:
        """Return the 95th percentile of the same, seconds."""
        return quantiles(self.seconds[hop], n=20, method="inclusive")[-1]

    def cameras(self, hop: int, segment_s: float) -> int:
        """Return the maximum number of cameras with a segment every `segment_s`."""
        return int(hop * segment_s / self.hop_s(hop))


def measure_candidates(
    model: Model, seconds: float, precisions: Sequence[str], on: Sequence[str], cache: Path | None
) -> list[Candidate]:
    """Measure every combination of precision, device and threads, for about `seconds` altogether.

    Empty `precisions` or `on` (devices) stand for all that the model folder has and this host can run. Raises
    ModelError if nothing can be measured.
    """
    found = candidates(model, precisions, on)
    _measure_all(model, found, seconds, cache)
    if all(one.refused for one in found):
        raise ModelError("\n".join(["nothing can be measured here", *refusals(found)]))
    return found


def refusals(found: Sequence[Candidate]) -> list[str]:
    """Return why candidates could not be measured, each reason once."""
    return list(dict.fromkeys(f"{one.precision} on {one.device}: {one.refused}" for one in found if one.refused))


def candidates(model: Model, precisions: Sequence[str], on: Sequence[str]) -> list[Candidate]:
    """Return all combinations that the model folder has builds for. Raises ModelError if there are none."""
    cores = len(os.sched_getaffinity(0))
    threads = sorted({1, max(1, cores // 2), cores})
    names = [
        (precision, device)
        for device in on or (*devices(), CUDA)
        for precision in precisions or SELF_TEST_LIMIT
        if build_name(precision, device) in model.manifest.precisions
    ]
    if not names:
        raise ModelError(
            f"{model.folder}: nothing to measure; this model has: {', '.join(model.manifest.precisions)} (cuda-* for "
            f"CUDA), this host: {', '.join(devices())}"
        )
    return [
        Candidate(precision, device, count, _verdict(model, precision, device))
        for precision, device in names
        for count in (threads if device == "CPU" else [0])
    ]


def _measure_all(model: Model, found: Sequence[Candidate], seconds: float, cache: Path | None) -> None:
    """Visit all candidates forwards and backwards, so that other load on the host affects all of them alike.

    One runtime is open at a time: a camera host has no memory for all.
    """
    deadline = time.monotonic() + seconds
    visits = [*found, *reversed(found)]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(visits))
        for number, candidate in enumerate(visits):
            progress.update(task, description=f"{candidate.precision} {candidate.device} threads {candidate.threads}")
            now = time.monotonic()
            if not candidate.refused:
                _visit(model, candidate, now + (deadline - now) / (len(visits) - number), cache)
            progress.advance(task)


def _visit(model: Model, candidate: Candidate, until: float, cache: Path | None) -> None:
    """Measure until a moment of the monotonic clock; the time that opening takes is included."""
    try:
        with (
            enough_memory(candidate.device, "measuring"),
            closing(open_runtime(model, candidate.precision, candidate.device, candidate.threads, cache)) as runtime,
        ):
            if candidate.golden_error is None:
                candidate.golden_error = golden_error(model, runtime)
            measure(model, runtime, candidate, until)
    except EdgeTdnError as error:
        candidate.refused = str(error)


def measure(model: Model, runtime: Runtime, candidate: Candidate, until: float) -> None:
    """Add measurements to the candidate until a moment of the monotonic clock."""
    spec, ring = model.manifest.input, runtime.ring()
    shape = (spec.frames, spec.height, spec.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for _ in range(spec.segments):
        runtime.encode([frames], [ring])
    rounds = 0
    while rounds < MIN_ROUNDS or time.monotonic() < until:
        rounds += 1
        for hop in HOPS:
            began = time.perf_counter()
            for _ in range(hop):
                runtime.encode([frames], [ring])
            runtime.classify([ring])
            candidate.seconds[hop].append(time.perf_counter() - began)


def _verdict(model: Model, precision: str, device: str) -> str:
    name = build_name(precision, device)
    claim = recorded_claim(model, name)
    if claim is None:
        return NOT_COMPARED
    compared_on = model.manifest.parity[name].device
    return claim.verdict if compared_on == device else f"{claim.verdict} on {compared_on}"
