"""A damaged, emptied or removed database: what is whole is delivered, and what is lost is counted."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_tdn.delivery.outbox import checkpoint, disk_reserve
from edge_tdn.delivery.outbox.database import DATABASE
from tests.support.outbox import (
    DAMAGES,
    PAYLOAD,
    TIMING,
    ManualClock,
    connection_of,
    fill,
    flip_bytes,
    forbid_writing,
    make_events,
    open_outbox,
    waiting_seqs,
    write_all_to_the_file,
    zero_the_header,
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_set_aside_and_lost_events_are_counted(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    before = open_outbox(tmp_path)
    before.put(make_events(1, 200))
    before.acknowledge(before.after(0, 50))
    before.close()
    damage(tmp_path / DATABASE)
    after = open_outbox(tmp_path)
    left = waiting_seqs(after)  # reads them all: a flipped bit shows here
    assert set(left) <= set(range(51, 201))
    assert len(left) + after.status().lost == 150
    assert (after.status().lost >= 1) == (damage is not forbid_writing)
    assert after.status().state == "ok"
    assert all(entry.payload == PAYLOAD % entry.seq for entry in after.after(0, 1000))
    assert after.last_seq("door") == 200, "numbers continue, so that subscribers notice the gap"
    after.put(make_events(201, 202))
    after.close()
    again = open_outbox(tmp_path)
    assert waiting_seqs(again) == [*left, 201, 202]
    assert again.status().lost == 150 - len(left), "counted once"
    again.close()


def test_damaged_file_that_cannot_be_set_aside_is_a_state_of_its_own(tmp_path: Path) -> None:
    """Events wait in memory with the reason in the status, until someone has moved what is in the way."""
    before = open_outbox(tmp_path)
    before.put(make_events(1, 10))
    before.close()
    zero_the_header(tmp_path / DATABASE)
    in_the_way = tmp_path / f"{DATABASE}.damaged"
    in_the_way.mkdir()
    clock = ManualClock()
    outbox = open_outbox(tmp_path, clock)
    outbox.put(make_events(11, 12))
    status = outbox.status()
    assert (status.state, status.waiting, status.lost) == ("damaged", 2, 0)
    assert "the damaged file cannot be renamed" in status.reason
    assert waiting_seqs(outbox) == [11, 12]
    in_the_way.rmdir()
    clock.now_s += TIMING.retry_s
    outbox.tick()
    status = outbox.status()
    assert (status.state, status.reason, status.waiting, status.lost) == ("ok", "", 2, 10)
    outbox.close()


def test_damaged_checkpoints_are_ignored(tmp_path: Path) -> None:
    before = open_outbox(tmp_path)
    before.put(make_events(1, 3))
    before.close()
    for name in checkpoint.COPIES:
        (tmp_path / name).write_bytes(b"q" + (tmp_path / name).read_bytes()[1:])  # a bit of the checksum is flipped
    after = open_outbox(tmp_path)
    assert (waiting_seqs(after), after.last_seq("door"), after.lost) == ([1, 2, 3], 3, 0)
    after.close()


def test_lost_write_ahead_log_is_noticed(tmp_path: Path) -> None:
    """SQLite opens such a file without an error. Events may be sent twice, and those that are gone are counted."""
    (tmp_path / "before").mkdir()
    before = open_outbox(tmp_path / "before")
    before.put(make_events(1, 100))
    connection_of(before).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before.acknowledge(before.after(0, 50))
    before.put(make_events(101, 150))
    shutil.copytree(tmp_path / "before", tmp_path / "after", ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    before.close()
    after = open_outbox(tmp_path / "after")
    assert (waiting_seqs(after), after.last_seq("door"), after.lost) == (list(range(1, 101)), 150, 50)
    after.close()


def test_damaged_camera_name_does_not_block_other_events(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    outbox.put(make_events(1, 200))
    write_all_to_the_file(connection_of(outbox))
    content = bytearray((tmp_path / DATABASE).read_bytes())
    content[content.index(b'door{"label"')] = 0xFF  # not UTF-8
    (tmp_path / DATABASE).write_bytes(content)
    assert len(waiting_seqs(outbox)) == 199
    assert (outbox.lost, outbox.status().state) == (1, "ok")
    outbox.close()


def test_damage_of_the_open_file_is_counted(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    outbox.put(make_events(1, 200))
    connection = connection_of(outbox)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    flip_bytes(tmp_path / DATABASE)
    connection.execute("PRAGMA cache_size = 0")
    outbox.after(0, 1000)
    outbox.put(make_events(201, 201))
    outbox.tick()
    left = waiting_seqs(outbox)
    assert left[-1] == 201
    assert len(left) + outbox.status().lost == 201
    assert outbox.status().lost > 0
    outbox.close()


@pytest.mark.parametrize("with_reserve", [True, False])
def test_damage_on_a_full_disk_is_counted(small_disk: Path, with_reserve: bool) -> None:
    outbox = open_outbox(small_disk)
    outbox.put(make_events(1, 200))
    write_all_to_the_file(connection_of(outbox))
    if not with_reserve:
        (small_disk / disk_reserve.NAME).unlink()
    fill(small_disk)
    flip_bytes(small_disk / DATABASE)
    left = waiting_seqs(outbox)
    assert len(left) + outbox.lost == 200
    assert outbox.lost > 0
    assert outbox.status().state == ("ok" if with_reserve else "full")
    outbox.put(make_events(201, 202))
    assert waiting_seqs(outbox) == [*left, 201, 202]
    outbox.close()


def test_removal_of_the_open_file_loses_nothing(tmp_path: Path) -> None:
    """The same happens where another disk is mounted over the folder."""
    clock = ManualClock()
    outbox = open_outbox(tmp_path, clock)
    outbox.put(make_events(1, 5))
    outbox.acknowledge(outbox.after(0, 2))
    for path in tmp_path.glob(f"{DATABASE}*"):
        path.unlink()
    clock.now_s += TIMING.retry_s
    outbox.tick()
    outbox.put(make_events(6, 7))
    assert (waiting_seqs(outbox), outbox.status().state, outbox.lost) == ([3, 4, 5, 6, 7], "ok", 0)
    outbox.close()
    again = open_outbox(tmp_path)
    assert waiting_seqs(again) == [3, 4, 5, 6, 7]
    again.close()
