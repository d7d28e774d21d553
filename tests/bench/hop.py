"""A hop (one segment encoded, one clip classified) in turn with the published network exported as a whole.

The figure is the median ratio of consecutive measurements, since other load on this machine slows both. Before and
after the measurements both must agree on a clip: in FP32 within MAX_ERROR of the largest logit.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import openvino as ov
import torch
from edge_tdn_export.inspection import macs
from edge_tdn_export.network.tdn import TDN, normalise

from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.openvino import processor_can
from edge_tdn.manifest import Model
from tests.bench import naive
from tests.bench.model import SEGMENTS, SPEC
from tests.bench.row import Row

GOALS = {"fp32": 0.67, "bf16": 0.62, "int8": 0.58}
EAGER_GOAL = 0.15  # INT8 against PyTorch
MAX_ERROR = 1e-4  # of the largest logit
MATRIX = 2048  # rows and columns of a product that shows what these cores can do; convolutions in the cache exceed it
OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}


def hop(network: TDN, model: Model, repetitions: int, step: Callable[[str], None]) -> list[Row]:
    """Return a row per precision of this processor, and INT8 against PyTorch. `step` is called with each next step."""
    clip = np.random.default_rng(0).integers(0, 256, (SEGMENTS, 5, SPEC.height, SPEC.width, 3), np.uint8)
    pixels = normalise(torch.from_numpy(clip))[None]
    step("the published network, exported as a whole")
    published = naive.Published(network).eval()
    with tempfile.TemporaryDirectory() as scratch:
        whole = naive.to_openvino(network, (SPEC.height, SPEC.width), Path(scratch))
    step("the published network, in INT8 by NNCF's defaults")
    graphs = {"fp32": whole, "bf16": whole, "int8": naive.to_int8(whole)}
    runs: dict[str, Callable[[], None]] = {}
    logits: dict[str, np.ndarray] = {}
    here = [precision for precision in GOALS if processor_can(precision)]
    for precision in here:
        graph = graphs[precision]
        step(f"compiling, {precision}")
        runs[f"naive {precision}"] = _whole(graph, precision, pixels.numpy(), logits)
        runs[f"ours {precision}"] = _hop(model, precision, clip, logits)
    runs["pytorch"] = _eager(published, pixels, logits)
    runs |= {f"matrix product {precision}": _product(precision) for precision in here}
    for run in runs.values():  # warm up, and fill the rings with the clip
        for _ in range(2):
            run()
    _compare(logits)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(repetitions):
        step(f"measuring, {number + 1} of {repetitions}")
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    _compare(logits)
    return _rows(seconds, _gmac(network))


def _whole(graph: ov.Model, precision: str, clip: np.ndarray, logits: dict[str, np.ndarray]) -> Callable[[], None]:
    arithmetic = "bf16" if precision == "bf16" else "f32"
    request = ov.compile_model(graph, "CPU", {**OPTIONS, "INFERENCE_PRECISION_HINT": arithmetic}).create_infer_request()
    request.set_input_tensor(ov.Tensor(clip))

    def run() -> None:
        request.infer()
        logits[f"naive {precision}"] = request.get_output_tensor().data[0].copy()

    return run


def _hop(model: Model, precision: str, clip: np.ndarray, logits: dict[str, np.ndarray]) -> Callable[[], None]:
    """Return a run that takes the next segment of the clip, cyclically; after T runs the window is the clip again."""
    runtime = open_runtime(model, precision, "CPU")
    ring = runtime.ring()
    for segment in clip:
        runtime.encode([segment], [ring])
    logits[f"ours {precision}"] = runtime.classify([ring])[0]
    number = 0

    def run() -> None:
        nonlocal number
        runtime.encode([clip[number % SEGMENTS]], [ring])
        newest = runtime.classify([ring])[0]
        number += 1
        if number % SEGMENTS == 0:  # the window is the clip again
            logits[f"ours {precision}"] = newest

    return run


def _eager(published: torch.nn.Module, clip: torch.Tensor, logits: dict[str, np.ndarray]) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            logits["pytorch"] = published(clip)[0].numpy()

    return run


def _product(precision: str) -> Callable[[], None]:
    """Return a run of a large matrix product on the same library; INT8 as NNCF quantises it."""
    import openvino.opset13 as opset

    left = opset.parameter([MATRIX, MATRIX], np.float32)
    right = opset.constant(np.random.default_rng(1).normal(size=(MATRIX, MATRIX)).astype(np.float32))
    factors = [left, right]
    if precision == "int8":
        factors = [opset.fake_quantize(left, -4, 4, -4, 4, 256), opset.fake_quantize(right, -4, 4, -4, 4, 255)]
    graph = ov.Model([opset.matmul(*factors, False, False)], [left], "product")
    arithmetic = "bf16" if precision == "bf16" else "f32"
    request = ov.compile_model(graph, "CPU", {**OPTIONS, "INFERENCE_PRECISION_HINT": arithmetic}).create_infer_request()
    request.set_input_tensor(ov.Tensor(np.ones((MATRIX, MATRIX), np.float32)))
    return request.infer


def _compare(logits: dict[str, np.ndarray]) -> None:
    """Fail if the logits differ: the speed of wrong results means nothing."""
    expected = logits["pytorch"]
    for name in ("naive fp32", "ours fp32"):
        error = float(np.abs(logits[name] - expected).max() / np.abs(expected).max())
        if not error <= MAX_ERROR:
            raise SystemExit(f"{name}: differs from PyTorch by {error:.2g} of the largest logit, allowed {MAX_ERROR:g}")


def _gmac(network: TDN) -> tuple[float, float]:
    """Return the 1e9 multiply-accumulates of the whole network and of a hop."""
    encoder, head = macs(network, SPEC.height, SPEC.width)
    return (SEGMENTS * encoder + head) / 1e9, (encoder + head) / 1e9


def _rows(seconds: dict[str, list[float]], gmac: tuple[float, float]) -> list[Row]:
    rows = []
    for precision, goal in GOALS.items():
        if f"ours {precision}" not in seconds:
            continue
        ours, whole = seconds[f"ours {precision}"], seconds[f"naive {precision}"]
        note = f"{_ms(ours):.0f} of {_ms(whole):.0f} ms"
        # the seconds of a hop if all its multiply-accumulates ran as fast as in a large product
        ideal_s = median(seconds[f"matrix product {precision}"]) * gmac[1] * 1e9 / MATRIX**3
        note += f"; {ideal_s / median(ours):.0%} of the speed of a large matrix product"
        rows.append(_row(f"hop, {precision}", f"published network whole, {precision}", ours, whole, goal, note))
    eager = seconds["pytorch"]
    note = f"{_ms(seconds['ours int8']):.0f} of {_ms(eager):.0f} ms"
    rows.append(_row("hop, int8", "PyTorch eager FP32, published", seconds["ours int8"], eager, EAGER_GOAL, note))
    return rows


def _row(what: str, against: str, ours: list[float], other: list[float], goal: float, note: str) -> Row:
    ratios = [a / b for a, b in zip(ours, other, strict=True)]
    samples = {"ours, s": ours, "baseline, s": other}
    return Row(what, against, median(ratios), "ratio", goal, samples, note)


def _ms(seconds: list[float]) -> float:
    return 1000 * median(seconds)
