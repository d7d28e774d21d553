"""INT8: post-training quantisation, calibrated on real clips, with the fewest exceptions that keep the limits.

    1. everything    NNCF quantises both graphs of every network; measured on the held-out clips
    2. sensitivity   for each operator (see operators.py): how near FP32 when it alone is in floating point
    3. exceptions    where everything in INT8 is beyond the limits: the most sensitive operators, as few as will do
    4. written       NNCF quantises once more, told to leave those; what is written is measured, as a host runs it

Measured is the difference from the FP32 graphs, on clips of videos that calibration has not seen. "Fewest" is what
the order of sensitivity, bisection and doing without one after the other find: not every subset is tried.
"""

import io
import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from edge_tdn.errors import ConfigError, ModelError, last_line
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.openvino import read_graph
from edge_tdn.inference.self_test import golden_error, scores
from edge_tdn.manifest import MANIFEST, WORST_GOLDEN_ERROR, Build, Manifest, Model, dump, open_model, records, seal
from edge_tdn_export.clips import find_videos, read_clips
from edge_tdn_export.convert.model_folder import check_unchanged, files_of, size_of, write_at_once
from edge_tdn_export.network.reference import split
from edge_tdn_export.parity.result import LIMITS, Limits
from edge_tdn_export.quantize.clip_split import ClipSet, divide
from edge_tdn_export.quantize.graph_rewrites import features_in_8_bits, quantise_behind_views
from edge_tdn_export.quantize.operators import CONVOLUTION, Half, Operator, Part, never_quantised, operators
from edge_tdn_export.quantize.report import Report, to_json
from edge_tdn_export.quantize.sensitivity import Bench, Chain, Figures, Graphs, Sensitivity, Step

NAME = "int8"
REPORT = "quantize.json"
DEFAULT_SAMPLES = 128  # clips, of both halves together
MOST_SEGMENTS = 300  # that calibrate an encoder
# Ranges are the largest that calibration saw. NNCF's default, the mean over clips, cuts off what lies beyond: mean KL
# 0.015 instead of 0.001 (motion, generated clips), 0.041 instead of 0.004 (motion, real videos), 0.0004 instead of
# 0.0003 (R50, T = 8). Symmetric ones: differences have no sign of their own, and asymmetric ones ("mixed") were no
# nearer and no faster.
PRESET = "performance"
RANGES = RangeEstimatorParametersSet.MINMAX

_LIMIT_KEYS = {"top1": ("top1_agreement", 1.0), "kl": ("mean_kl", np.inf)}  # field of Limits, its largest value
Moves = list[tuple[Path, Path]]


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


def quantize(
    folder: Path,
    videos: Path,
    limits: Limits | None = None,
    samples: int = DEFAULT_SAMPLES,
    replaces: bool = False,
    quick: bool = False,
    step: Step = lambda what, done, total: None,
) -> Report:
    """Adds precision "int8" to a model folder; until its manifest is replaced, in one move, nothing in it changes.

    `quick`: where everything in INT8 keeps the limits, step 2 is left out: most of the time, and nothing but its table.
    ModelError: no FP32 graphs to start from, INT8 is there already (and `replaces` is not said), no clips, or the
    limits cannot be kept.
    """
    model = open_model(folder)
    if samples < 2:
        raise ConfigError(f"--samples {samples}: at least 2, one to calibrate with and one to measure on")
    if "fp32" not in model.manifest.precisions:
        has = ", ".join(model.manifest.precisions)
        raise ModelError(f"{folder}: int8 is made of the fp32 graphs; this model has: {has}; convert it again")
    if NAME in model.manifest.precisions and not replaces:
        raise ModelError(f"{folder}: has int8 already; --replace makes it anew")
    with _room(folder) as room:
        names = [video.name for video in find_videos(videos)]
        clips = read_clips(videos, model.manifest.input, lambda name: step(name, names.index(name), len(names)))
        halves = divide(clips.recordings, model.manifest.input, samples)
        work = _Quantiser(model, room, *halves, step)
        report, manifest, moves = _decide(work, limits or LIMITS[NAME], clips.skipped, quick)
        (moves[0][0] / REPORT).write_text(to_json(report, nncf=version("nncf"), preset=PRESET), encoding="utf-8")
        _commit(model, manifest, moves)
    return report


def _decide(
    work: "_Quantiser", limits: Limits, skipped: tuple[str, ...], quick: bool
) -> tuple[Report, Manifest, Moves]:  # fmt: skip
    """Steps 1 to 4 of the module's docstring."""
    everything, at_first, corrected = _everything(work, limits)
    if not at_first.keep(limits):
        best = work.bench.restored(everything, work.operators)
        if not best.keep(limits):
            raise _beyond(work, at_first, best, len(work.operators))
    order: list[Sensitivity] = []
    sensitivity_clips = 0
    if not (quick and at_first.keep(limits)):
        order, sensitivity_clips = work.bench.sensitivities(everything, work.operators)
    chosen: list[Operator] = []
    reached = at_first
    if not at_first.keep(limits):
        chosen = work.bench.fewest(everything, [one.operator for one in order], limits)
        reached = work.write(work.quantised(corrected, chosen, everything), f"{len(chosen)} exceptions")
    spare = [one.operator for one in order if one.operator not in chosen]
    while not reached.keep(limits) and spare:  # the search was too hopeful
        more = max(1, len(chosen) // 8)
        chosen, spare = chosen + spare[:more], spare[more:]
        reached = work.write(work.quantised(corrected, chosen, everything), f"{len(chosen)} exceptions")
    if not (reached.keep(limits) and any(one.kind == CONVOLUTION for one in work.operators if one not in chosen)):
        raise _beyond(work, at_first, reached, len(chosen))
    error = work.golden_error()
    manifest, moves = work.final(error)
    report = Report(
        model=work.model.manifest.id,
        limits=limits,
        calibration=work.calibration,
        held_out=work.held_out,
        skipped=skipped,
        bias_correction=corrected,
        everything=at_first,
        reached=reached,
        golden_error=error,
        exceptions=tuple(one.operator for one in order if one.operator in chosen),
        sensitivities=tuple(order),
        sensitivity_clips=sensitivity_clips,
        size_fp32=size_of(work.model, work.model.build("fp32")),
        size_int8=sum(path.stat().st_size for source, _ in moves for path in source.iterdir()),
    )
    return report, manifest, moves


def _everything(work: "_Quantiser", limits: Limits) -> tuple[Graphs, Figures, bool]:
    """Everything in INT8, and whether with bias correction: where that is beyond the limits, without is tried too, as
    it costs nothing at run time, and on some networks is nearer. What keeps the limits was written last."""
    with_it = work.quantised(True)
    first = work.write(with_it, "everything in INT8")
    if first.keep(limits):
        return with_it, first, True
    without = work.quantised(False)
    second = work.write(without, "everything in INT8, without bias correction")
    if second.keep(limits) or second.mean_kl < first.mean_kl:
        return without, second, False
    return with_it, first, True


def _beyond(work: "_Quantiser", at_first: Figures, reached: Figures, count: int) -> ModelError:
    return ModelError(
        f"{work.model.folder}: the limits cannot be kept in INT8: {at_first}; with {count} of {len(work.operators)} "
        f"operators in floating point {reached}; nothing written; see --limit"
    )


class _Quantiser:
    """What all steps share: the folder, its FP32 graphs, the clips; and the graphs that were written last."""

    def __init__(self, model: Model, room: Path, calibration: ClipSet, held_out: ClipSet, step: Step) -> None:
        self.model, self.calibration, self.held_out = model, calibration, held_out
        self._spec, self._room, self._step = model.manifest.input, room, step
        self._fp32 = _read_graphs(model)
        self.operators = [one for part, graph in self._fp32.items() for one in operators(graph, part)]
        self._trial = model
        self.bench = Bench(self._spec, held_out, self._fp32, step)
        with closing(open_runtime(model, "fp32")) as runtime:
            self.bench.expect(lambda clip: scores(runtime, clip))

    def quantised(
        self, corrected: bool, exceptions: Collection[Operator] = (), everything: Graphs | None = None
    ) -> Graphs:  # fmt: skip
        """All graphs by NNCF, but for these operators; graphs without any are taken from `everything`."""
        graphs = {}
        for part, graph in self._fp32.items():
            left = [node for one in exceptions if one.part == part for node in one.nodes]
            if everything and not left:
                graphs[part] = everything[part]
            else:
                graphs[part] = _nncf(graph, self._calibrating(part), [*left, *never_quantised(graph)], corrected)
        return graphs

    def write(self, graphs: Graphs, what: str) -> Figures:
        """Saves graphs into the scratch folder, and measures them as a host runs them."""
        builds = []
        for number, own in enumerate(self.model.build("fp32").graphs):
            encoder, head = graphs[number, "encoder"].clone(), graphs[number, "head"].clone()
            scales = features_in_8_bits(encoder, head)
            names = {}
            for half, graph in (("encoder", encoder), ("head", head)):
                quantise_behind_views(graph)
                names[half] = f"{self._room.name}/{number}/{half}.xml"
                (self._room / str(number)).mkdir(exist_ok=True)
                ov.save_model(graph, self.model.folder / names[half], compress_to_fp16=False)
            builds.append(own.model_copy(update={**names, "scales": scales}))
        build = Build(format="openvino", graphs=tuple(builds), golden_error=WORST_GOLDEN_ERROR)
        manifest = self.model.manifest.model_copy(
            update={
                "precisions": self.model.manifest.precisions | {NAME: build},
                "files": self.model.manifest.files | records(self.model.folder, files_of(build)),
            }
        )
        self._trial = Model(self.model.folder, manifest, self.model.sha256, self.model.labels)
        with closing(open_runtime(self._trial, NAME)) as runtime:
            return self.bench.figures(lambda clip: scores(runtime, clip), what)

    def golden_error(self) -> float:
        """Of what was written last. ModelError: no host would open it."""
        with closing(open_runtime(self._trial, NAME)) as runtime:
            error = golden_error(self._trial, runtime)
        if not error <= WORST_GOLDEN_ERROR:
            raise ModelError(
                f"{self.model.folder}: in INT8 the golden clip's logits are {error:.2g} of the largest off PyTorch's, "
                f"at most {WORST_GOLDEN_ERROR:g} is allowed; nothing written; a lower --limit kl= brings them nearer"
            )
        return error

    def final(self, error: float) -> tuple[Manifest, Moves]:
        """The manifest with what was written last, and what must be moved where to make it true."""
        trial, old = self._trial.manifest, self.model.manifest
        names = {f"{self._room.name}/{number}": target for number, target in enumerate(_targets(self.model))}
        graphs = [
            own.model_copy(update={"encoder": f"{target}/encoder.xml", "head": f"{target}/head.xml"})
            for own, target in zip(trial.precisions[NAME].graphs, names.values(), strict=True)
        ]
        build = Build(
            format="openvino", graphs=tuple(graphs), golden_error=error, calibrated_on=self.calibration.videos
        )
        files = {name: record for name, record in old.files.items() if name not in _own_files(old)}
        for before, after in zip(files_of(trial.precisions[NAME]), files_of(build), strict=True):
            files[after] = trial.files[before]
        manifest = old.model_copy(
            update={
                "precisions": old.precisions | {NAME: build},
                "parity": {name: parity for name, parity in old.parity.items() if name != NAME},
                "tools": old.tools | {"nncf": version("nncf")},
                "files": dict(sorted(files.items())),
            }
        )
        return seal(manifest), [(self.model.folder / a, self.model.folder / b) for a, b in names.items()]

    def _calibrating(self, part: Part) -> nncf.Dataset:
        """An encoder is calibrated on segments, a head on what the FP32 encoder gives for clips."""
        number, half = part
        what = f"calibrating {half}" if len(self._fp32) == 2 else f"calibrating {half} {number + 1}"
        turn: Callable[[Any], Any]
        if half == "encoder":
            items = self._segments()
            turn = lambda frames: split(frames, self._spec)[number]  # noqa: E731
        else:
            items = list(self.calibration.clips)
            encode = Chain({(number, "encoder"): self._fp32[number, "encoder"]}, self._spec).run[number, "encoder"]
            turn = lambda item: encode(split(item[0].clip(item[1], self._spec), self._spec)[number])  # noqa: E731

        def counted(item: tuple[int, Any]) -> Any:
            self._step(what, item[0], len(items))
            return turn(item[1])

        return nncf.Dataset(list(enumerate(items)), counted)

    def _segments(self) -> list[Any]:
        """Segments of the calibration clips, each once, evenly: uint8 [1, InputSpec.frames, H, W, 3]."""
        t = self._spec.segments
        of_clips = [
            s for recording, last in self.calibration.clips for s in recording.segments[last + 1 - t : last + 1]
        ]
        segments = list(dict.fromkeys(of_clips))
        places = np.linspace(0, len(segments) - 1, min(MOST_SEGMENTS, len(segments)))
        return [segments[round(float(place))].frames[None] for place in places]


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
        raise ModelError(f"{folder}: {last_line(error)}; nothing written; is the disk full?") from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _commit(model: Model, manifest: Manifest, moves: Moves) -> None:
    """Moves the graphs to names that the folder's manifest does not know, then replaces the manifest.

    Before that the folder is what it was, after it what it is to be; an older int8 goes last.
    """
    path, content = model.folder / MANIFEST, dump(manifest)
    check_unchanged(model)
    try:
        for source, target in moves:
            source.rename(target)
        write_at_once(path, content)
    except BaseException:
        if path.read_bytes() != content:  # a signal can come between the replacing and the next line
            for _, target in moves:
                shutil.rmtree(target, ignore_errors=True)
        raise
    for old in {PurePosixPath(name).parent for name in _own_files(model.manifest)}:
        if old.name.startswith(NAME):
            shutil.rmtree(model.folder / old, ignore_errors=True)


def _targets(model: Model) -> list[str]:
    """For each network a folder beside its fp32 one that is not there yet: int8, or int8-2 where that is taken."""
    targets: list[str] = []
    for graphs in model.build("fp32").graphs:
        beside = PurePosixPath(graphs.encoder).parent.parent
        names = (str(beside / (NAME if n == 1 else f"{NAME}-{n}")) for n in range(1, 1000))
        targets.append(next(name for name in names if name not in targets and not (model.folder / name).exists()))
    return targets


def _own_files(manifest: Manifest) -> list[str]:
    """Of an older int8."""
    return files_of(manifest.precisions[NAME]) if NAME in manifest.precisions else []


def _read_graphs(model: Model) -> Graphs:
    """The FP32 graphs, from verified bytes."""
    core, graphs = ov.Core(), {}
    halves: tuple[Half, ...] = ("encoder", "head")
    for number, own in enumerate(model.build("fp32").graphs):
        for half in halves:
            graphs[number, half] = read_graph(core, model, getattr(own, half))
    return graphs


def _nncf(graph: ov.Model, dataset: nncf.Dataset, exceptions: Sequence[str], corrected: bool) -> ov.Model:
    """Post-training quantisation, without NNCF's own logs and bars."""
    logging.getLogger("nncf").setLevel(logging.ERROR)  # nncf.set_log_level would silence others' handlers, too
    parameters = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=RANGES, disable_bias_correction=not corrected
    )
    with redirect_stdout(io.StringIO()):
        return nncf.quantize(
            graph,
            dataset,
            preset=nncf.QuantizationPreset(PRESET),
            subset_size=dataset.get_length(),
            ignored_scope=nncf.IgnoredScope(names=sorted(exceptions)),
            advanced_parameters=parameters,
        )
