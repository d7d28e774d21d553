"""Decoded videos -> batches of clips. A clip depends on seed, epoch and video, and on nothing else."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edge_tdn.manifest import InputSpec
from edge_tdn_training.data.augment import ClipCrop, centre_crop, random_crop, resize_crop
from edge_tdn_training.data.dataset import DataSet
from edge_tdn_training.data.frames import Frames
from edge_tdn_training.data.sampling import centre_segments, random_segments

ClipKey = tuple[int, int]  # epoch, number of the video
PREFETCHED_BATCHES = 2  # by each worker


@dataclass(frozen=True)
class ProcessShare:
    """The clips that one process computes: it is number `rank` of `world`, and computes `micro_batch` at a time."""

    rank: int
    world: int
    micro_batch: int


class TrainClips(Dataset[tuple[Tensor, int]]):
    """Clips to train on: TSN's random segments, random crops, and mirrored clips with the label of the mirror image.

    `window`: frames of a longer video that a clip is taken from, at a random place; 0: the whole video, as published.
    `spliced`: share of the clips that begin in another video, as a camera's clip does that spans the end of one action
    and the beginning of the next; such a clip has the label that fills at least half of it.
    """

    def __init__(
        self,
        data: DataSet,
        frames: Sequence[Frames],
        spec: InputSpec,
        seed: int,
        flip: bool = True,
        window: int = 0,
        spliced: float = 0.0,
    ) -> None:
        """`frames`: of the videos of `data`, in the same order. `flip`: mirror half of the clips."""
        self._data, self._frames, self._spec, self._seed = data, frames, spec, seed
        self._flip, self._window, self._spliced = flip, window, spliced

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, key: ClipKey) -> tuple[Tensor, int]:
        """Return uint8 RGB [T, 5, H, W, 3] and the index of the label."""
        epoch, index = key
        rng = np.random.default_rng((self._seed, epoch, index))
        frames = self._frames[index]
        n = min(len(frames), self._window or len(frames))
        first = int(rng.integers(len(frames) - n + 1))
        crop = random_crop(*frames.shape[1:3], self._spec, rng, self._flip)
        moments = random_segments(n, self._spec.segments, rng)
        clip, label = self._clip(index, first + moments, crop)
        if self._spliced and rng.random() < self._spliced:
            other = int(rng.integers(len(self)))
            other_frames = self._frames[other]
            cut = int(rng.integers(1, moments.max() + 1))  # the clip's own video from here on, the other one before
            first = int(rng.integers(max(1, len(other_frames) - cut + 1)))
            if other_frames.shape[1:3] != frames.shape[1:3]:  # else the same crop: a camera stays where it is
                crop = random_crop(*other_frames.shape[1:3], self._spec, rng, self._flip)
            before, label_before = self._clip(other, np.minimum(first + moments, len(other_frames) - 1), crop)
            own = moments >= cut
            clip = np.where(own[..., None, None, None], clip, before)
            label = label if 2 * own.sum() >= own.size else label_before
        return torch.from_numpy(clip), label

    def _clip(self, index: int, indices: NDArray[np.int64], crop: ClipCrop) -> tuple[NDArray[np.uint8], int]:
        """Return frames int64 [T, 5] of a video as uint8 [T, 5, H, W, 3], and the label of what they show."""
        frames, label = self._frames[index], self._data.videos[index].label
        clip = resize_crop(frames.take(indices, crop.rows, crop.columns), self._spec, crop.mirrored)
        return clip, self._data.swaps[label] if crop.mirrored else label


class EvalClips(Dataset[tuple[Tensor, int]]):
    """One clip of each video to evaluate on: a segment in the middle of each of T equal parts, centre crop."""

    def __init__(self, data: DataSet, frames: Sequence[Frames], spec: InputSpec) -> None:
        """`frames`: of the videos of `data`, in the same order."""
        self._data, self._frames, self._spec = data, frames, spec

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return uint8 RGB [T, 5, H, W, 3] and the index of the label."""
        frames = self._frames[index]
        clip = centre_crop(frames.take(centre_segments(len(frames), self._spec.segments)), self._spec)
        return torch.from_numpy(clip), self._data.videos[index].label


class BatchOrder(Sampler[list[ClipKey]]):
    """The micro-batches of one process in an epoch. All processes together take every video once, in a seeded order.

    A step trains on `batch` clips: the same ones for any number of processes and any micro-batch. Videos that do not
    fill a last step are left out, as published.
    """

    def __init__(self, videos: int, batch: int, share: ProcessShare, seed: int) -> None:
        self._videos, self._batch, self._share, self._seed = videos, batch, share, seed
        self.epoch = 0  # set before every epoch

    def __len__(self) -> int:
        return self._videos // self._batch * (self._batch // (self._share.world * self._share.micro_batch))

    def __iter__(self) -> Iterator[list[ClipKey]]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._videos).tolist()
        together = self._share.world * self._share.micro_batch
        for start in range(0, self._videos // self._batch * self._batch, together):
            first = start + self._share.rank * self._share.micro_batch
            yield [(self.epoch, index) for index in order[first : first + self._share.micro_batch]]


def train_loader(
    dataset: Dataset[tuple[Tensor, Any]], order: BatchOrder, workers: int, pinned: bool
) -> DataLoader[tuple[Tensor, Any]]:
    """Return a loader of micro-batches in the sampler's order. `workers`: processes that make clips; 0: this one."""
    return DataLoader(
        dataset,
        batch_sampler=order,
        generator=torch.Generator(),  # every iterator draws from it, from that of the process otherwise
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pinned,
        prefetch_factor=PREFETCHED_BATCHES if workers else None,
        worker_init_fn=_start_worker,
    )


def eval_loader(
    dataset: Dataset[tuple[Tensor, Any]], share: ProcessShare, workers: int
) -> DataLoader[tuple[Tensor, Any]]:
    """Return a loader of a process's share of the evaluation clips: every `world`-th."""
    own = torch.utils.data.Subset(dataset, range(share.rank, len(dataset), share.world))  # type: ignore[arg-type]
    return DataLoader(
        own, share.micro_batch, generator=torch.Generator(), num_workers=workers, worker_init_fn=_start_worker
    )


def _start_worker(_: int) -> None:
    """Leave signals to the main process, and use one thread: there is a process for each core already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cv2.setNumThreads(0)
