"""The broker is away while events come: they are stored, then drained; beyond the size cap the oldest are dropped."""

from collections.abc import Callable
from pathlib import Path

from edge_tdn.delivery.outbox.database import DATABASE
from tests.chaos.broker import FORGETFUL
from tests.chaos.emitter import CAMERAS
from tests.chaos.rig import Rig
from tests.chaos.row import Row

RATE = 2000
MEMORY_MB = 20.0  # that it may grow
DRAINED_PER_S = 1000
CAP_MB = 5.0
LOG_MB = 5.0  # of SQLite's write-ahead log, beside the cap


def away(folder: Path, events: int, step: Callable[[str], None]) -> list[Row]:
    return [*_drained(folder / "drained", events, step), *_capped(folder / "capped", events, step)]


def _drained(folder: Path, events: int, step: Callable[[str], None]) -> list[Row]:
    step(f"{events} events are stored")
    with Rig(folder, FORGETFUL) as rig:
        rig.wire.cut()
        rig.emitter.start(RATE, events)
        began_mb = rig.emitter.said["memory_mb"]
        rig.emitter.until(lambda said: said["done"], 60 + events / 100)
        stored = rig.emitter.said["waiting"]
        step("drained")
        rig.wire.mend()
        rig.settle(60 + events / 100)
        kept, heard = rig.books(), rig.subscriber.heard
        grown_mb = max(rig.emitter.memory_mb) - began_mb
        per_s = (len(heard) - 1) / (heard[-1].at_ns - heard[0].at_ns) * 1e9
    return [
        Row(
            what="broker away",
            goal=f"{events} stored, 0 lost or out of order",
            figure=f"{stored} stored, {len(kept.missing) + kept.unheard} lost, {kept.disordered} out of order",
            ok=stored == events and kept.balanced,
        ),
        Row(
            what="and back: drained",
            goal=f">= {DRAINED_PER_S} events/s",
            figure=f"{per_s:.0f}/s",
            ok=per_s >= DRAINED_PER_S,
            note="from the first to the last at the subscriber",
        ),
        Row(
            what="memory meanwhile",
            goal=f"+ <= {MEMORY_MB:g} MB",
            figure=f"+ {grown_mb:.1f} MB",
            ok=grown_mb <= MEMORY_MB,
            note=f"resident, from {began_mb:.0f} MB; the process makes the events too",
            samples={"memory, MB": rig.emitter.memory_mb},
        ),
    ]


def _capped(folder: Path, events: int, step: Callable[[str], None]) -> list[Row]:
    step(f"{events} events, max_mb = {CAP_MB:g}")
    with Rig(folder, FORGETFUL, max_mb=CAP_MB) as rig:
        rig.wire.cut()
        rig.emitter.start(RATE, events)
        rig.emitter.until(lambda said: said["done"], 60 + events / 100)
        size_mb, log_mb = ((rig.outbox / name).stat().st_size / 1e6 for name in (DATABASE, f"{DATABASE}-wal"))
        rig.wire.mend()
        rig.settle()
        kept, dropped = rig.books(), rig.emitter.said["dropped"]
        firsts = {camera: min(h.seq for h in rig.subscriber.heard if h.camera == camera) for camera in CAMERAS}
    # the oldest of all cameras together: they had their turns one after the other
    oldest = len(kept.missing) == sum(first - 1 for first in firsts.values())
    oldest = oldest and max(firsts.values()) - min(firsts.values()) <= 1
    return [
        Row(
            what="size cap while away",
            goal=f"dropped == emitted - received, the oldest; outbox.db <= {CAP_MB:g} MB",
            figure=f"{dropped} == {kept.emitted} - {kept.received}; {size_mb:.1f} MB",
            ok=dropped == kept.emitted - kept.received > 0
            and oldest
            and not kept.doubles + kept.disordered
            and size_mb <= CAP_MB
            and log_mb <= LOG_MB,
            note=f"beside it SQLite's log, {log_mb:.1f} MB of at most {LOG_MB:g}, and 1 MB of ballast",
        )
    ]
