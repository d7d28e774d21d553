"""Drawings as something to learn from: what loader.py is for videos. A clip depends on its number alone."""

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
from edge_tdn_training.data.loader import Key
from edge_tdn_training.loop.trainer import Course
from edge_tdn_training.synthetic.clips import lesson, views

GENERATOR = 1  # one more whenever a number gives another drawing: a run does not go on with others than it began with


@dataclass(frozen=True)
class Generated:
    """Clips that never end: drawings from number `first` on, `count` new ones every epoch. `photos`: as of `lesson`."""

    first: int
    count: int
    photos: Sequence[Picture] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return MOTIONS

    def __len__(self) -> int:
        return self.count

    def summary(self) -> dict[str, object]:
        """The same photos give the same hash, wherever they came from."""
        hashed = hashlib.sha256()
        for photo in self.photos:
            hashed.update(photo.tobytes())
        return {
            "generator": GENERATOR, "first": self.first, "drawings": self.count,
            "photos": len(self.photos), "sha256": hashed.hexdigest(),
        }  # fmt: skip

    def lessons(self, course: Course, spec: InputSpec) -> "_Lessons":
        """To learn from, `course.views` clips of each drawing."""
        return _Lessons(self, spec, course.views)

    def exam(self, spec: InputSpec) -> "_Exam":
        """To judge by: the same ones after every epoch."""
        return _Exam(self, spec)


class _Lessons(Dataset[tuple[Tensor, Tensor]]):
    """uint8 [V, T, 5, H, W, 3], int64 [V]."""

    def __init__(self, generated: Generated, spec: InputSpec, count: int) -> None:
        self._generated, self._spec, self._views = generated, spec, count

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        epoch, index = key
        own = self._generated
        clips = views(lesson(own.first + epoch * own.count + index, self._spec, own.photos), self._views)
        return torch.from_numpy(np.stack([clip.frames for clip in clips])), torch.tensor([clip.label for clip in clips])


class _Exam(Dataset[tuple[Tensor, int]]):
    def __init__(self, generated: Generated, spec: InputSpec) -> None:
        self._generated, self._spec = generated, spec

    def __len__(self) -> int:
        return len(self._generated)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        clip = lesson(self._generated.first + index, self._spec, self._generated.photos)
        return torch.from_numpy(clip.frames), clip.label
