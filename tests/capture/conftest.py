"""Fixtures that start sources, and stop them after the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.running_source import RunningSource


@pytest.fixture
def run() -> Iterator[Callable[..., RunningSource]]:
    """run(source, decoder, **options) -> RunningSource; stopped after the test."""
    started: list[RunningSource] = []

    def start(source: str | Path, decoder: str = "gstreamer", **options: object) -> RunningSource:
        started.append(RunningSource(source, decoder, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for running in started:
        running.close()
