"""Brokers that end the connection over a message that is too large, without having announced a limit."""

from collections.abc import Callable
from pathlib import Path

from tests.chaos.broker import CAREFUL
from tests.chaos.rig import Rig
from tests.chaos.row import ChaosRow

LIMIT_BYTES, SNAPSHOT_BYTES = 6000, 15_000
EVENTS_PER_S = 0.5
MAX_CONNECTIONS = 6  # three end over the first picture
BROKERS = [("max_packet_size", "3.1.1"), ("message_size_limit", "5")]


def limits(folder: Path, seconds: float, step: Callable[[str], None]) -> list[ChaosRow]:
    """Publish events and pictures for a while to each kind of broker."""
    return [_limit(folder / key, key, protocol, seconds, step) for key, protocol in BROKERS]


def _limit(folder: Path, key: str, protocol: str, seconds: float, step: Callable[[str], None]) -> ChaosRow:
    step(f"{key} {LIMIT_BYTES}, MQTT {protocol}")
    with Rig(folder, f"{CAREFUL}\n{key} {LIMIT_BYTES}") as rig:
        rig.emitter.protocol, rig.emitter.snapshot_bytes = protocol, SNAPSHOT_BYTES
        rig.emitter.start(EVENTS_PER_S, round(EVENTS_PER_S * seconds))
        rig.settle(seconds + 120)
        counts, connects = rig.balance(), rig.emitter.status["connects"]
    return ChaosRow(
        f"pictures of {SNAPSHOT_BYTES / 1000:.0f} kB, {key} {LIMIT_BYTES}, MQTT {protocol}",
        f"0 lost, in order, at most {MAX_CONNECTIONS} connections in {seconds:.0f} s",
        f"{counts}; {connects} connections",
        counts.is_even and connects <= MAX_CONNECTIONS,
        "the broker ends the connection over every picture",
        {"connections": connects, "seconds": seconds},
    )
