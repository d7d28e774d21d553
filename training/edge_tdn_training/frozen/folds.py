"""The folds of a cross-validation: no recording is on both sides, and no frame."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_tdn_training.frozen.features import FeatureClip

FOLDS = 4


def assign_folds(clips: Sequence[FeatureClip], seed: int) -> NDArray[np.int64]:
    """Return the fold of each clip, int64 [clips].

    The clips of a recording are in one fold; those of a class that has no other recording are divided in time. A mirror
    image is in the fold of its original.
    """
    plain = [clip for clip in clips if not clip.mirrored]
    of_class: dict[int, dict[str, list[FeatureClip]]] = {}
    for clip in plain:
        of_class.setdefault(clip.label, {}).setdefault(clip.recording, []).append(clip)
    rng = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}  # of recordings
    found: dict[tuple[int, int], int] = {}  # of (video, first frame)
    for own in sorted(of_class.values(), key=len):
        if len(own) == 1:
            (alone,) = own.values()
            in_time = sorted(alone, key=lambda clip: (clip.video, clip.first))
            found |= {(clip.video, clip.first): n * FOLDS // len(in_time) for n, clip in enumerate(in_time)}
            continue
        filled = Counter(fold_of[name] for name in own if name in fold_of)
        names = list(own)
        for name in (names[n] for n in rng.permutation(len(names)) if names[n] not in fold_of):
            fold_of[name] = min(range(FOLDS), key=lambda fold: filled[fold])
            filled[fold_of[name]] += 1
        for name, taken in own.items():
            found |= {(clip.video, clip.first): fold_of[name] for clip in taken}
    return np.array([found[clip.video, clip.first] for clip in clips])


def overlapping(clips: Sequence[FeatureClip], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which clips have frames in common with a chosen one, bool [clips]."""
    video, first, end = (np.array([getattr(clip, name) for clip in clips]) for name in ("video", "first", "end"))
    shared = np.zeros(len(clips), bool)
    for number in np.flatnonzero(chosen):
        shared |= (video == video[number]) & (first < end[number]) & (end > first[number])
    return shared
