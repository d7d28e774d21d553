"""Run exported ONNX graphs on ONNX Runtime, so that they can be compared like any other precision."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edge_tdn.errors import ModelError
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.runtime import Ring
from edge_tdn.manifest import Graphs, Model


class OnnxRuntime:
    """An `edge_tdn.inference.runtime.Runtime` on the CPU, in full precision."""

    batch = 1

    def __init__(self, model: Model, graphs: Graphs, segments: int) -> None:
        self.device, self.precision = "CPU", "onnx"
        self._segments, self._features = segments, graphs.features
        self._encoder, self._head = (_session(model, name) for name in (graphs.encoder, graphs.head))

    def ring(self) -> FeatureRing:
        return FeatureRing(self._features, self._segments)

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        for frames, ring in zip(segments, rings, strict=True):
            assert isinstance(ring, FeatureRing)
            for name, feature in zip(ring.arrays, self._encoder.run(None, {"frames": frames[None]}), strict=True):
                ring.arrays[name][ring.slot] = feature[0]
            ring.written()

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        logits = []
        for ring in rings:
            assert isinstance(ring, FeatureRing)
            logits.append(self._head.run(None, {name: ring.window(name) for name in ring.arrays})[0][0])
        return np.stack(logits)

    def close(self) -> None:
        """Free the sessions."""
        del self._encoder, self._head


def _session(model: Model, name: str) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(model.read(name), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception class for every cause, and no common one
        raise ModelError(f"{model.folder / name}: ONNX Runtime cannot load it: {error}") from error
