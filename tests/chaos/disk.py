"""The outbox's disk while events flow: full, read-only, failing in use; and its files damaged between two starts."""

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from edge_tdn.delivery.outbox.database import DATABASE
from tests.chaos.balance import logged_events
from tests.chaos.broker import FORGETFUL
from tests.chaos.emitter import is_drained
from tests.chaos.rig import Rig
from tests.chaos.row import ChaosRow, Skipped
from tests.support.outbox import (
    empty,
    fill,
    flip_bytes,
    flip_one_bit_after,
    mounted,
    overwrite,
    remount,
    remove,
    truncate,
    zero_the_header,
)

Step = Callable[[str], None]
RATE = 300
MAX_RECOVERY_S = 10.0
DISK_MB = 8
BEFORE, AWAY, AFTER = 500, 6000, 300  # events: delivered; waiting when the file is damaged; of the new start
DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut to half": truncate,
    "header zeroed": zero_the_header,
    "bytes flipped": lambda path: flip_bytes(path, every=10_000),
    "one bit flipped": lambda path: flip_one_bit_after(path, b"walking to the left"),
    "overwritten": overwrite,
    "emptied": empty,
    "removed": remove,
    "its log removed": lambda path: path.with_name(f"{DATABASE}-wal").unlink(),
}


def disk(folder: Path, step: Step) -> list[ChaosRow | Skipped]:
    """Run all parts; `step` shows the progress."""
    rows: list[ChaosRow | Skipped] = []
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


def _row(what: str, rig: Rig, took_s: float, ok: bool, note: str) -> ChaosRow:
    """Compare events by their ids: those that were only in memory have a number, but it is not on the disk."""
    status = rig.emitter.status
    emitted, events = logged_events(rig.log), rig.recorder.events
    received = {(event.id, event.seq) for event in events}
    missing, given_up = len(emitted - received), status["dropped"] + status["lost"]
    return ChaosRow(
        what=what,
        goal=f"emitted == received + dropped + lost; ok in {MAX_RECOVERY_S:g} s",
        figure=f"{len(emitted)} == {len(received)} + {status['dropped']} + {status['lost']}; {took_s:.1f} s",
        ok=missing == given_up and received <= emitted and took_s <= MAX_RECOVERY_S and ok,
        note=f"{note}; {len(events) - len(received)} duplicates before dedupe",
    )


def _full(what: str, folder: Path) -> ChaosRow:
    """Fill the disk while the broker is there, and then away for a while."""
    with ExitStack() as stack:
        small = stack.enter_context(mounted(folder / "disk", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none"))
        rig = stack.enter_context(Rig(folder, FORGETFUL, outbox=small / "outbox"))
        rig.emitter.start(RATE, 17 * RATE)
        rig.emitter.wait_for(lambda status: status["connected"], 10)
        time.sleep(2)
        hog = fill(small)
        count = rig.recorder.count
        time.sleep(3)
        live = rig.recorder.count - count
        rig.wire.cut()
        rig.emitter.wait_for(lambda status: status["state"] == "full", 15)
        time.sleep(3)
        waited = rig.emitter.status["waiting"]
        hog.unlink()
        took_s = rig.emitter.wait_for(lambda status: status["state"] == "ok", 60)
        rig.wire.mend()
        rig.settle()
        return _row(what, rig, took_s, live > 0, f"{live} sent live while it was full, then {waited} waited in memory")


def _read_only(what: str, folder: Path) -> ChaosRow:
    """Start on a read-only disk, and make it writable while the emitter runs."""
    with ExitStack() as stack:
        small = stack.enter_context(mounted(folder / "disk", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none"))
        rig = stack.enter_context(Rig(folder, FORGETFUL, outbox=small / "outbox"))
        rig.emitter.start(RATE, 2 * RATE)
        rig.settle()
        remount(small, "ro")
        rig.emitter.start(RATE, 8 * RATE)
        state = rig.emitter.status["state"]
        rig.emitter.wait_for(lambda status: status["connected"], 10)
        count = rig.recorder.count
        time.sleep(2)
        live = rig.recorder.count - count
        rig.wire.cut()
        time.sleep(1)
        remount(small, "rw")
        took_s = rig.emitter.wait_for(lambda status: status["state"] == "ok", 60)
        rig.wire.mend()
        rig.settle()
        return _row(what, rig, took_s, live > 0 and state == "read_only", f"{live} sent live while it was read-only")


def _fails(what: str, folder: Path) -> ChaosRow:
    """Make ext4 read-only under the open files, as after an I/O error, until it is mounted again."""
    folder.mkdir(parents=True)
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(folder / "disk", "-o", "loop", str(image)))
        rig = stack.enter_context(Rig(folder, FORGETFUL, outbox=disk / "outbox"))
        rig.emitter.start(RATE, 6 * RATE)
        rig.emitter.wait_for(lambda status: status["connected"], 10)
        time.sleep(1)
        remount(disk, "abort")
        rig.emitter.wait_for(lambda status: status["state"] == "read_only", 10)
        count = rig.recorder.count
        time.sleep(1)
        live = rig.recorder.count - count
        rig.emitter.wait_for(is_drained, 60)  # all from memory
        rig.wait_until_quiet()
        rig.emitter.stop()
        subprocess.run(["umount", str(disk)], check=True, capture_output=True)
        subprocess.run(["fsck.ext4", "-p", str(image)], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True, capture_output=True)
        rig.emitter.start(RATE, 7 * RATE)
        took_s = rig.emitter.wait_for(lambda status: status["state"] == "ok", 60)
        rig.settle()
        return _row(what, rig, took_s, live > 0, f"ext4 turned read-only under it; {live} sent live; mounted again")


def _damaged(folder: Path, step: Step) -> ChaosRow:
    """Damage the file while events wait, after kill -9: SQLite's log is there, too. The new start emits at once."""
    notes, took_s, ok, total = [], 0.0, True, [0, 0, 0]
    for what, damage in DAMAGES.items():
        step(f"outbox.db: {what}")
        with Rig(folder / what.replace(" ", "-"), FORGETFUL) as rig:
            rig.emitter.start(2000, BEFORE)
            rig.settle()
            rig.wire.cut()
            rig.emitter.start(2000, BEFORE + AWAY)
            rig.emitter.wait_for(lambda status: status["done"], 60)
            rig.emitter.kill()
            damage(rig.outbox / DATABASE)
            rig.wire.mend()
            start_s = time.monotonic()
            rig.emitter.start(RATE, BEFORE + AWAY + AFTER)
            rig.emitter.wait_for(lambda status: status["state"] == "ok" and status["connected"], 60)
            recovered_s = time.monotonic() - start_s
            rig.settle()
            balance, lost = rig.balance(), rig.emitter.status["lost"]
        is_exact = balance.emitted == balance.received + lost and balance.emitted == balance.logged
        is_exact = is_exact and not balance.doubles
        ok = ok and is_exact and rig.emitter.status["dropped"] == 0 and recovered_s <= MAX_RECOVERY_S
        took_s = max(took_s, recovered_s)
        total = [sum(pair) for pair in zip(total, (balance.emitted, balance.received, lost), strict=True)]
        notes.append(f"{what} {lost}{'' if is_exact else ' INEXACT'}")
    return ChaosRow(
        what=f"outbox.db damaged, {len(DAMAGES)} kinds",
        goal=f"emitted == received + lost; ok in {MAX_RECOVERY_S:g} s",
        figure=f"{total[0]} == {total[1]} + {total[2]}; {took_s:.1f} s",
        ok=ok,
        note=f"lost, of {AWAY} that waited: {', '.join(notes)}",
    )
