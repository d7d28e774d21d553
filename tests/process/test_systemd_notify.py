"""Notifications to systemd."""

import os
import time
from pathlib import Path

import pytest

from edge_tdn.process import systemd_notify
from tests.support.systemd import NotifySocket


def test_systemd_receives_every_notification(systemd: NotifySocket) -> None:
    systemd_notify.extend(600, "compiling")
    systemd_notify.ready()
    before_us = time.monotonic_ns() // 1000
    systemd_notify.reloading()
    after_us = time.monotonic_ns() // 1000
    systemd_notify.status("2 of 3 cameras streaming")
    systemd_notify.feed_watchdog()
    systemd_notify.trigger_watchdog()
    systemd_notify.stopping()
    messages = systemd.messages()
    reloading_us = int(messages[2].partition("MONOTONIC_USEC=")[2])
    assert before_us <= reloading_us <= after_us
    assert messages == [
        "EXTEND_TIMEOUT_USEC=600000000\nSTATUS=compiling",
        "READY=1",
        f"RELOADING=1\nMONOTONIC_USEC={reloading_us}",
        "STATUS=2 of 3 cameras streaming",
        "WATCHDOG=1",
        "WATCHDOG=trigger",
        "STOPPING=1",
    ]


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in ("", "nonsense", str(tmp_path / "missing")):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        systemd_notify.ready()


def test_watchdog_timeout_of_another_process_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    assert systemd_notify.watchdog_timeout_s() == 20
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert systemd_notify.watchdog_timeout_s() is None
