"""Two cameras, one of which dies every ten seconds: the effect on the other. Periods with and without alternate."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.chaos.row import ChaosRow, Skipped
from tests.chaos_cameras.site import SMALL, Site
from tests.support.rtsp import RtspCamera

RATE, LATENCY = 0.02, 0.10
DEATHS, EVERY_S, DEAD_S = 2, 10.0, 2.0  # in a period; from one to the next; until it is restarted
STEADY, DYING = "steady", "dying"
DRAWS = 2000  # samples of the periods, with replacement, for the error of a percentile


@dataclass(frozen=True)
class Period:
    """The clips of the steady camera in one period."""

    clips_s: float  # clips a second
    latency_ms: list[float]


def beside(folder: Path, rounds: int, seed: int, step: Callable[[str], None]) -> list[ChaosRow | Skipped]:
    cameras = {name: RtspCamera("", "test:", *SMALL) for name in (STEADY, DYING)}
    calm: list[Period] = []
    dying: list[Period] = []
    with Site(folder, cameras, "motion_gate = false", scores=True) as site:
        site.started()
        time.sleep(5)
        for number in range(rounds):
            for what, periods in (("nothing dies", calm), ("one dies", dying))[:: (-1) ** number]:
                step(f"round {number + 1} of {rounds}: {what}")
                periods.append(_period(site, deaths=DEATHS if periods is dying else 0))
                site.listener.until(site.streaming, 60)
                time.sleep(1)
    return [_rate(calm, dying), _latency(calm, dying, seed)]


def _period(site: Site, deaths: int) -> Period:
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
    scores = site.listener.scores[STEADY][before:]
    killer.join()
    if len(scores) < 2:
        return Period(0.0, [])
    seconds = scores[-1].at_s - scores[0].at_s
    return Period((len(scores) - 1) / seconds, [score.payload["latency_ms"] for score in scores])


def _rate(calm: list[Period], dying: list[Period]) -> ChaosRow | Skipped:
    ratios = [other.clips_s / one.clips_s for one, other in zip(calm, dying, strict=True)]
    change = statistics.mean(ratios) - 1
    error = 1.96 * statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("inf")
    note = (
        f"{statistics.mean(one.clips_s for one in calm):.2f} clips/s; mean and 95 % error of {len(ratios)} pairs of "
        f"periods of {DEATHS * EVERY_S:g} s; load {os.getloadavg()[0]:.1f}"
    )
    return _row("one camera dies: clips of the other", RATE, change, error, note, {"ratios": ratios}, abs(change))


def _latency(calm: list[Period], dying: list[Period], seed: int) -> ChaosRow | Skipped:
    drawn = np.random.default_rng(seed)

    def p99(periods: list[Period], chosen: list[int]) -> float:
        return float(np.percentile([one for number in chosen for one in periods[number].latency_ms], 99))

    everyone = list(range(len(calm)))
    change = p99(dying, everyone) / p99(calm, everyone) - 1
    picks = [list(drawn.choice(everyone, len(everyone))) for _ in range(DRAWS)]
    likely = [p99(dying, pick) / p99(calm, pick) - 1 for pick in picks]
    error = float(np.percentile(likely, 97.5) - np.percentile(likely, 2.5)) / 2
    clips = sum(len(one.latency_ms) for one in calm)
    note = (
        f"{p99(calm, everyone):.1f} ms while nothing dies, {p99(dying, everyone):.1f} while one does; {clips} clips "
        f"of {len(calm)} periods each; error by resampling the periods; load {os.getloadavg()[0]:.1f}"
    )
    samples = {
        f"{name}, ms": [one for spell in periods for one in spell.latency_ms]
        for name, periods in (("calm", calm), ("dying", dying))
    }
    return _row("one camera dies: p99 latency of the other", LATENCY, change, error, note, samples, change)


def _row(
    what: str, goal: float, change: float, error: float, note: str, samples: dict[str, list[float]], distance: float
) -> ChaosRow | Skipped:
    figure = f"{change:+.1%} +- {error:.1%}"
    if error > goal and distance - error < goal:
        return Skipped(what, f"{figure}: too noisy on this host to compare with {goal:.0%}; {note}")
    return ChaosRow(what, f"within {goal:.0%}", figure, distance <= goal, note, samples)
