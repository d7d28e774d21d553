"""Where a training runs: this process alone, or one of several that `torchrun` has started, on one machine or many."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from edge_tdn.errors import DeviceError

LONGEST_WAIT = timedelta(days=1)  # of one process for another: the first of each machine decodes the videos
AT_ONCE = 8  # clips that a process computes at a time, if nobody says how many
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Place:
    """One process of a training. However many there are, a step learns from the same clips; norms that learn know those
    of their own process alone, and of these the ones that it computes at a time.
    """

    rank: int = 0
    world: int = 1  # processes
    local_rank: int = 0  # number of this process on its machine
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """It writes the run's folder, and tells people."""
        return self.rank == 0

    def at_once(self, batch: int, most: int = AT_ONCE) -> int:
        """The most clips up to `most` that its share of a step of `batch` clips is a multiple of."""
        share = max(1, batch // self.world)
        return max(n for n in range(1, most + 1) if share % n == 0)

    @contextmanager
    def in_turn(self, leads: bool) -> Iterator[None]:
        """Whoever leads does this first; the others find it done."""
        if self.world > 1 and not leads:
            dist.barrier()
        yield
        if self.world > 1 and leads:
            dist.barrier()

    def total(self, *values: float) -> list[float]:
        """Sums over all processes."""
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        totals: list[float] = tensor.tolist()
        return totals

    def agree(self, tensors: Iterator[Tensor]) -> None:
        """All processes take the first one's values."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def workers() -> int:
    """Processes that make clips for each that learns, if nobody says how many: together half of the machine's cores."""
    return max(1, (os.cpu_count() or 1) // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))  # as torchrun says


@contextmanager
def join(device: str) -> Iterator[Place]:
    """This process's place among those that torchrun has started. `device`: one of DEVICES.

    DeviceError: no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"no GPU: PyTorch {torch.__version__} finds no CUDA device; leave --device out")
    cuda = device != "cpu" and torch.cuda.is_available()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(chosen)
        torch.backends.cudnn.benchmark = True  # a training's shapes never change
    if not dist.is_torchelastic_launched():
        yield Place(device=chosen)
        return
    dist.init_process_group("nccl" if cuda else "gloo", timeout=LONGEST_WAIT, device_id=chosen if cuda else None)
    try:
        yield Place(dist.get_rank(), dist.get_world_size(), local_rank, chosen)
    finally:
        dist.destroy_process_group()
