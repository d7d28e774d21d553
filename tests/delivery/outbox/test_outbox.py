"""The outbox: order, acknowledgements, replays, caps, restarts."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.delivery.outbox.database import DATABASE
from edge_tdn.delivery.outbox.outbox import OutboxTiming
from tests.support.outbox import (
    TIMING,
    ManualClock,
    SwitchableDisk,
    connection_of,
    make_events,
    open_outbox,
    waiting_seqs,
)


@pytest.mark.parametrize("on_disk", [True, False])
def test_events_wait_in_order_until_they_are_acknowledged(tmp_path: Path, on_disk: bool) -> None:
    outbox = open_outbox(tmp_path if on_disk else None)
    outbox.put(make_events(1, 3))
    outbox.put(make_events(1, 1, "yard"))
    oldest = outbox.after(0, 2)
    assert [(e.camera, e.seq, e.payload) for e in oldest] == make_events(1, 2)
    assert [(e.camera, e.seq) for e in outbox.after(oldest[-1].number, 9)] == [("door", 3), ("yard", 1)]
    assert [e.camera for e in outbox.after(0, 9, without=["door"])] == ["yard"]
    outbox.acknowledge(oldest[:1])
    outbox.acknowledge(oldest[:1])  # a PUBACK that comes twice
    assert waiting_seqs(outbox) == [2, 3]
    first = outbox.first("door")
    assert first
    assert first.seq == 2
    assert outbox.first("attic") is None
    assert (outbox.waiting, outbox.last_seq("door"), outbox.last_seq("attic")) == (3, 3, 0)
    assert outbox.cameras == ["door", "yard"]
    assert outbox.status().state == ("ok" if on_disk else "off")
    outbox.close()


def test_restart_keeps_waiting_events_and_numbers(tmp_path: Path) -> None:
    before = open_outbox(tmp_path)
    before.put(make_events(1, 5))
    before.acknowledge(before.after(0, 2))
    before.close()
    after = open_outbox(tmp_path)
    assert waiting_seqs(after) == [3, 4, 5]
    assert after.last_seq("door") == 5
    after.put(make_events(6, 6))
    assert waiting_seqs(after) == [3, 4, 5, 6]
    after.close()


def test_newest_acknowledged_events_are_kept_for_replays(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path, timing=OutboxTiming(prune_batch=0), replayable=10)
    outbox.put(make_events(1, 20))
    outbox.acknowledge(outbox.after(0, 15))
    assert [e.seq for e in outbox.replay("door", 1, 99, 100)] == list(range(6, 21))
    assert [e.seq for e in outbox.replay("door", 8, 99, 3)] == [8, 9, 10]
    assert outbox.replay("attic", 1, 99, 100) == []
    outbox.close()


def test_the_newest_events_are_read_in_pages(tmp_path: Path) -> None:
    """Acknowledged or not; those of one camera by `seq`, those of all by number."""
    outbox = open_outbox(tmp_path)
    outbox.put(make_events(1, 3))
    outbox.put(make_events(1, 2, "yard"))
    outbox.put(make_events(4, 4))
    outbox.acknowledge(outbox.after(0, 4))
    page = outbox.newest(None, 4)
    assert [(e.camera, e.seq) for e in page] == [("door", 4), ("yard", 2), ("yard", 1), ("door", 3)]
    assert [(e.camera, e.seq) for e in outbox.newest(page[-1].number, 4)] == [("door", 2), ("door", 1)]
    assert [e.seq for e in outbox.newest_of("door", None, 3)] == [4, 3, 2]
    assert [e.seq for e in outbox.newest_of("door", 2, 3)] == [1]
    assert outbox.newest_of("attic", None, 3) == []
    outbox.close()


@pytest.mark.parametrize("query", ["number < 9 ORDER BY number DESC", "camera = 'a' AND seq < 9 ORDER BY seq DESC"])
def test_the_newest_events_are_found_by_an_index(tmp_path: Path, query: str) -> None:
    outbox = open_outbox(tmp_path)
    plan = connection_of(outbox).execute(f"EXPLAIN QUERY PLAN SELECT payload FROM event WHERE {query} LIMIT 5")
    assert [row[3].split("(")[0] for row in plan] == [
        "SEARCH event USING INTEGER PRIMARY KEY " if query.startswith("number") else "SEARCH event USING INDEX place "
    ]
    outbox.close()


def test_size_cap_drops_and_counts_the_oldest(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path, max_mb=1)
    outbox.put(make_events(1, 100))
    outbox.acknowledge(outbox.after(0, 100))
    for first in range(101, 5000, 100):
        outbox.put(make_events(first, first + 99))
    waiting = waiting_seqs(outbox)
    assert waiting == list(range(waiting[0], 5001))
    assert outbox.status().dropped == 5000 - 100 - len(waiting)
    assert outbox.replay("door", 1, 100, 100) == [], "acknowledged events are deleted first"
    size = sum(path.stat().st_size for path in tmp_path.glob(f"{DATABASE}*"))
    assert 0.8e6 < (tmp_path / DATABASE).stat().st_size < 1.1e6, size
    outbox.close()
    again = open_outbox(tmp_path, max_mb=1)
    assert again.status().dropped == 4900 - len(waiting)
    assert waiting_seqs(again) == waiting
    again.close()


def test_age_cap_counts_running_time(tmp_path: Path) -> None:
    clock = ManualClock()
    outbox = open_outbox(tmp_path, clock, max_age_h=1)
    outbox.put(make_events(1, 2))
    clock.now_s += 1800
    outbox.tick()
    outbox.put(make_events(3, 4))
    assert outbox.expiry_s(outbox.after(0, 1)[0]) == 1800
    outbox.close()
    later = ManualClock()  # of another start
    again = open_outbox(tmp_path, later, max_age_h=1)
    later.now_s += 1700
    again.tick()
    assert waiting_seqs(again) == [1, 2, 3, 4]
    later.now_s += 200
    again.tick()
    assert waiting_seqs(again) == [3, 4]
    assert again.status().dropped == 2
    again.close()


def test_events_in_memory_at_a_crash_are_counted_as_lost(tmp_path: Path) -> None:
    """Their numbers are not given again, and one that was delivered from memory does not count."""
    outbox = open_outbox(tmp_path)
    outbox.put(make_events(1, 3))
    connection_of(outbox).execute("PRAGMA query_only = ON")
    outbox.put(make_events(4, 6))
    outbox.acknowledge(outbox.after(0, 4))
    assert outbox._storage._lock
    outbox._storage._lock.close()  # as kill -9 does
    again = open_outbox(tmp_path)
    assert (again.last_seq("door"), again.lost) == (6, 2)
    again.close()


STORE_AND_ACKNOWLEDGE = """
import sys
from pathlib import Path
from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), OutboxConfig())
seq = outbox.last_seq("door")
while True:
    seq += 1
    outbox.put([("door", seq, b"{}")])
    print(seq, flush=True)
    if seq % 3 == 0:
        outbox.acknowledge(outbox.after(0, 1))
"""


def test_kill_9_loses_no_stored_event(tmp_path: Path) -> None:
    """An event for which `put` has returned is there, whenever the process dies."""
    stored = 0
    for _ in range(5):
        command = [sys.executable, "-c", STORE_AND_ACKNOWLEDGE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(40):
                stored = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            stored = int((process.stdout.read().splitlines() or [stored])[-1])
    outbox = open_outbox(tmp_path)
    waiting = waiting_seqs(outbox)
    assert outbox.last_seq("door") in (stored, stored + 1)
    assert waiting == list(range(waiting[0], outbox.last_seq("door") + 1))
    assert abs(waiting[0] - 1 - stored // 3) <= 5  # an acknowledgement is stored before the kill, or not
    assert (outbox.lost, outbox.dropped) == (0, 0)
    outbox.close()


steps = st.lists(st.sampled_from(["put", "put 3", "acknowledge", "acknowledge late", "break", "mend", "reopen"]))


@settings(max_examples=60)
@given(steps)
def test_every_event_is_delivered_or_waits(tmp_path_factory: pytest.TempPathFactory, plan: list[str]) -> None:
    """The disk breaks and works again, the process ends and starts; a model in memory knows what must be there."""
    with pytest.MonkeyPatch.context() as patch:
        _follow(tmp_path_factory.mktemp("outbox"), SwitchableDisk(patch), plan)


def _follow(folder: Path, disk: SwitchableDisk, plan: list[str]) -> None:
    clock = ManualClock()
    outbox, waiting, last = open_outbox(folder, clock), list[int](), 0
    for step in [*plan, "mend"]:
        match step:
            case "put" | "put 3":
                count = 3 if step == "put 3" else 1
                outbox.put(make_events(last + 1, last + count))
                waiting += range(last + 1, last + count + 1)
                last += count
            case "acknowledge" | "acknowledge late":
                chosen = outbox.after(0, 5)[-1:] if step == "acknowledge late" else outbox.after(0, 2)
                outbox.acknowledge(chosen)
                waiting = [seq for seq in waiting if seq not in {entry.seq for entry in chosen}]
            case "break" | "mend":
                disk.set(broken=step == "break")
                clock.now_s += TIMING.retry_s
                outbox.tick()
            case "reopen" if not disk.broken:
                outbox.close()
                outbox = open_outbox(folder, clock)
        assert waiting_seqs(outbox) == waiting
        assert outbox.waiting == len(waiting)
        assert outbox.last_seq("door") == last
    assert outbox.status().state == "ok"
    with sqlite3.connect(folder / DATABASE) as other:
        assert other.execute("SELECT count(*) FROM event WHERE acknowledged = 0").fetchone() == (len(waiting),)
    outbox.close()
