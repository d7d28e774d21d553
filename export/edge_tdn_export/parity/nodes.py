"""Compare every node of both graphs with PyTorch, on the same input, in the order of execution."""

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_tdn.inference.openvino import EXECUTION, compile_graph, read_graph
from edge_tdn.manifest import Graphs, Model
from edge_tdn_export.convert.graphs import ROOT, EncoderGraph, HeadGraph, channels_last
from edge_tdn_export.convert.node_names import NodeValueRecorder, node_names
from edge_tdn_export.network.reference import Networks, split
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.parity.result import NodeError

ENCODER_SEGMENTS = 2  # on which the encoder's nodes are compared; their values are large

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class NodeReference:
    """The node values of one graph of one network, computed in PyTorch."""

    network: int  # index in the model folder
    graph: Literal["encoder", "head"]
    inputs: Mapping[str, Array]
    values: Mapping[str, Tensor]  # output of every named node
    title: str  # the graph's name in reports


def references(networks: Networks, clip: NDArray[np.uint8]) -> tuple[NodeReference, ...]:
    """Run both graphs of every network in PyTorch.

    The head reads PyTorch's own features, so that errors of the encoder do not add up there.
    `clip`: uint8 RGB [T, InputSpec.frames, H, W, 3].
    """
    found = []
    features = networks.encode(clip)
    for number, (network, own) in enumerate(zip(networks.members, split(clip, networks.spec), strict=True)):
        prefix = f"T={network.config.segments} " if len(networks.members) > 1 else ""
        frames = {"frames": own[:ENCODER_SEGMENTS]}
        window = {
            name: np.ascontiguousarray(channels_last(tensor).numpy())
            for name, tensor in zip(network.features, features[number], strict=True)
        }
        encoder, head = EncoderGraph(network, networks.spec), HeadGraph(network)
        found += [
            NodeReference(number, "encoder", frames, _pytorch_values(encoder, network, frames), f"{prefix}encoder"),
            NodeReference(number, "head", window, _pytorch_values(head, network, window), f"{prefix}head"),
        ]
    return tuple(found)


def node_errors(model: Model, expected: Sequence[NodeReference], precision: str) -> tuple[NodeError, ...]:
    """Return the error of every node that the exported graphs share with PyTorch's, on the same inputs.

    A node of another shape has an infinite error. Formats that do not show nodes (CUDA programs) give an empty tuple.
    """
    build = model.build(precision)
    if build.format == "torch":
        return ()
    run = _onnx_values if build.format == "onnx" else _openvino_values
    return tuple(
        NodeError(reference.title, node, relative_error(reference.values[node].numpy(), value))
        for reference in expected
        for node, value in run(model, build.graphs[reference.network], precision, reference)
    )


def _pytorch_values(module: nn.Module, network: TDN, inputs: Mapping[str, Array]) -> dict[str, Tensor]:
    """Run a graph in PyTorch and return the output of every named node."""
    tensors = tuple(torch.from_numpy(value) for value in inputs.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.export.export(module.eval(), tensors).module()
        recorder = NodeValueRecorder(traced, node_names(traced.graph, dict(network.named_modules()), ROOT))
        recorder.run(*tensors)
    return recorder.values


def _openvino_values(model: Model, graphs: Graphs, precision: str, reference: NodeReference) -> list[tuple[str, Array]]:
    """Run an OpenVINO graph with all named nodes as outputs: readable name, value."""
    core = ov.Core()
    graph = read_graph(core, model, getattr(graphs, reference.graph))
    graph.reshape({key: list(value.shape) for key, value in reference.inputs.items()})
    nodes = []
    for operation in graph.get_ordered_ops():
        for output in operation.outputs():
            known = [n for n in output.get_names() if n in reference.values]
            if known and operation.get_type_name() not in ("Parameter", "Constant", "Result"):
                nodes.append((known[0], output))
    results = graph.add_outputs([output for _, output in nodes])
    compiled = compile_graph(core, graph, "CPU", {"INFERENCE_PRECISION_HINT": EXECUTION[precision]})
    request = compiled.create_infer_request()
    inputs = dict(reference.inputs)
    for key, scale in graphs.scales.items():
        if key in inputs:
            inputs[key] = _in_steps(inputs[key], scale, compiled.input(key))
    request.infer(inputs)
    first = len(compiled.outputs) - len(results)
    return [(key, request.get_output_tensor(first + i).data.copy()) for i, (key, _) in enumerate(nodes)]


def _in_steps(value: Array, scale: float, port: ov.ConstOutput) -> Array:
    """Return a feature as an INT8 encoder stores it, in steps of `scale`."""
    kind = port.element_type.to_dtype()
    steps = np.iinfo(kind)
    return np.clip(np.rint(value / scale), steps.min, steps.max).astype(kind)


def _onnx_values(model: Model, graphs: Graphs, precision: str, reference: NodeReference) -> list[tuple[str, Array]]:
    """Run an ONNX graph with all named nodes as outputs: readable name, value."""
    graph = onnx.load(io.BytesIO(model.read(getattr(graphs, reference.graph))))
    names = [value for node in graph.graph.node for value in node.output if value in reference.values]
    known = {output.name for output in graph.graph.output}
    graph.graph.output.extend(
        onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None) for value in names if value not in known
    )
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    values: Sequence[Array] = session.run(names, dict(reference.inputs))
    return list(zip(names, values, strict=True))


def relative_error(expected: Array, got: Array) -> float:
    """Return the largest difference / largest value; infinite if the shapes differ."""
    if expected.shape != got.shape:
        return float("inf")
    largest = float(np.max(np.abs(expected)))
    difference = float(np.max(np.abs(got - expected)))
    return difference / largest if largest > 0 else difference
