"""Which operators of a quantised graph can be exceptions, and the graph with some of them back in floating point.

An exception is all that makes up one operator of the network: the convolutions of an L-TDM, say. They are found by
what the nodes are and what they take, and by the module paths in their names (see edge_tdn_export.convert.node_names).

What is as fast in floating point is never quantised, and so never an exception; see `never_quantised`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import openvino as ov
from openvino.utils.node_factory import NodeFactory

Half = Literal["encoder", "head"]
Part = tuple[int, Half]  # a network's number, and one of its two graphs
Kind = tuple[str, str]  # the place in the network, and one of:

STDM_SUBTRACTION = "S-TDM subtraction"  # and the pooling of the differences
STDM_SUM = "S-TDM sum"  # of the centre frame's features and the differences', each scaled
LTDM_SCALES = "L-TDM scales"  # its convolutions
MULTIPLY = "multiply"  # by the attention
RESIDUAL = "residual sum"
CONVOLUTION = "convolution"  # of the backbone, one each; the linear layer too

_CONVOLUTIONS = ("Convolution", "GroupConvolution", "MatMul")
_ARITHMETIC = ("Add", "AvgPool", "Concat", "Divide", "Interpolate", "Multiply", "Subtract", "Tanh")
_PASSING = (  # they move values about; NNCF quantises in front of them what the next operator takes
    "Concat", "Gather", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "StridedSlice", "Transpose", "Unsqueeze",
    "VariadicSplit",
)  # fmt: skip


@dataclass(frozen=True)
class Operator:
    """What is an exception as a whole, or not."""

    part: Part
    place: str  # the module: `res3.0`, of a convolution `res4.1.bn2`, which gives what it gives in the end
    kind: str
    nodes: tuple[str, ...]  # of the graph, by their names

    @property
    def name(self) -> str:
        return f"{self.place} {self.kind}"


def operators(graph: ov.Model, part: Part) -> list[Operator]:
    """The operators of a graph that may be exceptions, in its order."""
    found: dict[Kind, list[str]] = {}
    kinds: dict[str, Kind] = {}  # by node
    for node in graph.get_ordered_ops():
        name, own = node.get_friendly_name(), _kind(node, kinds)
        if own is None:
            continue
        kinds[name] = own
        if node.get_type_name() not in _PASSING:
            found.setdefault(own, []).append(name)
    return [Operator(part, place, kind, tuple(nodes)) for (place, kind), nodes in found.items()]


def never_quantised(graph: ov.Model) -> tuple[str, ...]:
    """What would lose by quantisers and gain no time.

    Means, over pixels and over the segments; depthwise convolutions (OpenVINO has no faster ones in 8 bits); and of
    L-TDMs all but the convolutions and the multiplication of x: differences, sums, gates.
    """
    return tuple(node.get_friendly_name() for node in graph.get_ordered_ops() if _left_in_floating_point(node))


def _left_in_floating_point(node: ov.Node) -> bool:
    kind, module = node.get_type_name(), node.get_friendly_name().rpartition("/")[0]
    if kind in ("GroupConvolution", "ReduceMean", "Sigmoid"):
        return True
    return module.endswith(".ltdm") and kind in _ARITHMETIC and not (kind == "Multiply" and len(_taken(node)) == 2)


def in_floating_point(quantised: ov.Model, original: ov.Model, nodes: Collection[str]) -> ov.Model:
    """The quantised graph with these nodes back in floating point: as if NNCF had been told to leave them.

    Their inputs come from before the quantisers, their constants from the graph that was quantised.
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


def quantised_inputs(graph: ov.Model, name: str) -> int:
    """How many of a node's inputs are quantised: activations by a FakeQuantize, weights by being stored in 8 bits."""
    return sum(_is_quantised(value) for value in by_name(graph)[name].input_values())


def by_name(graph: ov.Model) -> dict[str, ov.Node]:
    return {node.get_friendly_name(): node for node in graph.get_ordered_ops()}


def multiply_adds(graph: ov.Model, batch: int) -> int:
    """Of its convolutions, for `batch` segments where the graph leaves that open."""
    total = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() in _CONVOLUTIONS:
            shape = [d.get_length() if d.is_static else batch for d in node.get_output_partial_shape(0)]
            weights = list(node.get_input_shape(1))
            each = int(np.prod(weights)) // shape[1]
            total += int(np.prod(shape)) * each
    return total


def _kind(node: ov.Node, kinds: Mapping[str, Kind]) -> Kind | None:
    """Place and kind of a node, from those of the nodes before it."""
    kind, name = node.get_type_name(), node.get_friendly_name()
    if _left_in_floating_point(node):
        return None
    taken = _taken(node)
    sources = [kinds.get(other.get_friendly_name()) for other in taken]
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


def _sum(node: ov.Node) -> Kind | None:
    """Of a sum of two values, or of what scales one of them for it."""
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
    """The nodes whose values it takes, but for constants."""
    nodes = (value.get_node() for value in node.input_values())
    return [other for other in nodes if other.get_type_name() != "Constant"]


def _constants(node: ov.Node) -> dict[int, Any]:
    """Input -> its value, of those that are constant."""
    sources = ((index, value.get_node()) for index, value in enumerate(node.input_values()))
    return {index: source.data for index, source in sources if source.get_type_name() == "Constant"}


def _unquantised(value: Any) -> Any:
    """The same value from before its quantiser, which others may still take."""
    node = value.get_node()
    if node.get_type_name() == "FakeQuantize":
        return node.input_value(0)
    if node.get_type_name() not in _PASSING or not _is_quantised(value):
        return value
    inputs = [_unquantised(own) for own in node.input_values()]
    copy = NodeFactory(node.get_type_info().version_id).create(node.get_type_name(), inputs, node.get_attributes())
    return copy.output(value.get_index())


def _is_quantised(value: Any) -> bool:
    node = value.get_node()
    if node.get_type_name() in _PASSING:
        return any(_is_quantised(own) for own in node.input_values())
    return node.get_type_name() == "FakeQuantize" or any(_stored_in_8_bits(own) for own in _upwards(node))


def _upwards(node: ov.Node) -> Iterator[ov.Node]:
    """What turns a constant's stored form into weights: constant, conversion, offset, scale."""
    yield node
    if node.get_type_name() in ("Convert", "Multiply", "Subtract"):
        yield from _upwards(node.input_value(0).get_node())


def _stored_in_8_bits(node: ov.Node) -> bool:
    return node.get_type_name() == "Constant" and node.get_element_type().to_string() in ("i8", "u8")
