"""A disk that is full, read-only or broken: events wait in memory, and are stored when the disk accepts them."""

import logging
from pathlib import Path

import pytest

from edge_tdn.delivery.outbox.outbox import OutboxTiming
from edge_tdn.errors import ConfigError
from tests.support.outbox import (
    TIMING,
    ManualClock,
    SwitchableDisk,
    connection_of,
    fill,
    make_events,
    open_outbox,
    remount,
    waiting_seqs,
)


def test_full_disk_loses_nothing(small_disk: Path) -> None:
    clock = ManualClock()
    outbox = open_outbox(small_disk, clock)
    outbox.put(make_events(1, 100))
    hog = fill(small_disk)
    outbox.acknowledge(outbox.after(0, 40))  # in the room of the reserve
    assert outbox.waiting == 60
    for first in range(101, 3101, 100):
        outbox.put(make_events(first, first + 99))
    assert outbox.status().state == "full"
    assert waiting_seqs(outbox) == list(range(41, 3101))
    outbox.acknowledge(outbox.after(0, 20))  # on a full disk
    assert waiting_seqs(outbox) == list(range(61, 3101))
    hog.unlink()
    remount(small_disk, "size=16m")
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert outbox.status().state == "ok"
    assert waiting_seqs(outbox) == list(range(61, 3101))
    outbox.close()
    again = open_outbox(small_disk)
    assert (waiting_seqs(again), again.dropped, again.lost) == (list(range(61, 3101)), 0, 0)
    again.close()


def test_start_on_a_full_disk_delivers_waiting_events(small_disk: Path) -> None:
    before = open_outbox(small_disk)
    before.put(make_events(1, 100))
    before.close()
    fill(small_disk)
    outbox = open_outbox(small_disk)
    assert (waiting_seqs(outbox), outbox.status().state) == (list(range(1, 101)), "ok"), "in the room of the reserve"
    outbox.acknowledge(outbox.after(0, 100))
    assert outbox.waiting == 0
    outbox.close()


def test_start_on_a_read_only_disk(small_disk: Path) -> None:
    before = open_outbox(small_disk)
    before.put(make_events(1, 10))
    before.close()
    remount(small_disk, "ro")
    clock = ManualClock()
    outbox = open_outbox(small_disk, clock)
    assert outbox.status().state == "read_only"
    assert outbox.last_seq("door") == 10, "the checkpoint can be read"
    outbox.put(make_events(11, 20))
    outbox.acknowledge(outbox.after(0, 5))
    remount(small_disk, "rw")
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert outbox.status().state == "ok"
    assert sorted(waiting_seqs(outbox)) == [*range(1, 11), *range(16, 21)]
    assert outbox.generation == 1, "the publisher starts again at the first event"
    assert outbox.lost == 0
    outbox.close()


def test_folder_on_a_read_only_disk_is_created_later(small_disk: Path) -> None:
    remount(small_disk, "ro")
    clock = ManualClock()
    outbox = open_outbox(small_disk / "new", clock)
    outbox.put(make_events(1, 3))
    remount(small_disk, "rw")
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert (outbox.status().state, waiting_seqs(outbox)) == ("ok", [1, 2, 3])
    with pytest.raises(ConfigError, match="another edge-tdn"):
        open_outbox(small_disk / "new")
    outbox.close()


def test_folder_that_another_daemon_has_taken_meanwhile_is_used_when_it_is_free(small_disk: Path) -> None:
    """The disk was read-only when this daemon started, so it has no lock."""
    remount(small_disk, "ro")
    clock = ManualClock()
    outbox = open_outbox(small_disk / "new", clock)
    outbox.put(make_events(1, 3))
    remount(small_disk, "rw")
    other = open_outbox(small_disk / "new")
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert outbox.status().state == "read_only"
    assert "another edge-tdn keeps its events there" in outbox.status().reason
    assert waiting_seqs(outbox) == [1, 2, 3]
    other.close()
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert (outbox.status().state, waiting_seqs(outbox)) == ("ok", [1, 2, 3])
    outbox.close()


def test_folder_that_was_replaced_is_locked_again(tmp_path: Path) -> None:
    """As after a disk was unmounted and mounted again: no second daemon may use the folder."""
    clock, folder = ManualClock(), tmp_path / "outbox"
    outbox = open_outbox(folder, clock)
    outbox.put(make_events(1, 3))
    folder.rename(tmp_path / "before")
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert (outbox.status().state, waiting_seqs(outbox)) == ("ok", [1, 2, 3])
    with pytest.raises(ConfigError, match="another edge-tdn"):
        open_outbox(folder)
    outbox.close()


def test_events_that_could_not_be_read_are_delivered_later(tmp_path: Path) -> None:
    clock = ManualClock()
    outbox = open_outbox(tmp_path, clock)
    outbox.put(make_events(1, 3))
    generation = outbox.generation
    connection_of(outbox).set_progress_handler(lambda: 1, 1)  # interrupts all reads and writes
    outbox.put(make_events(4, 4))
    assert waiting_seqs(outbox) == [4], "the publisher passes over the others"
    connection_of(outbox).set_progress_handler(None, 0)
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert waiting_seqs(outbox) == [1, 2, 3, 4]
    assert outbox.generation > generation, "it starts again at the first event"
    outbox.close()


def test_memory_is_bounded_while_the_disk_refuses(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path, timing=OutboxTiming(max_in_memory=50))
    connection_of(outbox).execute("PRAGMA query_only = ON")
    outbox.put(make_events(1, 80))
    assert (waiting_seqs(outbox), outbox.dropped) == (list(range(31, 81)), 30)
    outbox.close()


def test_event_dropped_from_memory_while_in_flight_is_counted_once(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path, timing=OutboxTiming(max_in_memory=5))
    connection_of(outbox).execute("PRAGMA query_only = ON")
    outbox.put(make_events(1, 5))
    in_flight = outbox.after(0, 5)
    outbox.put(make_events(6, 10))
    outbox.acknowledge([*in_flight, *outbox.after(0, 5)])
    assert outbox.status().waiting == 0
    outbox.close()


def test_state_follows_the_disk_although_nothing_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, disk = ManualClock(), SwitchableDisk(monkeypatch)
    outbox = open_outbox(tmp_path, clock)
    disk.set(broken=True)
    outbox.put(make_events(1, 1))
    outbox.acknowledge(outbox.after(0, 1))  # delivered from memory
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert outbox.status().state == "read_only"
    disk.set(broken=False)
    clock.now_s += TIMING.retry_s
    with caplog.at_level(logging.INFO):
        outbox.tick()
    assert outbox.status().state == "ok"
    assert "accepts events again" in caplog.text
    outbox.close()


def test_the_newest_events_are_those_in_memory_while_the_disk_refuses_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SwitchableDisk(monkeypatch)
    clock = ManualClock()
    outbox = open_outbox(tmp_path, clock)
    outbox.put(make_events(1, 3))
    disk.set(broken=True)
    outbox.put(make_events(4, 6))
    newest = outbox.newest(None, 4)
    assert [e.seq for e in newest] == [6, 5, 4, 3]
    assert [e.seq for e in outbox.newest(newest[1].number, 9)] == [4, 3, 2, 1]
    assert [e.seq for e in outbox.newest_of("door", 6, 3)] == [5, 4, 3]
    disk.set(broken=False)
    clock.now_s += TIMING.retry_s
    outbox.tick()
    assert [e.seq for e in outbox.newest(None, 9)] == [6, 5, 4, 3, 2, 1]
    outbox.close()
