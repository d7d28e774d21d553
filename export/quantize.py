"""INT8: post-training quantisation, calibrated on real clips, with the fewest exceptions that keep the limits.

    1. everything    NNCF quantises both graphs of every network; measured on the held-out clips
    2. sensitivity   for each operator (see export.operators): how near FP32 when it alone is back in floating point
    3. exceptions    where everything in INT8 is beyond the limits: the most sensitive operators, as few as will do
    4. written       NNCF quantises once more, told to leave those; what is written is measured, as a host runs it

What is measured is always the difference from the FP32 graphs, on clips of videos that calibration has not seen. The
search itself takes the quantised graphs and puts operators back (`in_floating_point`), which costs a second where
another quantisation takes a minute; step 4 has the last word. "Fewest" is what the order of sensitivity, bisection
and dropping one after the other find: not every subset was tried.
"""

import io
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import nncf
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.manifest import MANIFEST, Build, Manifest, Model, dump, open_model, records, seal
from edge_tdn.runtime import golden_error, open_runtime, scores
from edge_tdn.runtime.openvino import EXECUTION
from export.clips import Clips, Recording, find_videos, read_clips
from export.findings import Limits
from export.networks import split
from export.operators import Half, Operator, Part, in_floating_point, multiply_adds, never_quantised, operators
from export.parity import LIMITS, size_of, write_at_once

NAME = "int8"
REPORT = "quantize.json"
DEFAULT_SAMPLES = 128  # clips, of both halves together
# Symmetric: differences have no sign of their own. Asymmetric ("mixed") was no nearer to FP32 and no faster: mean KL
# 0.0130 against 0.0131 (R50, T = 8), 3.2e-5 against 3.1e-5 (motion).
PRESET = "performance"
MOST_SEGMENTS = 300  # that calibrate an encoder
SENSITIVITY_CLIPS = (4, 16)  # fewest and most; in between as many as SENSITIVITY_WORK allows
SENSITIVITY_WORK = 4e13  # multiply-adds, of all operators' trials together
MOST_DROPS = 8  # exceptions that are tried to do without, the least sensitive ones first
OPENABLE = 0.5  # the golden error until it is known: logits off by more than the largest one are no model

Array = NDArray[Any]
Graphs = dict[Part, ov.Model]
Step = Callable[[str, int, int], None]  # what, how many are done, of how many
_LIMIT_KEYS = {"top1": ("top1_agreement", 1.0), "kl": ("mean_kl", np.inf)}  # field of Limits, its largest value


@dataclass(frozen=True)
class Figures:
    """How near to FP32."""

    top1_agreement: float
    mean_kl: float  # nats, FP32's softmax first; infinite where a logit is not a number

    def keep(self, limits: Limits) -> bool:
        assert limits.mean_kl is not None
        return self.top1_agreement >= limits.top1_agreement and self.mean_kl <= limits.mean_kl

    def __str__(self) -> str:
        return f"top-1 agreement {self.top1_agreement:.1%}, mean KL {self.mean_kl:.2g}"


@dataclass(frozen=True)
class Sensitivity:
    """What it gains to leave one operator in floating point."""

    operator: Operator
    alone: Figures  # everything else in INT8
    gain: float  # nats of mean KL, against everything in INT8 on the same clips
    kept: bool = False  # it is an exception


@dataclass(frozen=True)
class ClipSet:
    """A half of the clips."""

    clips: tuple[tuple[Recording, int], ...]  # a recording, and its clip's last segment

    @property
    def videos(self) -> tuple[str, ...]:
        return tuple(sorted({recording.name for recording, _ in self.clips}))

    def evenly(self, most: int) -> "ClipSet":
        places = np.linspace(0, len(self.clips) - 1, min(most, len(self.clips)))
        return ClipSet(tuple(self.clips[round(float(place))] for place in places))


@dataclass(frozen=True)
class Report:
    """What was kept in floating point, and why."""

    model: str
    limits: Limits
    calibration: ClipSet
    held_out: ClipSet
    skipped: tuple[str, ...]  # videos that gave no clip, and why
    everything: Figures  # in INT8, on the held-out clips
    reached: Figures  # with the exceptions: as written, on the held-out clips
    golden_error: float
    sensitivity: tuple[Sensitivity, ...]  # the most sensitive operator first
    sensitivity_clips: int
    size_fp32: int  # bytes of the graphs
    size_int8: int

    @property
    def exceptions(self) -> tuple[Operator, ...]:
        return tuple(one.operator for one in self.sensitivity if one.kept)

    def to_json(self) -> str:
        plain = asdict(replace(self, calibration=ClipSet(()), held_out=ClipSet(()), sensitivity=()))
        for half in ("calibration", "held_out"):
            clips: ClipSet = getattr(self, half)
            plain[half] = {"clips": len(clips.clips), "videos": clips.videos}
        plain["preset"], plain["nncf"] = PRESET, version("nncf")
        plain["exceptions"] = [asdict(operator) for operator in self.exceptions]
        plain["sensitivity"] = [asdict(one) for one in self.sensitivity]
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def parse_limits(texts: Sequence[str]) -> Limits:
    """`top1=0.99` and `kl=0.01` in any order -> limits; what is not said is as for parity. ConfigError."""
    given: dict[str, Any] = {}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in _LIMIT_KEYS:
            raise ConfigError(f"--limit {text}: {key!r} is not known; allowed: top1=0..1, kl=0.. (nats)")
        field, largest = _LIMIT_KEYS[key]
        try:
            number = float(value)
        except ValueError:
            number = np.nan
        if not (0 <= number <= largest and np.isfinite(number)):
            allowed = "a number from 0 to 1" if largest == 1 else "a number of nats, 0 or more"
            raise ConfigError(f"--limit {key}: got {value!r}, allowed is {allowed}")
        given[field] = number
    return replace(LIMITS[NAME], **given)


def divide(recordings: Sequence[Recording], model: Model, samples: int) -> tuple[ClipSet, ClipSet]:
    """Calibration and held-out half, `samples` clips together at most: of different videos; of one video, the first
    part of it and the last, without a common segment where it is long enough. ModelError: a single clip.
    """
    spec = model.manifest.input
    clips = [(recording, last) for recording in recordings for last in recording.lasts(spec)]
    if len(clips) < 2:
        raise ModelError(
            f"{recordings[0].path}: one clip cannot be divided into a calibration and a held-out half; add videos, or "
            f"longer ones than {spec.ticks / spec.frame_rate:.1f} s"
        )
    by_video: dict[str, list[tuple[Recording, int]]] = {}
    for clip in clips:
        by_video.setdefault(clip[0].name, []).append(clip)
    halves: tuple[list[tuple[Recording, int]], ...] = ([], [])
    if len(by_video) > 1:
        for video in sorted(by_video.values(), key=len, reverse=True):
            min(halves, key=len).extend(video)
    else:
        between = min(spec.segments - 1, len(clips) - 2)  # clips that would have segments in common with both halves
        first = (len(clips) - between + 1) // 2
        halves = clips[:first], clips[first + between :]
    calibration, held_out = (ClipSet(tuple(half)).evenly(samples // 2) for half in halves)
    return calibration, held_out


def quantize(
    folder: Path,
    videos: Path,
    limits: Limits | None = None,
    samples: int = DEFAULT_SAMPLES,
    replaces: bool = False,
    step: Step = lambda what, done, total: None,
) -> Report:
    """Adds precision "int8" to a model folder; until its manifest is replaced, in one move, nothing in it changes.

    ModelError: no FP32 graphs to start from, INT8 is there already (and `replaces` is not said), no clips, or the
    limits cannot be kept.
    """
    model, limits = open_model(folder), limits or LIMITS[NAME]
    if samples < 2:
        raise ConfigError(f"--samples {samples}: at least 2, one to calibrate with and one to measure on")
    if "fp32" not in model.manifest.precisions:
        has = ", ".join(model.manifest.precisions)
        raise ModelError(f"{folder}: int8 is made of the fp32 graphs; this model has: {has}; convert it again")
    if NAME in model.manifest.precisions and not replaces:
        raise ModelError(f"{folder}: has int8 already; --replace makes it anew")
    with _room(folder) as room:
        clips = _read(videos, model, step)
        calibration, held_out = divide(clips.recordings, model, samples)
        work = _Work(model, room, calibration, held_out, step)
        report, manifest, moves = _decide(work, limits, clips.skipped)
        (moves[0][0] / REPORT).write_text(report.to_json(), encoding="utf-8")
        _commit(model, manifest, moves)
    return report


def _decide(
    work: "_Work", limits: Limits, skipped: tuple[str, ...]
) -> tuple[Report, Manifest, list[tuple[Path, Path]]]:
    """Steps 1 to 4 of the module's docstring."""
    everything = work.everything = work.quantised(())
    at_first = reached = work.write(everything, "everything in INT8")
    order = work.sensitivities()
    chosen: list[Operator] = []
    if not at_first.keep(limits):
        chosen = work.fewest([one.operator for one in order], limits)
        reached = work.write(work.quantised(chosen), f"{len(chosen)} exceptions")
    spare = [one.operator for one in order if one.operator not in chosen]
    while not reached.keep(limits):  # the search was too hopeful: real quantisation decides
        if not spare:
            raise ModelError(
                f"{work.model.folder}: the limits cannot be kept: {reached} with all {len(order)} possible "
                f"exceptions in floating point, {at_first} without; nothing written"
            )
        more = max(1, len(chosen) // 4)
        chosen, spare = chosen + spare[:more], spare[more:]
        reached = work.write(work.quantised(chosen), f"{len(chosen)} exceptions")
    manifest, moves = work.final()
    report = Report(
        model=work.model.manifest.id,
        limits=limits,
        calibration=work.calibration,
        held_out=work.held_out,
        skipped=skipped,
        everything=at_first,
        reached=reached,
        golden_error=manifest.precisions[NAME].golden_error,
        sensitivity=tuple(replace(one, kept=one.operator in chosen) for one in order),
        sensitivity_clips=len(work.few().clips),
        size_fp32=size_of(work.model, work.model.build("fp32")),
        size_int8=sum(path.stat().st_size for source, _ in moves for path in source.iterdir()),
    )
    return report, manifest, moves


class _Work:
    """What all steps share: the folder, the FP32 graphs, the clips and FP32's logits for them."""

    def __init__(self, model: Model, room: Path, calibration: ClipSet, held_out: ClipSet, step: Step) -> None:
        self.model, self.spec = model, model.manifest.input
        self.calibration, self.held_out = calibration, held_out
        self._room, self._step = room, step
        self._fp32 = _read_graphs(model)
        self.operators = [one for part, graph in self._fp32.items() for one in operators(graph, part)]
        self.everything: Graphs = {}  # in INT8
        self._trial = model  # with the graphs that were written last
        with closing(open_runtime(model, "fp32")) as runtime:
            self._expected = self._logits(lambda clip: scores(runtime, clip), held_out, "FP32")

    def quantised(self, exceptions: Collection[Operator]) -> Graphs:
        """All graphs by NNCF, these operators left in floating point. Graphs that have none are not made twice."""
        graphs = {}
        for part, graph in self._fp32.items():
            left = [node for one in exceptions if one.part == part for node in one.nodes]
            if self.everything and not left:
                graphs[part] = self.everything[part]
                continue
            graphs[part] = _nncf(graph, self._calibrating(part), [*left, *never_quantised(graph)])
        return graphs

    def write(self, graphs: Graphs, what: str) -> Figures:
        """Saves graphs and measures them as a host runs them, on all held-out clips."""
        builds = list(self.model.build("fp32").graphs)
        for (number, half), graph in graphs.items():
            name = f"{self._room.name}/{number}/{half}.xml"
            builds[number] = builds[number].model_copy(update={half: name})
            (self._room / str(number)).mkdir(exist_ok=True)
            ov.save_model(graph, self.model.folder / name, compress_to_fp16=False)
        build = Build(format="openvino", graphs=tuple(builds), golden_error=OPENABLE)
        manifest = self.model.manifest.model_copy(
            update={
                "precisions": self.model.manifest.precisions | {NAME: build},
                "files": self.model.manifest.files | records(self.model.folder, _files(build)),
            }
        )
        self._trial = Model(self.model.folder, manifest, self.model.sha256, self.model.labels)
        with closing(open_runtime(self._trial, NAME)) as runtime:
            return _compare(self._expected, self._logits(lambda clip: scores(runtime, clip), self.held_out, what))

    def final(self) -> tuple[Manifest, list[tuple[Path, Path]]]:
        """The manifest with what was written last, and what must be moved where to make it true."""
        with closing(open_runtime(self._trial, NAME)) as runtime:
            error = golden_error(self._trial, runtime)
        build, targets = self._trial.build(NAME), _targets(self.model)
        names = {f"{self._room.name}/{number}": target for number, target in enumerate(targets)}
        moved = [
            graphs.model_copy(update={half: f"{names[str(Path(path).parent)]}/{half}.xml"
                                      for half, path in (("encoder", graphs.encoder), ("head", graphs.head))})
            for graphs in build.graphs
        ]  # fmt: skip
        final = build.model_copy(update={"graphs": tuple(moved), "golden_error": error})
        old = self.model.manifest
        files = {name: record for name, record in old.files.items() if name not in _own_files(old)}
        for before, after in zip(_files(build), _files(final), strict=True):
            files[after] = self._trial.manifest.files[before]
        manifest = old.model_copy(
            update={
                "precisions": old.precisions | {NAME: final},
                "parity": {name: parity for name, parity in old.parity.items() if name != NAME},
                "tools": old.tools | {"nncf": version("nncf")},
                "files": dict(sorted(files.items())),
            }
        )
        return seal(manifest), [(self.model.folder / a, self.model.folder / b) for a, b in names.items()]

    def few(self) -> ClipSet:
        """The held-out clips that sensitivity is measured on: fewer of large networks."""
        one = sum(multiply_adds(graph, self._batch(part[0])) for part, graph in self._fp32.items())
        fewest, most = SENSITIVITY_CLIPS
        return self.held_out.evenly(int(np.clip(SENSITIVITY_WORK / (one * max(1, len(self.operators))), fewest, most)))

    def sensitivities(self) -> list[Sensitivity]:
        """Each operator alone back in floating point. The most sensitive first."""
        few = self.few()
        expected = [self._expected[self.held_out.clips.index(clip)] for clip in few.clips]
        chain = _Chain(self.everything, self._batch)
        frames = [split(recording.clip(last, self.spec), self.spec) for recording, last in few.clips]
        features = [chain.encode(own) for own in frames]
        logits = [chain.classify(own) for own in features]  # of each clip, [networks, classes]
        base = _compare(expected, [own.sum(0) for own in logits])
        found = []
        for done, one in enumerate(self.operators):
            self._step(f"sensitivity {done + 1} of {len(self.operators)}: {one.name}", done, len(self.operators))
            number, half = one.part
            graph = in_floating_point(self.everything[one.part], self._fp32[one.part], one.nodes)
            other = chain.run(graph, one.part)
            changed = []
            for clip, of_clip, before in zip(frames, features, logits, strict=True):
                own = chain.heads[number](other(clip[number])) if half == "encoder" else other(of_clip[number])
                changed.append(before.sum(0) - before[number] + own["logits"][0])
            alone = _compare(expected, changed)
            found.append(Sensitivity(one, alone, base.mean_kl - alone.mean_kl))
        return sorted(found, key=lambda one: one.alone.mean_kl)

    def fewest(self, order: Sequence[Operator], limits: Limits) -> list[Operator]:
        """The first operators of `order` that keep the limits, without those that it can do without."""
        tried: dict[frozenset[Operator], bool] = {}

        def keep(chosen: Sequence[Operator]) -> bool:
            return tried.setdefault(frozenset(chosen), self._restored(chosen).keep(limits))

        too_few, enough = 0, 1
        while not keep(order[:enough]):
            if enough == len(order):
                return list(order)
            too_few, enough = enough, min(2 * enough, len(order))
        while enough - too_few > 1:
            middle = (enough + too_few) // 2
            too_few, enough = (too_few, middle) if keep(order[:middle]) else (middle, enough)
        chosen = list(order[:enough])
        for one in reversed(chosen[-1 - MOST_DROPS : -1]):  # the last one is needed: bisection found that
            without = [other for other in chosen if other != one]
            if keep(without):
                chosen = without
        return chosen

    def _restored(self, chosen: Sequence[Operator]) -> Figures:
        """Everything in INT8 but for these, on all held-out clips."""
        graphs = {}
        for part, graph in self.everything.items():
            nodes = [node for one in chosen if one.part == part for node in one.nodes]
            graphs[part] = in_floating_point(graph, self._fp32[part], nodes)
        chain = _Chain(graphs, self._batch)
        run = lambda clip: chain.classify(chain.encode(split(clip, self.spec))).sum(0)  # noqa: E731
        return _compare(self._expected, self._logits(run, self.held_out, f"trying {len(chosen)} exceptions"))

    def _calibrating(self, part: Part) -> nncf.Dataset:
        """An encoder is calibrated on segments, a head on what the FP32 encoder gives for clips."""
        number, half = part
        which = half if len(self._fp32) == 2 else f"{half} {number + 1}"
        clips = self.calibration.clips
        if half == "encoder":
            seen = {
                (recording, n): None
                for recording, last in clips
                for n in range(last + 1 - self.spec.segments, last + 1)
            }
            places = list(seen)
            places = [places[round(float(p))] for p in np.linspace(0, len(places) - 1, min(MOST_SEGMENTS, len(places)))]
            items: list[Any] = [recording.segments[n].frames[None] for recording, n in places]
            return self._dataset(items, lambda frames: split(frames, self.spec)[number], f"calibrating {which}")
        encode = _Chain({(number, "encoder"): self._fp32[number, "encoder"]}, self._batch).encoders[number]
        clip = lambda item: encode(split(item[0].clip(item[1], self.spec), self.spec)[number])  # noqa: E731
        return self._dataset(list(clips), clip, f"calibrating {which}")

    def _dataset(self, items: list[Any], turn: Callable[[Any], Any], what: str) -> nncf.Dataset:
        def counted(numbered: tuple[int, Any]) -> Any:
            self._step(what, numbered[0], len(items))
            return turn(numbered[1])

        return nncf.Dataset(list(enumerate(items)), counted)

    def _logits(self, score: Callable[[Array], Array], clips: ClipSet, what: str) -> list[Array]:
        found = []
        for done, (recording, last) in enumerate(clips.clips):
            self._step(what, done, len(clips.clips))
            found.append(score(recording.clip(last, self.spec)))
        return found

    def _batch(self, number: int) -> int:
        """Segments of a network's clip."""
        return self.spec.of(number).segments


class _Chain:
    """Compiled graphs, one clip at a time: as a host computes, but for the encoder's batch, which is the clip."""

    def __init__(self, graphs: Graphs, batch: Callable[[int], int]) -> None:
        self._core, self._batch = ov.Core(), batch
        self.encoders = {part[0]: self.run(graph, part) for part, graph in graphs.items() if part[1] == "encoder"}
        self.heads = {part[0]: self.run(graph, part) for part, graph in graphs.items() if part[1] == "head"}

    def encode(self, clip: Sequence[Array]) -> list[dict[str, Array]]:
        """Each network's segments, uint8 [T, 5, H, W, 3] -> its features."""
        return [self.encoders[number](frames) for number, frames in enumerate(clip)]

    def classify(self, features: Sequence[dict[str, Array]]) -> Array:
        """Each network's features -> logits [networks, classes]."""
        return np.stack([self.heads[number](own)["logits"][0] for number, own in enumerate(features)])

    def run(self, graph: ov.Model, part: Part) -> Callable[[Any], dict[str, Array]]:
        if graph.is_dynamic():
            graph = graph.clone()
            (frames,) = graph.inputs
            graph.reshape({frames: [self._batch(part[0]), *(d.get_length() for d in list(frames.partial_shape)[1:])]})
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": EXECUTION[NAME]}
        compiled = self._core.compile_model(graph, "CPU", options)
        names = [output.get_any_name() for output in compiled.outputs]

        def call(inputs: Any) -> dict[str, Array]:
            outputs = compiled(inputs)
            return {name: outputs[name].copy() for name in names}

        return call


@contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """A scratch folder inside the model folder. ModelError: it cannot be written to, or is full."""
    try:
        room = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=folder))
    except OSError as error:
        raise ModelError(f"{folder}: {error.strerror}; int8 is written into the model's folder") from error
    try:
        yield room
    except (OSError, RuntimeError) as error:  # OpenVINO tells a full disk as RuntimeError
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ModelError(f"{folder}: {reason[0]}; nothing written; is the disk full?") from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _commit(model: Model, manifest: Manifest, moves: Iterable[tuple[Path, Path]]) -> None:
    """Moves the graphs to names that the folder's manifest does not know, then replaces the manifest.

    Before that the folder is what it was, after it what it is to be; an older int8 goes last.
    """
    path, content = model.folder / MANIFEST, dump(manifest)
    if open_model(model.folder).sha256 != model.sha256:
        raise ModelError(f"{path}: something else changed it meanwhile; nothing written; run this again")
    try:
        for source, target in moves:
            source.rename(target)
        write_at_once(path, content)
    except BaseException:
        if path.read_bytes() != content:  # a signal can come between the last move and the next line
            for _, target in moves:
                shutil.rmtree(target, ignore_errors=True)
        raise
    for old in {str(PurePosixPath(name).parent) for name in _own_files(model.manifest)}:
        if PurePosixPath(old).name.startswith(NAME):
            shutil.rmtree(model.folder / old, ignore_errors=True)


def _targets(model: Model) -> list[str]:
    """For each network a folder beside its fp32 one that is not there yet: int8, or int8-2 where that is taken."""
    targets: list[str] = []
    for graphs in model.build("fp32").graphs:
        beside = PurePosixPath(graphs.encoder).parent.parent
        names = (str(beside / (NAME if n == 1 else f"{NAME}-{n}")) for n in range(1, 1000))
        targets.append(next(name for name in names if name not in targets and not (model.folder / name).exists()))
    return targets


def _files(build: Build) -> list[str]:
    names = [name for graphs in build.graphs for name in (graphs.encoder, graphs.head)]
    return [file for name in names for file in (name, name.removesuffix(".xml") + ".bin")]


def _own_files(manifest: Manifest) -> list[str]:
    """Of an older int8."""
    return _files(manifest.precisions[NAME]) if NAME in manifest.precisions else []


def _read(videos: Path, model: Model, step: Step) -> Clips:
    names = [video.name for video in find_videos(videos)]
    return read_clips(videos, model.manifest.input, lambda name: step(name, names.index(name), len(names)))


def _read_graphs(model: Model) -> Graphs:
    """The FP32 graphs, from verified bytes."""
    core, graphs = ov.Core(), {}
    halves: tuple[Half, ...] = ("encoder", "head")
    for number, own in enumerate(model.build("fp32").graphs):
        for half in halves:
            name = getattr(own, half)
            weights = np.frombuffer(model.read(name.removesuffix(".xml") + ".bin"), np.uint8)
            graphs[number, half] = core.read_model(model=model.read(name), weights=ov.Tensor(weights))
    return graphs


def _nncf(graph: ov.Model, dataset: nncf.Dataset, exceptions: Sequence[str]) -> ov.Model:
    """Post-training quantisation, without NNCF's own logs and bars."""
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        return nncf.quantize(
            graph,
            dataset,
            preset=nncf.QuantizationPreset(PRESET),
            subset_size=dataset.get_length(),
            ignored_scope=nncf.IgnoredScope(names=sorted(exceptions)),
        )


def _compare(expected: Sequence[Array], got: Sequence[Array]) -> Figures:
    """Logits [classes] of the same clips."""
    first, second = np.stack(expected).astype(np.float64), np.stack(got).astype(np.float64)
    p, q = (
        x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (y - y.max(-1, keepdims=True) for y in (first, second))
    )
    kl = float(np.mean(np.sum(np.exp(p) * (p - q), -1)))
    same = float(np.mean(first.argmax(-1) == second.argmax(-1)))
    return Figures(same, max(0.0, kl) if np.isfinite(kl) else np.inf)
