"""`make bench-gpu`: measure the cost of a hop on a GPU, for one camera and for many.

A hop is one segment encoded and one clip classified, from pixels in the host's memory to logits in the host's memory.
With `--device cpu` the same code runs on the CPU: that shows that it works, not how fast it is.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edge_tdn_export.inspection import inspect
from edge_tdn_export.limits import limits_of
from rich.console import Console, Group, RenderableType
from rich.table import Table

from edge_tdn.inference.cuda import BATCHES, DTYPE, CudaRuntime
from edge_tdn.inference.open_runtime import assemble
from edge_tdn.inference.runtime import CUDA, Runtime
from edge_tdn.inference.self_test import golden_error
from edge_tdn.manifest import Model, open_model
from tests.bench.row import Row

PAPER_MS = 22.1  # a clip of R50, T = 8, on a V100
GOAL_MS = 2.0  # per hop of one camera
GOAL_HOPS = 1000  # per second, at the largest batch
MATRIX = {CUDA: 8192, "cpu": 1024}  # rows and columns of the product that shows the device's peak
WARM_UP = 5


@dataclass(frozen=True)
class GpuBatch:
    """The speed for a number of cameras at once."""

    cameras: int
    median_ms: float
    p95_ms: float
    hops_per_s: float
    of_peak: float  # the hop's multiply-accumulates / those of a matrix product in the same time


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-gpu", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a folder with programs for CUDA")
    parser.add_argument("--precision", choices=DTYPE, default="bf16", help="(default: bf16)")
    parser.add_argument("--device", choices=(CUDA, "cpu"), default=CUDA, help="(default: CUDA)")
    parser.add_argument("--batches", type=int, nargs="+", choices=BATCHES, default=BATCHES, help="(default: all)")
    parser.add_argument("--hops", type=int, default=200, help="timed per batch size (default: 200)")
    parser.add_argument("--json", type=Path, help="also write all results to this file")
    options = parser.parse_args()
    found = measure(open_model(options.model), options.precision, options.device, options.batches, options.hops)
    Console().print(page(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, default=asdict) + "\n")


def measure(
    model: Model, precision: str, device: str, batches: list[int], hops: int, matrix: int = 0
) -> dict[str, Any]:
    """Return all results as plain data, except for `batches` and `rows`. `matrix`: size of the product; 0: MATRIX."""
    build = model.build(f"cuda-{precision}")
    began = time.perf_counter()
    runtime = assemble(
        model, build.graphs, lambda graphs, t: CudaRuntime(model, graphs, t, precision, device, max(batches))
    )
    opened_s = time.perf_counter() - began
    error = golden_error(model, runtime)
    gmac = float(inspect(model)["gmac_per_hop"])
    peak = matrix_gmacs(precision, device, matrix or MATRIX[device])
    samples = {n: hop_ms(runtime, model, n, hops) for n in batches if n <= runtime.batch}
    runtime.close()
    rows = []
    if 1 in samples:
        against = f"{PAPER_MS} ms a clip, the paper on a V100"
        rows.append(Row("hop of one camera", against, median(samples[1]), "ms", GOAL_MS, {"ms": samples[1]}))
    if BATCHES[-1] in samples:
        each = [ms / BATCHES[-1] for ms in samples[BATCHES[-1]]]
        rows.append(Row(f"hop, {BATCHES[-1]} at once", "", median(each), "ms", 1000 / GOAL_HOPS, {"ms": each}))
    return {
        "model": model.manifest.id,
        "precision": precision,
        "device": torch.cuda.get_device_name() if device == CUDA else "cpu",
        "torch": torch.__version__,
        "open_s": opened_s,
        "golden_error": error,
        "golden_limit": limits_of(precision).max_logit_error,
        "gmac_per_hop": gmac,
        "matrix_tflops": 2 * peak / 1e3,
        "batches": [batch(n, ms, gmac, peak) for n, ms in samples.items()],
        "rows": rows,
    }


def hop_ms(runtime: Runtime, model: Model, cameras: int, hops: int) -> list[float]:
    """Return the milliseconds of each hop of all cameras, every one with pixels of its own."""
    spec = model.manifest.input
    shape = (cameras, spec.frames, spec.height, spec.width, 3)
    segments = list(np.random.default_rng(cameras).integers(0, 256, shape, np.uint8))
    rings = [runtime.ring() for _ in segments]
    for _ in range(spec.segments):
        runtime.encode(segments, rings)

    def hop() -> None:
        runtime.encode(segments, rings)
        runtime.classify(rings)

    return repeated_ms(hop, hops)


def matrix_gmacs(precision: str, device: str, n: int) -> float:
    """Return the 1e9 multiply-accumulates per second of an n x n matrix product in this precision."""
    a, b = torch.randn(2, n, n, device=device.lower()).to(getattr(torch, DTYPE[precision]))

    def product() -> None:
        torch.matmul(a, b)
        if device == CUDA:
            torch.cuda.synchronize()

    return n**3 / median(repeated_ms(product, 20)) / 1e6


def repeated_ms(run: Callable[[], None], times: int) -> list[float]:
    """Return the milliseconds of each of several runs, after a warm-up."""
    samples = []
    for _ in range(min(WARM_UP, times) + times):
        began = time.perf_counter()
        run()
        samples.append((time.perf_counter() - began) * 1e3)
    return samples[-times:]


def batch(cameras: int, ms: list[float], gmac: float, peak: float) -> GpuBatch:
    hops_per_s = cameras / median(ms) * 1e3
    return GpuBatch(cameras, median(ms), float(np.percentile(ms, 95)), hops_per_s, gmac * hops_per_s / peak)


def median(samples: list[float]) -> float:
    return float(np.median(samples))


def page(found: dict[str, Any]) -> RenderableType:
    """Return the results as a page for the terminal."""
    head = (
        f"{found['model']} {found['precision']} on {found['device']}: {found['gmac_per_hop']:.1f} GMAC a hop; a matrix "
        f"product does {found['matrix_tflops']:.3g} TFLOP/s\ngolden clip: differs by {found['golden_error']:.1e} of "
        f"the largest logit, allowed {found['golden_limit']:.0e}; opened in {found['open_s']:.1f} s"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("cameras", "median ms", "p95 ms", "hops/s", "of the product"):
        table.add_column(column, justify="right")
    for one in found["batches"]:
        table.add_row(
            str(one.cameras), f"{one.median_ms:.2f}", f"{one.p95_ms:.2f}", f"{one.hops_per_s:.1f}", f"{one.of_peak:.1%}"
        )
    goals = (
        f"{row.what}: {row.figure:.2f} {row.unit}, goal {row.goal:g}{row.against and f' ({row.against})'}: "
        f"{'reached' if row.reached else 'MISSED'}"
        for row in found["rows"]
    )
    return Group(head, "", table, "", *goals)


if __name__ == "__main__":
    main()
