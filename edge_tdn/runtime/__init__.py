"""Where the network runs. A runtime encodes a new segment, classifies the last T, and closes."""

import io
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import ModelError
from edge_tdn.manifest import GOLDEN, Model
from edge_tdn.runtime.ring import FeatureRing

SELF_TEST_LIMIT = {"fp32": 1e-3}  # max abs logit difference from PyTorch, relative to the largest logit


class Runtime(Protocol):
    """Used by one thread. Its results equal the whole network's on the same T segments."""

    device: str
    precision: str

    def ring(self) -> FeatureRing:
        """An empty ring for one camera."""

    def encode(self, frames: NDArray[np.uint8], ring: FeatureRing) -> None:
        """frames [5, H, W, 3], RGB -> the ring's next slot."""

    def classify(self, ring: FeatureRing) -> NDArray[np.float32]:
        """The full ring's window -> logits [classes], the caller's own copy."""

    def close(self) -> None: ...


def open_runtime(model: Model, precision: str = "fp32", device: str = "CPU", threads: int = 0) -> Runtime:
    """Compiles a verified model, runs its golden clip and compares: a wrong model never serves.

    `threads`: 0 lets the device choose. ModelError: no such precision or device, or the golden clip gives other logits.
    """
    from edge_tdn.runtime.openvino import OpenVinoRuntime

    runtime = OpenVinoRuntime(model, precision, device, threads)
    _self_test(model, runtime)
    return runtime


def _self_test(model: Model, runtime: Runtime) -> None:
    try:
        error, limit = _golden_error(model, runtime)
    except ModelError:
        runtime.close()
        raise
    except Exception as cause:  # whatever a wrong folder makes numpy or the device say
        runtime.close()
        reason = str(cause).strip().splitlines()[-1:] or [type(cause).__name__]
        raise ModelError(f"{model.folder}: self-test failed: {reason[0]}; export the model again") from cause
    if not error <= limit:  # catches NaN too
        runtime.close()
        raise ModelError(
            f"{model.folder}: self-test failed on {runtime.device} {runtime.precision}: the golden clip's logits "
            f"are {error:.2g} off PyTorch's, allowed {limit:.2g}; export the model again or choose another precision"
        )


def _golden_error(model: Model, runtime: Runtime) -> tuple[float, float]:
    """Largest difference of the golden clip's logits from PyTorch's, and what is allowed."""
    with np.load(io.BytesIO(model.read(GOLDEN)), allow_pickle=False) as golden:
        clip, expected = golden["clip"], golden["logits"]
    spec = model.manifest.input
    wanted = (spec.segments, spec.frames_per_segment, spec.height, spec.width, 3), (model.manifest.classes,)
    if (clip.shape, expected.shape) != wanted or clip.dtype != np.uint8 or not np.isfinite(expected).all():
        raise ModelError(
            f"{model.folder / GOLDEN}: a clip {clip.shape} and logits {expected.shape}, but the manifest says "
            f"{wanted[0]} and {wanted[1]}; export the model again"
        )
    ring = runtime.ring()
    for frames in clip:
        runtime.encode(frames, ring)
    error = float(np.max(np.abs(runtime.classify(ring) - expected)))
    return error, SELF_TEST_LIMIT[runtime.precision] * float(np.max(np.abs(expected)))
