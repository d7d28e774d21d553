"""The priority of a training, which is never above that of a daemon beside it."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.training
PROGRAM = """
import os
from pathlib import Path
{before}
from edge_tdn_training.machine import lower_priority
print(int(lower_priority()), os.nice(0), Path("/proc/self/oom_score_adj").read_text())
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
    """Return whether a process has lowered its priority, its nice value and its oom_score_adj."""
    program = [sys.executable, "-c", PROGRAM.format(before=before)]
    return [*map(int, subprocess.run(program, capture_output=True, text=True, check=True).stdout.split())]


def test_a_training_comes_last_and_is_the_first_to_be_killed() -> None:
    assert lowered() == [1, 19, 1000]


def test_where_the_priority_is_refused_the_caller_is_informed() -> None:
    """As the daemon's service does, whose system calls are filtered."""
    assert lowered(REFUSED) == [0, os.nice(0), 1000]
