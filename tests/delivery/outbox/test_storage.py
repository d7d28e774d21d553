"""EventStorage: what it returns when the disk refuses, and how its state follows the disk."""

from pathlib import Path

import pytest

from edge_tdn.delivery.outbox.database import Entry
from edge_tdn.delivery.outbox.storage import EventStorage, OutboxTiming, StorageState
from tests.support.outbox import TIMING, ManualClock, SwitchableDisk


def entries(first: int, last: int) -> list[Entry]:
    return [Entry(number, "door", number, b"{}", 0.0) for number in range(first, last + 1)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_without_a_folder_the_state_is_off(clock: ManualClock) -> None:
    storage = EventStorage(None, clock, TIMING)
    assert storage.append(entries(1, 3))
    assert storage.condition == (StorageState.OFF, "")
    assert StorageState.OFF.working
    assert storage.waiting == 3
    storage.close()


def test_refused_operations_return_nothing_and_pause_the_storage(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SwitchableDisk(monkeypatch)
    storage = EventStorage(tmp_path, clock, TIMING)
    assert storage.append(entries(1, 3))
    disk.set(broken=True)
    assert not storage.append(entries(4, 4))
    assert storage.write(lambda database: database.prune_waiting(1)) is None
    storage.memory.acknowledge(entries(1, 1)[0])
    assert not storage.store_acknowledgements()
    state, reason = storage.condition
    assert (state, "readonly" in reason, state.working) == (StorageState.READ_ONLY, True, False)
    assert storage.read_waiting(lambda database: database.after(0)) == entries(2, 3)
    assert storage.waiting == 2
    storage.close()


def test_disk_is_tried_again_only_when_it_is_due(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SwitchableDisk(monkeypatch)
    storage = EventStorage(tmp_path, clock, OutboxTiming(retry_s=5.0))
    disk.set(broken=True)
    assert not storage.append(entries(1, 1))
    storage.memory.add(entries(1, 1))
    disk.set(broken=False)
    clock.now_s += 4.9
    assert not storage.retry_if_due()
    assert storage.condition[0] is StorageState.READ_ONLY
    clock.now_s += 0.1
    assert storage.retry_if_due()
    assert storage.condition == (StorageState.OK, "")
    assert (storage.read(lambda database: database.after(0)), len(storage.memory.events)) == (entries(1, 1), 0)
    clock.now_s += 5.0
    assert not storage.retry_if_due(), "there is no reason for another try"
    storage.close()


def test_reopened_storage_continues_the_counters_and_the_running_time(tmp_path: Path, clock: ManualClock) -> None:
    before = EventStorage(tmp_path, clock, TIMING)
    before.counters.last_seqs["door"] = 3
    before.append(entries(1, 3))
    before.counters.next_number = 4
    before.counters.dropped = 7
    clock.now_s += 60
    before.close()
    after = EventStorage(tmp_path, ManualClock(), TIMING)
    assert (after.counters.next_number, after.counters.last_seqs, after.counters.dropped) == (4, {"door": 3}, 7)
    assert after.time.lived_s == 60
    assert (after.waiting, after.counters.lost) == (3, 0)
    after.close()
