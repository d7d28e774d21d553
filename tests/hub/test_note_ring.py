"""Notes for the readers of the page: positions, what overflows, and what is kept without readers."""

import json

from edge_tdn.hub.hub import Hub
from edge_tdn.hub.note_ring import MAX_NOTE_BYTES, MAX_NOTES, OPEN_AFTER_NS, NoteReader, NoteRing


class Clock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def taken(reader: NoteReader) -> list[bytes]:
    notes, missed = reader.take()
    assert not missed
    return [note.data for note in notes]


def test_each_reader_gets_every_note_once_in_order() -> None:
    ring = NoteRing()
    early = ring.reader()
    ring.put("scores", b"1")
    late = ring.reader()
    ring.put("event", b"2")
    assert taken(early) == [b"1", b"2"]
    assert taken(late) == [b"2"]
    ring.put("scores", b"3")
    assert taken(early) == taken(late) == [b"3"]
    assert taken(early) == []


def test_a_reader_that_comes_back_continues_after_its_last_note() -> None:
    ring = NoteRing()
    reader = ring.reader()
    ring.put("scores", b"1")
    ring.put("scores", b"2")
    first = reader.take()[0][0]
    reader.close()
    again = ring.reader(first.number)
    assert taken(again) == [b"2"]


def test_without_readers_nothing_is_kept() -> None:
    ring = NoteRing()
    ring.put("scores", b"1")
    assert not ring.open
    assert taken(ring.reader()) == []


def test_the_oldest_notes_leave_and_a_slow_reader_learns_that_it_missed_some() -> None:
    ring = NoteRing()
    slow, quick = ring.reader(), ring.reader()
    for number in range(MAX_NOTES + 1):
        ring.put("scores", str(number).encode())
        assert taken(quick) == [str(number).encode()]
    notes, missed = slow.take()
    assert missed
    assert [note.data for note in notes] == [str(number).encode() for number in range(1, MAX_NOTES + 1)]
    ring.put("scores", b"next")
    assert taken(slow) == [b"next"]


def test_the_notes_are_bounded_in_bytes_too() -> None:
    ring = NoteRing()
    reader = ring.reader()
    for _ in range(3):
        ring.put("event", b"x" * (MAX_NOTE_BYTES // 2))
    notes, missed = reader.take()
    assert missed
    assert sum(len(note.data) for note in notes) <= MAX_NOTE_BYTES


def test_a_position_that_the_ring_never_had_counts_as_missed() -> None:
    ring = NoteRing()
    ring.reader()
    ring.put("scores", b"1")
    assert ring.reader(1_000).take()[1]


def test_a_while_after_the_last_reader_the_ring_closes_and_no_reader_continues_over_that() -> None:
    clock = Clock()
    ring = NoteRing(clock)
    reader = ring.reader()
    ring.put("scores", b"1")
    ((note,), _) = reader.take()
    reader.close()
    reader.close()  # counts once
    clock.now_ns += OPEN_AFTER_NS - 1
    ring.put("scores", b"2")
    assert ring.open
    clock.now_ns += 1
    ring.put("scores", b"3")
    assert not ring.open
    notes, missed = ring.reader(note.number).take()
    assert missed
    assert notes == []


def test_the_ring_stays_open_while_one_reader_is_left() -> None:
    clock = Clock()
    ring = NoteRing(clock)
    stays, leaves = ring.reader(), ring.reader()
    leaves.close()
    clock.now_ns += 10 * OPEN_AFTER_NS
    ring.put("scores", b"1")
    assert taken(stays) == [b"1"]


def test_the_page_is_woken_once_until_a_reader_has_taken_what_came() -> None:
    ring = NoteRing()
    woken: list[bool] = []
    ring.attach(lambda: woken.append(True))
    reader = ring.reader()
    for _ in range(3):
        ring.put("scores", b"1")
    assert len(woken) == 1
    reader.take()
    ring.put("scores", b"2")
    assert len(woken) == 2


def test_the_hub_makes_no_json_without_readers() -> None:
    hub = Hub("b007")
    made: list[str] = []

    def make() -> bytes:
        made.append("made")
        return json.dumps({}).encode()

    hub.publish("scores", make)
    assert made == []
    reader = hub.notes.reader()
    hub.publish("scores", make)
    assert made == ["made"]
    assert taken(reader) == [b"{}"]
