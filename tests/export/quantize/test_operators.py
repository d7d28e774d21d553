"""Operators of quantised graphs: which can be exceptions, and graphs with some of them restored or rewritten."""

import io
import itertools
from contextlib import redirect_stdout
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import pytest
from edge_tdn_export.quantize.graph_rewrites import features_in_8_bits, quantise_behind_views
from edge_tdn_export.quantize.operators import by_name, in_floating_point, never_quantised, operators

from edge_tdn.manifest import Model
from tests.support.exports import SPEC
from tests.support.quantized import read_graph


@pytest.mark.parametrize("half", ["encoder", "head"])
def test_every_operator_of_the_shipped_model_is_an_exception_or_never_quantised(motion: Model, half: str) -> None:
    graph = read_graph(motion.folder, f"fp32/{half}.xml")
    found = operators(graph, (0, "encoder" if half == "encoder" else "head"))
    nodes = list(itertools.chain.from_iterable(operator.nodes for operator in found))
    left = never_quantised(graph)
    assert len(nodes) == len(set(nodes))
    assert not set(nodes) & set(left)
    always = {op.get_friendly_name() for op in _of_type(graph, "Tanh", "GroupConvolution", "ReduceMean")}
    assert always <= set(left)
    subtractions = [op for op in _of_type(graph, "Subtract") if "Constant" not in _sources(op)]
    assert subtractions
    assert {op.get_friendly_name() for op in subtractions} <= set(nodes if half == "encoder" else left)
    assert {op.get_friendly_name() for op in _of_type(graph, "Convolution", "MatMul")} <= set(nodes)
    blocks = [f"res{stage}.{block}" for stage in (3, 4, 5) for block in (0, 1)]
    expected = {f"{block} {kind}" for block in blocks for kind in ("multiply", "L-TDM scales")}
    if half == "encoder":
        expected = {"stdm S-TDM subtraction", "bn1 S-TDM sum", "res2.1 S-TDM sum", "res2.0 residual sum"}
    assert expected <= {operator.name for operator in found}


def _of_type(graph: ov.Model, *types: str) -> list[ov.Node]:
    return [op for op in graph.get_ordered_ops() if op.get_type_name() in types]


def _sources(op: ov.Node) -> list[str]:
    return [value.get_node().get_type_name() for value in op.input_values()]


@pytest.mark.parametrize("half", ["encoder", "head"])
def test_graph_with_every_node_restored_is_the_original(exported: Path, half: str) -> None:
    original, inputs, graph = _quantised_by_nncf(exported, half)
    back = in_floating_point(graph, original, list(by_name(original)))
    first, second, third = (list(ov.compile_model(g, "CPU")(inputs).values()) for g in (original, back, graph))
    for a, b, c in zip(first, second, third, strict=True):
        assert np.array_equal(a, b)
        assert not np.allclose(a, c, atol=1e-4)


def _quantised_by_nncf(exported: Path, half: str) -> tuple[ov.Model, list[np.ndarray], ov.Model]:
    """Return a graph in full precision, its calibration inputs, and the quantised graph."""
    original, rng = read_graph(exported, f"fp32/{half}.xml"), np.random.default_rng(0)
    inputs = [_random(rng, port) for port in original.inputs]
    names = [port.any_name for port in original.inputs]
    with redirect_stdout(io.StringIO()):
        dataset = nncf.Dataset([dict(zip(names, inputs, strict=True))])
        ignored = nncf.IgnoredScope(names=list(never_quantised(original)))
        quantised = nncf.quantize(original, dataset, subset_size=1, ignored_scope=ignored)
    return original, inputs, quantised


def test_rewrites_do_not_change_the_results(exported: Path) -> None:
    """Features in 8 bits and quantisers behind views give the same steps at other places of the graph."""
    _, (two,), encoder = _quantised_by_nncf(exported, "encoder")
    _, _, head = _quantised_by_nncf(exported, "head")
    frames = np.tile(two, (SPEC.segments // 2, 1, 1, 1, 1))
    features = _run(encoder, frames)
    before = _run(head, features)["logits"]
    scales = features_in_8_bits(encoder, head)
    quantise_behind_views(head)
    stored = _run(encoder, frames)
    assert {name: value.dtype for name, value in stored.items()} == {"h": np.uint8, "skip": np.int8}
    for name, value in stored.items():
        inside = np.abs(value - np.float32(np.iinfo(value.dtype).min)) > 0
        inside &= value < np.iinfo(value.dtype).max
        assert np.abs(value * scales[name] - features[name])[inside].max() <= 0.501 * scales[name]
    assert np.abs(_run(head, stored)["logits"] - before).max() <= 1e-3 * np.abs(before).max()


def _run(graph: ov.Model, inputs: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    compiled = ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {port.any_name: value for port, value in compiled(inputs).items()}


def _random(rng: np.random.Generator, port: ov.Output) -> np.ndarray:
    shape = [d.get_length() if d.is_static else 2 for d in port.partial_shape]
    if port.get_element_type() == ov.Type.u8:
        return rng.integers(0, 256, shape, np.uint8)
    values = rng.standard_normal(shape, np.float32)
    return values if port.any_name == "skip" else np.abs(values)  # h comes from a ReLU
