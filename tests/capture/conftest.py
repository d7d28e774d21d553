"""Fixtures that start sources, and stop them after the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.patient_limits import set_patient_limits
from tests.support.running_source import RunningSource


@pytest.fixture(autouse=True)
def _patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cameras take their time: no reason of a failure is that the host is busy."""
    set_patient_limits(monkeypatch)


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
