"""A wall clock that jumps, for the daemon alone: no stall may be told, and no action may have another length.

How long an action really was nobody tells but the arrival of its start and its end, which both come a little late. So
the length that an event tells is held against the time between these two; what differs from the others' is wrong.
"""

import statistics
import struct
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from tests.chaos.row import Row, Skipped
from tests.chaos_cameras.listener import Heard
from tests.chaos_cameras.site import Site
from tests.support.rtsp import RtspCamera

SHIM = Path(__file__).with_name("clock.c")
CALM_S = 20.0  # first, and at the end
JUMPS_S = (86_400.0, 0.0, -86_400.0, 0.0, -3600.0, 0.0)  # ahead of the real time, one after the other ...
STAY_S = 8.0  # ... so long each
SWAY_S, SWAY_EVERY_S = 2.0, 5.0  # and then to and fro
WRONG_S = 1.0  # that a length differs from the others': a clip's time, and half of the least jump
CAMERAS = 2


def clock(folder: Path, sways: int, step: Callable[[str], None]) -> list[Row | Skipped]:
    """`sways`: jumps of +-2 s."""
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
        told = [(name, one.said["state"]) for name in cameras for one in site.listener.statuses[name]
                if one.at_s > began_s]  # fmt: skip
        events = list(site.listener.events)
    off_s = [_ahead_s(one) for one in events]
    stalls = Counter(state for _, state in told if state != "streaming")
    what = f"{jumps} jumps of the clock"
    return [
        Row(
            what=f"{what}: stalls",
            goal="0",
            figure=f"{stalls.total()}" + "".join(f", {state} {number}" for state, number in stalls.items()),
            ok=not stalls and bool(told) and min(off_s) < -80_000 and max(off_s) > 80_000,
            note=f"+-1 day, -1 h, and {sways} of +-{SWAY_S:g} s every {SWAY_EVERY_S:g} s; {CAMERAS} cameras, "
            f"{len(told)} statuses; events told times {min(off_s):+.0f} to {max(off_s):+.0f} s off",
        ),
        *_lengths(what, events),
        _ids(what, events),
    ]


def _plan(sways: int) -> Iterator[tuple[float, float]]:
    """How far ahead, and for how long."""
    yield 0.0, CALM_S
    for ahead_s in JUMPS_S:
        yield ahead_s, STAY_S
    for number in range(sways):
        yield SWAY_S * (-1) ** number, SWAY_EVERY_S
    yield 0.0, CALM_S


def _ahead_s(event: Heard) -> float:
    real_s = time.time() - time.monotonic() + event.at_s
    return datetime.fromisoformat(event.said["window"]["to"]).timestamp() - real_s


def _lengths(what: str, events: list[Heard]) -> list[Row | Skipped]:
    of: defaultdict[str, dict[str, Heard]] = defaultdict(dict)
    for one in events:
        of[one.said["id"]][one.said["type"]] = one
    whole = [(one["start"], one["end"]) for one in of.values() if {"start", "end"} <= one.keys()]
    if len(whole) < 3:
        return [Skipped(f"{what}: lengths", f"{len(whole)} whole actions are too few")]
    said = [_length_s(end) for _, end in whole]
    differ = [told - (end.at_s - start.at_s) for told, (start, end) in zip(said, whole, strict=True)]
    middle = statistics.median(differ)
    off = [one - middle for one in differ]
    wrong = sum(abs(one) > WRONG_S or told < 0 for one, told in zip(off, said, strict=True))
    return [
        Row(
            what=f"{what}: actions of a wrong length",
            goal=f"0: none is off by more than {WRONG_S:g} s",
            figure=f"{wrong} of {len(whole)}",
            ok=not wrong,
            note=f"the furthest is off by {max(off, key=abs):+.2f} s; lengths {min(said):.1f} to {max(said):.1f} s",
            samples={"off, s": off, "told, s": said},
        )
    ]


def _length_s(end: Heard) -> float:
    began, ended = (datetime.fromisoformat(end.said[key]) for key in ("started_at", "ended_at"))
    return (ended - began).total_seconds()


def _ids(what: str, events: list[Heard]) -> Row:
    twice = len(events) - len({(one.said["id"], one.said["type"], one.said["seq"]) for one in events})
    starts = [one.said["id"] for one in events if one.said["type"] == "start"]
    shared = len(starts) - len(set(starts))
    seqs: defaultdict[str, list[int]] = defaultdict(list)
    for one in events:
        seqs[one.said["camera"]].append(one.said["seq"])
    gaps = sum(numbers != list(range(numbers[0], numbers[0] + len(numbers))) for numbers in seqs.values())
    return Row(
        what=f"{what}: ids",
        goal="all unique, numbers without a gap",
        figure=f"{twice + shared} twice, {gaps} cameras with a gap",
        ok=not twice + shared + gaps and bool(starts),
        note=f"{len(events)} events, {len(starts)} actions",
    )
