"""EventDatabase: its events and counts, and what it raises when the disk or the file is bad."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_tdn.delivery.outbox.database import (
    ROW_BYTES,
    Damaged,
    DiskFull,
    DiskUnavailable,
    Entry,
    EventDatabase,
    StorageError,
)
from tests.support.outbox import (
    DAMAGES,
    PAYLOAD,
    empty,
    fill,
    flip_bytes,
    forbid_writing,
    remount,
    remove,
    write_all_to_the_file,
)


def entries(first: int, last: int, camera: str = "door") -> list[Entry]:
    """Return the events `first` to `last`; number and seq are the same, and so is the running time in seconds."""
    return [Entry(seq, camera, seq, PAYLOAD % seq, float(seq)) for seq in range(first, last + 1)]


@pytest.fixture(params=["file", "memory"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> EventDatabase:
    return EventDatabase(tmp_path / "outbox.db" if request.param == "file" else None)


def test_events_come_back_as_they_were_appended(database: EventDatabase) -> None:
    stored = entries(1, 5)
    assert database.append(stored, {"door": 5}) == 5
    assert database.after(0) == stored
    assert database.after(2, 2) == stored[2:4]
    assert database.after(0, without=["door"]) == []
    assert database.first("door", 1) == stored[:1]
    assert database.between("door", 2, 3, 9) == stored[1:3]
    assert database.between("yard", 1, 9, 9) == []
    assert (database.newest_number(), database.oldest_waiting(), database.last_seqs()) == (5, 1, {"door": 5})
    assert (database.waiting, database.acknowledged) == (5, 0)
    assert database.size_bytes == sum(len(entry.payload) + ROW_BYTES for entry in stored)


def test_acknowledged_events_do_not_wait_and_can_be_replayed(database: EventDatabase) -> None:
    stored = entries(1, 5)
    database.append(stored, {"door": 5})
    assert database.acknowledge(stored[:2]) == 2
    assert database.acknowledge(stored[:3]) == 1, "once each"
    assert database.after(0) == stored[3:]
    assert database.between("door", 1, 9, 9) == stored
    assert (database.waiting, database.acknowledged) == (2, 3)
    assert database.oldest_waiting() == 4
    assert database.oldest_waiting(without=[4]) == 5
    assert database.oldest_waiting(without=[4, 5]) is None
    assert (database.count_waiting(0), database.count_waiting(5)) == (2, 1)


def test_acknowledgement_of_another_event_with_the_same_number_is_ignored(database: EventDatabase) -> None:
    database.append(entries(1, 1), {"door": 1})
    assert database.acknowledge(entries(1, 1, "yard")) == 0
    assert (database.waiting, database.acknowledged) == (1, 0)


def test_pruning_deletes_the_oldest_and_no_others(database: EventDatabase) -> None:
    stored = entries(1, 10)
    database.append(stored, {"door": 10})
    database.acknowledge(stored[:5])
    assert database.prune_acknowledged(2) == 2
    assert database.between("door", 1, 99, 99) == stored[2:]
    assert database.prune_waiting(1) == 1
    assert database.prune_older(8.0) == 1
    assert database.after(0) == stored[7:]
    assert (database.waiting, database.acknowledged) == (3, 3)
    assert database.prune_acknowledged(99) == 3
    assert database.prune_waiting(99) == 3
    assert (database.waiting, database.acknowledged, database.size_bytes) == (0, 0, 0)
    assert (database.newest_number(), database.last_seqs()) == (0, {"door": 10}), "the last seq outlives its event"


def test_reopened_database_has_the_same_events_and_counts(tmp_path: Path) -> None:
    before = EventDatabase(tmp_path / "outbox.db")
    before.append(entries(1, 5), {"door": 5, "yard": 2})
    before.acknowledge(entries(1, 2))
    before.close()
    after = EventDatabase(tmp_path / "outbox.db")
    assert after.after(0) == entries(3, 5)
    assert (after.waiting, after.acknowledged, after.size_bytes) == (3, 2, before.size_bytes)
    assert after.last_seqs() == {"door": 5, "yard": 2}
    after.close()


def test_last_seq_never_decreases(database: EventDatabase) -> None:
    database.append([], {"door": 5})
    database.append([], {"door": 3})
    assert database.last_seqs() == {"door": 5}


def test_refused_write_changes_nothing(database: EventDatabase) -> None:
    stored = entries(1, 3)
    database.append(stored, {"door": 3})
    before = (database.waiting, database.acknowledged, database.size_bytes)
    database._connection.execute("PRAGMA query_only = ON")
    writes: list[Callable[[], int]] = [
        lambda: database.append(entries(4, 5), {"door": 5}),
        lambda: database.acknowledge(stored),
        lambda: database.prune_waiting(2),
        lambda: database.prune_older(9.0),
    ]
    for write in writes:
        with pytest.raises(DiskUnavailable, match="readonly"):
            write()
    assert (database.waiting, database.acknowledged, database.size_bytes) == before
    assert (database.after(0), database.last_seqs()) == (stored, {"door": 3})


def test_full_disk_raises_and_rolls_back(small_disk: Path) -> None:
    database = EventDatabase(small_disk / "outbox.db")
    database.append(entries(1, 10), {"door": 10})
    fill(small_disk)
    with pytest.raises(DiskFull):
        database.append(entries(11, 20_000), {"door": 20_000})
    assert database.after(0) == entries(1, 10)
    assert (database.waiting, database.last_seqs()) == (10, {"door": 10})
    database.close()


def test_read_only_disk_raises(small_disk: Path) -> None:
    EventDatabase(small_disk / "outbox.db").close()
    remount(small_disk, "ro")
    with pytest.raises(DiskUnavailable):
        EventDatabase(small_disk / "outbox.db").append(entries(1, 1), {"door": 1})
    with pytest.raises(DiskUnavailable):
        EventDatabase(small_disk / "missing" / "outbox.db")
    remount(small_disk, "rw")


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage not in (empty, remove)])
def test_damage_raises_when_opened_or_read(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "outbox.db"
    database = EventDatabase(path)
    database.append(entries(1, 200), {"door": 200})
    database.close()
    damage(path)
    with pytest.raises(Damaged) as found:
        EventDatabase(path).after(0)
    assert str(found.value)
    assert (damage is forbid_writing) == ("readonly" in str(found.value))


def test_damage_of_the_open_file_raises(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    database = EventDatabase(path)
    database.append(entries(1, 200), {"door": 200})
    write_all_to_the_file(database._connection)
    flip_bytes(path)
    with pytest.raises(Damaged):
        database.after(0)
    database.close()


def test_file_of_another_schema_version_raises(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(Damaged, match="version 99 of the schema is not supported"):
        EventDatabase(path)


def test_event_that_does_not_match_its_checksum_raises(tmp_path: Path) -> None:
    database = EventDatabase(tmp_path / "outbox.db")
    database.append(entries(1, 2), {"door": 2})
    database._connection.execute("UPDATE event SET seq = 7 WHERE number = 2")
    assert database.first("door", 1) == entries(1, 1)
    with pytest.raises(Damaged, match="event 2 does not match its checksum"):
        database.after(0)
    database.close()


def test_closed_database_raises(tmp_path: Path) -> None:
    database = EventDatabase(tmp_path / "outbox.db")
    database.close()
    database.close()
    with pytest.raises(StorageError):
        database.after(0)


def test_file_that_was_moved_or_replaced_is_not_in_place(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    database = EventDatabase(path)
    assert database.in_place
    path.rename(tmp_path / "moved.db")
    assert not database.in_place
    path.touch()
    assert not database.in_place
    assert EventDatabase(None).in_place
    database.close()
