"""The outbox's disk: full, read-only, gone read-only under it; its files damaged between two starts. Events flow."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from edge_tdn.delivery.outbox.database import DATABASE
from tests.chaos.books import logged_events
from tests.chaos.broker import FORGETFUL
from tests.chaos.emitter import drained
from tests.chaos.rig import Rig
from tests.chaos.row import Row, Skipped

Step = Callable[[str], None]
RATE = 300
RECOVERED_S = 10.0
DISK_MB = 8
BEFORE, AWAY, AFTER = 500, 6000, 300  # events: delivered; that wait when the file is damaged; of the new start


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _zero_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def _flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(4096, len(content), 10_000):
        content[place] ^= 0xFF
    path.write_bytes(content)


def _flip_one_bit(path: Path) -> None:
    """Of an event's text."""
    content = bytearray(path.read_bytes())
    content[content.index(b"walking to the left", len(content) // 2)] ^= 1
    path.write_bytes(content)


def _junk(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    path.unlink()


def _lose_the_log(path: Path) -> None:
    path.with_name(f"{DATABASE}-wal").unlink()


DAMAGES = {
    "cut to half": _truncate,
    "header zeroed": _zero_the_header,
    "bytes flipped": _flip_bytes,
    "one bit flipped": _flip_one_bit,
    "overwritten": _junk,
    "emptied": _empty,
    "removed": _remove,
    "its log removed": _lose_the_log,
}


def disk(folder: Path, step: Step) -> list[Row | Skipped]:
    rows: list[Row | Skipped] = []
    for what, job in (("disk full", _full), ("disk read-only, then mended", _read_only), ("disk fails", _fails)):
        step(what)
        if os.geteuid() != 0:
            rows.append(Skipped(what, "only root may mount a small disk"))
            continue
        try:
            rows.append(job(what, folder / what.replace(" ", "-")))
        except subprocess.CalledProcessError as error:
            rows.append(Skipped(what, f"no right to mount here: {error}"))
    return [*rows, _damaged(folder / "damaged", step)]


@contextmanager
def _mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """A small disk of its own."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", *arguments, str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def _small(folder: Path) -> Iterator[Path]:
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none") as mounted:
        yield mounted


def _row(what: str, rig: Rig, took_s: float, unstored: bool, note: str) -> Row:
    """By ids: what a disk could not take has a number all the same, but not one that it could remember."""
    said = rig.emitter.said
    emitted, heard = logged_events(rig.log), rig.subscriber.heard
    received = {(event.id, event.seq) for event in heard}
    missing, given_up = len(emitted - received), said["dropped"] + said["lost"]
    return Row(
        what=what,
        goal=f"emitted == received + dropped + lost; well in {RECOVERED_S:g} s",
        figure=f"{len(emitted)} == {len(received)} + {said['dropped']} + {said['lost']}; {took_s:.1f} s",
        ok=missing == given_up and received <= emitted and took_s <= RECOVERED_S and unstored,
        note=f"{note}; {len(heard) - len(received)} duplicates before dedupe",
    )


def _full(what: str, folder: Path) -> Row:
    """While it is full the broker is there, then away for a while, too."""
    with _small(folder / "disk") as small, Rig(folder, FORGETFUL, outbox=small / "outbox") as rig:
        rig.emitter.start(RATE, 17 * RATE)
        rig.emitter.until(lambda said: said["connected"], 10)
        time.sleep(2)
        with (small / "hog").open("wb", buffering=0) as hog, suppress(OSError):
            while hog.write(bytes(4096)) == 4096:
                pass
        count = rig.subscriber.count
        time.sleep(3)
        live = rig.subscriber.count - count
        rig.wire.cut()
        rig.emitter.until(lambda said: said["state"] == "full", 15)
        time.sleep(3)
        waited = rig.emitter.said["waiting"]
        (small / "hog").unlink()
        took_s = rig.emitter.until(lambda said: said["state"] == "ok", 60)
        rig.wire.mend()
        rig.settle()
        return _row(what, rig, took_s, live > 0, f"{live} sent live while it was full, then {waited} waited in memory")


def _read_only(what: str, folder: Path) -> Row:
    """From a start on; made writable while the emitter runs."""
    with _small(folder / "disk") as small, Rig(folder, FORGETFUL, outbox=small / "outbox") as rig:
        rig.emitter.start(RATE, 2 * RATE)
        rig.settle()
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        rig.emitter.start(RATE, 8 * RATE)
        state = rig.emitter.said["state"]
        rig.emitter.until(lambda said: said["connected"], 10)
        count = rig.subscriber.count
        time.sleep(2)
        live = rig.subscriber.count - count
        rig.wire.cut()
        time.sleep(1)
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
        took_s = rig.emitter.until(lambda said: said["state"] == "ok", 60)
        rig.wire.mend()
        rig.settle()
        return _row(what, rig, took_s, live > 0 and state == "read_only", f"{live} sent live while it was read-only")


def _fails(what: str, folder: Path) -> Row:
    """ext4 gives up, as after an I/O error: read-only under the open files, until it is mounted again."""
    folder.mkdir(parents=True)
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    with ExitStack() as stack:
        mounted = stack.enter_context(_mounted(folder / "disk", "-o", "loop", str(image)))
        rig = stack.enter_context(Rig(folder, FORGETFUL, outbox=mounted / "outbox"))
        rig.emitter.start(RATE, 6 * RATE)
        rig.emitter.until(lambda said: said["connected"], 10)
        time.sleep(1)
        subprocess.run(["mount", "-o", "remount,abort", str(mounted)], check=True, capture_output=True)
        rig.emitter.until(lambda said: said["state"] == "read_only", 10)
        count = rig.subscriber.count
        time.sleep(1)
        live = rig.subscriber.count - count
        rig.emitter.until(drained, 60)  # all from memory
        rig.quiet()
        rig.emitter.stop()
        subprocess.run(["umount", str(mounted)], check=True, capture_output=True)
        subprocess.run(["fsck.ext4", "-p", str(image)], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True, capture_output=True)
        rig.emitter.start(RATE, 7 * RATE)
        took_s = rig.emitter.until(lambda said: said["state"] == "ok", 60)
        rig.settle()
        return _row(what, rig, took_s, live > 0, f"ext4 turned read-only under it; {live} sent live; mounted anew")


def _damaged(folder: Path, step: Step) -> Row:
    """Each while events wait, after kill -9: SQLite's log is there, too. The new start makes events at once."""
    notes, took_s, ok, total = [], 0.0, True, [0, 0, 0]
    for what, damage in DAMAGES.items():
        step(f"outbox.db: {what}")
        with Rig(folder / what.replace(" ", "-"), FORGETFUL) as rig:
            rig.emitter.start(2000, BEFORE)
            rig.settle()
            rig.wire.cut()
            rig.emitter.start(2000, BEFORE + AWAY)
            rig.emitter.until(lambda said: said["done"], 60)
            rig.emitter.kill()
            damage(rig.outbox / DATABASE)
            rig.wire.mend()
            began = time.monotonic()
            rig.emitter.start(RATE, BEFORE + AWAY + AFTER)
            rig.emitter.until(lambda said: said["state"] == "ok" and said["connected"], 60)
            recovered_s = time.monotonic() - began
            rig.settle()
            kept, lost = rig.books(), rig.emitter.said["lost"]
        exact = kept.emitted == kept.received + lost and kept.emitted == kept.logged and not kept.doubles
        ok = ok and exact and rig.emitter.said["dropped"] == 0 and recovered_s <= RECOVERED_S
        took_s = max(took_s, recovered_s)
        total = [before + one for before, one in zip(total, (kept.emitted, kept.received, lost), strict=True)]
        notes.append(f"{what} {lost}{'' if exact else ' INEXACT'}")
    return Row(
        what=f"outbox.db damaged, {len(DAMAGES)} kinds",
        goal=f"emitted == received + lost; well in {RECOVERED_S:g} s",
        figure=f"{total[0]} == {total[1]} + {total[2]}; {took_s:.1f} s",
        ok=ok,
        note=f"lost, of {AWAY} that waited: {', '.join(notes)}",
    )
