"""The short form of `make chaos`: a dozen faults, flipped bits, a broker that forgets; every event counted."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.conservation import FAULTS, conservation, forgetful
from tests.chaos.flips import flips

pytestmark = pytest.mark.skipif(
    not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")),
    reason="mosquitto is not installed: make test-packages",
)


def test_no_event_is_lost_doubled_or_out_of_order_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two faults one after the other, five times at once."""
    monkeypatch.setattr("tests.chaos.conservation.RIGS", 5)
    said: list[str] = []
    (row,) = conservation(tmp_path, faults=10, events=1500, seed=3, step=said.append)
    assert row.ok, row
    assert said[-1] == "fault 10 of 10"
    assert sum(f"{name} " in row.note for name in FAULTS) >= 4


def test_any_flipped_bit_costs_no_more_than_is_counted(tmp_path: Path) -> None:
    (row,) = flips(tmp_path, count=200, seed=3, step=lambda what: None)
    assert row.ok, row


def test_what_a_broker_forgot_shows_as_a_gap_and_comes_back_on_request(tmp_path: Path) -> None:
    (row,) = forgetful(tmp_path, lambda what: None)
    assert row.ok, row
