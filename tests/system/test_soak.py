"""The short form of `make soak`: ten minutes of viewers, and of clients that come, break off, and send nonsense."""

from pathlib import Path

import pytest

from tests.soak.soak import SHED, soak

pytestmark = pytest.mark.slow
SECONDS = 600.0


def test_ten_minutes_of_clients_leave_nothing_behind(tmp_path: Path) -> None:
    """A busy machine sheds clips in any case; all else must hold there, too."""
    rows = soak(tmp_path, SECONDS, lambda what: None, clips=False)
    assert not [row for row in rows if not row.ok and row.what != SHED]
