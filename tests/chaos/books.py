"""What was emitted against what was received.

An event exists from the moment that the outbox has stored it: `Outbox.put` has returned. One that was handed to the
publisher but not yet stored when the process was killed exists for nobody, and its number is given again. So there are
two counts, and both must fit: the outbox's own last number of every camera, and a log that the emitter's process writes
after each `put` (it misses what was stored in the instant before kill -9, and knows what waited in memory alone).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox.outbox import Outbox
from tests.chaos.subscriber import Heard


@dataclass(frozen=True)
class Books:
    """The balance, when all has come to rest."""

    emitted: int  # by the outbox's last numbers
    logged: int  # by the emitter's log
    received: int  # without duplicates
    missing: tuple[tuple[str, int], ...]  # camera and seq, from 1 to the camera's last, that did not come
    unheard: int  # in the log, and did not come
    doubles: int  # a number that came under two ids, or an event that came with two contents
    duplicates: int  # messages that came again, as at-least-once allows
    disordered: int  # events that came for the first time after a later one of their camera

    @property
    def balanced(self) -> bool:
        return not (self.missing or self.unheard or self.doubles or self.disordered)

    def __str__(self) -> str:
        return (
            f"{self.emitted} emitted, {len(self.missing)} lost, {self.doubles} doubles, {self.disordered} out of order"
        )


def books(heard: list[Heard], last: Mapping[str, int], log: Path) -> Books:
    """`last`: of every camera, its last number. `log`: the emitter's."""
    once: dict[tuple[str, str, int], Heard] = {}
    doubles = disordered = 0
    newest: Counter[str] = Counter()
    for event in heard:
        if event.key in once:
            doubles += once[event.key].payload != event.payload and not event.replayed
            continue
        once[event.key] = event
        disordered += event.seq < newest[event.camera] and not event.replayed
        newest[event.camera] = max(newest[event.camera], event.seq)
    places = Counter((event.camera, event.seq) for event in once.values())
    ids = {(event.id, event.seq) for event in once.values()}
    logged = logged_events(log)
    return Books(
        emitted=sum(last.values()),
        logged=len(logged),
        received=len(once),
        missing=tuple((c, seq) for c, until in last.items() for seq in range(1, until + 1) if (c, seq) not in places),
        unheard=len(logged - ids),
        doubles=doubles + sum(count - 1 for count in places.values()),
        duplicates=len(heard) - len(once),
        disordered=disordered,
    )


def logged_events(log: Path) -> set[tuple[str, int]]:
    """Id and number of every event that the emitter saw stored; the last line may be torn."""
    lines = log.read_text().split("\n")[:-1]
    return {(name, int(seq)) for name, _, seq in (line.partition(" ") for line in lines)}


def last_numbers(folder: Path, cameras: list[str]) -> dict[str, int]:
    """As the outbox itself knows them; nobody may be using it."""
    outbox = Outbox(folder, OutboxConfig())
    try:
        return {camera: outbox.last_seq(camera) for camera in cameras}
    finally:
        outbox.close()
