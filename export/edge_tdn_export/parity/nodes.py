"""Where an exported graph leaves PyTorch: every node of both graphs, on the same input, in order."""

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
from edge_tdn_export.convert.convert import ROOT, EncoderGraph, HeadGraph, channels_last
from edge_tdn_export.convert.node_names import Recorder, node_names
from edge_tdn_export.network.reference import Networks, split
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.parity.result import NodeError

SEGMENTS = 2  # that the encoder's nodes are compared on; their values are large

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Reference:
    """One graph of one network, run in PyTorch."""

    network: int  # its number in the folder
    graph: Literal["encoder", "head"]
    inputs: Mapping[str, Array]
    values: Mapping[str, Tensor]  # what every named node gave
    title: str  # what reports call the graph


def references(networks: Networks, clip: NDArray[np.uint8]) -> tuple[Reference, ...]:
    """Both graphs of every network. The head gets PyTorch's own features, so that nothing adds up.

    `clip`: uint8 [T, InputSpec.frames, H, W, 3].
    """
    found = []
    features = networks.encode(clip)
    for number, (network, own) in enumerate(zip(networks.members, split(clip, networks.spec), strict=True)):
        prefix = f"T={network.config.segments} " if len(networks.members) > 1 else ""
        frames = {"frames": own[:SEGMENTS]}
        window = {
            name: np.ascontiguousarray(channels_last(tensor).numpy())
            for name, tensor in zip(network.features, features[number], strict=True)
        }
        encoder, head = EncoderGraph(network, networks.spec), HeadGraph(network)
        found += [
            Reference(number, "encoder", frames, _pytorch(encoder, network, frames), f"{prefix}encoder"),
            Reference(number, "head", window, _pytorch(head, network, window), f"{prefix}head"),
        ]
    return tuple(found)


def node_errors(model: Model, expected: Sequence[Reference], precision: str) -> tuple[NodeError, ...]:
    """Every node that the exported graphs share with PyTorch's, in their order, on the same inputs; infinite in another
    shape.

    Empty for formats that show no nodes (CUDA programs).
    """
    build = model.build(precision)
    if build.format == "torch":
        return ()
    look = _onnx if build.format == "onnx" else _openvino
    return tuple(
        NodeError(reference.title, node, relative_error(reference.values[node].numpy(), value))
        for reference in expected
        for node, value in look(model, build.graphs[reference.network], precision, reference)
    )


def _pytorch(module: nn.Module, network: TDN, inputs: Mapping[str, Array]) -> dict[str, Tensor]:
    """What every named node gives in PyTorch."""
    tensors = tuple(torch.from_numpy(value) for value in inputs.values())
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.export.export(module.eval(), tensors).module()
        recorder = Recorder(traced, node_names(traced.graph, dict(network.named_modules()), ROOT))
        recorder.run(*tensors)
    return recorder.values


def _openvino(model: Model, graphs: Graphs, precision: str, reference: Reference) -> list[tuple[str, Array]]:
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
    request.infer(
        {key: _in_steps(value, graphs.scales[key], compiled.input(key)) if key in graphs.scales else value
         for key, value in reference.inputs.items()}
    )  # fmt: skip
    first = len(compiled.outputs) - len(results)
    return [(key, request.get_output_tensor(first + i).data.copy()) for i, (key, _) in enumerate(nodes)]


def _in_steps(value: Array, scale: float, port: ov.ConstOutput) -> Array:
    """A feature as an INT8 encoder would hand it over."""
    kind = port.element_type.to_dtype()
    steps = np.iinfo(kind)
    return np.clip(np.rint(value / scale), steps.min, steps.max).astype(kind)


def _onnx(model: Model, graphs: Graphs, precision: str, reference: Reference) -> list[tuple[str, Array]]:
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
    """Largest difference / largest value; infinite where they have not the same shape."""
    if expected.shape != got.shape:
        return float("inf")
    largest = float(np.max(np.abs(expected)))
    difference = float(np.max(np.abs(got - expected)))
    return difference / largest if largest > 0 else difference
