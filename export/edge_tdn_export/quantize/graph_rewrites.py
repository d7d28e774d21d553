"""What NNCF's graphs still lack to run fast; the numbers that they give stay the same."""

from collections.abc import Iterator

import numpy as np
import openvino as ov
import openvino.opset13 as opset

VIEWS = ("Reshape", "Transpose")  # move nothing where channels lie last
STEPS = {ov.Type.u8: (0, 255), ov.Type.i8: (-128, 127)}


def quantise_behind_views(graph: ov.Model) -> None:
    """Moves quantisers that stand in front of views behind these.

    A convolution whose result is quantised and then only looked at in another shape writes floats, and is converted
    pixel by pixel; quantised where the next convolution reads, it costs nothing.
    """
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize" or not _of_all_channels(node):
            continue
        views = list(_views_behind(node))
        if not views:
            continue
        takers = views[-1].output(0).get_target_inputs()
        for port in node.output(0).get_target_inputs():
            port.replace_source_output(node.input_value(0))
        node.input(0).replace_source_output(views[-1].output(0))
        for port in takers:
            port.replace_source_output(node.output(0))
    graph.validate_nodes_and_infer_types()


def features_in_8_bits(encoder: ov.Model, head: ov.Model) -> dict[str, float]:
    """Features that the head quantises anyway leave the encoder so: a quarter of the memory, and nothing is converted.

    What a stored step is worth, by the feature's name.
    """
    scales = {}
    results = {result.input_value(0).any_name: result for result in encoder.get_results()}
    for parameter in head.get_parameters():
        name, takers = parameter.output(0).any_name, parameter.output(0).get_target_inputs()
        quantisers = [port.get_node() for port in takers]
        if len(quantisers) != 1 or quantisers[0].get_type_name() != "FakeQuantize":
            continue
        (quantiser,) = quantisers
        low, high = (float(quantiser.input_value(i).get_node().data.item()) for i in (1, 2))
        kind = ov.Type.i8 if low < 0 else ov.Type.u8
        first, last = STEPS[kind]
        scale = (high - low) / (last - first)
        if not np.isclose(low, first * scale, atol=1e-6 * high):  # asymmetric: zero is no step
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
    """An output in floats becomes one in steps, under the same name."""
    value = result.input_value(0)
    names = value.get_names()
    value.get_tensor().set_names(set())
    numbers = [np.float32(bound) for bound in (*range_, *steps)]
    stored = opset.convert(opset.fake_quantize(value, *numbers, levels=256), kind.to_string())
    stored.output(0).get_tensor().set_names(names)
    result.input(0).replace_source_output(stored.output(0))


def _of_all_channels(quantiser: ov.Node) -> bool:
    """One range for the whole tensor, whatever its shape."""
    return all(int(np.prod(value.get_shape())) == 1 for value in quantiser.input_values()[1:])


def _views_behind(node: ov.Node) -> Iterator[ov.Node]:
    """The views that its value goes through, as long as nobody else takes it."""
    while True:
        takers = [port.get_node() for port in node.output(0).get_target_inputs()]
        if len(takers) != 1 or takers[0].get_type_name() not in VIEWS:
            return
        (node,) = takers
        yield node
