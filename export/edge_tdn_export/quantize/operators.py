"""Operators of a quantised graph that can stay in floating point, and the graph with some of them restored.

An exception is a whole operator of the network, such as all convolutions of an L-TDM. Operators are found by the types
of nodes, by their inputs, and by the module paths in their names (see edge_tdn_export.convert.node_names).

Nodes that are as fast in floating point are never quantised, and so never exceptions; see `never_quantised`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import openvino as ov
from openvino.utils.node_factory import NodeFactory

HalfName = Literal["encoder", "head"]
GraphKey = tuple[int, HalfName]  # index of a network in the model folder, and one of its two graphs
OperatorKey = tuple[str, str]  # module path, and one of:

STDM_SUBTRACTION = "S-TDM subtraction"  # with the pooling of the differences
STDM_SUM = "S-TDM sum"  # of the features of centre frame and differences, each scaled (equation 1)
LTDM_SCALES = "L-TDM scales"  # the convolutions of the L-TDM
MULTIPLY = "multiply"  # by the attention of the L-TDM
RESIDUAL = "residual sum"
CONVOLUTION = "convolution"  # a single convolution of the backbone, or the linear layer

_CONVOLUTIONS = ("Convolution", "GroupConvolution", "MatMul")
_ARITHMETIC = ("Add", "AvgPool", "Concat", "Divide", "Interpolate", "Multiply", "Subtract", "Tanh")
_PASSING = (  # they only move values; NNCF places the quantiser of the next operator's input before them
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
)


@dataclass(frozen=True)
class Operator:
    """The nodes that are quantised, or stay in floating point, together."""

    part: GraphKey
    place: str  # module path: `res3.0`; for a convolution the module of its output, `res4.1.bn2`
    kind: str
    nodes: tuple[str, ...]  # names of graph nodes

    @property
    def name(self) -> str:
        return f"{self.place} {self.kind}"


def operators(graph: ov.Model, part: GraphKey) -> list[Operator]:
    """Return the operators of a graph that can be exceptions, in the order of the graph."""
    found: dict[OperatorKey, list[str]] = {}
    keys: dict[str, OperatorKey] = {}  # by node name
    for node in graph.get_ordered_ops():
        name, own = node.get_friendly_name(), _operator_key(node, keys)
        if own is None:
            continue
        keys[name] = own
        if node.get_type_name() not in _PASSING:
            found.setdefault(own, []).append(name)
    return [Operator(part, place, kind, tuple(nodes)) for (place, kind), nodes in found.items()]


def never_quantised(graph: ov.Model) -> tuple[str, ...]:
    """Return the names of nodes that INT8 would make less accurate and no faster.

    These are means over pixels and segments; depthwise convolutions, which OpenVINO does not run faster in 8 bits; and
    the differences, sums and gates of L-TDMs, that is all but their convolutions and the multiplication of x.
    """
    return tuple(node.get_friendly_name() for node in graph.get_ordered_ops() if _left_in_floating_point(node))


def _left_in_floating_point(node: ov.Node) -> bool:
    kind, module = node.get_type_name(), node.get_friendly_name().rpartition("/")[0]
    if kind in ("GroupConvolution", "ReduceMean", "Sigmoid"):
        return True
    return module.endswith(".ltdm") and kind in _ARITHMETIC and not (kind == "Multiply" and len(_taken(node)) == 2)


def in_floating_point(quantised: ov.Model, original: ov.Model, nodes: Collection[str]) -> ov.Model:
    """Return a copy of the quantised graph with these nodes in floating point, as if NNCF had ignored them.

    Their inputs come from before the quantisers, their constants from the original graph.
    """
    graph = quantised.clone()
    constants = {name: _constants(node) for name, node in by_name(original).items() if name in nodes}
    for name, node in by_name(graph).items():
        if name not in nodes:
            continue
        for index, port in enumerate(node.inputs()):
            constant = constants[name].get(index)
            if constant is None:
                port.replace_source_output(_unquantised(port.get_source_output()))
            else:
                port.replace_source_output(ov.op.Constant(constant).output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def by_name(graph: ov.Model) -> dict[str, ov.Node]:
    """Return the nodes of a graph by name, in its order."""
    return {node.get_friendly_name(): node for node in graph.get_ordered_ops()}


def multiply_adds(graph: ov.Model, batch: int) -> int:
    """Count the multiply-adds of a graph's convolutions, with `batch` for its dynamic dimension."""
    total = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() in _CONVOLUTIONS:
            shape = [d.get_length() if d.is_static else batch for d in node.get_output_partial_shape(0)]
            weights = list(node.get_input_shape(1))
            each = int(np.prod(weights)) // shape[1]
            total += int(np.prod(shape)) * each
    return total


def _operator_key(node: ov.Node, keys: Mapping[str, OperatorKey]) -> OperatorKey | None:
    """Return the operator of a node, given those of the nodes before it; None: the node is never an exception."""
    kind, name = node.get_type_name(), node.get_friendly_name()
    if _left_in_floating_point(node):
        return None
    taken = _taken(node)
    sources = [keys.get(other.get_friendly_name()) for other in taken]
    module = name.rpartition("/")[0]
    if kind in _CONVOLUTIONS:
        layer = name.removesuffix("/WithoutBiases")
        inside, ltdm, _ = layer.partition(".ltdm.")
        return (inside, LTDM_SCALES) if ltdm else (layer, CONVOLUTION)
    if kind in _PASSING or kind == "AvgPool":
        return next((own for own in sources if own and own[1] == STDM_SUBTRACTION), None)
    if kind == "Add" and len(taken) == 1 and taken[0].get_type_name() in _CONVOLUTIONS:
        return sources[0]  # the bias
    if kind == "Subtract" and len(taken) == 2:
        return (module, STDM_SUBTRACTION)
    if module.endswith(".ltdm"):
        return (module.removesuffix(".ltdm"), MULTIPLY) if kind == "Multiply" else None
    return _sum(node) if kind in _ARITHMETIC else None


def _sum(node: ov.Node) -> OperatorKey | None:
    """Return the operator of a sum of two values, or of a node that scales one of them for it."""
    if node.get_type_name() in ("Interpolate", "Multiply"):
        takers = [port.get_node() for port in node.output(0).get_target_inputs()]
        return _sum(takers[0]) if len(takers) == 1 and takers[0].get_type_name() in ("Add", "Multiply") else None
    taken = _taken(node)
    if node.get_type_name() != "Add" or len(taken) != 2:
        return None
    place = node.get_friendly_name().rpartition("/")[0]
    unscaled = [_taken(other)[0] if other.get_type_name() == "Multiply" else other for other in taken]
    return (place, STDM_SUM if any(other.get_type_name() == "Interpolate" for other in unscaled) else RESIDUAL)


def _taken(node: ov.Node) -> list[ov.Node]:
    """Return the nodes whose values a node reads, without constants."""
    nodes = (value.get_node() for value in node.input_values())
    return [other for other in nodes if other.get_type_name() != "Constant"]


def _constants(node: ov.Node) -> dict[int, Any]:
    """Return the values of constant inputs, by input number."""
    sources = ((index, value.get_node()) for index, value in enumerate(node.input_values()))
    return {index: source.data for index, source in sources if source.get_type_name() == "Constant"}


def _unquantised(value: Any) -> Any:
    """Return a value from before its quantiser, which stays for other readers."""
    node = value.get_node()
    if node.get_type_name() == "FakeQuantize":
        return node.input_value(0)
    if node.get_type_name() not in _PASSING or not _is_quantised(value):
        return value
    inputs = [_unquantised(own) for own in node.input_values()]
    copy = NodeFactory(node.get_type_info().version_id).create(node.get_type_name(), inputs, node.get_attributes())
    return copy.output(value.get_index())


def _is_quantised(value: Any) -> bool:
    """Check for a value from a FakeQuantize, directly or through passing nodes, or from weights in 8 bits."""
    node = value.get_node()
    if node.get_type_name() in _PASSING:
        return any(_is_quantised(own) for own in node.input_values())
    return node.get_type_name() == "FakeQuantize" or any(_stored_in_8_bits(own) for own in _upwards(node))


def _upwards(node: ov.Node) -> Iterator[ov.Node]:
    """Yield a node and the nodes that decompress its weights: scale, offset, conversion, constant."""
    yield node
    if node.get_type_name() in ("Convert", "Multiply", "Subtract"):
        yield from _upwards(node.input_value(0).get_node())


def _stored_in_8_bits(node: ov.Node) -> bool:
    return node.get_type_name() == "Constant" and node.get_element_type().to_string() in ("i8", "u8")
