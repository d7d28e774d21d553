"""The protocol of a runtime, which encodes a new segment, classifies the last T, and closes; and its memory errors."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import DeviceError

CUDA = "CUDA"  # the device that runs the PyTorch programs of a folder; all others are OpenVINO's


# OpenVINO and PyTorch have no exception for it that the host could import
OUT_OF_MEMORY = re.compile(
    r"out.of.(\w+.)?memory|\balloc(ate|ation)?\b|_alloc\b|max size of memory|temporarily unavailable"
    r"|could not create a (primitive|memory)",  # oneDNN's
    re.I,
)


class Ring(Protocol):
    """What a runtime remembers of one camera's last segments."""

    @property
    def full(self) -> bool:
        """T segments of one unbroken stretch are there."""

    def clear(self) -> None:
        """Forget everything: no clip spans a gap."""

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """What the last segment left, name -> [H, W, C], for whoever compares it; of an ensemble, all networks'."""


class Runtime(Protocol):
    """Used by one thread. Its results equal the whole network's on the same T segments, whatever is beside them."""

    device: str
    precision: str
    batch: int  # how many segments, and how many clips, go through together with profit; the scheduler brings no more

    def ring(self) -> Ring:
        """An empty ring for one camera."""

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        """Every segment into its ring's next slot; a ring may take several, in their order.

        Segments are [5, H, W, 3], RGB; of an ensemble [InputSpec.frames, H, W, 3].
        """

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        """The windows of full rings -> logits [N, classes], the caller's own copy."""

    def close(self) -> None: ...


def build_name(precision: str, device: str) -> str:
    """The manifest's name of what runs on a device in a precision."""
    return f"cuda-{precision}" if device == CUDA else precision


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device ran out of memory, by whatever name its library says it."""
    return isinstance(error, MemoryError) or bool(OUT_OF_MEMORY.search(str(error)))


def out_of_memory(device: str, doing: str) -> DeviceError:
    """The one sentence for it, wherever it happens."""
    return DeviceError(
        f"device {device} ran out of memory, {doing}; take a smaller model, another precision or device, or run less "
        "on it: fewer cameras, fewer programs"
    )


@contextmanager
def enough_memory(device: str, doing: str) -> Iterator[None]:
    """DeviceError where the device has too little for what is done within."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(device, doing) from error
        raise
