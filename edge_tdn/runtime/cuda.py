"""The two graphs as PyTorch programs on CUDA: the camera host's only file that imports torch, and only when asked.

The programs were written by `torch.export` and load without the `export` package. FP32 is exact (no TF32); FP16 and
BF16 run the same programs under autocast, sums and normalisation in FP32. PyTorch reads parts of a program as a pickle,
so that it is code: hashes tell that a folder is unchanged, not that whoever made it can be trusted.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import ModelError
from edge_tdn.manifest import Graphs, Model
from edge_tdn.runtime import CUDA, Ring
from edge_tdn.runtime.ring import FeatureRing

AUTOCAST = {"fp16": "float16", "bf16": "bfloat16"}


class CudaRuntime:
    """Features stay on the device; frames go up, logits come down. On `device` "cpu" it needs no CUDA."""

    batch = 1

    def __init__(self, model: Model, graphs: Graphs, segments: int, precision: str, device: str = CUDA) -> None:
        try:
            import torch
        except ImportError as error:
            raise ModelError("device CUDA needs PyTorch on this host: pip install torch") from error
        if device == CUDA and not torch.cuda.is_available():
            raise ModelError(f"device CUDA is not here: PyTorch {torch.__version__} finds none; see `nvidia-smi`")
        self.device, self.precision = device, precision
        self._torch, self._on = torch, torch.device(device.lower())
        self._segments, self._features = segments, graphs.features
        self._encoder, self._head = (self._load(model, name) for name in (graphs.encoder, graphs.head))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def ring(self) -> FeatureRing:
        zeros = lambda shape: self._torch.zeros(shape, device=self._on)  # noqa: E731
        return FeatureRing(self._features, self._segments, zeros)

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        for frames, ring in zip(segments, rings, strict=True):
            assert isinstance(ring, FeatureRing)
            pixels = self._torch.from_numpy(np.ascontiguousarray(frames))[None].to(self._on)
            for array, feature in zip(ring.arrays.values(), self._run(self._encoder, pixels), strict=True):
                array[ring.slot] = feature[0]
            ring.written()

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        logits = []
        for ring in rings:
            assert isinstance(ring, FeatureRing)
            logits.append(self._run(self._head, *(ring.window(name) for name in ring.arrays))[0][0].float().cpu())
        result: NDArray[np.float32] = self._torch.stack(logits).numpy()
        return result

    def close(self) -> None:
        """Frees the programs."""
        del self._encoder, self._head

    def _load(self, model: Model, name: str) -> Any:
        """From the verified bytes, not from the file."""
        try:
            program = self._torch.export.load(io.BytesIO(model.read(name)))
            return program.module().to(self._on)
        except Exception as error:  # torch names no exceptions of its own here
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ModelError(f"{model.folder / name}: PyTorch cannot load it: {reason}") from error

    def _run(self, program: Any, *inputs: Any) -> tuple[Any, ...]:
        torch = self._torch
        lower = AUTOCAST.get(self.precision)
        cast = torch.autocast(self._on.type, getattr(torch, lower or "float16"), enabled=lower is not None)
        with torch.inference_mode(), cast:
            outputs = program(*inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)
