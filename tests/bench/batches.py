"""The speed of the graphs with several segments and clips at a time on the CPU, which determines a runtime's batch.

A head takes the number of clips that it was exported for, so every size is exported separately. Cameras' features are
in separate rings: they are copied into a batch first, which is part of the measurement.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import openvino as ov
import torch
from edge_tdn_export.convert.graphs import EncoderGraph, HeadGraph, NetworkHalf, to_ir, to_onnx
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge_tdn.errors import ModelError
from edge_tdn.inference.openvino import EXECUTION
from edge_tdn.manifest import Model
from edge_tdn.messages import FRAMES_PER_SEGMENT

MIN_GAIN = 1.05  # times as many hops a second; for less, the cameras need not wait for each other
MIN_ROUNDS, MIN_SECONDS = 20, 10.0  # of measuring; both are reached
ENCODER, HEAD = "encoder", "head"


@dataclass(frozen=True)
class Batch:
    """The speed of one graph at one size."""

    graph: str
    size: int
    ms: float  # per segment or clip of the batch; median
    gain: float  # segments or clips a second / those of the first size; median of the rounds' ratios
    cpu_gain: float  # the same, in processor time
    error: float  # largest difference of an output from the first size's, relative to the largest


class _Graph:
    """A compiled graph for `size` segments or clips, each from memory of its own."""

    def __init__(self, compiled: ov.CompiledModel, size: int, sources: Sequence[Sequence[NDArray[np.generic]]]) -> None:
        self.size, self._sources = size, sources  # per segment or clip: an array for every input
        self._request = compiled.create_infer_request()
        self._inputs = range(len(compiled.inputs))

    def run(self) -> None:
        if self.size == 1:
            for i in self._inputs:
                self._request.set_input_tensor(i, ov.Tensor(self._sources[0][i], shared_memory=True))
        else:
            for i in self._inputs:
                np.concatenate([one[i] for one in self._sources], out=self._request.get_input_tensor(i).data)
        self._request.infer()

    def outputs(self) -> list[NDArray[np.float32]]:
        """Return the outputs for the first source."""
        tensors = self._request.output_tensors
        return [np.array(tensor.data[: len(tensor.data) // self.size]) for tensor in tensors]


def measure(model: Model, precision: str, threads: int, sizes: Sequence[int]) -> list[Batch]:
    """Measure both graphs at every size, in turn. ModelError: an ensemble, or a precision that cannot be exported."""
    if len(model.manifest.members) != 1 or precision not in ("fp32", "fp16", "bf16"):
        raise ModelError(f"{model.folder}: batches can be measured for a single network in fp32, fp16 or bf16")
    sizes = sorted({1, *sizes})
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=2 * (len(sizes) + 1))
        found = []
        for name in (ENCODER, HEAD):
            graphs = []
            for size in sizes:
                progress.update(task, description=f"{name} for {size}: exporting", advance=1)
                graphs.append(_export(model, precision, threads, name, size))
            progress.update(task, description=f"{name}: measuring", advance=1)
            found += _compare(name, graphs)
    return found


def _export(model: Model, precision: str, threads: int, name: str, size: int) -> _Graph:
    network = checkpoint.load(model.folder / model.manifest.members[0].weights)
    half, sources = _half(model, network, name, size)
    options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": EXECUTION[precision]}
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as room:
        onnx, ir = Path(room) / "half.onnx", Path(room) / "half.xml"
        to_onnx(half, network, onnx)
        to_ir(onnx, ir, half_size=precision == "fp16")
        return _Graph(ov.Core().compile_model(ir, "CPU", options), size, sources)


def _half(model: Model, network: TDN, name: str, size: int) -> tuple[NetworkHalf, list[list[NDArray[np.generic]]]]:
    """Return a half for `size` segments or clips, and as many different inputs; the first is the same for all sizes."""
    spec, random = model.manifest.input, np.random.default_rng(0)
    if name == ENCODER:
        shape = (1, FRAMES_PER_SEGMENT, spec.height, spec.width, 3)
        segments = [[random.integers(0, 256, shape, np.uint8)] for _ in range(size)]
        example = torch.zeros(size, *shape[1:], dtype=torch.uint8)
        return NetworkHalf(EncoderGraph(network, spec).eval(), (example,), ["frames"], network.features), segments
    features = next(iter(model.manifest.precisions.values())).graphs[0].features
    shapes = [(spec.segments, *features[name]) for name in network.features]
    clips = [[random.standard_normal(shape, np.float32) for shape in shapes] for _ in range(size)]
    examples = tuple(torch.zeros(size * shape[0], *shape[1:]) for shape in shapes)
    return NetworkHalf(HeadGraph(network).eval(), examples, network.features, ["logits"]), clips


def _compare(name: str, graphs: Sequence[_Graph]) -> Iterator[Batch]:
    """Measure all sizes in turn, with as many segments or clips of each in every round."""
    count = max(graph.size for graph in graphs)
    for graph in graphs:
        graph.run()
    expected = graphs[0].outputs()
    errors = [_error(graph.outputs(), expected) for graph in graphs]
    rounds: list[list[tuple[float, float]]] = []  # wall and processor seconds, of every size
    began = time.monotonic()
    while len(rounds) < MIN_ROUNDS or time.monotonic() - began < MIN_SECONDS:
        turn = graphs if len(rounds) % 2 else graphs[::-1]
        spent = {graph.size: _spent(graph, count) for graph in turn}
        rounds.append([spent[graph.size] for graph in graphs])
    for column, (graph, error) in enumerate(zip(graphs, errors, strict=True)):
        yield Batch(
            graph=name,
            size=graph.size,
            ms=median(1000 * each[column][0] for each in rounds),
            gain=median(each[0][0] / each[column][0] for each in rounds),
            cpu_gain=median(each[0][1] / each[column][1] for each in rounds),
            error=error,
        )


def _spent(graph: _Graph, count: int) -> tuple[float, float]:
    """Return wall and processor seconds per segment or clip, over about `count` of them."""
    times = -(-count // graph.size)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        graph.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall / (times * graph.size), cpu / (times * graph.size)


def _error(found: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)


def gains(found: Sequence[Batch]) -> dict[int, float]:
    """Return for each size its hops a second / those of the first size; a hop is a segment and a clip."""
    alone = {batch.graph: batch.ms for batch in found if batch.size == 1}
    ms = {batch.size: 0.0 for batch in found}
    for batch in found:
        ms[batch.size] += alone[batch.graph] / batch.gain
    return {size: sum(alone.values()) / ms[size] for size in ms}


def verdict(found: Sequence[Batch]) -> str:
    """State whether a runtime should have a batch."""
    size, gain = max(gains(found).items(), key=lambda pair: pair[1])
    if gain >= MIN_GAIN:
        return f"{size} cameras at a time give {gain:.2f} times as many hops a second: batch = {size}"
    return f"no size gives {MIN_GAIN - 1:.0%} more hops a second (best: {gain:.2f} times, with {size}): batch = 1"


def table(model: Model, precision: str, found: Sequence[Batch]) -> Table:
    """Return the table with one row per size."""
    table = Table(title=f"{model.manifest.id} {precision}", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("graph", "at a time", "ms for each", "a second", "against 1", "in CPU time", "largest difference"):
        table.add_column(column, justify="right")
    for b in found:
        speeds = (f"{b.ms:.2f}", f"{1000 / b.ms:.1f}", f"{b.gain:.3f}", f"{b.cpu_gain:.3f}")
        table.add_row(b.graph, str(b.size), *speeds, f"{b.error:.0e}")
    return table


def to_json(found: Sequence[Batch]) -> str:
    return json.dumps([asdict(batch) for batch in found], indent=1) + "\n"
