"""The self-test: run the golden clip of a model folder once and compare its logits with PyTorch's."""

import io

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import ModelError, last_line
from edge_tdn.inference.runtime import Runtime, is_out_of_memory, out_of_memory
from edge_tdn.manifest import GOLDEN, Model

# Largest allowed logit difference from PyTorch on the golden clip, relative to the largest logit. Where the exporter
# measured more (quantisation), a host may show twice that.
SELF_TEST_LIMIT = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 5e-2, "int8": 5e-2}


class InexactRuntime(ModelError):
    """Raised for a runtime that differs from PyTorch by `error` of the largest logit, more than the `allowed` one."""

    def __init__(self, message: str, error: float, allowed: float) -> None:
        super().__init__(message)
        self.error = error
        self.allowed = allowed


def golden_error(model: Model, runtime: Runtime) -> float:
    """Return the golden clip's largest logit difference from PyTorch, relative to the largest logit.

    ModelError: the golden clip does not fit the manifest.
    """
    with np.load(io.BytesIO(model.read(GOLDEN)), allow_pickle=False) as golden:
        clip, expected = golden["clip"], golden["logits"]
    spec = model.manifest.input
    shapes = (spec.segments, spec.frames, spec.height, spec.width, 3), (model.manifest.classes,)
    if (clip.shape, expected.shape) != shapes or clip.dtype != np.uint8 or not np.isfinite(expected).all():
        raise ModelError(
            f"{model.folder / GOLDEN}: {clip.dtype} clip {clip.shape} with logits {expected.shape}, but the manifest "
            f"says a uint8 clip {shapes[0]} with finite logits {shapes[1]}; export the model again"
        )
    error = np.max(np.abs(scores(runtime, clip) - expected)) / np.max(np.abs(expected))
    return float(error)


def scores(runtime: Runtime, clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logits [classes] of a single clip, uint8 [T, InputSpec.frames, H, W, 3], RGB."""
    ring = runtime.ring()
    for segment in clip:
        runtime.encode([segment], [ring])
    logits: NDArray[np.float32] = runtime.classify([ring])[0]
    return logits


def self_test(model: Model, runtime: Runtime, limit: float) -> None:
    """Close the runtime and raise InexactRuntime if the golden error exceeds `limit`.

    ModelError: the golden clip does not run. DeviceError: out of memory.
    """
    try:
        error = golden_error(model, runtime)
    except ModelError:
        runtime.close()
        raise
    except Exception as cause:  # numpy and the device raise anything for an invalid folder
        runtime.close()
        if is_out_of_memory(cause):
            raise out_of_memory(runtime.device, f"testing {model.folder}") from cause
        raise ModelError(f"{model.folder}: self-test failed: {last_line(cause)}; export the model again") from cause
    if not error <= limit:  # also true for NaN
        runtime.close()
        raise InexactRuntime(
            f"{model.folder}: self-test failed on {runtime.device} {runtime.precision}: the golden clip's logits "
            f"differ from PyTorch's by {error:.2g} of the largest logit, allowed {limit:.2g}; export the model again "
            "or choose another precision",
            error,
            limit,
        )
