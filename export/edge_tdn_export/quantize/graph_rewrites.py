"""Rewrites that make NNCF's graphs faster without changing their results."""

from collections.abc import Iterator

import numpy as np
import openvino as ov
import openvino.opset13 as opset

VIEWS = ("Reshape", "Transpose")  # free where channels are last in memory
STEPS = {ov.Type.u8: (0, 255), ov.Type.i8: (-128, 127)}


def quantise_behind_views(graph: ov.Model) -> None:
    """Move quantisers from before views to behind them, in place.

    Before a view, a convolution writes floats, which are converted pixel by pixel. Behind it, the quantiser is fused
    into the next convolution and costs nothing.
    """
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize" or not _of_all_channels(node):
            continue
        views = list(_views_behind(node))
        if not views:
            continue
        readers = views[-1].output(0).get_target_inputs()
        for port in node.output(0).get_target_inputs():
            port.replace_source_output(node.input_value(0))
        node.input(0).replace_source_output(views[-1].output(0))
        for port in readers:
            port.replace_source_output(node.output(0))
    graph.validate_nodes_and_infer_types()


def features_in_8_bits(encoder: ov.Model, head: ov.Model) -> dict[str, float]:
    """Move the quantisers of features from the head into the encoder, in place: a quarter of the memory per feature.

    Return the scales by feature name: the value of one stored step.
    """
    scales = {}
    results = {result.input_value(0).any_name: result for result in encoder.get_results()}
    for parameter in head.get_parameters():
        name, readers = parameter.output(0).any_name, parameter.output(0).get_target_inputs()
        quantisers = [port.get_node() for port in readers]
        if len(quantisers) != 1 or quantisers[0].get_type_name() != "FakeQuantize":
            continue
        (quantiser,) = quantisers
        low, high = (float(quantiser.input_value(i).get_node().data.item()) for i in (1, 2))
        kind = ov.Type.i8 if low < 0 else ov.Type.u8
        first, last = STEPS[kind]
        scale = (high - low) / (last - first)
        if not np.isclose(low, first * scale, atol=1e-6 * high):  # asymmetric: no step is zero
            continue
        _write_steps(results[name], (low, high), (first, last), kind)
        parameter.set_element_type(kind)
        number = opset.multiply(opset.convert(parameter, "f32"), np.float32(scale))
        for port in quantiser.output(0).get_target_inputs():
            port.replace_source_output(number.output(0))
        scales[name] = scale
    encoder.validate_nodes_and_infer_types()
    head.validate_nodes_and_infer_types()
    return scales


def _write_steps(result: ov.Node, range_: tuple[float, float], steps: tuple[int, int], kind: ov.Type) -> None:
    """Convert a float output to integer steps, under the same name."""
    value = result.input_value(0)
    names = value.get_names()
    value.get_tensor().set_names(set())
    numbers = [np.float32(bound) for bound in (*range_, *steps)]
    stored = opset.convert(opset.fake_quantize(value, *numbers, levels=256), kind.to_string())
    stored.output(0).get_tensor().set_names(names)
    result.input(0).replace_source_output(stored.output(0))


def _of_all_channels(quantiser: ov.Node) -> bool:
    """Check that a quantiser has one range for the whole tensor."""
    return all(int(np.prod(value.get_shape())) == 1 for value in quantiser.input_values()[1:])


def _views_behind(node: ov.Node) -> Iterator[ov.Node]:
    """Yield the views behind a node, as long as each is the only reader."""
    while True:
        readers = [port.get_node() for port in node.output(0).get_target_inputs()]
        if len(readers) != 1 or readers[0].get_type_name() not in VIEWS:
            return
        (node,) = readers
        yield node
