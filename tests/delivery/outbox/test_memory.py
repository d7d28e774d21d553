"""MemoryBuffer: events and acknowledgements that the disk has refused."""

from edge_tdn.delivery.outbox.database import Entry
from edge_tdn.delivery.outbox.memory import MemoryBuffer


def entry(number: int, camera: str = "door") -> Entry:
    return Entry(number, camera, number, b"{}", float(number))


def test_the_oldest_events_make_room_for_new_ones() -> None:
    memory = MemoryBuffer(max_events=3)
    assert memory.add([entry(1), entry(2)]) == 0
    assert memory.add([entry(3), entry(4), entry(5)]) == 2
    assert [one.number for one in memory.after(0)] == [3, 4, 5]
    assert [one.number for one in memory.after(3, without=["door"])] == []


def test_acknowledgement_deletes_the_event_or_waits_for_the_database() -> None:
    memory = MemoryBuffer(max_events=3)
    memory.add([entry(5)])
    memory.acknowledge(entry(5))
    assert not memory
    memory.acknowledge(entry(4))
    assert memory
    assert memory.without_acknowledged([entry(3), entry(4)]) == [entry(3)]


def test_events_older_than_a_running_time_are_dropped() -> None:
    memory = MemoryBuffer(max_events=9)
    memory.add([entry(number) for number in range(1, 6)])
    assert memory.drop_older(3.0) == 2
    assert [one.number for one in memory.of_camera("door")] == [3, 4, 5]


def test_numbers_that_the_database_has_used_are_given_again() -> None:
    memory = MemoryBuffer(max_events=9)
    memory.add([entry(2), entry(3)])
    memory.renumber_after(1)
    assert [one.number for one in memory.after(0)] == [2, 3]
    memory.renumber_after(2)
    assert [(one.number, one.seq) for one in memory.after(0)] == [(3, 2), (4, 3)]
