"""The protocol of a runtime, which encodes new segments, classifies the last T and closes; and its memory errors.

Implementations: openvino.py, cuda.py and, of several of them, ensemble.py. open_runtime.py opens the right one.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import DeviceError, ModelError

CUDA = "CUDA"  # the device of the PyTorch programs in a model folder; all other devices are OpenVINO's

# Neither OpenVINO nor oneDNN has an exception type for a lack of memory, and PyTorch's cannot be imported here.
OUT_OF_MEMORY = re.compile(
    r"out.of.(\w+.)?memory|\balloc(ate|ation)?\b|_alloc\b|max size of memory|temporarily unavailable"
    r"|could not create a (primitive|memory)",  # oneDNN's
    re.I,
)


class UnavailableDeviceError(ModelError):
    """The device does not exist on this host, or the model has no graphs for it."""


class Ring(Protocol):
    """The features of one camera's last T segments."""

    @property
    def full(self) -> bool:
        """True when it holds T segments of one run of the stream."""

    def clear(self) -> None:
        """Forget all segments: no clip spans a gap."""

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """Return the features of the newest segment, name -> float32 [H, W, C]; for an ensemble those of all networks.

        Only for comparisons, since it waits for the device.
        """


class Runtime(Protocol):
    """A compiled network on one device, used by one thread.

    Its results equal the whole network's for the same T segments, whatever else is in the batch.
    """

    device: str
    precision: str
    batch: int  # number of segments or clips that one call computes efficiently; the scheduler passes no more

    def ring(self) -> Ring:
        """Return an empty ring for one camera."""

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        """Encode each segment into the next slot of its ring; a ring may occur several times, in order.

        Segments are uint8 [5, H, W, 3], RGB; for an ensemble [InputSpec.frames, H, W, 3].
        """

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        """Return the logits of the clips in N full rings, float32 [N, classes], as an array that the caller owns."""

    def close(self) -> None: ...


def build_name(precision: str, device: str) -> str:
    """Return the name in the manifest of the build that runs on a device in a precision."""
    return f"cuda-{precision}" if device == CUDA else precision


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of a library means that memory ran out."""
    return isinstance(error, MemoryError) or bool(OUT_OF_MEMORY.search(str(error)))


def out_of_memory(device: str, doing: str) -> DeviceError:
    """Return the error for a lack of memory; `doing`: the interrupted work, as in `compiling head.xml`."""
    return DeviceError(
        f"device {device} ran out of memory, {doing}; take a smaller model, another precision or device, or run less "
        "on it: fewer cameras, fewer programs"
    )


@contextmanager
def enough_memory(device: str, doing: str) -> Iterator[None]:
    """Raise a DeviceError if memory runs out within the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(device, doing) from error
        raise
