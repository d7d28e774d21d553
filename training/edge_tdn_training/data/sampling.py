"""The published sampling of frames: which frames of a video a clip consists of, as indices. Pure functions.

A clip is T segments; a segment is five consecutive frames. Where a video ends inside a segment, its last frame repeats.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import FRAMES_PER_SEGMENT

DENSE_SPAN = 64  # frames that a clip of the Kinetics protocol spans

Indices = NDArray[np.int64]


def random_segments(n: int, segments: int, rng: np.random.Generator) -> Indices:
    """Return training segments: a random one in each of T equal parts of a video of `n` frames. int64 [T, 5].

    This is TSN's sampling. A video too short for T parts gives random places in order; one of T frames or fewer gives
    its beginning T times.
    """
    places = n - FRAMES_PER_SEGMENT + 1
    part = places // segments
    if part > 0:
        starts = np.arange(segments) * part + rng.integers(part, size=segments)
    elif n > segments:
        starts = np.sort(rng.integers(max(places, 1), size=segments))
    else:
        starts = np.zeros(segments, np.int64)
    return _segments(starts, n)


def centre_segments(n: int, segments: int) -> Indices:
    """Return evaluation segments: the middle one of each of T equal parts of a video of `n` frames. int64 [T, 5]."""
    if n <= segments + FRAMES_PER_SEGMENT - 1:
        return _segments(np.zeros(segments), n)
    tick = (n - FRAMES_PER_SEGMENT + 1) / segments
    return _segments(tick / 2 + tick * np.arange(segments), n)


def dense_clips(n: int, segments: int, clips: int) -> Indices:
    """Return the clips of the Kinetics protocol: 64 frames each, spread evenly over the video. int64 [clips, T, 5].

    A video shorter than a clip is repeated.
    """
    last = max(0, n - FRAMES_PER_SEGMENT - DENSE_SPAN)
    starts = np.linspace(0, last, clips).astype(np.int64)
    stride = DENSE_SPAN // segments
    return _segments((starts[:, None] + stride * np.arange(segments)) % n, n)


def _segments(starts: NDArray[Any], n: int) -> Indices:
    """Return the frames of segments by their first frames: [...] -> int64 [..., 5]."""
    frames: Indices = starts.astype(np.int64)[..., None] + np.arange(FRAMES_PER_SEGMENT)
    return np.minimum(frames, n - 1)
