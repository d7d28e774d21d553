"""Add INT8 to a model folder: post-training quantisation with the fewest exceptions that keep the limits.

    1. everything    NNCF quantises both graphs of every network; agreement with FP32 on the held-out clips
    2. ranking       the gain of each operator (see operators.py) alone in floating point
    3. exceptions    if step 1 exceeds the limits: the most sensitive operators, as few as keep the limits
    4. trial         NNCF quantises again without these; the written files are measured as a host runs them

Steps 2 and 3 measure on calibration clips. Only where their choice exceeds the limits on the held-out clips are the
exceptions chosen on these, and the report says so.

Every step is a function from values to a new value; none changes its inputs. "Fewest" means what the order of
sensitivity, bisection and dropping single operators find: not every subset is tried.
"""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.manifest import Model, open_model
from edge_tdn_export.clips import Clips, find, read_clips
from edge_tdn_export.convert.model_folder import size_of
from edge_tdn_export.limits import LIMITS, Limits
from edge_tdn_export.progress import OnProgress
from edge_tdn_export.quantize.agreement import Agreement, ReferenceClips
from edge_tdn_export.quantize.calibrate import PRESET, quantize_graphs
from edge_tdn_export.quantize.clip_split import DEFAULT_SAMPLES, divide
from edge_tdn_export.quantize.compiled import CompiledNetworks
from edge_tdn_export.quantize.inputs import QuantizationInputs, prepare
from edge_tdn_export.quantize.operators import CONVOLUTION, Operator
from edge_tdn_export.quantize.report import QuantizationReport, to_json
from edge_tdn_export.quantize.sensitivity import Ranking, fewest_exceptions, rank_operators, restored
from edge_tdn_export.quantize.trial import (
    NAME,
    Trial,
    commit,
    final_manifest,
    measure_golden_error,
    scratch_folder,
    write_trial,
)
from edge_tdn_export.video_files import AS_IT_IS, Reading

REPORT = "quantize.json"
_LIMIT_KEYS = {"top1": ("top1_agreement", 1.0), "kl": ("mean_kl", np.inf)}  # field of Limits, its largest value


def parse_limits(texts: Sequence[str]) -> Limits:
    """Parse `top1=0.99` and `kl=0.01`, in any order; missing ones are as for parity. ConfigError: invalid text."""
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
    step: OnProgress = lambda what, done, total: None,
    reading: Reading = AS_IT_IS,
) -> QuantizationReport:
    """Add precision "int8" to a model folder; nothing in it changes until its manifest is replaced, atomically.

    `samples`: clips of both sets together. `replaces`: replace an existing int8. `quick`: skip the ranking, which takes
    most of the time, where everything in INT8 keeps the limits; the report then has no table of operators.
    ModelError: there are no FP32 graphs, INT8 exists and `replaces` is not set, the videos give no clips, or the limits
    cannot be kept.
    """
    limits = limits or LIMITS[NAME]
    model = _open(folder, samples, replaces)
    with scratch_folder(folder) as scratch:
        names = [video.name for video in find(videos, reading).videos]
        reading_one = lambda name: step(f"reading: {name}", names.index(name), len(names))  # noqa: E731
        clips = read_clips(videos, model.manifest.input, reading_one, reading=reading)
        calibration, held_out = divide(clips.recordings, model.manifest.input, samples)
        inputs = prepare(model, scratch, calibration, held_out, step)
        everything = quantize_everything(inputs, limits)
        keeps = everything.agreement.keeps(limits)
        if not keeps:
            check_reachable(inputs, everything, limits)
        ranking = Ranking() if quick and keeps else rank_operators(inputs, everything.graphs)
        trial, on_held_out = (everything, False) if keeps else choose_exceptions(inputs, everything, ranking, limits)
        error = measure_golden_error(trial)
        manifest, moves = final_manifest(model, trial, calibration, error)
        report = _report(inputs, limits, clips, everything, ranking, trial, error, on_held_out)
        json = to_json(report, nncf=version("nncf"), preset=PRESET)
        (moves[0][0] / REPORT).write_text(json, encoding="utf-8", errors="backslashreplace")
        commit(model, manifest, moves)
    return report


def quantize_everything(inputs: QuantizationInputs, limits: Limits) -> Trial:
    """Quantise without exceptions, and try without NNCF's bias correction where that exceeds the limits.

    Bias correction costs nothing at run time; on some networks the result is more accurate without it.
    """
    corrected = _trial(inputs, "everything in INT8", bias_correction=True)
    if corrected.agreement.keeps(limits):
        return corrected
    uncorrected = _trial(inputs, "everything in INT8, without bias correction", bias_correction=False)
    first, second = (_on_calibration_clips(inputs, trial) for trial in (corrected, uncorrected))
    better, worse = uncorrected, corrected
    if not second.keeps(limits) and second.mean_kl >= first.mean_kl:
        better, worse = corrected, uncorrected
    shutil.rmtree(worse.folder)
    return better


def _on_calibration_clips(inputs: QuantizationInputs, trial: Trial) -> Agreement:
    score = CompiledNetworks(trial.graphs, inputs.spec).score
    return inputs.selection.agreement(score, "bias correction, calibration clips", inputs.progress)


def check_reachable(inputs: QuantizationInputs, everything: Trial, limits: Limits) -> None:
    """Check that the limits are kept with all operators in floating point. ModelError: they are not."""
    best = restored(inputs, everything.graphs, inputs.operators, inputs.held_out)
    if not best.keeps(limits):
        raise _unreachable(inputs, everything, best, len(inputs.operators))


def choose_exceptions(
    inputs: QuantizationInputs, everything: Trial, ranking: Ranking, limits: Limits
) -> tuple[Trial, bool]:
    """Quantise again with the fewest exceptions that keep the limits; return True if held-out clips chose them.

    The search estimates agreement from restored operators on the calibration clips. Where the written files miss the
    limits on the held-out clips, it searches again on these; then more operators are added in the order of the ranking.
    ModelError: that leaves no convolution in INT8.
    """

    def search(clips: ReferenceClips) -> list[Operator]:
        estimate = lambda chosen: restored(inputs, everything.graphs, chosen, clips).keeps(limits)  # noqa: E731
        return fewest_exceptions(ranking.operators, estimate)

    chosen = search(inputs.selection)
    trial = _trial(inputs, f"{len(chosen)} exceptions", everything.bias_correction, chosen, everything)
    if trial.agreement.keeps(limits):
        return _checked(inputs, everything, trial, limits), False
    shutil.rmtree(trial.folder)
    chosen = search(inputs.held_out)
    spare = [operator for operator in ranking.operators if operator not in chosen]
    trial = _trial(inputs, f"{len(chosen)} exceptions", everything.bias_correction, chosen, everything)
    while not trial.agreement.keeps(limits) and spare:
        more = max(1, len(chosen) // 8)
        chosen, spare = chosen + spare[:more], spare[more:]
        shutil.rmtree(trial.folder)
        trial = _trial(inputs, f"{len(chosen)} exceptions", everything.bias_correction, chosen, everything)
    return _checked(inputs, everything, trial, limits), True


def _checked(inputs: QuantizationInputs, everything: Trial, trial: Trial, limits: Limits) -> Trial:
    """Return the trial. ModelError: it exceeds the limits, or leaves no convolution in INT8."""
    in_int8 = [operator for operator in inputs.operators if operator not in trial.exceptions]
    if not (trial.agreement.keeps(limits) and any(operator.kind == CONVOLUTION for operator in in_int8)):
        raise _unreachable(inputs, everything, trial.agreement, len(trial.exceptions))
    return trial


def _open(folder: Path, samples: int, replaces: bool) -> Model:
    """Open the model folder. ModelError: INT8 cannot be added to it. ConfigError: too few samples."""
    model = open_model(folder)
    if samples < 2:
        raise ConfigError(f"--samples {samples}: at least 2, one for calibration and one held out")
    if "fp32" not in model.manifest.precisions:
        has = ", ".join(model.manifest.precisions)
        raise ModelError(
            f"{folder}: int8 is made from the fp32 graphs, and this model has only {has}; convert it again"
        )
    if NAME in model.manifest.precisions and not replaces:
        raise ModelError(f"{folder}: has int8 already; --replace makes a new one")
    return model


def _trial(
    inputs: QuantizationInputs,
    what: str,
    bias_correction: bool,
    exceptions: Collection[Operator] = (),
    everything: Trial | None = None,
) -> Trial:
    """Quantise, write and measure. `everything`: a trial without exceptions, whose graphs are used where they fit."""
    graphs = quantize_graphs(inputs, bias_correction, exceptions, everything.graphs if everything else None)
    return write_trial(inputs, graphs, tuple(exceptions), bias_correction, what)


def _unreachable(inputs: QuantizationInputs, everything: Trial, reached: Agreement, exceptions: int) -> ModelError:
    return ModelError(
        f"{inputs.model.folder}: the limits cannot be kept in INT8: {everything.agreement}; with {exceptions} of "
        f"{len(inputs.operators)} operators in floating point {reached}; nothing written; "
        "for other limits: edge-tdn-export quantize --limit"
    )


def _report(
    inputs: QuantizationInputs,
    limits: Limits,
    clips: Clips,
    everything: Trial,
    ranking: Ranking,
    trial: Trial,
    golden_error: float,
    chosen_on_held_out: bool,
) -> QuantizationReport:
    return QuantizationReport(
        model=inputs.model.manifest.id,
        limits=limits,
        calibration=inputs.calibration,
        held_out=inputs.held_out.clips,
        skipped=clips.skipped,
        video_list=clips.note,
        bias_correction=trial.bias_correction,
        everything=everything.agreement,
        reached=trial.agreement,
        golden_error=golden_error,
        exceptions=tuple(operator for operator in ranking.operators if operator in trial.exceptions),
        sensitivities=ranking.sensitivities,
        sensitivity_clips=ranking.clips,
        size_fp32=size_of(inputs.model, inputs.model.build("fp32")),
        size_int8=sum(path.stat().st_size for path in trial.folder.rglob("*") if path.is_file()),
        chosen_on_held_out=chosen_on_held_out,
    )
