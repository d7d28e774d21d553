"""The inputs that all steps of a quantisation share."""

from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import openvino as ov

from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.openvino import read_graph
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import InputSpec, Model
from edge_tdn_export.progress import OnProgress
from edge_tdn_export.quantize.agreement import ReferenceClips
from edge_tdn_export.quantize.clip_split import ClipSet
from edge_tdn_export.quantize.compiled import GraphMap
from edge_tdn_export.quantize.operators import HalfName, Operator, operators

HALVES: tuple[HalfName, ...] = ("encoder", "head")


@dataclass(frozen=True, eq=False)
class QuantizationInputs:
    """An opened model folder with its FP32 graphs and both sets of clips; no step changes any of it."""

    model: Model
    scratch: Path  # folder inside the model folder, for graphs of trials
    fp32: GraphMap
    operators: tuple[Operator, ...]  # operators that can be exceptions, in the order of the graphs
    calibration: ClipSet
    held_out: ReferenceClips  # the verdict's; exceptions are chosen on them only where `selection` does not suffice
    progress: OnProgress

    @property
    def spec(self) -> InputSpec:
        return self.model.manifest.input

    @cached_property
    def selection(self) -> ReferenceClips:
        """Return the calibration clips with FP32's logits: exceptions are chosen on them."""
        return _reference(self.model, self.calibration, self.progress)


def prepare(
    model: Model, scratch: Path, calibration: ClipSet, held_out: ClipSet, progress: OnProgress
) -> QuantizationInputs:
    """Read the FP32 graphs and run FP32 on the held-out clips."""
    fp32 = _read_graphs(model)
    found = tuple(operator for key, graph in fp32.items() for operator in operators(graph, key))
    reference = _reference(model, held_out, progress)
    return QuantizationInputs(model, scratch, fp32, found, calibration, reference, progress)


def _reference(model: Model, clips: ClipSet, progress: OnProgress) -> ReferenceClips:
    with closing(open_runtime(model, "fp32")) as runtime:
        return ReferenceClips.of(model.manifest.input, clips, lambda clip: scores(runtime, clip), progress)


def _read_graphs(model: Model) -> GraphMap:
    """Read the FP32 graphs from the bytes that `open_model` verified."""
    core = ov.Core()
    return {
        (number, half): read_graph(core, model, getattr(graphs, half))
        for number, graphs in enumerate(model.build("fp32").graphs)
        for half in HALVES
    }
