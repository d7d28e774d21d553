"""A small disk for tests that fill it or make it read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.outbox import mounted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=8m", "none"))
        except subprocess.CalledProcessError:
            pytest.skip("no right to mount a small disk here")
        yield disk
