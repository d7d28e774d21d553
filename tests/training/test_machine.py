"""The priority of a training, which is never above that of a daemon beside it."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.training
PROGRAM = """
import os, torch
from pathlib import Path
torch.set_num_threads(6)
{before}
from edge_tdn_training.machine import lower_priority
lower_priority()
print(os.nice(0), Path("/proc/self/oom_score_adj").read_text().strip(), torch.get_num_threads())
"""
REFUSED = """
nice = os.nice
def refuse(by):
    if by:
        raise PermissionError(1, "Operation not permitted")
    return nice(by)
os.nice = refuse
"""


def lowered(before: str = "") -> list[int]:
    """Return the nice value, oom_score_adj and number of threads of a process that has lowered its priority."""
    program = [sys.executable, "-c", PROGRAM.format(before=before)]
    return [*map(int, subprocess.run(program, capture_output=True, text=True, check=True).stdout.split())]


def test_a_training_comes_last_and_is_the_first_to_be_killed() -> None:
    assert lowered() == [19, 1000, 6]


def test_where_the_priority_is_refused_it_takes_half_of_the_cores() -> None:
    """As the daemon's service does, whose system calls are filtered."""
    assert lowered(REFUSED) == [os.nice(0), 1000, 3]
