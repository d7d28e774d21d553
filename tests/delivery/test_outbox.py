"""Events on disk: order, caps, damage, a disk that is full or takes nothing, kill -9."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox import checkpoint, disk_reserve
from edge_tdn.delivery.outbox import outbox as room
from edge_tdn.delivery.outbox.database import DATABASE, connect
from edge_tdn.delivery.outbox.outbox import Outbox, outbox_folder
from edge_tdn.errors import ConfigError

PAYLOAD = b'{"label":"%d"}' + b" " * 600


def events(first: int, last: int, camera: str = "door") -> list[tuple[str, int, bytes]]:
    return [(camera, seq, PAYLOAD % seq) for seq in range(first, last + 1)]


def seqs(outbox: Outbox, camera: str = "door") -> list[int]:
    return [entry.seq for entry in outbox.after(0, 1_000_000) if entry.camera == camera]


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def opened(folder: Path | None, clock: Clock | None = None, **settings: float) -> Outbox:
    return Outbox(folder, OutboxConfig.model_validate(settings), clock or Clock())


@pytest.mark.parametrize("on_disk", [True, False])
def test_first_in_first_out_until_acknowledged(tmp_path: Path, on_disk: bool) -> None:
    outbox = opened(tmp_path if on_disk else None)
    outbox.put(events(1, 3))
    outbox.put(events(1, 1, "yard"))
    first = outbox.after(0, 2)
    assert [(e.camera, e.seq, e.payload) for e in first] == events(1, 2)
    assert [(e.camera, e.seq) for e in outbox.after(first[-1].number, 9)] == [("door", 3), ("yard", 1)]
    assert [e.camera for e in outbox.after(0, 9, without=["door"])] == ["yard"]
    outbox.acknowledge(first[:1])
    outbox.acknowledge(first[:1])  # a PUBACK that comes twice
    assert seqs(outbox) == [2, 3]
    assert (outbox.waiting, outbox.last_seq("door"), outbox.last_seq("attic")) == (3, 3, 0)
    outbox.close()


def test_a_new_start_finds_what_waits_and_goes_on_counting(tmp_path: Path) -> None:
    before = opened(tmp_path)
    before.put(events(1, 5))
    before.acknowledge(before.after(0, 2))
    before.close()
    after = opened(tmp_path)
    assert seqs(after) == [3, 4, 5]
    assert after.last_seq("door") == 5
    after.put(events(6, 6))
    assert seqs(after) == [3, 4, 5, 6]
    after.close()


def test_what_was_delivered_stays_for_replay_the_newest_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEPT_IN_EXCESS", 0)
    outbox = opened(tmp_path, replayable=10)
    outbox.put(events(1, 20))
    outbox.acknowledge(outbox.after(0, 15))
    assert [e.seq for e in outbox.replay("door", 1, 99, 100)] == list(range(6, 21))
    assert [e.seq for e in outbox.replay("door", 8, 99, 3)] == [8, 9, 10]
    assert outbox.replay("attic", 1, 99, 100) == []
    outbox.close()


def test_the_size_cap_takes_the_oldest_and_counts_them(tmp_path: Path) -> None:
    outbox = opened(tmp_path, max_mb=1)
    outbox.put(events(1, 100))
    outbox.acknowledge(outbox.after(0, 100))
    for first in range(101, 5000, 100):
        outbox.put(events(first, first + 99))
    waiting = seqs(outbox)
    assert waiting == list(range(waiting[0], 5001))
    assert outbox.status().dropped == 5000 - 100 - len(waiting)
    assert outbox.replay("door", 1, 100, 100) == [], "what was delivered goes first"
    size = sum(path.stat().st_size for path in tmp_path.glob(f"{DATABASE}*"))
    assert 0.8e6 < (tmp_path / DATABASE).stat().st_size < 1.1e6, size
    outbox.close()
    again = opened(tmp_path, max_mb=1)
    assert again.status().dropped == 4900 - len(waiting)
    assert seqs(again) == waiting
    again.close()


def test_the_age_cap_counts_the_time_that_the_daemon_runs(tmp_path: Path) -> None:
    clock = Clock()
    outbox = opened(tmp_path, clock, max_age_h=1)
    outbox.put(events(1, 2))
    clock.now_s += 1800
    outbox.tick()
    outbox.put(events(3, 4))
    assert outbox.expiry_s(outbox.after(0, 1)[0]) == 1800
    outbox.close()
    later = Clock()  # of another start
    again = opened(tmp_path, later, max_age_h=1)
    later.now_s += 1700
    again.tick()
    assert seqs(again) == [1, 2, 3, 4]
    later.now_s += 200
    again.tick()
    assert seqs(again) == [3, 4]
    assert again.status().dropped == 2
    again.close()


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _zero_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def _flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(4096, len(content), 1000):
        content[place] ^= 0xFF
    path.write_bytes(content)


def _flip_one_bit_of_a_payload(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.rindex(b'"label":"')] ^= 1
    path.write_bytes(content)


def _break_the_schema(path: Path) -> None:
    """SQLite's message quotes it, and is no UTF-8 then."""
    path.write_bytes(path.read_bytes().replace(b"CREATE INDEX", b"CREATE IN\xc4EX", 1))


def _flip_in_the_header(place: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 64
        path.write_bytes(content)

    return damage


_ask_for_a_newer_sqlite = _flip_in_the_header(47)  # "unsupported file format"
_forbid_writing = _flip_in_the_header(18)  # "attempt to write a readonly database"


def _misspell_a_column(path: Path) -> None:
    """In the schema: `number` is no key any more."""
    path.write_bytes(path.read_bytes().replace(b"number INTEGER PRIMARY", b"number INTEGER PRI\x7dARY", 1))


def _junk(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    path.unlink()


DAMAGES = [
    _truncate, _zero_the_header, _flip_bytes, _flip_one_bit_of_a_payload, _break_the_schema, _misspell_a_column,
    _ask_for_a_newer_sqlite, _forbid_writing, _junk, _empty, _remove,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_put_aside_and_the_loss_has_a_number(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    before = opened(tmp_path)
    before.put(events(1, 200))
    before.acknowledge(before.after(0, 50))
    before.close()
    damage(tmp_path / DATABASE)
    after = opened(tmp_path)
    left = seqs(after)  # reads them all: a flipped bit shows here
    assert set(left) <= set(range(51, 201))
    assert len(left) + after.status().lost == 150
    assert (after.status().lost >= 1) == (damage is not _forbid_writing)
    assert after.status().state == "ok"
    assert all(entry.payload == PAYLOAD % entry.seq for entry in after.after(0, 1000))
    assert after.last_seq("door") == 200, "numbers go on: a subscriber sees the gap"
    after.put(events(201, 202))
    after.close()
    again = opened(tmp_path)
    assert seqs(again) == [*left, 201, 202]
    assert again.status().lost == 150 - len(left), "counted once"
    again.close()


def test_damaged_marks_are_as_none(tmp_path: Path) -> None:
    before = opened(tmp_path)
    before.put(events(1, 3))
    before.close()
    for name in checkpoint.COPIES:
        (tmp_path / name).write_bytes(b"q" + (tmp_path / name).read_bytes()[1:])  # a bit of the checksum is flipped
    after = opened(tmp_path)
    assert (seqs(after), after.last_seq("door"), after.lost) == ([1, 2, 3], 3, 0)
    after.close()


def test_a_write_ahead_log_that_is_lost_takes_events_and_acknowledgements_with_it(tmp_path: Path) -> None:
    """SQLite opens such a file without a word. What comes back was delivered before; what is gone has a number."""
    (tmp_path / "before").mkdir()
    before = opened(tmp_path / "before")
    before.put(events(1, 100))
    assert before._database is not None
    before._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before.acknowledge(before.after(0, 50))
    before.put(events(101, 150))
    shutil.copytree(tmp_path / "before", tmp_path / "after", ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    before.close()
    after = opened(tmp_path / "after")
    assert (seqs(after), after.last_seq("door"), after.lost) == (list(range(1, 101)), 150, 50)
    after.close()


def test_a_camera_whose_name_was_damaged_does_not_block_the_others(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(events(1, 200))
    assert outbox._database is not None
    for pragma in ("wal_checkpoint(TRUNCATE)", "cache_size = 0"):
        outbox._database.execute(f"PRAGMA {pragma}")
    content = bytearray((tmp_path / DATABASE).read_bytes())
    content[content.index(b'door{"label"')] = 0xFF  # no UTF-8
    (tmp_path / DATABASE).write_bytes(content)
    assert len(seqs(outbox)) == 199
    assert (outbox.lost, outbox.status().state) == (1, "ok")
    outbox.close()


def test_a_file_that_is_damaged_while_it_is_used(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(events(1, 200))
    outbox._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    _flip_bytes(tmp_path / DATABASE)
    outbox._database.execute("PRAGMA cache_size = 0")  # type: ignore[union-attr]
    outbox.after(0, 1000)
    outbox.put(events(201, 201))
    outbox.tick()
    left = seqs(outbox)
    assert left[-1] == 201
    assert len(left) + outbox.status().lost == 201
    assert outbox.status().lost > 0
    outbox.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=False).returncode:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing_and_recovers_by_itself(small_disk: Path) -> None:
    clock = Clock()
    outbox = opened(small_disk, clock)
    outbox.put(events(1, 100))
    hog = _fill(small_disk)
    outbox.acknowledge(outbox.after(0, 40))  # the ballast makes room for that
    assert outbox.waiting == 60
    for first in range(101, 3101, 100):
        outbox.put(events(first, first + 99))
    assert outbox.status().state == "full"
    assert seqs(outbox) == list(range(41, 3101))
    outbox.acknowledge(outbox.after(0, 20))  # of them, on a full disk
    assert seqs(outbox) == list(range(61, 3101))
    hog.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    clock.now_s += room.RETRY_S
    outbox.tick()
    assert outbox.status().state == "ok"
    assert seqs(outbox) == list(range(61, 3101))
    outbox.close()
    again = opened(small_disk)
    assert (seqs(again), again.dropped, again.lost) == (list(range(61, 3101)), 0, 0)
    again.close()


def _fill(disk: Path) -> Path:
    """Writes a file until nothing goes in any more."""
    with (disk / "hog").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    return disk / "hog"


def test_a_start_on_a_full_disk_delivers_what_waited(small_disk: Path) -> None:
    before = opened(small_disk)
    before.put(events(1, 100))
    before.close()
    _fill(small_disk)
    outbox = opened(small_disk)
    assert (seqs(outbox), outbox.status().state) == (list(range(1, 101)), "ok"), "the ballast makes room for that"
    outbox.acknowledge(outbox.after(0, 100))
    assert outbox.waiting == 0
    outbox.close()


@pytest.mark.parametrize("ballasted", [True, False])
def test_damage_on_a_full_disk_is_counted(small_disk: Path, ballasted: bool) -> None:
    outbox = opened(small_disk)
    outbox.put(events(1, 200))
    assert outbox._database is not None
    for pragma in ("wal_checkpoint(TRUNCATE)", "cache_size = 0"):
        outbox._database.execute(f"PRAGMA {pragma}")
    if not ballasted:
        (small_disk / disk_reserve.NAME).unlink()
    _fill(small_disk)
    _flip_bytes(small_disk / DATABASE)
    left = seqs(outbox)
    assert len(left) + outbox.lost == 200
    assert outbox.lost > 0
    assert outbox.status().state == ("ok" if ballasted else "full")
    outbox.put(events(201, 202))
    assert seqs(outbox) == [*left, 201, 202]
    outbox.close()


def test_a_read_only_disk_from_the_start(small_disk: Path) -> None:
    before = opened(small_disk)
    before.put(events(1, 10))
    before.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    clock = Clock()
    outbox = opened(small_disk, clock)
    assert outbox.status().state == "read_only"
    assert outbox.last_seq("door") == 10, "the mark can be read"
    outbox.put(events(11, 20))
    sent = outbox.after(0, 5)
    outbox.acknowledge(sent)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    clock.now_s += room.RETRY_S
    outbox.tick()
    assert outbox.status().state == "ok"
    assert sorted(seqs(outbox)) == [*range(1, 11), *range(16, 21)]
    assert outbox.generation == 1, "who sends begins at the first again"
    assert outbox.lost == 0
    outbox.close()


def test_what_waited_in_memory_when_the_process_died_is_counted_and_no_number_comes_twice(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(events(1, 3))
    assert outbox._database is not None
    outbox._database.execute("PRAGMA query_only = ON")
    outbox.put(events(4, 6))
    outbox.acknowledge(outbox.after(0, 4))  # one of them was delivered from memory
    assert outbox._lock is not None
    outbox._lock.close()  # as kill -9 does
    again = opened(tmp_path)
    assert (again.last_seq("door"), again.lost) == (6, 2)
    again.close()


def test_what_was_dropped_from_memory_on_its_way_is_not_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "IN_MEMORY_MOST", 5)
    outbox = opened(tmp_path)
    assert outbox._database is not None
    outbox._database.execute("PRAGMA query_only = ON")
    outbox.put(events(1, 5))
    sent = outbox.after(0, 5)
    outbox.put(events(6, 10))
    outbox.acknowledge([*sent, *outbox.after(0, 5)])
    assert outbox.status().waiting == 0
    outbox.close()


def test_a_folder_that_could_not_be_made_is_made_later(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    clock = Clock()
    outbox = opened(small_disk / "new", clock)
    outbox.put(events(1, 3))
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    clock.now_s += room.RETRY_S
    outbox.tick()
    assert (outbox.status().state, seqs(outbox)) == ("ok", [1, 2, 3])
    with pytest.raises(ConfigError, match="another edge-tdn"):
        opened(small_disk / "new")
    outbox.close()


def test_what_could_not_be_read_for_a_while_is_not_passed_over_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    outbox = opened(tmp_path, clock)
    outbox.put(events(1, 3))
    generation = outbox.generation
    assert outbox._database is not None
    outbox._database.set_progress_handler(lambda: 1, 1)  # nothing can be read or written
    outbox.put(events(4, 4))
    assert seqs(outbox) == [4], "who sends goes on behind it"
    outbox._database.set_progress_handler(None, 0)
    clock.now_s += room.RETRY_S
    outbox.tick()
    assert seqs(outbox) == [1, 2, 3, 4]
    assert outbox.generation > generation, "and begins at the first again"
    outbox.close()


def test_memory_is_bounded_while_the_disk_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IN_MEMORY_MOST", 50)
    outbox = opened(tmp_path)
    assert outbox._database is not None
    outbox._database.execute("PRAGMA query_only = ON")
    outbox.put(events(1, 80))
    assert (seqs(outbox), outbox.dropped) == (list(range(31, 81)), 30)
    outbox.close()


PUTTER = """
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


def test_kill_9_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    """What was said to be stored is there, whenever the process dies."""
    said = 0
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", PUTTER, str(tmp_path)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(40):
                said = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            said = int((process.stdout.read().splitlines() or [said])[-1])
    outbox = opened(tmp_path)
    waiting = seqs(outbox)
    assert outbox.last_seq("door") in (said, said + 1)
    assert waiting == list(range(waiting[0], outbox.last_seq("door") + 1))
    assert abs(waiting[0] - 1 - said // 3) <= 5  # acknowledged before the kill, or in vain
    assert (outbox.lost, outbox.dropped) == (0, 0)
    outbox.close()


def test_two_daemons_do_not_share_an_outbox(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(ConfigError, match="another edge-tdn keeps its events there; give this one another `host`"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file: outbox\.folder is no folder"):
        opened(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"outbox\.folder is no folder"):
        opened(tmp_path / "file" / "below")


def test_where_the_outbox_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-tdn:/other")
    assert outbox_folder("auto", "barn", tmp_path) == Path("/var/lib/edge-tdn/barn")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert outbox_folder("auto", "barn", tmp_path) == tmp_path / "edge-tdn" / "barn"
    assert outbox_folder("events", "barn", tmp_path) == tmp_path / "events"
    assert outbox_folder("off", "barn", tmp_path) is None


def test_the_state_is_ok_again_when_the_disk_is_although_nothing_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, disk = Clock(), Disk()
    monkeypatch.setattr(room, "connect", disk.connect)
    outbox = opened(tmp_path, clock)
    disk.set(broken=True)
    outbox.put(events(1, 1))
    outbox.acknowledge(outbox.after(0, 1))  # delivered from memory
    clock.now_s += room.RETRY_S
    outbox.tick()
    assert outbox.status().state == "read_only"
    disk.set(broken=False)
    clock.now_s += room.RETRY_S
    outbox.tick()
    assert outbox.status().state == "ok"
    outbox.close()


class Disk:
    """Takes nothing while it is broken."""

    broken = False

    def connect(self, path: str) -> sqlite3.Connection:
        self.database = connect(path)
        self.set(self.broken)
        return self.database

    def set(self, broken: bool) -> None:
        self.broken = broken
        self.database.execute(f"PRAGMA query_only = {int(broken)}")


def test_a_file_that_is_removed_while_it_is_used_loses_nothing(tmp_path: Path) -> None:
    """As with a disk that was mounted anew."""
    clock = Clock()
    outbox = opened(tmp_path, clock)
    outbox.put(events(1, 5))
    outbox.acknowledge(outbox.after(0, 2))
    for path in tmp_path.glob(f"{DATABASE}*"):
        path.unlink()
    clock.now_s += room.RETRY_S
    outbox.tick()
    outbox.put(events(6, 7))
    assert (seqs(outbox), outbox.status().state, outbox.lost) == ([3, 4, 5, 6, 7], "ok", 0)
    outbox.close()
    again = opened(tmp_path)
    assert seqs(again) == [3, 4, 5, 6, 7]
    again.close()


steps = st.lists(st.sampled_from(["put", "put 3", "acknowledge", "acknowledge late", "break", "mend", "reopen"]))


@settings(max_examples=60)
@given(steps)
def test_whatever_happens_every_event_is_delivered_or_waits(
    tmp_path_factory: pytest.TempPathFactory, what: list[str]
) -> None:
    """The disk breaks and mends, the process comes and goes; a model in memory says what must be there."""
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk()
        patch.setattr(room, "connect", disk.connect)
        _live(tmp_path_factory.mktemp("outbox"), disk, what)


def _live(folder: Path, disk: Disk, what: list[str]) -> None:
    clock = Clock()
    outbox, waiting, last = opened(folder, clock), list[int](), 0
    for step in [*what, "mend"]:
        match step:
            case "put" | "put 3":
                count = 3 if step == "put 3" else 1
                outbox.put(events(last + 1, last + count))
                waiting += range(last + 1, last + count + 1)
                last += count
            case "acknowledge" | "acknowledge late":
                chosen = outbox.after(0, 5)[-1:] if step == "acknowledge late" else outbox.after(0, 2)
                outbox.acknowledge(chosen)
                waiting = [seq for seq in waiting if seq not in {entry.seq for entry in chosen}]
            case "break" | "mend":
                disk.set(broken=step == "break")
                clock.now_s += room.RETRY_S
                outbox.tick()
            case "reopen" if not disk.broken:
                outbox.close()
                outbox = opened(folder, clock)
        assert seqs(outbox) == waiting
        assert outbox.waiting == len(waiting)
        assert outbox.last_seq("door") == last
    assert outbox.status().state == "ok"
    with sqlite3.connect(folder / DATABASE) as other:
        assert other.execute("SELECT count(*) FROM event WHERE acknowledged = 0").fetchone() == (len(waiting),)
    outbox.close()
