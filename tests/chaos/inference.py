"""The time per clip of a real daemon, in spells of an outage, of a slow link, and of neither.

The daemon is a process of its own, changed only to write every clip's times to a file.
"""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from edge_tdn.config.load import load
from edge_tdn.messages import NS_PER_MS, Scores
from edge_tdn.process.signals import stop_on_signals
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.recognition import Recognition
from tests.chaos.broker import FORGETFUL, Broker
from tests.chaos.row import ChaosRow, Skipped
from tests.chaos.subscriber import EventRecorder
from tests.support.waiting import eventually
from tests.support.wire import Wire

MAX_SLOWDOWN = 0.01
SPELL_S = 4.0
DRAIN_S = 1.5  # after which waiting events have been sent
NOTCH = 1.57  # quartile distances over the root of the count: 95 % of a median (McGill, Tukey and Larsen 1978)
SLOW = (0.3, 2000)  # seconds each way, bytes a second
CAMERAS = 3
IDLE_NS = 50 * NS_PER_MS  # since the clip before; the cameras begin together, so that their clips come together
# every clip gives an update, so that there is much to store and to send
SITE = """
host = "chaos"
[broker]
url = "mqtt://127.0.0.1:{port}"
[runtime]
threads = 1
[decide]
update_interval_s = 0.001
merge_gap_s = 0.0
cool_down_s = 0.0
[outbox]
folder = "{outbox}"
"""
CAMERA = """
[[camera]]
name = "camera{number}"
source = "demo:"
loop = true
motion_gate = false
"""


def inference(folder: Path, rounds: int, step: Callable[[str], None]) -> list[ChaosRow | Skipped]:
    """Run `rounds` of both kinds of spells; `step` shows the progress."""
    folder.mkdir(parents=True)
    broker = Broker(folder, FORGETFUL)
    wire = Wire(broker.port)
    recorder = EventRecorder(broker.port, "edge-tdn/chaos")
    site, clips = folder / "site.toml", folder / "clips"
    site.write_text(
        SITE.format(port=wire.port, outbox=folder / "outbox")
        + "".join(CAMERA.format(number=number) for number in range(CAMERAS))
    )
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen([sys.executable, "-m", "tests.chaos.inference", site, clips], stderr=log)
    try:
        eventually(lambda: recorder.count > 20)
        spells = _spells(wire, recorder, clips, rounds, step)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(20)
        recorder.close()
        wire.close()
        broker.kill()
    return [_row("outage", 0, spells), _row("slow link", 1, spells)]


def _spells(
    wire: Wire, recorder: EventRecorder, clips: Path, rounds: int, step: Callable[[str], None]
) -> dict[str, list[float]]:
    """Return the median hop of every spell, in ms. A calm spell comes before and after each of the others."""
    troubles: dict[str, Callable[[], None]] = {"outage": wire.cut, "slow link": lambda: wire.slow(*SLOW)}
    medians: dict[str, list[float]] = defaultdict(list)
    medians["calm"].append(_spell(clips))
    for number in range(rounds):
        for what, trouble in troubles.items():
            step(f"round {number + 1} of {rounds}: {what}")
            trouble()
            medians[what].append(_spell(clips))
            wire.mend()
            wire.reset()  # drops what is still on the slow link
            count = recorder.count
            eventually(lambda before=count: recorder.count > before)  # type: ignore[misc]
            time.sleep(DRAIN_S)
            step(f"round {number + 1} of {rounds}: calm")
            medians["calm"].append(_spell(clips))
    return medians


def _spell(clips: Path) -> float:
    """Return the median hop of a spell, in ms: of clips that find the processor awake, and of those that wake it.

    The latter take half as long again. Both are weighted by how often they come on average, so that no figure depends
    on the mixture of its spell.
    """
    began_ns = time.monotonic_ns()
    time.sleep(SPELL_S)
    times = np.loadtxt(clips.read_text().split("\n")[:-1])
    scored_ns, hops_ms = times[times[:, 0] >= began_ns].T
    wakes = np.diff(scored_ns, prepend=-np.inf) > IDLE_NS
    return float((np.median(hops_ms[wakes]) + (CAMERAS - 1) * np.median(hops_ms[~wakes])) / CAMERAS)


def _row(what: str, first: int, spells: dict[str, list[float]]) -> ChaosRow | Skipped:
    """Compare spells with their calm neighbours.

    `first`: index of the calm spell before the first of them; every second one comes before the next.
    """
    calm = spells["calm"]
    ratios = [trouble / ((calm[first + 2 * n] + calm[first + 2 * n + 1]) / 2) for n, trouble in enumerate(spells[what])]
    low, middle, high = quantiles(ratios, n=4)
    change, error = middle - 1, NOTCH * (high - low) / len(ratios) ** 0.5
    calms = [after / before for before, after in pairwise(calm)]
    name = f"a hop in an {what}" if what == "outage" else f"a hop on a {what}"
    note = (
        f"{median(calm):.2f} ms; median and its 95 % error of {len(ratios)} spells of {SPELL_S:g} s, each against "
        f"the calm ones before and after; calm neighbours differ by {median(abs(one - 1) for one in calms):.1%}; "
        f"{CAMERAS} cameras, an event a clip; load {os.getloadavg()[0]:.1f}"
    )
    figure = f"{change:+.1%} +- {error:.1%}"
    if change - error < MAX_SLOWDOWN <= change + error:
        return Skipped(name, f"{figure}: the load of this host varies too much to resolve {MAX_SLOWDOWN:.0%}; {note}")
    samples = {f"{kind}, ms": values for kind, values in spells.items()}
    return ChaosRow(name, f"slower by < {MAX_SLOWDOWN:.0%}", figure, change + error < MAX_SLOWDOWN, note, samples)


def _observed(site: Path, clips: Path) -> None:
    """Run the daemon, which writes for every clip when it was scored, in ns, and how long that took, in ms."""
    file, scored = clips.open("w", buffering=1), Recognition.scored

    def observed(recognition: Recognition, scores: Scores) -> None:
        file.write(f"{scores.scored_ns} {(scores.scored_ns - scores.taken_ns) / NS_PER_MS:.4f}\n")
        scored(recognition, scores)

    Recognition.scored = observed  # type: ignore[method-assign]
    daemon = Daemon(load(site), site.parent)
    stop_on_signals(daemon.stop)
    daemon.run()


if __name__ == "__main__":
    _observed(Path(sys.argv[1]), Path(sys.argv[2]))
