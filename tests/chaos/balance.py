"""The balance of emitted and received events.

An event exists from the moment that the outbox has stored it: `Outbox.put` has returned. One that was handed to the
publisher, but was not stored when the process was killed, does not exist, and its number is given again. So there are
two counts, and both must fit: the outbox's own last number of every camera, and a log that the emitter's process writes
after each `put`. The log misses events that were stored just before kill -9, and has those that waited only in memory.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox.outbox import Outbox
from tests.chaos.subscriber import ReceivedEvent


@dataclass(frozen=True)
class Balance:
    """The counts after all has been delivered."""

    emitted: int  # by the outbox's last numbers
    logged: int  # by the emitter's log
    received: int  # without duplicates
    missing: tuple[tuple[str, int], ...]  # camera and seq, from 1 to the camera's last, that were not received
    unreceived: int  # in the log, and not received
    doubles: int  # a number that was received with two ids, or an event with two contents
    duplicates: int  # messages that were received again, as at-least-once allows
    disordered: int  # events that were received for the first time after a later one of their camera

    @property
    def is_even(self) -> bool:
        return not (self.missing or self.unreceived or self.doubles or self.disordered)

    def __str__(self) -> str:
        return (
            f"{self.emitted} emitted, {len(self.missing)} lost, {self.doubles} doubles, {self.disordered} out of order"
        )


def balance(events: list[ReceivedEvent], last: Mapping[str, int], log: Path) -> Balance:
    """Compare the received events with the last number of every camera (`last`) and with the emitter's log."""
    once: dict[tuple[str, str, int], ReceivedEvent] = {}
    doubles = disordered = 0
    newest: Counter[str] = Counter()
    for event in events:
        if event.key in once:
            doubles += once[event.key].payload != event.payload and not event.replayed
            continue
        once[event.key] = event
        disordered += event.seq < newest[event.camera] and not event.replayed
        newest[event.camera] = max(newest[event.camera], event.seq)
    numbers = Counter((event.camera, event.seq) for event in once.values())
    ids = {(event.id, event.seq) for event in once.values()}
    logged = logged_events(log)
    return Balance(
        emitted=sum(last.values()),
        logged=len(logged),
        received=len(once),
        missing=tuple((c, seq) for c, until in last.items() for seq in range(1, until + 1) if (c, seq) not in numbers),
        unreceived=len(logged - ids),
        doubles=doubles + sum(count - 1 for count in numbers.values()),
        duplicates=len(events) - len(once),
        disordered=disordered,
    )


def logged_events(log: Path) -> set[tuple[str, int]]:
    """Return id and number of every event that the emitter saw stored; the last line may be torn."""
    lines = log.read_text().split("\n")[:-1]
    return {(name, int(seq)) for name, _, seq in (line.partition(" ") for line in lines)}


def last_numbers(folder: Path, cameras: list[str]) -> dict[str, int]:
    """Return the last number of every camera from the outbox itself, which no process may be using."""
    outbox = Outbox(folder, OutboxConfig())
    try:
        return {camera: outbox.last_seq(camera) for camera in cameras}
    finally:
        outbox.close()
