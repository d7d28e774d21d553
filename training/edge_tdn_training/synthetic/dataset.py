"""Generated clips as training data: what data/decoded.py is for videos. A clip depends on its number only."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Picture
from edge_tdn_training.data.loader import ClipKey
from edge_tdn_training.synthetic.clips import generate_clip, views
from edge_tdn_training.training_config import TrainingConfig

GENERATOR = 1  # increased when a number gives another clip: a run is never resumed with other clips


@dataclass(frozen=True)
class GeneratedClips:
    """Endless clips: numbers from `first` on, `count` new ones every epoch. `photos`: as for `generate_clip`."""

    first: int
    count: int
    photos: Sequence[Picture] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return MOTIONS

    def __len__(self) -> int:
        return self.count

    def summary(self) -> dict[str, object]:
        """Return what identifies the clips in run.json. The same photos give the same hash, wherever they are from."""
        sha256 = hashlib.sha256()
        for photo in self.photos:
            sha256.update(photo.tobytes())
        return {
            "generator": GENERATOR,
            "first": self.first,
            "drawings": self.count,
            "photos": len(self.photos),
            "sha256": sha256.hexdigest(),
        }

    def train_clips(self, config: TrainingConfig, spec: InputSpec) -> "_GeneratedTrainClips":
        """Return the clips to train on, `config.views` views of each."""
        return _GeneratedTrainClips(self, spec, config.views)

    def eval_clips(self, spec: InputSpec) -> "_GeneratedEvalClips":
        """Return the clips to evaluate on: the same ones after every epoch."""
        return _GeneratedEvalClips(self, spec)


class _GeneratedTrainClips(Dataset[tuple[Tensor, Tensor]]):
    """Clips by epoch and number: uint8 [V, T, 5, H, W, 3] and labels int64 [V], of V views."""

    def __init__(self, generated: GeneratedClips, spec: InputSpec, count: int) -> None:
        self._generated, self._spec, self._views = generated, spec, count

    def __getitem__(self, key: ClipKey) -> tuple[Tensor, Tensor]:
        epoch, index = key
        own = self._generated
        clips = views(generate_clip(own.first + epoch * own.count + index, self._spec, own.photos), self._views)
        return torch.from_numpy(np.stack([clip.frames for clip in clips])), torch.tensor([clip.label for clip in clips])


class _GeneratedEvalClips(Dataset[tuple[Tensor, int]]):
    """Clips by number: uint8 [T, 5, H, W, 3] and the index of the label."""

    def __init__(self, generated: GeneratedClips, spec: InputSpec) -> None:
        self._generated, self._spec = generated, spec

    def __len__(self) -> int:
        return len(self._generated)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        clip = generate_clip(self._generated.first + index, self._spec, self._generated.photos)
        return torch.from_numpy(clip.frames), clip.label
