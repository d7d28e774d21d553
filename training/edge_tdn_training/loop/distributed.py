"""The processes of a training: one alone, or several that `torchrun` has started, on one machine or many."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from edge_tdn.errors import DeviceError
from edge_tdn_training.machine import DEFAULT_MICRO_BATCH

MAX_WAIT = timedelta(days=1)  # of one process for another: the first one of each machine decodes the videos


@dataclass(frozen=True)
class DistributedContext:
    """One process of a training.

    A step trains on the same clips for any number of processes. Batch norms that learn take their statistics of one
    micro-batch, which is a part of their own process's clips.
    """

    rank: int = 0
    world: int = 1  # number of processes
    local_rank: int = 0  # number of this process on its machine
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Return whether this process writes the run's folder and prints."""
        return self.rank == 0

    def micro_batch(self, batch: int, limit: int = DEFAULT_MICRO_BATCH) -> int:
        """Return the largest number of clips up to `limit` that divides this process's share of a step of `batch`."""
        share = max(1, batch // self.world)
        return max(n for n in range(1, limit + 1) if share % n == 0)

    @contextmanager
    def leader_first(self, is_leader: bool) -> Iterator[None]:
        """Run the block in the leading process first, and then in the others, which find its work done."""
        if self.world > 1 and not is_leader:
            dist.barrier()
        yield
        if self.world > 1 and is_leader:
            dist.barrier()

    def sum(self, *values: float) -> list[float]:
        """Return the sums of the values over all processes."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        totals: list[float] = tensor.tolist()
        return totals

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors, which have one type, by their means over all processes.

        They are always added in the same order. DistributedDataParallel changes it after its first step, so that a
        resumed run would round differently.
        """
        if self.world == 1:
            return
        together = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(together)
        parts = torch.split(together / self.world, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, tensors: Iterator[Tensor]) -> None:
        """Copy the first process's values into the tensors of all."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def check_device(device: str) -> None:
    """DeviceError: there is no such device. `device`: one of DEVICES."""
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"no GPU: PyTorch {torch.__version__} finds no CUDA device; omit --device")


@contextmanager
def distributed_context(device: str) -> Iterator[DistributedContext]:
    """Join the other processes that torchrun has started, if any. `device`: one of DEVICES.

    DeviceError: there is no such device.
    """
    check_device(device)
    cuda = device != "cpu" and torch.cuda.is_available()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(chosen)
        torch.backends.cudnn.benchmark = True  # the shapes of a training never change
    if not dist.is_torchelastic_launched():
        yield DistributedContext(device=chosen)
        return
    dist.init_process_group("nccl" if cuda else "gloo", timeout=MAX_WAIT, device_id=chosen if cuda else None)
    try:
        yield DistributedContext(dist.get_rank(), dist.get_world_size(), local_rank, chosen)
    finally:
        dist.destroy_process_group()
