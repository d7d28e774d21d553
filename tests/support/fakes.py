"""Hand-written stand-ins, where the real thing is not what a test is about."""

import threading
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.messages import Segment


class FakeRuntime:
    """Encodes a segment into its first pixel; the logits are those of the window. As slow as it is told."""

    device, precision = "fake", "fp32"

    def __init__(self, segments: int = 4, classify_s: float = 0.0, batch: int = 1) -> None:
        self._segments = segments
        self._classify_s = classify_s
        self.batch = batch
        self.encoded: list[int] = []  # segments that went through together
        self.classified: list[int] = []  # clips that did
        self.threads: set[str] = set()

    def ring(self) -> FeatureRing:
        return FeatureRing({"h": (1,)}, self._segments)

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        self.threads.add(threading.current_thread().name)
        self.encoded.append(len(segments))
        for frames, ring in zip(segments, rings, strict=True):
            ring.arrays["h"][ring.slot] = frames.flat[0]
            ring.written()

    def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
        self.classified.append(len(rings))
        time.sleep(self._classify_s)
        return np.stack([ring.window("h")[:, 0] for ring in rings])

    def close(self) -> None:
        pass


def segment(index: int, value: int | None = None, still: bool = False) -> Segment:
    """A segment that shows `value`, at its place on the grid."""
    now = time.monotonic_ns()
    return Segment(
        frames=np.full((5, 2, 2, 3), index if value is None else value, np.uint8),
        index=index,
        from_ns=index * 100,
        to_ns=index * 100 + 80,
        received_ns=now,
        ready_ns=now,
        wall_ns=index * 100 + 80,
        dropped=1,
        still=still,
    )
