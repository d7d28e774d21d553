"""INT8 graphs and logits, computed independently of the exporter's own measurements."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov
from edge_tdn_export.quantize.clip_split import ClipSet
from numpy.typing import NDArray

from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import open_model
from tests.support.exports import SPEC

SAMPLES = 12  # clips that quantise the model folder of the tests
LABELS = tuple(f"label {n}" for n in range(6))
MOVING = (
    "Concat",
    "Gather",
    "MaxPool",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "StridedSlice",
    "Transpose",
    "Unsqueeze",
    "VariadicSplit",
)  # node types that only move values


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_graph(folder: Path, name: str) -> ov.Model:
    return ov.Core().read_model(folder / name)


def logits_of(folder: Path, precision: str, clips: ClipSet) -> NDArray[np.float64]:
    """Run clips as a host does, self-test included: [clips, classes]."""
    runtime = open_runtime(open_model(folder), precision)
    found = [scores(runtime, recording.clip(last, SPEC)) for recording, last in clips.clips]
    runtime.close()
    return np.stack(found).astype(np.float64)


def mean_kl(expected: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """Return the mean of KL(expected || got) over logits [clips, classes], in nats."""
    p, q = (np.exp(x - x.max(1, keepdims=True)) for x in (expected, got))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    return float((p * np.log(p / q)).sum(1).mean())


def quantised_inputs(graph: ov.Model, name: str) -> int:
    """Count a node's quantised inputs: activations from a FakeQuantize, weights stored in 8 bits."""
    (node,) = (node for node in graph.get_ordered_ops() if node.get_friendly_name() == name)
    return sum(_is_quantised(value.get_node()) for value in node.input_values())


def _is_quantised(node: ov.Node) -> bool:
    if node.get_type_name() in MOVING:
        return any(_is_quantised(value.get_node()) for value in node.input_values())
    return node.get_type_name() == "FakeQuantize" or any(map(_is_in_8_bits, _decompression(node)))


def _decompression(node: ov.Node) -> Iterator[ov.Node]:
    """Yield the node and what it decompresses: scale, offset, conversion, constant."""
    yield node
    if node.get_type_name() in ("Convert", "Multiply", "Subtract"):
        yield from _decompression(node.input_value(0).get_node())


def _is_in_8_bits(node: ov.Node) -> bool:
    return node.get_type_name() == "Constant" and node.get_element_type().to_string() in ("i8", "u8")
