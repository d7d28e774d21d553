"""The two graphs on OpenVINO. The encoder writes into the ring, the head reads from it: both through shared tensors."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_tdn.errors import ModelError
from edge_tdn.manifest import Graphs, Model
from edge_tdn.runtime import Ring
from edge_tdn.runtime.ring import FeatureRing

# our precision -> OpenVINO's arithmetic; unset, it would pick BF16 by itself. INT8 is in the graph: this is the rest.
EXECUTION = {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "f32"}


class OpenVinoRuntime:
    # A head's T segments fill a processor: with 2 or 4 clips at a time, R50 gains 1 % at most; the small `motion` gains
    # 5 to 11 % with 4, none with 2 (`make bench-cameras BENCH="--batch 1 2 4"`). Less than 5 % on networks of that size
    # is not worth a second head in memory.
    batch = 1

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
        self._encoder, self._head = (
            _compile(core, model, name, device, options).create_infer_request()
            for name in (graphs.encoder, graphs.head)
        )
        self._tensors: WeakKeyDictionary[FeatureRing, _RingTensors] = WeakKeyDictionary()

    def ring(self) -> FeatureRing:
        ring = FeatureRing(self._features, self._segments)
        self._tensors[ring] = _RingTensors(ring)
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

    def __init__(self, ring: FeatureRing) -> None:
        t = ring.segments
        self.slots = [
            {name: ov.Tensor(array[i : i + 1], shared_memory=True) for name, array in ring.arrays.items()}
            for i in range(t)
        ]
        self.windows = [
            {name: ov.Tensor(array[i : i + t], shared_memory=True) for name, array in ring.arrays.items()}
            for i in range(t)
        ]


def read_graph(core: ov.Core, model: Model, name: str) -> ov.Model:
    """An IR of the folder, from the verified bytes, not from the files. RuntimeError: OpenVINO cannot read it."""
    weights = np.frombuffer(model.read(name.removesuffix(".xml") + ".bin"), np.uint8)
    return core.read_model(model=model.read(name), weights=ov.Tensor(weights))


def _compile(core: ov.Core, model: Model, name: str, device: str, options: dict[str, str]) -> ov.CompiledModel:
    try:
        graph = read_graph(core, model, name)
        if graph.is_dynamic():  # the encoder's batch; one segment at a time, which costs nothing once it is said
            graph.reshape({i: [1, *(n.get_length() for n in list(i.partial_shape)[1:])] for i in graph.inputs})
        return core.compile_model(graph, device, options)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{model.folder / name}: OpenVINO cannot compile it for {device}: {reason}") from error
