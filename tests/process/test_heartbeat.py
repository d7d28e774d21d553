"""The watchdog on a clock of its own: when it is fed, and when it is triggered."""

import pytest

from edge_tdn.process import heartbeat, systemd_notify
from edge_tdn.process.heartbeat import Watchdog, beat, beating


class WatchdogOnAClock:
    """A watchdog with a timeout of 20 s on a clock that the test sets; fed while all have beaten in the last 10 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now_s = 0.0
        self.fed: list[float] = []  # times; negative: triggered
        monkeypatch.setattr("time.monotonic", lambda: self._now_s)
        monkeypatch.setattr(systemd_notify, "feed_watchdog", lambda: self.fed.append(self._now_s))
        monkeypatch.setattr(systemd_notify, "trigger_watchdog", lambda: self.fed.append(-self._now_s))
        self._watchdog = Watchdog()

    def look(self, *times_s: float) -> None:
        for self._now_s in times_s:
            self._watchdog.look()
        self._watchdog.close()


@pytest.fixture
def watchdog(monkeypatch: pytest.MonkeyPatch) -> WatchdogOnAClock:
    return WatchdogOnAClock(monkeypatch)


def test_thread_may_ask_for_patience_and_one_that_has_ended_is_not_late(watchdog: WatchdogOnAClock) -> None:
    with beating():
        watchdog.look(9, 11, 19, 21)
        beat(patience_s=60)
        watchdog.look(30, 40, 50, 60, 70, 80, 90, 93, 101)
    watchdog.look(102)
    assert watchdog.fed == [9, -21, 30, 40, 50, 60, 70, 80, 90, 102]


def test_patience_ends_with_its_block(watchdog: WatchdogOnAClock) -> None:
    with beating():
        with heartbeat.patience(60):
            watchdog.look(9, 18, 27, 36, 45, 54, 63, 69)
        watchdog.look(78, 80, 89, 91)
    assert watchdog.fed == [9, 18, 27, 36, 45, 54, 63, 69, 78, -91]


def test_suspended_host_is_not_a_hang(watchdog: WatchdogOnAClock) -> None:
    with beating():
        watchdog.look(2, 3600, 3602, 3609)
    assert watchdog.fed == [2, 3600, 3602, 3609]


@pytest.mark.parametrize(("watchdog_usec", "interval_s"), [("", 1.0), ("20000000", 1.0), ("1000000", 0.1)])
def test_threads_beat_ten_times_within_the_timeout_of_systemd(
    monkeypatch: pytest.MonkeyPatch, watchdog_usec: str, interval_s: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", watchdog_usec)
    assert heartbeat.beat_interval_s() == interval_s
