"""The time of a hop: what a camera costs with every segment."""

import time
from statistics import median

import numpy as np

from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import InputSpec

HOPS = 15


def hop_s(runtime: Runtime, spec: InputSpec) -> float:
    """Return the median time of encoding one segment and classifying the clip, in seconds."""
    segment = np.zeros((spec.frames, spec.height, spec.width, 3), np.uint8)
    ring = runtime.ring()
    runtime.encode([segment] * spec.segments, [ring] * spec.segments)
    seconds = []
    for _ in range(HOPS):
        began = time.perf_counter()
        runtime.encode([segment], [ring])
        runtime.classify([ring])
        seconds.append(time.perf_counter() - began)
    return median(seconds)
