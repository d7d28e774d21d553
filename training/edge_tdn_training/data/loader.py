"""Decoded videos -> batches of clips. What a clip is made of depends on seed, epoch and video, and on nothing else."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edge_tdn.manifest import InputSpec
from edge_tdn_training.data.augment import Crop, centre, fit, random_crop
from edge_tdn_training.data.sampling import centre_segments, random_segments

if TYPE_CHECKING:
    from edge_tdn_training.data.decoded import Decoded

Key = tuple[int, int]  # epoch, number of the video
Batch = tuple[Tensor, Tensor]  # uint8 [B, T, 5, H, W, 3], RGB; int64 [B], labels


@dataclass(frozen=True)
class Turn:
    """Which clips a process computes: number `rank` of `world` processes, `at_once` clips at a time."""

    rank: int
    world: int
    at_once: int


class Lessons(Dataset[tuple[Tensor, int]]):
    """Clips to learn from: TSN's random segments, random crops, mirrored ones with the mirror's label.

    `window`: of longer videos a random stretch of so many frames; 0: the whole video, as published. `spliced`: this
    share of the clips begins in another video, as a camera's clip does that spans the end of one action and the
    beginning of the next; such a clip is of the class that it shows for longer.
    """

    def __init__(
        self, decoded: "Decoded", spec: InputSpec, seed: int, flip: bool = True, window: int = 0, spliced: float = 0.0
    ) -> None:  # fmt: skip
        self._decoded, self._spec, self._seed = decoded, spec, seed
        self._flip, self._window, self._spliced = flip, window, spliced

    def __len__(self) -> int:
        return len(self._decoded.frames)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        epoch, index = key
        rng = np.random.default_rng((self._seed, epoch, index))
        frames = self._decoded.frames[index]
        n = min(len(frames), self._window or len(frames))
        first = int(rng.integers(len(frames) - n + 1))
        crop = random_crop(*frames.shape[1:3], self._spec, rng, self._flip)
        moments = random_segments(n, self._spec.segments, rng)
        clip, label = self._seen(index, first + moments, crop)
        if self._spliced and rng.random() < self._spliced:
            other = int(rng.integers(len(self)))
            shown = self._decoded.frames[other]
            cut = int(rng.integers(1, moments.max() + 1))  # the drawn video from here on, the other one before
            first = int(rng.integers(max(1, len(shown) - cut + 1)))
            if shown.shape[1:3] != frames.shape[1:3]:  # else the same: a camera does not move with the action
                crop = random_crop(*shown.shape[1:3], self._spec, rng, self._flip)
            before, label_before = self._seen(other, np.minimum(first + moments, len(shown) - 1), crop)
            fresh = moments >= cut
            clip = np.where(fresh[..., None, None, None], clip, before)
            label = label if 2 * fresh.sum() >= fresh.size else label_before
        return torch.from_numpy(clip), label

    def _seen(self, index: int, indices: NDArray[np.int64], crop: Crop) -> tuple[NDArray[np.uint8], int]:
        """Frames [T, 5] of a video -> uint8 [T, 5, H, W, 3], and the label of what is seen there."""
        frames, label = self._decoded.frames[index], self._decoded.data.videos[index].label
        clip = fit(frames.take(indices, crop.rows, crop.columns), self._spec, crop.mirrored)
        return clip, self._decoded.data.swaps[label] if crop.mirrored else label


class Exam(Dataset[tuple[Tensor, int]]):
    """One clip of each video to judge by: segments in the middle of their parts, centre crop."""

    def __init__(self, decoded: "Decoded", spec: InputSpec) -> None:
        self._decoded, self._spec = decoded, spec

    def __len__(self) -> int:
        return len(self._decoded.frames)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        frames = self._decoded.frames[index]
        clip = centre(frames.take(centre_segments(len(frames), self._spec.segments)), self._spec)
        return torch.from_numpy(clip), self._decoded.data.videos[index].label


class Order(Sampler[list[Key]]):
    """A process's batches of an epoch. All processes together take every video once, in an order that the seed fixes.

    A step learns from `batch` clips: the same ones, however many processes there are and however few they take at once.
    What is left over at the end of an epoch is left out, as published.
    """

    def __init__(self, videos: int, batch: int, turn: Turn, seed: int) -> None:
        self._videos, self._batch, self._turn, self._seed = videos, batch, turn, seed
        self.epoch = 0  # to be set before every epoch

    def __len__(self) -> int:
        return self._videos // self._batch * (self._batch // (self._turn.world * self._turn.at_once))

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._videos).tolist()
        together = self._turn.world * self._turn.at_once
        for start in range(0, self._videos // self._batch * self._batch, together):
            first = start + self._turn.rank * self._turn.at_once
            yield [(self.epoch, index) for index in order[first : first + self._turn.at_once]]


def lessons(
    dataset: Dataset[tuple[Tensor, Any]], order: Order, workers: int, pinned: bool
) -> DataLoader[tuple[Tensor, Any]]:  # fmt: skip
    """Batches in the sampler's order. `workers`: processes that cut clips; 0: this one."""
    return DataLoader(
        dataset, batch_sampler=order, num_workers=workers, persistent_workers=workers > 0, pin_memory=pinned,
        prefetch_factor=2 if workers else None, worker_init_fn=_worker,
    )  # fmt: skip


def exam(dataset: Dataset[tuple[Tensor, Any]], turn: Turn, workers: int) -> DataLoader[tuple[Tensor, Any]]:
    """A process's share of the videos to judge by, every `world`-th."""
    mine = torch.utils.data.Subset(dataset, range(turn.rank, len(dataset), turn.world))  # type: ignore[arg-type]
    return DataLoader(mine, turn.at_once, num_workers=workers, worker_init_fn=_worker)


def _worker(_: int) -> None:
    """Ctrl-C and a service's stop are the main process's to hear; and there is a process for each core already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)
