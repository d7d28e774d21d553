"""What this process uses, from files and calls that also work where /proc shows nothing but processes.

The collector of prometheus_client needs /proc/stat, which `ProcSubset=pid` of the systemd unit hides.
"""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/self")
START_TICKS, AFTER_NAME = 19, ")"  # field of /proc/self/stat, counted from the one behind the program's name


class Usage(NamedTuple):
    """A figure of this process, under Prometheus' usual name for it."""

    name: str
    help: str
    value: float
    counts: bool = False  # it only grows


def start_time_s() -> float:
    """Return when this process started, in seconds since 1970 UTC by the wall clock as it is now."""
    ticks = int((PROC / "stat").read_text().rpartition(AFTER_NAME)[2].split()[START_TICKS])
    running_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - running_s


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM; 0 if the system does not show it."""
    with suppress(OSError):
        return int((PROC / "statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def usage() -> Iterator[Usage]:
    """Yield what this process uses now; what the system does not show is left out."""
    yield Usage("process_cpu_seconds", "User and system CPU time spent, in seconds", time.process_time(), counts=True)
    with suppress(OSError):
        virtual = int((PROC / "statm").read_text().split()[0]) * resource.getpagesize()
        yield Usage("process_resident_memory_bytes", "Resident memory, in bytes", resident_bytes())
        yield Usage("process_virtual_memory_bytes", "Virtual memory, in bytes", virtual)
    with suppress(OSError):
        yield Usage("process_open_fds", "Open file descriptors", len(list((PROC / "fd").iterdir())))
    yield Usage(
        "process_max_fds", "Open file descriptors that are allowed", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    )
