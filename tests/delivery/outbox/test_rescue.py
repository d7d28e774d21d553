"""Reading a damaged database, and setting it aside."""

from pathlib import Path

from edge_tdn.delivery.outbox.database import Entry, EventDatabase
from edge_tdn.delivery.outbox.rescue import readable_entries, set_aside
from tests.support.outbox import PAYLOAD, flip_one_bit_of_a_payload, overwrite, zero_the_header

PAGE_BYTES = 4096  # of SQLite
ENTRIES = [Entry(seq, "door", seq, PAYLOAD % seq, 0.0) for seq in range(1, 201)]


def make_database(path: Path) -> None:
    database = EventDatabase(path)
    database.append(ENTRIES, {"door": 200})
    database.acknowledge(ENTRIES[:50])
    database.close()


def test_waiting_events_are_read_and_acknowledged_ones_are_not(tmp_path: Path) -> None:
    make_database(tmp_path / "outbox.db")
    assert list(readable_entries(tmp_path / "outbox.db").values()) == ENTRIES[50:]


def test_one_damaged_event_costs_no_other(tmp_path: Path) -> None:
    make_database(tmp_path / "outbox.db")
    flip_one_bit_of_a_payload(tmp_path / "outbox.db")
    assert len(readable_entries(tmp_path / "outbox.db")) == 149


def test_events_are_read_from_both_ends_to_where_the_file_breaks(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    make_database(path)
    content = bytearray(path.read_bytes())
    middle = content.index(PAYLOAD[:12] % 120) // PAGE_BYTES * PAGE_BYTES
    content[middle : middle + PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(content)
    seqs = [entry.seq for entry in readable_entries(path).values()]
    assert (seqs[0], seqs[-1]) == (51, 200)
    assert 120 not in seqs
    assert len(seqs) >= 130


def test_a_file_that_is_not_a_database_has_no_events(tmp_path: Path) -> None:
    for damage in (zero_the_header, overwrite):
        make_database(tmp_path / damage.__name__)
        damage(tmp_path / damage.__name__)
        assert readable_entries(tmp_path / damage.__name__) == {}
    assert readable_entries(tmp_path / "missing" / "outbox.db") == {}


def test_only_the_newest_damaged_database_is_kept(tmp_path: Path) -> None:
    for content in (b"older", b"newer"):
        (tmp_path / "outbox.db").write_bytes(content)
        (tmp_path / "outbox.db-wal").write_bytes(content)
        set_aside(tmp_path / "outbox.db")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "outbox.db.damaged": b"newer",
        "outbox.db-wal.damaged": b"newer",
    }
