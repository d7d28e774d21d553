"""The self-test: run the golden clip of a model folder once and compare its logits with PyTorch's."""

import io

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import ModelError, last_line
from edge_tdn.inference.runtime import Runtime, is_out_of_memory, out_of_memory
from edge_tdn.manifest import GOLDEN, Model

# Largest logit difference from PyTorch on the golden clip, relative to the largest logit. Where the exporter measured
# more (quantisation), a host is allowed twice that.
SELF_TEST_LIMIT = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 5e-2, "int8": 5e-2}


def golden_error(model: Model, runtime: Runtime) -> float:
    """Largest difference of the golden clip's logits from PyTorch's, relative to the largest. ModelError: no clip."""
    with np.load(io.BytesIO(model.read(GOLDEN)), allow_pickle=False) as golden:
        clip, expected = golden["clip"], golden["logits"]
    spec = model.manifest.input
    wanted = (spec.segments, spec.frames, spec.height, spec.width, 3), (model.manifest.classes,)
    if (clip.shape, expected.shape) != wanted or clip.dtype != np.uint8 or not np.isfinite(expected).all():
        raise ModelError(
            f"{model.folder / GOLDEN}: a clip {clip.shape} and logits {expected.shape}, but the manifest says "
            f"{wanted[0]} and {wanted[1]}; export the model again"
        )
    error = np.max(np.abs(scores(runtime, clip) - expected)) / np.max(np.abs(expected))
    return float(error)


def scores(runtime: Runtime, clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One clip by itself: [T, InputSpec.frames, H, W, 3] -> logits [classes]."""
    ring = runtime.ring()
    for segment in clip:
        runtime.encode([segment], [ring])
    logits: NDArray[np.float32] = runtime.classify([ring])[0]
    return logits


def self_test(model: Model, runtime: Runtime, limit: float) -> None:
    try:
        error = golden_error(model, runtime)
    except ModelError:
        runtime.close()
        raise
    except Exception as cause:  # whatever a wrong folder makes numpy or the device say
        runtime.close()
        if is_out_of_memory(cause):
            raise out_of_memory(runtime.device, f"testing {model.folder}") from cause
        raise ModelError(f"{model.folder}: self-test failed: {last_line(cause)}; export the model again") from cause
    if not error <= limit:  # catches NaN too
        runtime.close()
        raise ModelError(
            f"{model.folder}: self-test failed on {runtime.device} {runtime.precision}: the golden clip's logits are "
            f"{error:.2g} of the largest off PyTorch's, allowed {limit:.2g}; export the model again or choose another "
            "precision"
        )
