"""Dropout that depends on seed, epoch, step and clip, and on nothing else.

torch's own dropout draws from the generator of the whole process, from which DataLoader and others draw as well: what a
clip then loses depends on the number of workers, and on whether the run was interrupted before.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

STREAM = 1  # separates these random numbers from those of the clips, whose seeds are (seed, epoch, number)


@dataclass(frozen=True)
class StepPlace:
    """The place of a micro-batch in a training."""

    epoch: int
    step: int
    clip: int  # its first clip, of those of the step in all processes


class ClipDropout(nn.Dropout):
    """Dropout of the features [N*T, C] of N clips. `place` is set before every micro-batch."""

    def __init__(self, p: float, seed: int, segments: int) -> None:
        super().__init__(p)
        self._seed, self._segments = seed, segments
        self.place = StepPlace(0, 0, 0)

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or not 0 < self.p < 1:
            return super().forward(features)
        clips, channels = len(features) // self._segments, features.shape[1]
        kept = np.concatenate([self._kept(self.place.clip + n, channels) for n in range(clips)])
        return features * torch.from_numpy(kept / np.float32(1 - self.p)).to(features)

    def _kept(self, clip: int, channels: int) -> NDArray[np.float32]:
        """Return 1 for a feature that clip number `clip` of the step keeps, otherwise 0: float32 [T, C]."""
        seeds = np.random.SeedSequence(self._seed, spawn_key=(STREAM, self.place.epoch, self.place.step, clip))
        drawn = np.random.default_rng(seeds).random((self._segments, channels), np.float32)
        return (drawn >= self.p).astype(np.float32)
