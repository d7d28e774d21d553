"""The thread of a reload: one at a time, and the status of the configuration; without a daemon."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_tdn.errors import ConfigError
from edge_tdn.process import systemd_notify
from edge_tdn.service import reloader as reloader_module
from edge_tdn.service.config_changes import Changes
from edge_tdn.service.reloader import Reloader
from edge_tdn.service.timing import DaemonTiming
from tests.support.waiting import eventually

NOTHING = Changes(added=(), restarted=(), rezoned=(), removed=(), keys=(), later=())


class Reloaded:
    """A reloader whose plans are what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.applied: list[object] = []
        self.prepared = 0
        self.notified: list[str] = []
        self.discarded = 0
        self.prepare: Callable[[], Any] = lambda: SimpleNamespace(changes=NOTHING, note="", discard=self._discard)
        self.stop = threading.Event()
        monkeypatch.setattr(reloader_module, "prepare", self._prepare)
        monkeypatch.setattr(reloader_module, "apply", lambda plan, running: self.applied.append(plan))
        monkeypatch.setattr(systemd_notify, "reloading", lambda: self.notified.append("reloading"))
        monkeypatch.setattr(systemd_notify, "ready", lambda: self.notified.append("ready"))
        running: Any = SimpleNamespace(timing=DaemonTiming())
        self.reloader = Reloader(Path("site.toml"), running, self.stop, lambda: None)

    def _prepare(self, path: Path, running: object) -> Any:
        self.prepared += 1
        return self.prepare()

    def _discard(self) -> None:
        self.discarded += 1

    def run(self) -> None:
        """Request a reload, and poll until it is over."""
        self.reloader.request()
        self.reloader.poll()
        eventually(lambda: not self.reloader.under_way)
        self.reloader.poll()


@pytest.fixture
def reloaded(monkeypatch: pytest.MonkeyPatch) -> Reloaded:
    return Reloaded(monkeypatch)


def test_nothing_is_read_before_a_request(reloaded: Reloaded) -> None:
    reloaded.reloader.poll()
    assert (reloaded.prepared, reloaded.reloader.status.state) == (0, "in_force")


def test_a_plan_is_applied_and_systemd_is_notified_from_the_main_loop(reloaded: Reloaded) -> None:
    reloaded.run()
    assert len(reloaded.applied) == 1
    assert (reloaded.reloader.status.state, reloaded.reloader.status.reason) == ("in_force", "")
    assert reloaded.notified == ["reloading", "ready"]
    assert not reloaded.reloader.changing.locked()


def test_requests_during_a_reload_are_one_more_reload(reloaded: Reloaded) -> None:
    proceed = threading.Event()

    def slow() -> Any:
        assert proceed.wait(60)
        return SimpleNamespace(changes=NOTHING, note="")

    reloaded.prepare = slow
    reloaded.reloader.request()
    reloaded.reloader.poll()
    assert reloaded.reloader.under_way
    eventually(lambda: reloaded.reloader.status.state == "checking")
    for _ in range(3):
        reloaded.reloader.request()
        reloaded.reloader.poll()
    proceed.set()
    for _ in range(2):
        eventually(lambda: not reloaded.reloader.under_way)
        reloaded.reloader.poll()
    eventually(lambda: not reloaded.reloader.under_way)
    assert reloaded.prepared == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConfigError("site.toml:2: rtsp://u:secret@x/y"), "site.toml:2: rtsp://u:***@x/y"),
        (RuntimeError("no more of it"), "RuntimeError: no more of it; the log says where"),
    ],
)
def test_what_is_wrong_is_refused_and_the_reason_has_no_password(
    error: Exception, reason: str, reloaded: Reloaded
) -> None:
    def wrong() -> Any:
        raise error

    reloaded.prepare = wrong
    reloaded.run()
    assert reloaded.applied == []
    assert (reloaded.reloader.status.state, reloaded.reloader.status.reason) == ("refused", reason)


def test_what_a_refused_reload_was_for_is_undone_before_its_status_says_so(reloaded: Reloaded) -> None:
    """In the reverse order; what fails there does not hinder the others. A reload in force undoes nothing."""
    undone: list[object] = []

    def undo(name: str) -> Callable[[], None]:
        return lambda: undone.append((name, reloaded.reloader.status.state))

    def fail() -> None:
        raise OSError("disk")

    def wrong() -> Any:
        raise ConfigError("wrong")

    reloaded.reloader.request(undo("in force"))
    reloaded.run()
    reloaded.prepare = wrong
    for step in (undo("one"), fail, undo("two")):
        reloaded.reloader.request(step)
    reloaded.run()
    assert undone == [("two", "checking"), ("one", "checking")]
    assert reloaded.reloader.status.state == "refused"
    reloaded.run()
    assert len(undone) == 2


def test_a_daemon_that_stops_meanwhile_is_not_changed(reloaded: Reloaded) -> None:
    reloaded.stop.set()
    reloaded.run()
    assert (reloaded.applied, reloaded.discarded, reloaded.reloader.status.state) == ([], 1, "checking")


def test_a_runtime_thread_that_has_ended_does_not_refuse_the_file(
    reloaded: Reloaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise CancelledError

    monkeypatch.setattr(reloader_module, "apply", stopped)
    reloaded.run()
    assert reloaded.reloader.status.state == "checking"


def test_what_only_a_restart_changes_is_the_reason(reloaded: Reloaded, caplog: pytest.LogCaptureFixture) -> None:
    reloaded.prepare = lambda: SimpleNamespace(changes=NOTHING, note="a restart is needed for host")
    reloaded.run()
    assert reloaded.reloader.status.reason == "a restart is needed for host"
    assert "in force: no change; a restart is needed for host" in caplog.text


def test_without_a_file_nothing_can_be_read_again() -> None:
    running: Any = SimpleNamespace(timing=DaemonTiming())
    reloader = Reloader(None, running, threading.Event(), lambda: None)
    reloader.request()
    reloader.poll()
    assert not reloader.under_way
