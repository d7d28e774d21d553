"""Split clips into a calibration set and a held-out set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec
from edge_tdn_export.clips import Recording
from edge_tdn_export.video_files import content_sha256

DEFAULT_SAMPLES = 128  # clips, of both sets together


@dataclass(frozen=True)
class ClipSet:
    """Some clips of some recordings."""

    clips: tuple[tuple[Recording, int], ...]  # recording, number of the clip's last segment

    @property
    def videos(self) -> tuple[str, ...]:
        """Return the names of the videos, sorted."""
        return tuple(sorted({recording.name for recording, _ in self.clips}))

    def hashes(self) -> tuple[str, ...]:
        """Return the hashes of the videos' content, sorted. OSError: one cannot be read."""
        return tuple(sorted({content_sha256(path) for path in {recording.path for recording, _ in self.clips}}))

    def evenly(self, max_clips: int) -> "ClipSet":
        """Return at most `max_clips` of the clips, evenly spaced."""
        places = np.linspace(0, len(self.clips) - 1, min(max_clips, len(self.clips)))
        return ClipSet(tuple(self.clips[round(float(place))] for place in places))


def divide(recordings: Sequence[Recording], spec: InputSpec, samples: int) -> tuple[ClipSet, ClipSet]:
    """Return the calibration set and the held-out set, at most `samples` clips together.

    No video is in both. A single video is split into its beginning and its end, without common segments where it is
    long enough. ModelError: there is only one clip.
    """
    clips = [(recording, last) for recording in recordings for last in recording.lasts(spec)]
    if len(clips) < 2:
        raise ModelError(
            f"{recordings[0].path}: one clip cannot be split into a calibration and a held-out set; add videos, or "
            f"one of {spec.needed_s(clips=2):.1f} s"
        )
    by_video: dict[Path, list[tuple[Recording, int]]] = {}
    for clip in clips:
        by_video.setdefault(clip[0].path, []).append(clip)
    halves: tuple[list[tuple[Recording, int]], ...] = ([], [])
    if len(by_video) > 1:
        for video in sorted(by_video.values(), key=len, reverse=True):
            min(halves, key=len).extend(video)
    else:
        between = min(spec.segments - 1, len(clips) - 2)  # clips that share segments with both sets
        first = (len(clips) - between + 1) // 2
        halves = clips[:first], clips[first + between :]
    calibration, held_out = (ClipSet(tuple(half)).evenly(samples // 2) for half in halves)
    return calibration, held_out
