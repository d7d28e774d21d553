"""Compile graphs of all networks of a model folder and run clips through them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_tdn.inference.openvino import EXECUTION, compile_graph
from edge_tdn.manifest import InputSpec
from edge_tdn_export.network.reference import split
from edge_tdn_export.quantize.operators import GraphKey

Array = NDArray[Any]
GraphMap = Mapping[GraphKey, ov.Model]
RunGraph = Callable[[Any], dict[str, Array]]  # a compiled graph: inputs -> outputs by name


class CompiledNetworks:
    """Compiled graphs of all networks. They give a host's results, with all segments of a clip in one batch."""

    def __init__(self, graphs: GraphMap, spec: InputSpec) -> None:
        self._core, self._spec = ov.Core(), spec
        self.run = {key: self.compile(graph, key) for key, graph in graphs.items()}

    def score(self, clip: Array) -> Array:
        """Run one clip, uint8 RGB [T, InputSpec.frames, H, W, 3]: logits [classes]."""
        total: Array = self.classify(self.encode(split(clip, self._spec))).sum(0)
        return total

    def encode(self, clip: Sequence[Array]) -> list[dict[str, Array]]:
        """Encode each network's segments, uint8 RGB [T, 5, H, W, 3]: features by name."""
        return [self.run[number, "encoder"](frames) for number, frames in enumerate(clip)]

    def classify(self, features: Sequence[dict[str, Array]]) -> Array:
        """Classify each network's features: logits [networks, classes]."""
        return np.stack([self.run[number, "head"](own)["logits"][0] for number, own in enumerate(features)])

    def batch(self, number: int) -> int:
        """Return T of a network."""
        return self._spec.of(number).segments

    def compile(self, graph: ov.Model, key: GraphKey) -> RunGraph:
        """Compile a graph for the CPU as a host does, a dynamic one for T segments."""
        if graph.is_dynamic():
            graph = graph.clone()
            (frames,) = graph.inputs
            graph.reshape({frames: [self.batch(key[0]), *(d.get_length() for d in list(frames.partial_shape)[1:])]})
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": EXECUTION["int8"]}
        compiled = compile_graph(self._core, graph, "CPU", options)
        names = [output.get_any_name() for output in compiled.outputs]

        def run(inputs: Any) -> dict[str, Array]:
            outputs = compiled(inputs)
            return {name: outputs[name].copy() for name in names}

        return run
