"""The machine of a training: its devices, its worker processes, its priority, and the folders of caches."""

import os
from contextlib import suppress
from pathlib import Path

DEFAULT_MICRO_BATCH = 8  # clips that a process computes at a time without --micro-batch
DEVICES = ("auto", "cpu", "cuda")
LOWEST = 19  # nice value
KILLED_FIRST = "1000"  # the highest oom_score_adj


def default_workers() -> int:
    """Return the number of processes that make clips, for each that trains: together half of the machine's cores."""
    trainers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    return max(1, (os.cpu_count() or 1) // 2 // trainers)


def wait_briefly() -> None:
    """Let threads of PyTorch wait for each other for microseconds only before they sleep; call it before the import.

    By default they wait for milliseconds, which another program could use. Beside busy programs, the shipped network
    trained on 0.3 and 0.6 clips a second with the default, on 1.5 and 0.9 with this.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def lower_priority() -> bool:
    """Give this process the lowest priority, for a daemon that runs beside it, and make it the first to be killed where
    memory runs out.

    The priority counts among the programs of the same terminal or service. A service has its own share of the processor
    anyway. Return False where it cannot be changed, as within the daemon's service.
    """
    with suppress(OSError):  # a container may have no /proc, or one that cannot be written
        Path("/proc/self/oom_score_adj").write_text(KILLED_FIRST)
    try:
        os.nice(LOWEST)
    except OSError:
        return False
    return True


def default_cache() -> Path:
    """Return the folder of decoded videos that is used without --cache."""
    return _caches() / "frames"


def imagenet_folder() -> Path:
    """Return the folder in which ImageNet weights are looked for."""
    return _caches() / "imagenet"


def _caches() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-tdn"
