"""The short form of `make soak`: ten minutes of viewers, and of clients that come, break off, and send nonsense."""

from pathlib import Path

import pytest

from tests.soak.soak import TIMED, soak

pytestmark = pytest.mark.slow
SECONDS = 600.0


def test_ten_minutes_of_clients_leave_nothing_behind(tmp_path: Path) -> None:
    """Every request is answered; how soon, and whether clips are shed, is for `make soak` to measure."""
    rows = soak(tmp_path, SECONDS, lambda what: None, clips=False)
    assert not [row for row in rows if not row.ok and row.what not in TIMED]
