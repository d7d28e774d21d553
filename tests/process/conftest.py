"""A socket in place of systemd's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.systemd import NotifySocket

WATCHDOG_S = 1.0


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    """$NOTIFY_SOCKET, with a watchdog of one second."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@edge-tdn-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHDOG_S * 1e6)))
    other_end = NotifySocket(name)
    yield other_end
    other_end.close()
