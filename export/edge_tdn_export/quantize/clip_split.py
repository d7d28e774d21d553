"""The clips to calibrate a quantised network with, and those to measure it on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec
from edge_tdn_export.clips import Recording


@dataclass(frozen=True)
class ClipSet:
    """Some clips of some recordings."""

    clips: tuple[tuple[Recording, int], ...]  # a recording, and its clip's last segment

    @property
    def videos(self) -> tuple[str, ...]:
        return tuple(sorted({recording.name for recording, _ in self.clips}))

    def evenly(self, most: int) -> "ClipSet":
        places = np.linspace(0, len(self.clips) - 1, min(most, len(self.clips)))
        return ClipSet(tuple(self.clips[round(float(place))] for place in places))


def divide(recordings: Sequence[Recording], spec: InputSpec, samples: int) -> tuple[ClipSet, ClipSet]:
    """Calibration and held-out half, `samples` clips together at most: of different videos; of one video, the first
    part of it and the last, without a common segment where it is long enough. ModelError: a single clip.
    """
    clips = [(recording, last) for recording in recordings for last in recording.lasts(spec)]
    if len(clips) < 2:
        raise ModelError(
            f"{recordings[0].path}: one clip cannot be divided into a calibration and a held-out half; add videos, or "
            f"one that is longer than {spec.ticks / spec.frame_rate:.1f} s"
        )
    by_video: dict[str, list[tuple[Recording, int]]] = {}
    for clip in clips:
        by_video.setdefault(clip[0].name, []).append(clip)
    halves: tuple[list[tuple[Recording, int]], ...] = ([], [])
    if len(by_video) > 1:
        for video in sorted(by_video.values(), key=len, reverse=True):
            min(halves, key=len).extend(video)
    else:
        between = min(spec.segments - 1, len(clips) - 2)  # clips that would have segments in common with both halves
        first = (len(clips) - between + 1) // 2
        halves = clips[:first], clips[first + between :]
    calibration, held_out = (ClipSet(tuple(half)).evenly(samples // 2) for half in halves)
    return calibration, held_out
