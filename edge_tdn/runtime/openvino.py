"""The two graphs on OpenVINO. The encoder writes into the ring, the head reads from it: both through shared tensors."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from edge_tdn.errors import ModelError
from edge_tdn.manifest import Graphs, Model
from edge_tdn.runtime import Ring
from edge_tdn.runtime.ring import FeatureRing

# our precision -> OpenVINO's arithmetic; unset, it would pick BF16 by itself. INT8 is in the graph: this is the rest.
EXECUTION = {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "f32"}
LOGITS = "logits"  # the head's output
# how a feature lies in the ring; NumPy has no BF16, and nobody looks at it there
STORED = {ov.Type.f32: np.float32, ov.Type.f16: np.float16, ov.Type.bf16: np.uint16, ov.Type.u8: np.uint8}


class OpenVinoRuntime:
    batch = 1  # a head's T segments fill a processor already

    def __init__(
        self, model: Model, graphs: Graphs, segments: int, precision: str, device: str, threads: int
    ) -> None:  # fmt: skip
        core = ov.Core()
        if device not in core.available_devices:
            raise ModelError(f"device {device!r} is not here; OpenVINO finds: {', '.join(core.available_devices)}")
        self.device, self.precision = device, precision
        self._segments = segments
        self._features = graphs.features
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": EXECUTION[precision]}
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        encoder, head = (_compile(core, model, name, device, options) for name in (graphs.encoder, graphs.head))
        self._types = {name: head.input(name).element_type for name in graphs.features}
        self._encoder, self._head = encoder.create_infer_request(), head.create_infer_request()
        self._tensors: WeakKeyDictionary[FeatureRing, _RingTensors] = WeakKeyDictionary()

    def ring(self) -> FeatureRing:
        ring = FeatureRing(self._features, self._segments, {name: STORED[kind] for name, kind in self._types.items()})
        self._tensors[ring] = _RingTensors(ring, self._types)
        return ring

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        for frames, ring in zip(segments, rings, strict=True):
            assert isinstance(ring, FeatureRing)
            self._encoder.set_input_tensor(ov.Tensor(np.ascontiguousarray(frames)[None], shared_memory=True))
            for name, tensor in self._tensors[ring].slots[ring.slot].items():
                self._encoder.set_tensor(name, tensor)
            self._encoder.infer()
            ring.written()

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        logits = []
        for ring in rings:
            assert isinstance(ring, FeatureRing)
            for name, tensor in self._tensors[ring].windows[ring.start].items():
                self._head.set_tensor(name, tensor)
            self._head.infer()
            logits.append(self._head.get_output_tensor().data[0].copy())
        return np.stack(logits)

    def close(self) -> None:
        """Frees the compiled graphs."""
        del self._encoder, self._head


class _RingTensors:
    """The ring's memory as OpenVINO tensors, made once: every slot, and the window that starts at every slot."""

    def __init__(self, ring: FeatureRing, types: dict[str, ov.Type]) -> None:
        def tensors(first: int, count: int) -> dict[str, ov.Tensor]:
            parts = {name: array[first : first + count] for name, array in ring.arrays.items()}
            return {name: ov.Tensor(part, list(part.shape), types[name]) for name, part in parts.items()}

        self.slots = [tensors(slot, 1) for slot in range(ring.slots)]
        self.windows = [tensors(slot, ring.segments) for slot in range(ring.slots)]


def read_graph(core: ov.Core, model: Model, name: str) -> ov.Model:
    """An IR of the folder, from the verified bytes, not from the files. RuntimeError: OpenVINO cannot read it."""
    weights = np.frombuffer(model.read(name.removesuffix(".xml") + ".bin"), np.uint8)
    return core.read_model(model=model.read(name), weights=ov.Tensor(weights))


def _compile(core: ov.Core, model: Model, name: str, device: str, options: dict[str, str]) -> ov.CompiledModel:
    try:
        graph = read_graph(core, model, name)
        if graph.is_dynamic():  # the encoder's batch; one segment at a time, which costs nothing once it is said
            graph.reshape({i: [1, *(n.get_length() for n in list(i.partial_shape)[1:])] for i in graph.inputs})
        if options["INFERENCE_PRECISION_HINT"] == "bf16":
            graph = _between_in_bf16(graph)
        return core.compile_model(graph, device, options)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{model.folder / name}: OpenVINO cannot compile it for {device}: {reason}") from error


def _between_in_bf16(graph: ov.Model) -> ov.Model:
    """Features leave the encoder, and come to the head, as both compute them: half the memory, no conversions."""
    edges = PrePostProcessor(graph)
    for port in graph.inputs:
        if port.element_type == ov.Type.f32:
            edges.input(port.any_name).tensor().set_element_type(ov.Type.bf16)
    for port in graph.outputs:
        if port.any_name != LOGITS:
            edges.output(port.any_name).tensor().set_element_type(ov.Type.bf16)
    return edges.build()
