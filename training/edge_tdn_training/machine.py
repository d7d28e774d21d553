"""The machine of a training: its devices, its worker processes, and the folder of decoded videos."""

import os
from pathlib import Path

DEFAULT_MICRO_BATCH = 8  # clips that a process computes at a time without --micro-batch
DEVICES = ("auto", "cpu", "cuda")


def default_workers() -> int:
    """Return the number of processes that make clips, for each that trains: together half of the machine's cores."""
    trainers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    return max(1, (os.cpu_count() or 1) // 2 // trainers)


def default_cache() -> Path:
    """Return the folder of decoded videos that is used without --cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-tdn" / "frames"
