"""`make bench-cameras`: measure one runtime with 1, 2, 4, 8 and 16 cameras, up to more than it can serve.

With the real scheduler and OpenVINO. Segments are prepared beforehand (decoding is not measured here) and arrive in
real time, from one thread per camera, with spread phases; all numbers of cameras in turn, several times. Where 16
cameras would not saturate this host, time runs faster. With `--mix`, cameras of a second model share the scheduler:
beyond saturation the hops of both grow by the same factor.
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
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import GOLDEN, InputSpec, Model, find_model, open_model
from edge_tdn.messages import NS_PER_MS, NS_PER_S, EndReason, Scores, Segment
from tests.bench import batches

CAMERAS = (1, 2, 4, 8, 16)
SATURATED_BY = 6  # cameras; in the middle of the plot
SETTLE_S = 1.0  # after the first clip, before the measurement
PERCENTILES = (50, 95, 99)
HOPS, PERCENTILE = 200, 10  # the cost of a hop is a low percentile, which excludes other load on this host
SLOW = "host too slow: "  # prefix of the reason in a camera's status
TICK_S = 0.2  # interval of the progress bar


@dataclass(frozen=True)
class Cost:
    """The time for one segment and one clip."""

    encode_s: float
    classify_s: float

    @property
    def hop_s(self) -> float:
        return self.encode_s + self.classify_s

    def hop(self, cameras: int, rate: float, limit: int) -> float:
        """Return the possible hop at `rate` segments a second and camera, with at most `limit` segments in a turn."""
        spare_s = 1 / rate - cameras * self.encode_s  # per segment, after every camera's segment was encoded
        if spare_s * limit < cameras * self.classify_s:  # then segments are dropped without being encoded
            return cameras * rate * (limit * self.encode_s + self.classify_s)
        return max(1.0, cameras * self.classify_s / spare_s)


@dataclass(frozen=True)
class Subject:
    """A model that is measured, its golden clip, uint8 [T, frames, H, W, 3], and the cost of a hop on an idle host."""

    model: Model
    runtime: Runtime
    clip: NDArray[np.uint8]
    cost: Cost

    def engine(self, speed: float) -> Engine:
        """Return the engine of cameras whose time runs `speed` times as fast."""
        spec = self.model.manifest.input
        return Engine(self.runtime, spec.model_copy(update={"frame_rate": spec.frame_rate * speed}))

    @property
    def share(self) -> float:
        """The share of this host that one camera needs in real time."""
        return self.cost.hop_s / self.model.manifest.input.segment_s


@dataclass(frozen=True)
class Sample:
    """The measurement of some seconds with a number of cameras."""

    wall_s: float
    cpu_s: float  # processor time of the process
    clips: list[int]  # per camera
    latencies_ms: list[float]  # from the complete segment to the scores, per clip
    shed: int  # segments without a clip of their own
    says: str  # reason in a camera's status; empty if the host keeps up


@dataclass(frozen=True)
class Load:
    """The service that a number of cameras got."""

    cameras: int
    hop: float  # segments per clip, mean of these cameras; 1 is configured
    hop_least: float  # of the camera with the most clips
    hop_most: float  # of the camera with the fewest clips
    mixed_hop: float | None  # mean of the second model's cameras
    latency_ms: dict[str, float]  # percentile -> from the complete segment to the scores
    clips_s: float  # of all cameras together
    cores: float  # processor time of the process / wall time
    shed: float  # share of the segments without a clip of their own
    says: str  # reason in the cameras' statuses; empty if the host keeps up


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write JSON and a plot; return the exit status."""
    options = _parser().parse_args(arguments)
    levels = {name: logging.getLogger(name).level for name in ("edge_tdn", "torch.onnx")}
    try:
        for name in levels:  # the table has the same information
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
        subjects = [_subject(model, options)]
        if options.mix:
            subjects.append(_subject(open_model(find_model(options.mix[0], Path.cwd())), options))
    except EdgeTdnError as error:
        print(f"bench-cameras: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    _bench(options, *subjects, console=console)
    for subject in subjects:
        subject.runtime.close()
    return 0


def _subject(model: Model, options: argparse.Namespace) -> Subject:
    runtime = open_runtime(model, options.precision, threads=options.threads)
    with np.load(BytesIO(model.read(GOLDEN)), allow_pickle=False) as golden:
        clip = golden["clip"]
    return Subject(model, runtime, clip, _cost(runtime, clip))


def _bench(options: argparse.Namespace, one: Subject, second: Subject | None = None, *, console: Console) -> None:
    model, cost, speed = one.model, one.cost, options.speed or _speed(one.share, max(options.cameras))
    mixed = options.mix[1] if second else 0
    saturating = max(0.0, 1 / speed - mixed * (second.share if second else 0.0)) / one.share
    rate = speed / model.manifest.input.segment_s  # segments a second
    beside = f" beside {mixed} of {second.model.manifest.id} ({1000 * second.cost.hop_s:.1f} ms)" if second else ""
    console.print(
        f"{model.manifest.id} {options.precision} on {one.runtime.device}, {os.cpu_count()} cores: one hop takes "
        f"{1000 * cost.encode_s:.1f} + {1000 * cost.classify_s:.1f} ms; {rate:.2f} segments a second and "
        f"camera (time runs {speed:.3g} times as fast), so that {saturating:.1f} cameras saturate it{beside}"
    )
    engine, others = one.engine(speed), [(second.engine(speed), second.clip)] * mixed if second else []
    periods_s = [shared.spec.segment_s for shared, _ in others]
    warm_s = max(_warm_s(shared.spec) for shared, _ in [(engine, one.clip), *others])
    samples: dict[int, list[Sample]] = {cameras: [] for cameras in options.cameras}
    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        each_s = warm_s + options.seconds
        task = progress.add_task("", total=options.rounds * len(samples) * each_s)
        for _ in range(options.rounds):
            for cameras, taken in samples.items():
                progress.update(task, description=f"{cameras} camera{'s' * (cameras > 1)}")
                streams = [(engine, one.clip)] * cameras + others
                taken.append(_measure(streams, warm_s, options.seconds, partial(progress.advance, task)))
    loads = [_load(cameras, taken, [1 / rate] * cameras + periods_s) for cameras, taken in samples.items()]
    console.print(_table(loads))
    title = f"{model.manifest.id}, {options.precision}, {rate:.3g} segments a second and camera{beside}"
    name = f"{model.manifest.id}-{mixed}-{second.model.manifest.id}" if second else model.manifest.id
    stem = options.out / f"cameras-{name}-{options.precision}"
    content = {
        "model": model.manifest.id,
        "precision": options.precision,
        "mixed": {"model": second.model.manifest.id, "cameras": mixed, "cost": asdict(second.cost)} if second else None,
        "device": one.runtime.device,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "cost": asdict(cost),
        "segments_s": rate,
        "speed": speed,
        "seconds": options.rounds * options.seconds,
        "loads": [asdict(load) for load in loads],
    }
    _write(stem.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
    limit = model.manifest.input.segments
    expected = [] if second else [cost.hop(load.cameras, rate, limit) for load in loads]
    _plot(loads, expected, title, saturating, stem.with_suffix(".png"))
    console.print(f"written: {stem.with_suffix('.json')}, {stem.with_suffix('.png')}")


def _cost(runtime: Runtime, clip: NDArray[np.uint8]) -> Cost:
    """Measure the cost of a hop, as on an idle host."""
    ring, encodes, classifies = runtime.ring(), [], []
    for number in range(len(clip) + HOPS):
        began = time.perf_counter()
        runtime.encode([clip[number % len(clip)]], [ring])
        encoded = time.perf_counter()
        if ring.full:
            runtime.classify([ring])
            encodes.append(encoded - began)
            classifies.append(time.perf_counter() - encoded)
    return Cost(
        encode_s=float(np.percentile(encodes, PERCENTILE)), classify_s=float(np.percentile(classifies, PERCENTILE))
    )


def _speed(share: float, cameras: int) -> float:
    """Return the speed of time: 1 if `cameras`, each of which needs `share` of the host, are clearly too many."""
    return 1.0 if share * cameras > 1.5 else 1 / (share * SATURATED_BY)


def _warm_s(spec: InputSpec) -> float:
    return (spec.segments + 1) * spec.segment_s + SETTLE_S


def _measure(
    streams: Sequence[tuple[Engine, NDArray[np.uint8]]], warm_s: float, seconds: float, passed: Callable[[float], None]
) -> Sample:
    """Measure cameras for some seconds. `streams`: the engine of each, and the clip that it submits."""
    failures: list[BaseException] = []
    scheduler, stop = Scheduler(failures.append), threading.Event()
    sinks = [ScoreList() for _ in streams]
    lanes = [scheduler.add_lane(engine, 1, sink) for (engine, _), sink in zip(streams, sinks, strict=True)]
    threads = [
        threading.Thread(target=_feed, args=(scheduler, lane, clip, number / len(lanes), stop))
        for number, (lane, (_, clip)) in enumerate(zip(lanes, streams, strict=True))
    ]
    for thread in (scheduler, *threads):
        thread.start()
    _wait(warm_s, passed)
    began, shed, cpu = time.monotonic_ns(), sum(lane.shed for lane in lanes), time.process_time()
    _wait(seconds, passed)
    ended, shed, cpu = time.monotonic_ns(), sum(lane.shed for lane in lanes) - shed, time.process_time() - cpu
    says = next((lane.pace.trouble for lane in lanes if lane.pace.trouble), "")
    stop.set()
    for thread in threads:
        thread.join()
    scheduler.stop(drop=True)
    if failures:
        raise failures[0]
    counted = [
        [one for one in received if began <= one.scored_ns < ended] for received in (sink.scores for sink in sinks)
    ]
    return Sample(
        wall_s=(ended - began) / NS_PER_S,
        cpu_s=cpu,
        clips=[len(clips) for clips in counted],
        latencies_ms=[(one.scored_ns - one.ready_ns) / NS_PER_MS for clips in counted for one in clips],
        shed=shed,
        says=says,
    )


class ScoreList:
    """A clip sink that keeps all scores."""

    def __init__(self) -> None:
        self.scores: list[Scores] = []

    def scored(self, scores: Scores) -> None:
        self.scores.append(scores)

    def broken(self, reason: EndReason) -> None:
        pass


def _load(cameras: int, samples: Sequence[Sample], periods_s: Sequence[float]) -> Load:
    """`periods_s`: segment length of each camera; those after the first `cameras` are the second model's."""
    wall_s = sum(sample.wall_s for sample in samples)
    clips = [sum(each) for each in zip(*(sample.clips for sample in samples), strict=True)]
    if not all(clips):
        raise ConfigError(f"one of {cameras} cameras got no clip in {wall_s:.3g} s; increase --seconds or --rounds")
    every = [wall_s / period_s / count for period_s, count in zip(periods_s, clips, strict=True)]
    hops, mixed = every[:cameras], every[cameras:]
    latencies = [ms for sample in samples for ms in sample.latencies_ms]
    shed = sum(sample.shed for sample in samples)
    return Load(
        cameras=cameras,
        hop=mean(hops),
        hop_least=min(hops),
        hop_most=max(hops),
        mixed_hop=mean(mixed) if mixed else None,
        latency_ms={f"p{p}": float(np.percentile(latencies, p)) for p in PERCENTILES},
        clips_s=len(latencies) / wall_s,
        cores=sum(sample.cpu_s for sample in samples) / wall_s,
        shed=shed / (shed + len(latencies)),
        says=next((sample.says for sample in samples if sample.says), ""),
    )


def _feed(scheduler: Scheduler, lane: Lane, clip: NDArray[np.uint8], phase: float, stop: threading.Event) -> None:
    """Submit segments in real time, the first after a fraction `phase` of its length, until `stop`."""
    began, period_s = time.monotonic(), lane.engine.spec.segment_s
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
    second = ("2nd model's",) if loads[0].mixed_hop else ()
    for column in ("cameras", "hop", "min..max", *second, "clips/s", *loads[0].latency_ms, "CPU", "shed"):
        table.add_column(column, justify="right")
    table.add_column(SLOW)
    for load in loads:
        table.add_row(
            str(load.cameras),
            f"{load.hop:.2f}",
            f"{load.hop_least:.2f}..{load.hop_most:.2f}",
            *([f"{load.mixed_hop:.2f}"] if load.mixed_hop else []),
            f"{load.clips_s:.1f}",
            *(f"{ms:.0f} ms" for ms in load.latency_ms.values()),
            f"{load.cores:.2f} cores",
            f"{load.shed:.0%}",
            load.says.removeprefix(SLOW),
        )
    return table


def _plot(loads: Sequence[Load], expected: Sequence[float], title: str, saturating: float, path: Path) -> None:
    """Draw achieved hop, latency percentiles and processor time over the number of cameras."""
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    figure.suptitle(title)
    hop, latency, processor = figure.subplots(1, 3)
    cameras = [load.cameras for load in loads]
    extremes = [load.hop_least for load in loads], [load.hop_most for load in loads]
    hop.fill_between(cameras, *extremes, alpha=0.25, label="best and worst camera")
    hop.plot(cameras, [load.hop for load in loads], "o-", label="mean")
    if expected:
        hop.plot(cameras, expected, "k:", lw=1, label="possible on an idle host")
    else:
        hop.plot(cameras, [load.mixed_hop for load in loads], "s-", label="mean of the second model")
    hop.set_ylabel("achieved hop, segments per clip")
    for name in loads[0].latency_ms:
        latency.plot(cameras, [load.latency_ms[name] for load in loads], "o-", label=name)
    latency.set_ylabel("complete segment to scores, ms")
    processor.plot(cameras, [load.cores for load in loads], "o-", label="processor time / wall time")
    processor.set_ylabel("CPU, cores")
    for axes in (hop, latency, processor):
        axes.axvline(saturating, color="grey", ls="--", lw=1, label="saturation of an idle host")
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


def _mix(text: str) -> tuple[str, int]:
    folder, _, cameras = text.rpartition(":")
    return folder, int(cameras)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-cameras", description=__doc__)
    parser.add_argument("--model", default="motion", help="model folder, or name of a shipped model (default: motion)")
    mix_help = "N cameras of a second model, in the same precision, beside those that are counted"
    parser.add_argument("--mix", type=_mix, metavar="MODEL:N", help=mix_help)
    parser.add_argument("--precision", default="fp32", help="(default: fp32)")
    parser.add_argument("--threads", type=int, default=0, help="threads of OpenVINO (default: its own choice)")
    parser.add_argument("--cameras", type=int, nargs="+", default=CAMERAS, metavar="N", help="(default: 1 2 4 8 16)")
    parser.add_argument("--rounds", type=int, default=4, help="measurements per number of cameras (default: 4)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a measurement (default: 5)")
    parser.add_argument("--speed", type=float, default=0.0, help="speed of time (default: see above)")
    batch_help = "measure instead the speed of N segments and N clips at a time"
    parser.add_argument("--batch", type=int, nargs="+", metavar="N", help=batch_help)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for results (default: runs/bench)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
