"""Waiting for many threads at once, and cameras that come while the daemon stops."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from edge_tdn.service.running import Running, finish_recorders, join_all


class SlowPart:
    """A part whose thread takes as long as it is given, or less."""

    def __init__(self, log: list[str], name: str, needs_s: float = 60.0) -> None:
        self._log, self._name, self._needs_s = log, name, needs_s
        self.timeout_s = 0.0

    def close(self) -> None:
        self._log.append(f"close {self._name}")

    def join(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._log.append(f"join {self._name}")
        time.sleep(min(timeout_s, self._needs_s))


def test_threads_share_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first may take all of it, and none is left for the second."""
    now_s = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    monkeypatch.setattr("time.monotonic", lambda: now_s)
    monkeypatch.setattr("time.sleep", sleep)
    hangs, other = SlowPart([], "a"), SlowPart([], "b")
    join_all([hangs, other], now_s + 0.1)
    assert hangs.timeout_s == pytest.approx(0.1)
    assert other.timeout_s == 0.0


def test_all_recorders_finish_at_the_same_time() -> None:
    log: list[str] = []
    recorders: list[Any] = [SlowPart(log, "a", 0.0), None, SlowPart(log, "b", 0.0)]
    finish_recorders(recorders, within_s=1.0)
    assert log == ["close a", "close b", "join a", "join b"]


def test_cameras_do_not_start_once_the_daemon_stops() -> None:
    started: list[str] = []
    stop = threading.Event()
    control = SimpleNamespace(serve=lambda cameras: None)
    shared: Any = SimpleNamespace(control=control, hub=None)
    config: Any = SimpleNamespace(camera=[])
    nothing: Any = None
    networks: Any = SimpleNamespace(all=())
    running = Running(shared, config, nothing, networks, nothing, stop)

    def camera(name: str) -> Any:
        return SimpleNamespace(name=name, start=lambda: (started.append(name), stop.set()))

    running.start([camera("a"), camera("b")])
    assert started == ["a"]
