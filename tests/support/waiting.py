"""The one way in which tests wait: for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 240.0  # generous: a test must not fail because the machine is busy
PROGRAM_S = 900.0  # the same for a whole program, which may compile or learn
POLL_S = 0.01


def eventually(
    condition: Callable[[], T], timeout_s: float = PATIENCE_S, describe: Callable[[], object] | None = None
) -> T:
    """Return the first truthy value of `condition`. AssertionError after `timeout_s`, with what `describe` returns."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            detail = f": {describe()}" if describe else ""
            raise AssertionError(f"condition not met within {timeout_s:g} s{detail}")
        time.sleep(POLL_S)
    return value
