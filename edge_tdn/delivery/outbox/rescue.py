"""A damaged database: what can still be read of it, and setting it aside."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from edge_tdn.delivery.outbox.database import COLUMNS, Damaged, Entry, decode


def readable_entries(path: Path) -> dict[int, Entry]:
    """Return the waiting events that are whole, by number and in order: from both ends to where the file breaks."""
    entries = {entry.number: entry for order in ("ASC", "DESC") for entry in _readable(path, order)}
    return {number: entries[number] for number in sorted(entries)}


def set_aside(path: Path) -> None:
    """Rename the database to *.damaged, over an older one: one is enough to look at. Raise OSError if that fails."""
    for older in path.parent.glob(f"{path.name}*.damaged"):
        older.unlink()
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).rename(path.with_name(f"{name}.damaged"))


def _readable(path: Path, order: str) -> Iterator[Entry]:
    columns = COLUMNS.replace("number", "rowid")  # the same, and readable where the schema is damaged
    query = f"SELECT {columns} FROM event NOT INDEXED WHERE acknowledged = 0 ORDER BY rowid {order}"  # noqa: S608
    with suppress(sqlite3.Error, UnicodeError), closing(sqlite3.connect(path)) as connection:
        connection.text_factory = decode
        for row in connection.execute(query):
            with suppress(Damaged):
                yield Entry.from_row(row)
