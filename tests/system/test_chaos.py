"""The short form of `make chaos`: ten faults, flipped bits, a broker that forgets; every event is counted."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.conservation import FAULTS, conservation, forgetful
from tests.chaos.flips import flips

pytestmark = pytest.mark.skipif(
    not (shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")),
    reason="mosquitto is not installed: make test-packages",
)


def test_no_event_is_lost_duplicated_or_out_of_order_under_faults(tmp_path: Path) -> None:
    """Two consecutive faults in each of five simultaneous rigs."""
    steps: list[str] = []
    (row,) = conservation(tmp_path, faults=10, events=1500, seed=3, step=steps.append, max_rigs=5)
    assert row.ok, row
    assert steps[-1] == "fault 10 of 10"
    assert sum(f"{name} " in row.note for name in FAULTS) >= 4


def test_a_flipped_bit_loses_no_more_events_than_are_counted(tmp_path: Path) -> None:
    (row,) = flips(tmp_path, count=200, seed=3, step=lambda what: None)
    assert row.ok, row


def test_events_that_a_broker_forgot_are_a_gap_and_are_replayed_on_request(tmp_path: Path) -> None:
    (row,) = forgetful(tmp_path, lambda what: None)
    assert row.ok, row
