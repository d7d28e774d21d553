"""Cameras that fail and return, again and again: the delay of the report and of the next frames, and what is left over.

    killed      the camera's process is killed (SIGKILL)
    refused     its port is closed when the daemon switches it on
    half-open   its process is stopped (SIGSTOP): connections stay open, and nothing arrives
    frozen      it repeats one picture

All kinds run at the same time, each with cameras of its own, because most of the time is waiting.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.row import ChaosRow, Skipped
from tests.chaos_cameras.growth import growth
from tests.chaos_cameras.listener import WITHOUT_FRAMES, Listener
from tests.chaos_cameras.site import SMALL, Held, Site
from tests.support.rtsp import RtspCamera

Step = Callable[[str], None]
BACK_S = 5.0  # from a camera's return to its frames
RSS_MB = 1.0  # that the daemon may grow in 100 cycles
IN_FLIGHT_S = 2.6  # a clip of the shipped model, and frames in flight: they show motion from before the freeze
STEADY_S, AWAY_S = (1.0, 2.0), (0.0, 2.0)  # shortest and longest: before a fault, and after its report
WARM = 3  # first cycles of every camera, which are not counted
RESTS = 10  # number of times, evenly spread, that all cameras stream and the daemon's resources are read
GIVE_UP = 3  # faults in a row without a report, after which the kind is given up


@dataclass(frozen=True)
class Kind:
    """A fault. `begin` and `end` return the monotonic second from which it counts."""

    noticed_s: float  # the goal
    states: tuple[str, ...]  # that report it
    cameras: int  # that share the cycles
    begin: Callable[[Listener, str, RtspCamera], float]
    end: Callable[[RtspCamera], None]
    film: tuple[str, ...] = ("", "test:", *SMALL)


@dataclass
class Trials:
    """The results of one kind's cycles."""

    noticed_s: list[float | None] = field(default_factory=list)  # None: not within twice the goal and 5 s
    back_s: list[float | None] = field(default_factory=list)
    periods: list[tuple[str, float, float]] = field(default_factory=list)  # camera, and from and until when, wall clock


def _now(act: Callable[[], object]) -> float:
    """Act, and return when it began: the report may arrive before `act` returns."""
    began_s = time.monotonic()
    act()
    return began_s


def _refuse(listener: Listener, name: str, camera: RtspCamera) -> float:
    began = time.monotonic()
    listener.enable(name, False)
    listener.wait(name, ("disabled",), began, 10)
    camera.fault("drop")
    time.sleep(0.3)
    began = time.monotonic()
    listener.enable(name, True)
    return began


KINDS = {
    "killed": Kind(1, WITHOUT_FRAMES, 1, lambda _, __, camera: _now(camera.kill), RtspCamera.start),
    "refused": Kind(1, ("unreachable",), 1, _refuse, lambda camera: camera.fault("ok")),
    "half-open": Kind(6, WITHOUT_FRAMES, 2, lambda _, __, camera: _now(camera.freeze), RtspCamera.thaw),
    "frozen": Kind(
        10,
        ("frozen",),
        2,
        lambda _, __, camera: _now(lambda: camera.fault("freeze")),
        lambda camera: camera.fault("ok"),
        ("", "demo:", "--size", "240x180", "--rate", "15"),
    ),
}


def cycles(
    folder: Path, count: int, kinds: Sequence[str], seed: int, step: Step, warm: int = WARM
) -> list[ChaosRow | Skipped]:
    """Run `count` cycles of each kind, after `warm` of every camera."""
    lanes = [(kind, f"{kind}-{number}") for kind in kinds for number in range(min(KINDS[kind].cameras, count))]
    cameras = {name: RtspCamera(*KINDS[kind].film) for kind, name in lanes}
    trials = {kind: Trials() for kind in kinds}
    dice = {name: random.Random(f"{seed} {name}") for name in cameras}
    done: list[str] = []  # the kind of each cycle that is over
    rests: list[tuple[float, Held]] = []  # after how many hundred cycles what was held
    with Site(folder, cameras) as site:
        site.started()

        def lane(kind: str, name: str, share: int, results: Trials) -> None:
            missed = 0
            for _ in range(share):
                if missed == GIVE_UP or site.daemon is None or site.daemon.poll() is not None:
                    return
                reported = _cycle(site.listener, KINDS[kind], name, cameras[name], dice[name], results)
                missed = 0 if reported else missed + 1
                if results is trials[kind]:
                    done.append(kind)
                step(f"cycle {len(done)} of {count * len(kinds)}")

        def run(shares: dict[str, int], into: dict[str, Trials]) -> None:
            with ThreadPoolExecutor(len(lanes)) as pool:
                for job in [pool.submit(lane, kind, name, shares[name], into[kind]) for kind, name in lanes]:
                    job.result()

        run({name: warm for _, name in lanes}, {kind: Trials() for kind in kinds})
        before = site.at_rest()
        each = {kind: sum(one == kind for one, _ in lanes) for kind in kinds}
        shares = {name: count // each[kind] + (int(name[-1]) < count % each[kind]) for kind, name in lanes}
        times = min(RESTS, count)
        for rest in range(times):
            run({name: share * (rest + 1) // times - share * rest // times for name, share in shares.items()}, trials)
            rests.append((len(done) / 100, site.at_rest(before)))
        events = [event.payload for event in site.listener.events]
        starts = [event for event in events if event["type"] == "start"]
    rows: list[ChaosRow | Skipped] = [row for kind in kinds for row in _rows(kind, trials[kind], count)]
    if "frozen" in kinds:
        rows.append(_events(starts, trials["frozen"]))
    return [*rows, *_left(before, rests)]


def _cycle(listener: Listener, kind: Kind, name: str, camera: RtspCamera, dice: random.Random, results: Trials) -> bool:
    """Cause one fault and end it. Return True if it was reported."""
    listener.until(lambda: listener.state(name) == "streaming", 60)
    time.sleep(dice.uniform(*STEADY_S))
    began_s, began_wall_s = kind.begin(listener, name, camera), time.time()
    reported_s = listener.wait(name, kind.states, began_s, 2 * kind.noticed_s + 5)
    results.noticed_s.append(reported_s and reported_s - began_s)
    time.sleep(dice.uniform(*AWAY_S))
    results.periods.append((name, began_wall_s, time.time()))
    ending_s = time.monotonic()
    kind.end(camera)
    ended_s = time.monotonic()
    back_s = listener.wait(name, ("streaming",), ending_s if reported_s else began_s, 70)
    results.back_s.append(back_s and max(0.0, back_s - ended_s))
    return reported_s is not None


def _rows(kind: str, trials: Trials, count: int) -> list[ChaosRow]:
    noticed = [seconds for seconds in trials.noticed_s if seconds is not None]
    back = [seconds for seconds in trials.back_s if seconds is not None]
    goal_s = KINDS[kind].noticed_s
    return [
        ChaosRow(
            what=what,
            goal=f"<= {limit_s:g} s, {count} of {count}",
            figure=_longest(found, count),
            ok=len(found) == count and max(found) <= limit_s,
            note=_note(found),
            samples={"s": found},
        )
        for what, limit_s, found in (
            (f"{kind}: noticed", goal_s, noticed),
            (f"{kind}: streams again", BACK_S, back),
        )
    ]


def _longest(found: list[float], count: int) -> str:
    return f"{max(found):.2f} s, {len(found)} of {count}" if found else f"0 of {count}"


def _note(found: list[float]) -> str:
    return f"the longest; median {statistics.median(found):.2f} s; at a subscriber" if found else ""


def _events(starts: list[dict[str, Any]], trials: Trials) -> ChaosRow:
    """Return the row of the actions that began while the picture was frozen."""
    false = [
        (_seconds(start["started_at"]) - from_s, start["label"])
        for start in starts
        for camera, from_s, until_s in trials.periods
        if start["camera"] == camera and from_s + IN_FLIGHT_S < _seconds(start["started_at"]) < until_s
    ]
    frozen_s = sum(until_s - from_s for _, from_s, until_s in trials.periods)
    return ChaosRow(
        what="events from a frozen picture",
        goal="0",
        figure=f"{len(false)}",
        ok=not false and bool(trials.periods),
        note=f"{frozen_s:.0f} s of it; {len(starts)} actions before and after"
        + "".join(f"; {label} after {after_s:.1f} s" for after_s, label in false[:5]),
        samples={"seconds after it froze": [after_s for after_s, _ in false]},
    )


def _seconds(time_: str) -> float:
    return datetime.fromisoformat(time_).replace(tzinfo=UTC).timestamp()


def _left(before: Held, rests: list[tuple[float, Held]]) -> list[ChaosRow | Skipped]:
    hundreds, after = rests[-1]
    return [
        ChaosRow(
            what=f"left behind by {100 * hundreds:.0f} cycles",
            goal="0 threads, 0 fds",
            figure=f"{after.threads - before.threads} threads, {after.fds - before.fds} fds",
            ok=after.threads <= before.threads and after.fds <= before.fds,
            note=f"{before.threads} threads and {before.fds} fds before, while all cameras streamed",
        ),
        growth(
            "memory",
            RSS_MB,
            "MB in 100 cycles",
            [at for at, _ in rests],
            [held.rss_mb for _, held in rests],
            f"over {100 * hundreds:.0f} cycles, while all cameras streamed; {before.rss_mb:.0f} MB before, "
            f"{after.rss_mb:.0f} after",
        ),
    ]
