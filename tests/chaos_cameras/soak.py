"""A daemon that is left alone: its resources over minutes or days, as a table (CSV) and as a plot."""

import csv
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge_tdn.replay.plot import INK, SPAN
from tests.chaos.row import ChaosRow, Skipped
from tests.chaos_cameras.growth import growth
from tests.chaos_cameras.site import Held, Site
from tests.support.rtsp import RtspCamera

GROWS_MB = 2.0  # an hour
WARM = 0.3  # share of the time in which caches fill, ...
MAX_WARM_S = 1800.0  # ... at most this long
SAMPLES = 600
MOVING, STILL = "moving", "still"
COLUMNS = ("hours", "rss_mb", "threads", "fds", "clips")


def soak(folder: Path, out: Path, hours: float, step: Callable[[str], None]) -> list[ChaosRow | Skipped]:
    """Run two cameras: a moving scene, and a still one with sensor noise."""
    cameras = {
        MOVING: RtspCamera("", "demo:", "--size", "320x240", "--rate", "15"),
        STILL: RtspCamera("", "noise:", "--rate", "15"),
    }
    out.mkdir(parents=True, exist_ok=True)
    table: list[tuple[float, Held]] = []
    with Site(folder, cameras) as site, (out / "soak.csv").open("w", newline="", buffering=1) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        site.started()
        began_s, every_s = time.monotonic(), hours * 3600 / SAMPLES
        while (gone_h := (time.monotonic() - began_s) / 3600) < hours:
            held = site.held
            table.append((gone_h, held))
            clips = [site.listener.statuses[name][-1].payload["clips"] for name in cameras]
            writer.writerow([f"{gone_h:.5f}", f"{held.rss_mb:.3f}", held.threads, held.fds, sum(clips)])
            step(f"{gone_h:.2f} of {hours:g} h, {held.rss_mb:.1f} MB, {held.threads} threads, {held.fds} fds")
            time.sleep(max(0.0, min(every_s, began_s + len(table) * every_s - time.monotonic())))
        recorded = {name: [one for one in site.listener.statuses[name] if one.at_s > began_s] for name in cameras}
        states = {name: Counter(one.payload["state"] for one in recorded[name]) for name in cameras}
    picture = _plot(table, out / "soak.png")
    warm_h = min(WARM * hours, MAX_WARM_S / 3600)
    warm = [(at_h, held) for at_h, held in table if at_h >= warm_h]
    return [*_constant(warm, hours, states[MOVING]), *_grows(warm, hours, warm_h, picture), _alarms(states, hours)]


def _grows(warm: list[tuple[float, Held]], hours: float, warm_h: float, picture: str) -> list[ChaosRow | Skipped]:
    note = (
        f"over the last {60 * (hours - warm_h):.0f} of {60 * hours:.0f} minutes; {warm[-1][1].rss_mb:.0f} MB; {picture}"
    )
    resident = [held.rss_mb for _, held in warm]
    return [growth("soak: memory", GROWS_MB, "MB in an hour", [at_h for at_h, _ in warm], resident, note)]


def _constant(warm: list[tuple[float, Held]], hours: float, states: Counter[str]) -> list[ChaosRow]:
    """Compare the most at the end with the most at the beginning: some threads and files exist only for a while."""
    quarter = max(1, len(warm) // 4)
    first, last = ([held for _, held in part] for part in (warm[:quarter], warm[-quarter:]))
    more = [max(getattr(h, what) for h in last) - max(getattr(h, what) for h in first) for what in ("threads", "fds")]
    threads, fds = ({getattr(held, what) for _, held in warm} for what in ("threads", "fds"))
    return [
        ChaosRow(
            what="soak: threads and fds",
            goal="constant: at the end no more than at the beginning",
            figure=f"{_range(threads)} threads, {_range(fds)} fds; {more[0]:+d}, {more[1]:+d}",
            ok=max(more) <= 0,
            note=f"{60 * hours:.0f} minutes, 2 cameras, {len(warm)} samples, the most in the last quarter against the "
            f"first; states of the first camera: {_counts(states)}",
        )
    ]


def _alarms(states: dict[str, Counter[str]], hours: float) -> ChaosRow:
    false = states[STILL].total() - states[STILL]["streaming"]
    return ChaosRow(
        what="a still but noisy scene",
        goal="always streaming",
        figure=f"{false} other statuses",
        ok=not false and bool(states[STILL]),
        note=f"{60 * hours:.0f} minutes: {_counts(states[STILL])}",
    )


def _counts(states: Counter[str]) -> str:
    return ", ".join(f"{state} {number}" for state, number in states.items())


def _range(values: set[int]) -> str:
    return f"{min(values)}" if len(values) == 1 else f"{min(values)} to {max(values)}"


def _plot(table: list[tuple[float, Held]], path: Path) -> str:
    """Write the plot, and return its path and the table's in words."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), dpi=110, layout="constrained")
    rows = figure.subplots(3, sharex=True, height_ratios=(3, 1, 1))
    hours = [at_h for at_h, _ in table]
    for axes, name, colour in zip(rows, ("rss_mb", "threads", "fds"), (INK, SPAN, SPAN), strict=True):
        axes.plot(hours, [getattr(held, name) for _, held in table], color=colour, linewidth=1.4)
        axes.set_ylabel({"rss_mb": "resident memory, MB"}.get(name, name))
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    rows[-1].set_xlabel("hours")
    figure.savefig(path)
    return f"{path}, and .csv"
