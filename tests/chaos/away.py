"""The broker is away while events come: they are stored, then drained; beyond the size cap the oldest are dropped."""

from collections.abc import Callable
from pathlib import Path

from edge_tdn.delivery.outbox.database import DATABASE
from tests.chaos.broker import FORGETFUL
from tests.chaos.emitter import CAMERAS
from tests.chaos.rig import Rig
from tests.chaos.row import ChaosRow

RATE = 2000
MAX_GROWTH_MB = 20.0  # of memory
MIN_DRAINED_PER_S = 1000
MAX_MB = 5.0  # of the outbox
MAX_LOG_MB = 5.0  # of SQLite's write-ahead log, beside the cap


def away(folder: Path, events: int, step: Callable[[str], None]) -> list[ChaosRow]:
    """Run both parts; `step` shows the progress."""
    return [*_drained(folder / "drained", events, step), *_capped(folder / "capped", events, step)]


def _drained(folder: Path, events: int, step: Callable[[str], None]) -> list[ChaosRow]:
    step(f"storing {events} events")
    with Rig(folder, FORGETFUL) as rig:
        rig.wire.cut()
        rig.emitter.start(RATE, events)
        start_mb = rig.emitter.status["memory_mb"]
        rig.emitter.wait_for(lambda status: status["done"], 60 + events / 100)
        stored = rig.emitter.status["waiting"]
        step("draining")
        rig.wire.mend()
        rig.settle(60 + events / 100)
        balance, received = rig.balance(), rig.recorder.events
        growth_mb = max(rig.emitter.memory_mb) - start_mb
        per_s = (len(received) - 1) / (received[-1].at_ns - received[0].at_ns) * 1e9
    lost = len(balance.missing) + balance.unreceived
    return [
        ChaosRow(
            what="broker away",
            goal=f"{events} stored, 0 lost or out of order",
            figure=f"{stored} stored, {lost} lost, {balance.disordered} out of order",
            ok=stored == events and balance.is_even,
        ),
        ChaosRow(
            what="and back: drained",
            goal=f">= {MIN_DRAINED_PER_S} events/s",
            figure=f"{per_s:.0f}/s",
            ok=per_s >= MIN_DRAINED_PER_S,
            note="from the first to the last at the subscriber",
        ),
        ChaosRow(
            what="memory meanwhile",
            goal=f"+ <= {MAX_GROWTH_MB:g} MB",
            figure=f"+ {growth_mb:.1f} MB",
            ok=growth_mb <= MAX_GROWTH_MB,
            note=f"resident, from {start_mb:.0f} MB; the process makes the events too",
            samples={"memory, MB": rig.emitter.memory_mb},
        ),
    ]


def _capped(folder: Path, events: int, step: Callable[[str], None]) -> list[ChaosRow]:
    step(f"{events} events, max_mb = {MAX_MB:g}")
    with Rig(folder, FORGETFUL, max_mb=MAX_MB) as rig:
        rig.wire.cut()
        rig.emitter.start(RATE, events)
        rig.emitter.wait_for(lambda status: status["done"], 60 + events / 100)
        size_mb, log_mb = ((rig.outbox / name).stat().st_size / 1e6 for name in (DATABASE, f"{DATABASE}-wal"))
        rig.wire.mend()
        rig.settle()
        balance, dropped = rig.balance(), rig.emitter.status["dropped"]
        received = rig.recorder.events
        firsts = {camera: min(event.seq for event in received if event.camera == camera) for camera in CAMERAS}
    # the oldest of all cameras together: the emitter takes them in turn
    are_oldest = len(balance.missing) == sum(first - 1 for first in firsts.values())
    are_oldest = are_oldest and max(firsts.values()) - min(firsts.values()) <= 1
    return [
        ChaosRow(
            what="size cap while away",
            goal=f"dropped == emitted - received, the oldest; outbox.db <= {MAX_MB:g} MB",
            figure=f"{dropped} == {balance.emitted} - {balance.received}; {size_mb:.1f} MB",
            ok=dropped == balance.emitted - balance.received > 0
            and are_oldest
            and not balance.doubles + balance.disordered
            and size_mb <= MAX_MB
            and log_mb <= MAX_LOG_MB,
            note=f"beside it SQLite's log, {log_mb:.1f} MB of at most {MAX_LOG_MB:g}, and a reserve of 1 MB",
        )
    ]
