"""A wall clock that jumps, for the daemon only: no stall may be reported, and no action may change its length.

The real length of an action is known only from the arrival of its start and its end, which are both a little late. So
the length in an event is compared with the time between these two; one that deviates from the others' is wrong.
"""

import statistics
import struct
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from tests.chaos.row import ChaosRow, Skipped
from tests.chaos_cameras.listener import Received
from tests.chaos_cameras.site import Site
from tests.support.rtsp import RtspCamera

SHIM = Path(__file__).with_name("clock.c")
CALM_S = 20.0  # without a jump, at the start and at the end
JUMPS_S = (86_400.0, 0.0, -86_400.0, 0.0, -3600.0, 0.0)  # ahead of the real time, one after the other ...
STAY_S = 8.0  # ... each for this long
SWAY_S, SWAY_EVERY_S = 2.0, 5.0  # then forwards and backwards
MAX_DEVIATION_S = 1.0  # of a length from the others': a clip's time, and half of the smallest jump
CAMERAS = 2


def clock(folder: Path, sways: int, step: Callable[[str], None]) -> list[ChaosRow | Skipped]:
    """Let the clock jump, and then `sways` times by +-2 s."""
    folder.mkdir(parents=True)
    library, ahead = folder / "clock.so", folder / "ahead"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-Wall", "-o", library, SHIM, "-ldl"], check=True)
    ahead.write_bytes(struct.pack("d", 0.0))
    cameras = {f"camera-{n}": RtspCamera("", "demo:", "--size", "240x180", "--rate", "15") for n in range(CAMERAS)}
    environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(ahead)}
    jumps = 0
    with Site(folder, cameras, environment=environment) as site:
        site.started()
        began_s = time.monotonic()
        for ahead_s, stay_s in _plan(sways):
            step(f"the clock is {ahead_s:+g} s ahead")
            with ahead.open("r+b") as file:
                file.write(struct.pack("d", ahead_s))
            jumps += 1
            time.sleep(stay_s)
        statuses = [status for name in cameras for status in site.listener.statuses[name] if status.at_s > began_s]
        events = list(site.listener.events)
    off_s = [_ahead_s(one) for one in events]
    states = [status.payload["state"] for status in statuses]
    stalls = Counter(state for state in states if state != "streaming")
    what = f"{jumps} jumps of the clock"
    return [
        ChaosRow(
            what=f"{what}: stalls",
            goal="0",
            figure=f"{stalls.total()}" + "".join(f", {state} {number}" for state, number in stalls.items()),
            ok=not stalls and bool(states) and min(off_s) < -80_000 and max(off_s) > 80_000,
            note=f"+-1 day, -1 h, and {sways} of +-{SWAY_S:g} s every {SWAY_EVERY_S:g} s; {CAMERAS} cameras, "
            f"{len(states)} statuses; events had times {min(off_s):+.0f} to {max(off_s):+.0f} s off",
        ),
        *_lengths(what, events),
        _ids(what, events),
    ]


def _plan(sways: int) -> Iterator[tuple[float, float]]:
    """Yield how far the clock is ahead, and for how long, in seconds."""
    yield 0.0, CALM_S
    for ahead_s in JUMPS_S:
        yield ahead_s, STAY_S
    for number in range(sways):
        yield SWAY_S * (-1) ** number, SWAY_EVERY_S
    yield 0.0, CALM_S


def _ahead_s(event: Received) -> float:
    real_s = time.time() - time.monotonic() + event.at_s
    return datetime.fromisoformat(event.payload["window"]["to"]).timestamp() - real_s


def _lengths(what: str, events: list[Received]) -> list[ChaosRow | Skipped]:
    actions: defaultdict[str, dict[str, Received]] = defaultdict(dict)
    for event in events:
        actions[event.payload["id"]][event.payload["type"]] = event
    whole = [(action["start"], action["end"]) for action in actions.values() if {"start", "end"} <= action.keys()]
    if len(whole) < 3:
        return [Skipped(f"{what}: lengths", f"{len(whole)} whole actions are too few")]
    lengths = [_length_s(end) for _, end in whole]
    differ = [length - (end.at_s - start.at_s) for length, (start, end) in zip(lengths, whole, strict=True)]
    middle = statistics.median(differ)
    off = [one - middle for one in differ]
    wrong = sum(abs(by) > MAX_DEVIATION_S or length < 0 for by, length in zip(off, lengths, strict=True))
    return [
        ChaosRow(
            what=f"{what}: actions of a wrong length",
            goal=f"0: none is off by more than {MAX_DEVIATION_S:g} s",
            figure=f"{wrong} of {len(whole)}",
            ok=not wrong,
            note=f"the worst is off by {max(off, key=abs):+.2f} s; length {min(lengths):.1f} to {max(lengths):.1f} s",
            samples={"off, s": off, "length, s": lengths},
        )
    ]


def _length_s(end: Received) -> float:
    began, ended = (datetime.fromisoformat(end.payload[key]) for key in ("started_at", "ended_at"))
    return (ended - began).total_seconds()


def _ids(what: str, events: list[Received]) -> ChaosRow:
    twice = len(events) - len({(one.payload["id"], one.payload["type"], one.payload["seq"]) for one in events})
    starts = [one.payload["id"] for one in events if one.payload["type"] == "start"]
    shared = len(starts) - len(set(starts))
    seqs: defaultdict[str, list[int]] = defaultdict(list)
    for one in events:
        seqs[one.payload["camera"]].append(one.payload["seq"])
    gaps = sum(numbers != list(range(numbers[0], numbers[0] + len(numbers))) for numbers in seqs.values())
    return ChaosRow(
        what=f"{what}: ids",
        goal="all unique, numbers without a gap",
        figure=f"{twice + shared} twice, {gaps} cameras with a gap",
        ok=not twice + shared + gaps and bool(starts),
        note=f"{len(events)} events, {len(starts)} actions",
    )
