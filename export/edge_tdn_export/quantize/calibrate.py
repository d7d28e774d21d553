"""Post-training quantisation by NNCF, calibrated on clips."""

import io
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import redirect_stdout
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from edge_tdn_export.network.reference import split
from edge_tdn_export.quantize.compiled import CompiledNetworks, GraphMap
from edge_tdn_export.quantize.inputs import QuantizationInputs
from edge_tdn_export.quantize.operators import GraphKey, Operator, never_quantised

MAX_SEGMENTS = 300  # that calibrate an encoder
# Ranges reach to the largest value in calibration. NNCF's default, the mean over clips, cuts off larger values: mean KL
# 0.015 instead of 0.001 (motion, generated clips), 0.041 instead of 0.004 (motion, real videos), 0.0004 instead of
# 0.0003 (R50, T = 8). Ranges are symmetric, as differences are signed; asymmetric ones ("mixed") were neither more
# accurate nor faster.
PRESET = "performance"
RANGES = RangeEstimatorParametersSet.MINMAX


def quantize_graphs(
    inputs: QuantizationInputs,
    bias_correction: bool,
    exceptions: Collection[Operator] = (),
    everything: GraphMap | None = None,
) -> GraphMap:
    """Quantise all FP32 graphs but for the `exceptions`.

    `everything`: graphs that were quantised without exceptions; those are returned again where a graph has none.
    """
    graphs = {}
    for key, graph in inputs.fp32.items():
        kept = [node for one in exceptions if one.part == key for node in one.nodes]
        if everything and not kept:
            graphs[key] = everything[key]
        else:
            ignored = [*kept, *never_quantised(graph)]
            graphs[key] = _quantize(graph, _dataset(inputs, key), ignored, bias_correction)
    return graphs


def _dataset(inputs: QuantizationInputs, key: GraphKey) -> nncf.Dataset:
    """Return the calibration data: segments for an encoder, the FP32 encoder's features of clips for a head."""
    (number, half), spec = key, inputs.spec
    what = f"calibrating {half}" if len(inputs.fp32) == 2 else f"calibrating {half} {number + 1}"
    items: list[Any]
    to_input: Callable[[Any], Any]
    if half == "encoder":
        items = _segments(inputs)
        to_input = lambda frames: split(frames, spec)[number]  # noqa: E731
    else:
        items = list(inputs.calibration.clips)
        encoder: GraphKey = (number, "encoder")
        encode = CompiledNetworks({encoder: inputs.fp32[encoder]}, spec).run[encoder]
        to_input = lambda item: encode(split(item[0].clip(item[1], spec), spec)[number])  # noqa: E731

    def transform(item: tuple[int, Any]) -> Any:
        inputs.progress(what, item[0], len(items))
        return to_input(item[1])

    return nncf.Dataset(list(enumerate(items)), transform)


def _segments(inputs: QuantizationInputs) -> list[Any]:
    """Return distinct segments of the calibration clips, evenly spaced: uint8 RGB [1, InputSpec.frames, H, W, 3]."""
    t = inputs.spec.segments
    of_clips = [s for recording, last in inputs.calibration.clips for s in recording.segments[last + 1 - t : last + 1]]
    segments = list(dict.fromkeys(of_clips))
    places = np.linspace(0, len(segments) - 1, min(MAX_SEGMENTS, len(segments)))
    return [segments[round(float(place))].frames[None] for place in places]


def _quantize(graph: ov.Model, dataset: nncf.Dataset, ignored: Sequence[str], bias_correction: bool) -> ov.Model:
    """Call NNCF without its log messages and progress bars."""
    logging.getLogger("nncf").setLevel(logging.ERROR)  # nncf.set_log_level would silence handlers of other loggers too
    parameters = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=RANGES, disable_bias_correction=not bias_correction
    )
    with redirect_stdout(io.StringIO()):
        return nncf.quantize(
            graph,
            dataset,
            preset=nncf.QuantizationPreset(PRESET),
            subset_size=dataset.get_length(),
            ignored_scope=nncf.IgnoredScope(names=sorted(ignored)),
            advanced_parameters=parameters,
        )
