"""Two cameras, one of which dies every ten seconds: what does the other notice? Spells with and without, in turn."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.chaos.row import Row, Skipped
from tests.chaos_cameras.site import SMALL, Site
from tests.support.rtsp import RtspCamera

RATE, LATENCY = 0.02, 0.10
DEATHS, EVERY_S, DEAD_S = 2, 10.0, 2.0  # in a spell; from one to the next; until it is started again
STEADY, DYING = "steady", "dying"
DRAWS = 2000  # of spells, with replacement, for the error of a percentile


@dataclass(frozen=True)
class Spell:
    """What came from the steady camera."""

    clips_s: float  # clips a second
    latency_ms: list[float]


def beside(folder: Path, rounds: int, seed: int, step: Callable[[str], None]) -> list[Row | Skipped]:
    cameras = {name: RtspCamera("", "test:", *SMALL) for name in (STEADY, DYING)}
    calm: list[Spell] = []
    dying: list[Spell] = []
    with Site(folder, cameras, "motion_gate = false", scores=True) as site:
        site.started()
        time.sleep(5)
        for number in range(rounds):
            for what, spells in (("nothing dies", calm), ("one dies", dying))[:: (-1) ** number]:
                step(f"round {number + 1} of {rounds}: {what}")
                spells.append(_spell(site, deaths=DEATHS if spells is dying else 0))
                site.listener.until(site.streaming, 60)
                time.sleep(1)
    return [_rate(calm, dying), _latency(calm, dying, seed)]


def _spell(site: Site, deaths: int) -> Spell:
    began_s, before = time.monotonic(), len(site.listener.scores[STEADY])

    def die() -> None:
        for number in range(deaths):
            time.sleep(max(0.0, began_s + number * EVERY_S + 1 - time.monotonic()))
            site.cameras[DYING].kill()
            time.sleep(DEAD_S)
            site.cameras[DYING].start()

    killer = threading.Thread(target=die)
    killer.start()
    time.sleep(DEATHS * EVERY_S)
    heard = site.listener.scores[STEADY][before:]
    killer.join()
    if len(heard) < 2:
        return Spell(0.0, [])
    return Spell((len(heard) - 1) / (heard[-1].at_s - heard[0].at_s), [one.said["latency_ms"] for one in heard])


def _rate(calm: list[Spell], dying: list[Spell]) -> Row | Skipped:
    ratios = [other.clips_s / one.clips_s for one, other in zip(calm, dying, strict=True)]
    change = statistics.mean(ratios) - 1
    error = 1.96 * statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("inf")
    note = (
        f"{statistics.mean(one.clips_s for one in calm):.2f} clips/s; mean and 95 % error of {len(ratios)} pairs of "
        f"spells of {DEATHS * EVERY_S:g} s; load {os.getloadavg()[0]:.1f}"
    )
    return _row("one camera dies: clips of the other", RATE, change, error, note, {"ratios": ratios}, abs(change))


def _latency(calm: list[Spell], dying: list[Spell], seed: int) -> Row | Skipped:
    drawn = np.random.default_rng(seed)

    def p99(spells: list[Spell], chosen: list[int]) -> float:
        return float(np.percentile([one for number in chosen for one in spells[number].latency_ms], 99))

    everyone = list(range(len(calm)))
    change = p99(dying, everyone) / p99(calm, everyone) - 1
    picks = [list(drawn.choice(everyone, len(everyone))) for _ in range(DRAWS)]
    likely = [p99(dying, pick) / p99(calm, pick) - 1 for pick in picks]
    error = float(np.percentile(likely, 97.5) - np.percentile(likely, 2.5)) / 2
    clips = sum(len(one.latency_ms) for one in calm)
    note = (
        f"{p99(calm, everyone):.1f} ms while nothing dies, {p99(dying, everyone):.1f} while one does; {clips} clips "
        f"of {len(calm)} spells each; error by drawing spells anew; load {os.getloadavg()[0]:.1f}"
    )
    samples = {
        f"{name}, ms": [one for spell in spells for one in spell.latency_ms]
        for name, spells in (("calm", calm), ("dying", dying))
    }
    return _row("one camera dies: p99 latency of the other", LATENCY, change, error, note, samples, change)


def _row(
    what: str, goal: float, change: float, error: float, note: str, samples: dict[str, list[float]], distance: float
) -> Row | Skipped:
    figure = f"{change:+.1%} +- {error:.1%}"
    if error > goal and distance - error < goal:
        return Skipped(what, f"{figure}: this host is too restless to tell {goal:.0%}; {note}")
    return Row(what, f"within {goal:.0%}", figure, distance <= goal, note, samples)
