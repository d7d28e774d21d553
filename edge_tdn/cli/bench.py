"""`edge-tdn bench`: which precision, device and number of threads are fastest on this host, and what to configure."""

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
from rich.table import Table

from edge_tdn.errors import EdgeTdnError, ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.openvino import devices
from edge_tdn.inference.runtime import CUDA, Runtime, build_name, enough_memory
from edge_tdn.inference.self_test import SELF_TEST_LIMIT, golden_error
from edge_tdn.manifest import Model, shipped_models

HOPS = (1, 2, 4)  # segments from one clip to the next
WIDTH = 124  # characters of the table
LEAST = 3  # hops of each kind at each visit, whatever the time
EXPLAINED = """ms: median (95th percentile). cameras: at most, for each hop, were there nothing else to do.
error: of the golden clip's logits, relative to the largest. parity: what `edge-tdn-export parity` said."""
HOW_TO_MAKE = {
    "fp32": "edge-tdn-export convert",
    "fp16": "edge-tdn-export convert ... --precisions fp32 fp16",
    "bf16": "edge-tdn-export convert ... --precisions fp32 bf16",
    "int8": "edge-tdn-export quantize {folder} --clips VIDEOS",
}


@dataclass
class Candidate:
    """One way to run the model, and what was measured of it."""

    precision: str
    device: str
    threads: int  # 0: no choice on this device
    parity: str  # the manifest's verdict
    golden_error: float | None = None  # here: largest logit difference from PyTorch / largest logit
    refused: str = ""  # why it cannot be measured
    seconds: dict[int, list[float]] = field(default_factory=lambda: {hop: [] for hop in HOPS})  # every hop, by its size

    def hop_s(self, hop: int) -> float:
        """Median seconds that it takes to encode `hop` segments and to classify the clip."""
        return median(self.seconds[hop])

    def p95_s(self, hop: int) -> float:
        return quantiles(self.seconds[hop], n=20, method="inclusive")[-1]

    def cameras(self, hop: int, segment_s: float) -> int:
        """How many cameras it serves at most, each with a segment every `segment_s`."""
        return int(hop * segment_s / self.hop_s(hop))


def bench(
    console: Console, model: Model, seconds: float, precisions: Sequence[str], on: Sequence[str], cache: Path | None
) -> list[Candidate]:
    """Measures for about `seconds`; prints the table and the lines for a configuration. The fastest hop is first.

    `precisions`, `on` (devices): empty for all that the folder and this host have. ModelError: nothing can be run.
    """
    found = candidates(model, precisions, on)
    _measure(model, found, seconds, cache)
    measured = sorted((one for one in found if not one.refused), key=lambda one: one.hop_s(1))
    refused = [f"{one.precision} on {one.device}: {one.refused}" for one in found if one.refused]
    if not measured:
        raise ModelError("\n".join(["nothing can be measured here", *dict.fromkeys(refused)]))
    best = next((one for one in measured if one.parity == "proven"), measured[0])
    segment_s = model.manifest.input.segment_s
    console.print(_table(measured, best, segment_s))
    console.print(EXPLAINED)
    for line in dict.fromkeys(refused):
        console.print(f"not measured: {line}")
    for precision, command in HOW_TO_MAKE.items():
        if precision not in model.manifest.precisions:
            console.print(f"no {precision} in this folder: {command.format(folder=model.folder)}")
    if best.parity != "proven":
        console.print(f"no precision is proven equal to PyTorch: edge-tdn-export parity {model.folder}")
    console.print(_configuration(model, best, segment_s))
    return measured


def candidates(model: Model, precisions: Sequence[str], on: Sequence[str]) -> list[Candidate]:
    """Precision x device x threads, as far as the folder has them. ModelError: it has none of those asked for."""
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


def _measure(model: Model, found: Sequence[Candidate], seconds: float, cache: Path | None) -> None:
    """Visits all candidates there and back, so that what the host does besides falls on all of them alike.

    One runtime at a time: a camera host has no memory for all.
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
    """Measures until a moment of the monotonic clock; what opening took is part of it."""
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
    """Fills the candidate's seconds, until a moment of the monotonic clock."""
    spec, ring = model.manifest.input, runtime.ring()
    shape = (spec.frames, spec.height, spec.width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for _ in range(spec.segments):
        runtime.encode([frames], [ring])
    rounds = 0
    while rounds < LEAST or time.monotonic() < until:
        rounds += 1
        for hop in HOPS:
            began = time.perf_counter()
            for _ in range(hop):
                runtime.encode([frames], [ring])
            runtime.classify([ring])
            candidate.seconds[hop].append(time.perf_counter() - began)


def _verdict(model: Model, precision: str, device: str) -> str:
    parity = model.manifest.parity.get(build_name(precision, device))
    if parity is None:
        return "not compared"
    if not parity.proven:
        return "NOT equal"
    return "proven" if parity.device == device else f"proven on {parity.device}"


def _table(measured: Sequence[Candidate], best: Candidate, segment_s: float) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "precision", "device", "threads", *(f"hop {hop}, ms" for hop in HOPS), "hops/s", "cameras"):
        table.add_column(column, no_wrap=True, justify="right" if column.startswith("hop") else "left")
    table.add_column("error", no_wrap=True)
    table.add_column("parity", no_wrap=True)
    for one in measured:
        table.add_row(
            "best" if one is best else "",
            one.precision,
            one.device,
            str(one.threads or ""),
            *(f"{one.hop_s(hop) * 1e3:.1f} ({one.p95_s(hop) * 1e3:.1f})" for hop in HOPS),
            f"{1 / one.hop_s(1):.1f}",
            "/".join(str(one.cameras(hop, segment_s)) for hop in HOPS),
            f"{one.golden_error:.0e}",
            one.parity,
        )
    return table


def _configuration(model: Model, best: Candidate, segment_s: float) -> str:
    """The lines to copy: the smallest hop at which one camera is served."""
    name = model.folder.name if model.folder.parent == shipped_models() else model.folder
    hop = next((hop for hop in HOPS if best.cameras(hop, segment_s)), HOPS[-1])
    lines = [
        "",
        "[runtime]",
        f'model = "{name}"',
        f'device = "{best.device}"',
        f'precision = "{best.precision}"',
        f"threads = {best.threads}",
        "",
        f"[[camera]]  # serves {best.cameras(hop, segment_s)} of them",
        f"hop = {hop}",
    ]
    if not best.cameras(hop, segment_s):
        lines[-2] = "[[camera]]  # too slow for one: its hop will grow, and its status will say so"
    return "\n".join(lines)


def figures(measured: Sequence[Candidate], segment_s: float) -> list[dict[str, object]]:
    """What was measured, for JSON; seconds."""
    return [
        {
            "precision": one.precision,
            "device": one.device,
            "threads": one.threads,
            "hop": hop,
            "median_s": one.hop_s(hop),
            "p95_s": one.p95_s(hop),
            "hops_per_s": 1 / one.hop_s(hop),
            "cameras": one.cameras(hop, segment_s),
            "golden_error": one.golden_error,
            "parity": one.parity,
            "seconds": one.seconds[hop],
        }
        for one in measured
        for hop in HOPS
    ]
