"""`make bench-cameras`: what one runtime gives 1, 2, 4, 8 and 16 cameras, and what it does when that is too many.

Real scheduler, real OpenVINO. Segments were made beforehand (decoding is not measured here) and come in real time, a
thread for each camera, phases spread; all numbers of cameras in turn, several times over. Where 16 cameras would not
saturate this host, time is made to run faster.
"""

import argparse
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from statistics import mean

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge_tdn.errors import ConfigError, EdgeTdnError
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import GOLDEN, InputSpec, Model, find_model, open_model
from edge_tdn.messages import NS_PER_MS, NS_PER_S, EndReason, Scores, Segment
from tests.bench import batches

CAMERAS = (1, 2, 4, 8, 16)
SATURATED_BY = 6  # cameras; in the middle of the picture
SETTLE_S = 1.0  # after the first clip, before anything counts
PERCENTILES = (50, 95, 99)
HOPS, QUIET = 200, 10  # of so many hops this percentile: what others do on this host is not the network's cost
SLOW = "host too slow: "  # as statuses say it
TICK_S = 0.2  # of the progress bar


@dataclass(frozen=True)
class Cost:
    """What one segment and one clip take."""

    encode_s: float
    classify_s: float

    @property
    def hop_s(self) -> float:
        return self.encode_s + self.classify_s

    def hop(self, cameras: int, asked: float, most: int) -> float:
        """The hop that `cameras` can get at `asked` segments a second. At most `most` segments go into a turn."""
        spare_s = 1 / asked - cameras * self.encode_s  # of a segment's length, once every camera's has been encoded
        if spare_s * most < cameras * self.classify_s:  # then segments are let go that were not even encoded
            return cameras * asked * (most * self.encode_s + self.classify_s)
        return max(1.0, cameras * self.classify_s / spare_s)


@dataclass(frozen=True)
class Sample:
    """Some seconds with so many cameras."""

    wall_s: float
    cpu_s: float  # processor time of the process
    clips: list[int]  # of every camera
    latencies_ms: list[float]  # segment ready to scores; of every clip
    shed: int  # segments without a clip of their own
    says: str  # what a camera's status says


@dataclass(frozen=True)
class Load:
    """What so many cameras got."""

    cameras: int
    hop: float  # segments per clip, mean of all cameras; 1 is what they ask for
    hop_least: float  # of the camera that got most
    hop_most: float  # of the camera that got least
    latency_ms: dict[str, float]  # percentile -> segment ready to scores
    clips_s: float  # of all cameras together
    cores: float  # processor time of the process / wall time
    shed: float  # share of the segments without a clip of their own
    says: str  # what the cameras' statuses say


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, writes JSON and a plot; its exit status."""
    options = _parser().parse_args(arguments)
    levels = {name: logging.getLogger(name).level for name in ("edge_tdn", "torch.onnx")}
    try:
        for name in levels:  # the table says what they would
            logging.getLogger(name).setLevel(logging.ERROR)
        return _measured(options)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _measured(options: argparse.Namespace) -> int:
    console = Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)
    try:
        model = open_model(find_model(options.model, Path.cwd()))
        if options.batch:
            found = batches.measure(model, options.precision, options.threads, options.batch)
            console.print(batches.table(model, options.precision, found))
            console.print(batches.verdict(found))
            _write(options.out / f"batches-{model.manifest.id}-{options.precision}.json", batches.to_json(found))
            return 0
        runtime = open_runtime(model, options.precision, threads=options.threads)
    except EdgeTdnError as error:
        print(f"bench-cameras: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    _bench(options, model, runtime, console)
    runtime.close()
    return 0


def _bench(options: argparse.Namespace, model: Model, runtime: Runtime, console: Console) -> None:
    spec = model.manifest.input
    with np.load(BytesIO(model.read(GOLDEN)), allow_pickle=False) as golden:
        clip = golden["clip"]
    cost = _cost(runtime, clip)
    asked = spec.frame_rate / spec.segment_stride  # segments a second
    speed = options.speed or _speed(cost.hop_s * asked, max(options.cameras))
    saturating = 1 / (cost.hop_s * asked * speed)
    console.print(
        f"{model.manifest.id} {options.precision} on {runtime.device}, {os.cpu_count()} cores: one hop takes "
        f"{1000 * cost.encode_s:.1f} + {1000 * cost.classify_s:.1f} ms; {asked * speed:.2f} segments a second and "
        f"camera (time runs {speed:.3g} times as fast as it does), so that {saturating:.1f} cameras saturate it"
    )
    faster = spec.model_copy(update={"frame_rate": spec.frame_rate * speed})
    samples: dict[int, list[Sample]] = {cameras: [] for cameras in options.cameras}
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        each_s = _warm_s(faster) + options.seconds
        task = progress.add_task("", total=options.rounds * len(samples) * each_s)
        for _ in range(options.rounds):
            for cameras, taken in samples.items():
                progress.update(task, description=f"{cameras} camera{'s' * (cameras > 1)}")
                taken.append(_measure(runtime, faster, clip, cameras, options.seconds, partial(progress.advance, task)))
    loads = [_load(cameras, taken, 1 / (asked * speed)) for cameras, taken in samples.items()]
    console.print(_table(loads))
    title = f"{model.manifest.id}, {options.precision}, {asked * speed:.3g} segments a second and camera"
    stem = options.out / f"cameras-{model.manifest.id}-{options.precision}"
    content = {
        "model": model.manifest.id, "precision": options.precision, "device": runtime.device, "cores": os.cpu_count(),
        "load_average": os.getloadavg(), "cost": asdict(cost), "segments_s": asked * speed, "speed": speed,
        "seconds": options.rounds * options.seconds, "loads": [asdict(load) for load in loads],
    }  # fmt: skip
    _write(stem.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
    expected = [cost.hop(load.cameras, asked * speed, spec.segments) for load in loads]
    _plot(loads, expected, title, saturating, stem.with_suffix(".png"))
    console.print(f"written: {stem.with_suffix('.json')}, {stem.with_suffix('.png')}")


def _cost(runtime: Runtime, clip: NDArray[np.uint8]) -> Cost:
    """As on a quiet host."""
    ring, encodes, classifies = runtime.ring(), [], []
    for number in range(len(clip) + HOPS):
        began = time.perf_counter()
        runtime.encode([clip[number % len(clip)]], [ring])
        encoded = time.perf_counter()
        if ring.full:
            runtime.classify([ring])
            encodes.append(encoded - began)
            classifies.append(time.perf_counter() - encoded)
    return Cost(encode_s=float(np.percentile(encodes, QUIET)), classify_s=float(np.percentile(classifies, QUIET)))


def _speed(share: float, most: int) -> float:
    """`share`: of the host, that one camera wants. 1 where the largest number of cameras is clearly too many."""
    return 1.0 if share * most > 1.5 else 1 / (share * SATURATED_BY)


def _warm_s(spec: InputSpec) -> float:
    return (spec.segments + 1) * spec.segment_s + SETTLE_S


def _measure(
    runtime: Runtime, spec: InputSpec, clip: NDArray[np.uint8], cameras: int, seconds: float,
    passed: Callable[[float], None],
) -> Sample:  # fmt: skip
    failures: list[BaseException] = []
    scheduler = Scheduler(runtime, spec, failures.append)
    sinks = [_ScoreList() for _ in range(cameras)]
    lanes = [scheduler.add_lane(1, sink) for sink in sinks]
    period_s, stop = spec.segment_s, threading.Event()
    threads = [
        threading.Thread(target=_feed, args=(scheduler, lane, clip, period_s, number / cameras, stop))
        for number, lane in enumerate(lanes)
    ]
    for thread in (scheduler, *threads):
        thread.start()
    _wait(_warm_s(spec), passed)
    began, shed, cpu = time.monotonic_ns(), sum(lane.shed for lane in lanes), time.process_time()
    _wait(seconds, passed)
    ended, shed, cpu = time.monotonic_ns(), sum(lane.shed for lane in lanes) - shed, time.process_time() - cpu
    says = next((lane.pace.verdict for lane in lanes if lane.pace.verdict), "")
    stop.set()
    for thread in threads:
        thread.join()
    scheduler.stop(drop=True)
    if failures:
        raise failures[0]
    counted = [[one for one in told if began <= one.scored_ns < ended] for told in (sink.scores for sink in sinks)]
    return Sample(
        wall_s=(ended - began) / NS_PER_S,
        cpu_s=cpu,
        clips=[len(told) for told in counted],
        latencies_ms=[(one.scored_ns - one.ready_ns) / NS_PER_MS for told in counted for one in told],
        shed=shed,
        says=says,
    )


class _ScoreList:
    """A clip sink that keeps all scores."""

    def __init__(self) -> None:
        self.scores: list[Scores] = []

    def scored(self, scores: Scores) -> None:
        self.scores.append(scores)

    def broken(self, reason: EndReason) -> None:
        pass


def _load(cameras: int, samples: Sequence[Sample], period_s: float) -> Load:
    wall_s = sum(sample.wall_s for sample in samples)
    clips = [sum(each) for each in zip(*(sample.clips for sample in samples), strict=True)]
    if not all(clips):
        raise ConfigError(f"in {wall_s:.3g} s one of {cameras} cameras had no clip; more --seconds or --rounds")
    hops = [wall_s / period_s / count for count in clips]
    latencies = [ms for sample in samples for ms in sample.latencies_ms]
    shed = sum(sample.shed for sample in samples)
    return Load(
        cameras=cameras,
        hop=mean(hops),
        hop_least=min(hops),
        hop_most=max(hops),
        latency_ms={f"p{p}": float(np.percentile(latencies, p)) for p in PERCENTILES},
        clips_s=len(latencies) / wall_s,
        cores=sum(sample.cpu_s for sample in samples) / wall_s,
        shed=shed / (shed + len(latencies)),
        says=next((sample.says for sample in samples if sample.says), ""),
    )


def _feed(
    scheduler: Scheduler, lane: Lane, clip: NDArray[np.uint8], period_s: float, phase: float, stop: threading.Event
) -> None:
    """A camera: a segment every `period_s`, the first after a fraction of it, until `stop`."""
    began = time.monotonic()
    for index in count():
        if stop.wait(max(0.0, began + (index + phase) * period_s - time.monotonic())):
            return
        now, pts_ns = time.monotonic_ns(), round(index * period_s * NS_PER_S)
        scheduler.submit(
            lane,
            Segment(
                frames=clip[index % len(clip)],
                index=index,
                from_ns=pts_ns,
                to_ns=pts_ns,
                received_ns=now,
                ready_ns=now,
                wall_ns=time.time_ns(),
                dropped=0,
            ),
        )


def _wait(seconds: float, passed: Callable[[float], None]) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(TICK_S, left))
        passed(min(TICK_S, left))


def _table(loads: Sequence[Load]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("cameras", "hop", "least..most", "clips/s", *loads[0].latency_ms, "CPU", "shed"):
        table.add_column(column, justify="right")
    table.add_column(SLOW)
    for load in loads:
        table.add_row(
            str(load.cameras), f"{load.hop:.2f}", f"{load.hop_least:.2f}..{load.hop_most:.2f}", f"{load.clips_s:.1f}",
            *(f"{ms:.0f} ms" for ms in load.latency_ms.values()),
            f"{load.cores:.2f} cores", f"{load.shed:.0%}", load.says.removeprefix(SLOW),
        )  # fmt: skip
    return table


def _plot(loads: Sequence[Load], expected: Sequence[float], title: str, saturating: float, path: Path) -> None:
    """Three panels over the number of cameras: achieved hop, latency percentiles, processor."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    figure.suptitle(title)
    hop, latency, processor = figure.subplots(1, 3)
    cameras = [load.cameras for load in loads]
    hop.fill_between(cameras, [load.hop_least for load in loads], [load.hop_most for load in loads], alpha=0.25,
                     label="best and worst camera")  # fmt: skip
    hop.plot(cameras, [load.hop for load in loads], "o-", label="mean")
    hop.plot(cameras, expected, "k:", lw=1, label="possible on a quiet host")
    hop.set_ylabel("achieved hop, segments per clip")
    for name in loads[0].latency_ms:
        latency.plot(cameras, [load.latency_ms[name] for load in loads], "o-", label=name)
    latency.set_ylabel("segment ready to scores, ms")
    processor.plot(cameras, [load.cores for load in loads], "o-", label="processor time / wall time")
    processor.set_ylabel("CPU, cores")
    for axes in (hop, latency, processor):
        axes.axvline(saturating, color="grey", ls="--", lw=1, label="saturation of a quiet host")
        axes.set_xscale("log", base=2)
        axes.set_xticks(cameras, [str(n) for n in cameras])
        axes.set_xlabel("cameras")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-cameras", description=__doc__)
    parser.add_argument("--model", default="motion", help="folder, or a shipped model's name (default: motion)")
    parser.add_argument("--precision", default="fp32", help="(default: fp32)")
    parser.add_argument("--threads", type=int, default=0, help="of OpenVINO (default: its own choice)")
    parser.add_argument("--cameras", type=int, nargs="+", default=CAMERAS, metavar="N", help="(default: 1 2 4 8 16)")
    parser.add_argument("--rounds", type=int, default=4, help="with every number of cameras (default: 4)")
    parser.add_argument("--seconds", type=float, default=5.0, help="in every round (default: 5)")
    parser.add_argument("--speed", type=float, default=0.0, help="of time (default: see above)")
    parser.add_argument("--batch", type=int, nargs="+", metavar="N",
                        help="measure instead what N segments and N clips at a time bring")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="(default: runs/bench)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
