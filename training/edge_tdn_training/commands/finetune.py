"""`edge-tdn-train finetune`: your own clips -> a model folder that `edge-tdn run` takes, in one go.

plan        finetune_plan.py: options, data and initial weights are checked before any work
1 videos    decoded, a part held out: by recording
2 training  loop/trainer.py, from a model that knows motion; ends early; a run folder beside --out
3 export    a model folder, INT8 calibrated on the clips, every precision compared with PyTorch
4 evaluate  held-out clips, through the daemon's own runtime: figures and a confusion matrix
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edge_tdn_export.convert.convert import Recipe, open_any, runs_here
from edge_tdn_export.convert.model_folder import whole_or_nothing, write_at_once
from edge_tdn_export.network import checkpoint
from edge_tdn_export.parity.report import table
from edge_tdn_export.parity.result import ParityReport
from edge_tdn_export.progress import ProgressDisplay
from rich.console import Console

from edge_tdn.config.tables import RuntimeConfig
from edge_tdn.errors import ModelError
from edge_tdn.manifest import LABELS, WEIGHTS, InputSpec, open_model
from edge_tdn_training.commands.finetune_plan import FinetunePlan, make_plan
from edge_tdn_training.commands.next_steps import convert_command, noted, same_command, serve_lines, weights_kept
from edge_tdn_training.data.balance import balance, evaluation_clips
from edge_tdn_training.data.dataset import DataSet
from edge_tdn_training.data.decoded import DecodedDataSet, printed
from edge_tdn_training.data.split import DataSplit, split
from edge_tdn_training.data.video_cache import decode_with_progress
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.protocols import views, with_runtime
from edge_tdn_training.evaluation.report import accuracy_json, accuracy_table, class_table, precision_warnings
from edge_tdn_training.loop.distributed import distributed_context
from edge_tdn_training.loop.early_stopping import best_epoch, epochs_at_low_rate
from edge_tdn_training.loop.metrics import Metrics
from edge_tdn_training.loop.run_folder import CURVES, ESCAPED, RUN
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.options.finetune import TOTAL_CLIPS
from edge_tdn_training.training_config import TrainingConfig

REPORT = "finetune.json"
CONFUSION = "confusion.png"
EPOCHS = (6, 80)  # fewest and most without --epochs
MIN_PATIENCE = 3  # epochs without improvement after which the training ends


@dataclass(frozen=True, eq=False)
class PreparedData:
    """The decoded clips of both sides, and the settings that fit them."""

    train: DecodedDataSet
    held_out: DecodedDataSet
    config: TrainingConfig
    videos: tuple[Path, ...]  # files that INT8 is calibrated on
    recordings: int  # that the held-out clips are of
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Exported:
    """The outcome of the export."""

    parity: ParityReport
    notes: tuple[str, ...]


def run(options: argparse.Namespace) -> int:
    """Fine-tune; return the exit status 0. EdgeTdnError: data, model or options are wrong; --out is not created."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    plan = make_plan(options)
    console.print("1/4 videos")
    data = prepare_data(plan, console)
    console.print(
        f"2/4 training: at most {data.config.epochs} epochs of {len(data.train.frames)} clips; each is evaluated on "
        f"{len(data.held_out.frames)} held-out clips"
    )
    with noted(ModelError, f"what was learned is kept in {plan.run_folder}; to resume: {same_command(options)}"):
        train_network(plan, data, console)
    console.print("3/4 model folder: export, INT8, comparison with PyTorch")
    fewer_steps = convert_command(plan.run_folder, plan.out, plan.spec, plan.background, plan.id, ("fp32",))
    with weights_kept(options, plan.run_folder, fewer_steps), whole_or_nothing(plan.out) as scratch:
        exported = export_network(plan, data, scratch)
        console.print("4/4 evaluation of the model folder on the held-out clips")
        accuracies = evaluate_model(scratch, data.held_out)
        write_results(plan, data, exported, accuracies, scratch)
    _print_results(plan, exported, accuracies, console)
    for line in serve_lines(plan.out):
        console.print(line)
    return 0


def _print_results(plan: FinetunePlan, exported: Exported, accuracies: dict[str, Accuracy], console: Console) -> None:
    for title, shown in (
        ("comparison with PyTorch, on whole files", table(exported.parity)),
        ("accuracy on the held-out clips", accuracy_table(accuracies, "clips")),
        ("the same for each class", class_table(accuracies, "clips")),
    ):
        console.print(f"\n{title}:")
        console.print(shown)
    for line in ("", *exported.notes, *precision_warnings(accuracies)):
        console.print(line)
    top1 = ", ".join(f"{name} {one.top1:.1%}" for name, one in accuracies.items())
    console.print(f"{plan.out}: top-1 {top1} of the held-out clips; see {CONFUSION}, parity.html and {REPORT} in it")
    console.print(f"the training run is kept in {plan.run_folder}")


def prepare_data(plan: FinetunePlan, console: Console) -> PreparedData:
    """Step 1: decode the videos, hold out a part, and balance the classes. ConfigError: a class is too short."""
    sides = _divide(plan)
    training, held_out = sides.train, sides.held_out
    notes = (
        *plan.notes,
        *dict.fromkeys(note for side in (training, held_out) for note in side.data.notes if note not in plan.notes),
        *sides.notes,
        *too_short_note([*map(len, training.frames)], plan.spec),
        *_not_mirrored(plan.data),
    )
    skipped = dict.fromkeys((*training.data.skipped, *held_out.data.skipped))
    for line in (*notes, f"{len(skipped)} video(s) skipped", *printed(skipped)) if skipped else notes:
        console.print(f"  {line}")
    console.print(f"  videos to train on: {_counts(training)}; held out: {_counts(held_out)}")
    balanced = balance(training, plan.spec.video_frames)
    return PreparedData(
        train=balanced,
        held_out=evaluation_clips(held_out, plan.spec.video_frames),
        config=_fitted(plan, len(balanced.frames)),
        videos=tuple(sorted({video.path for video in training.data.videos})),
        recordings=len({video.source for video in held_out.data.videos}),
        notes=notes,
    )


def _divide(plan: FinetunePlan) -> DataSplit:
    """Return the videos to train on and the held-out ones, decoded."""
    decoded = decode_with_progress(plan.data, plan.spec, plan.cache)
    if plan.evaluation is None:
        return split(decoded, plan.hold_out, plan.spec.video_frames, plan.config.seed)
    return DataSplit(decoded, decode_with_progress(plan.evaluation, plan.spec, plan.cache), ())


def _fitted(plan: FinetunePlan, clips: int) -> TrainingConfig:
    """Return the settings for an epoch of that many clips."""
    epochs = plan.epochs or int(np.clip(round(TOTAL_CLIPS / clips), *EPOCHS))
    batch = min(plan.config.batch, clips)
    return replace(plan.config, epochs=epochs, warm_up_epochs=min(1.0, epochs / 4), batch=batch)


def too_short_note(lengths: Sequence[int], spec: InputSpec) -> list[str]:
    """Return a note if most videos are shorter than a clip, which on a camera then shows more than they do.

    `lengths`: of the videos, in frames at the model's rate. A shorter stride is advised if it suffices.
    """
    middle = sorted(lengths)[len(lengths) // 2]
    if middle >= spec.first_clip_ticks:
        return []
    shorter = range(spec.segment_stride - 1, 0, -1)
    fits = (n for n in shorter if spec.model_copy(update={"segment_stride": n}).first_clip_ticks <= middle)
    stride = next(fits, None)
    return [
        f"most videos are shorter than the {spec.needed_s():.1f} s that a clip of the model needs; record longer ones"
        + (f", or use --segment-stride {stride}" if stride else "")
    ]


def _not_mirrored(data: DataSet) -> list[str]:
    """Return a note if labels contain a side, and dataset.toml does not describe their mirror images."""
    if not data.sideways:
        return []
    labels = ", ".join(map(repr, data.sideways))
    return [
        f"clips are not mirrored, because dataset.toml does not define the mirror image of {labels}; to train on "
        f"mirrored clips too, define it in [flip]: see edge-tdn-train train --help"
    ]


def _counts(decoded: DecodedDataSet) -> str:
    count = Counter(video.label for video in decoded.data.videos)
    return ", ".join(f"{decoded.data.labels[label]!r} {number}" for label, number in sorted(count.items()))


def train_network(plan: FinetunePlan, data: PreparedData, console: Console) -> None:
    """Step 2: train the plan's network in place, or resume the run."""
    task = TrainingTask(plan.initial, plan.spec, data.train, data.held_out, data.config)
    patience = max(MIN_PATIENCE, data.config.epochs // 4)
    with distributed_context(plan.device) as context:
        micro_batch = context.micro_batch(data.config.batch, plan.max_micro_batch)
        metrics = train(task, plan.run_folder, context, micro_batch, plan.workers, patience)
    console.print(f"  {best_epoch_note(metrics)}")


def best_epoch_note(metrics: Sequence[Metrics]) -> str:
    """Return a line that names the epoch whose weights are used, and why."""
    since = " since the learning rate fell" if epochs_at_low_rate(metrics) else ""
    return f"best epoch: {best_epoch(metrics) + 1} of {len(metrics)}, with the lowest held-out loss{since}"


def export_network(plan: FinetunePlan, data: PreparedData, folder: Path) -> Exported:
    """Step 3: fill the empty `folder` with the trained network in all precisions, compared with PyTorch."""
    from edge_tdn_training.commands.export_model import export_model  # nncf takes seconds to import

    run_folder = plan.run_folder
    recipe = Recipe(
        id=plan.id,
        labels=run_folder / LABELS,
        input=plan.spec,
        background=plan.background,
        source=(("file", f"{run_folder.name}/{WEIGHTS}"), ("sha256", checkpoint.sha256(run_folder / WEIGHTS))),
    )
    report, notes = export_model(plan.initial.model.to("cpu").float(), recipe, data.videos, folder, plan.data.pictures)
    return Exported(report, tuple(notes))


def evaluate_model(folder: Path, held_out: DecodedDataSet) -> dict[str, Accuracy]:
    """Step 4: evaluate each precision of a model folder on the held-out clips, as the daemon runs it."""
    model = open_model(folder)
    spec = model.manifest.input
    truth = np.array([video.label for video in held_out.data.videos])
    names = list(filter(runs_here, model.manifest.precisions))
    found: dict[str, Accuracy] = {}
    with ProgressDisplay() as progress:
        for name in names:
            logits = []
            with closing(open_any(model, name)) as runtime:
                score = with_runtime(runtime)
                for frames in progress.track(held_out.frames, len(held_out.frames), f"evaluating {name}"):
                    logits += [score(clip)[0] for clip in views(frames, spec, "1x1")]
            found[name] = Accuracy(model.labels, np.stack(logits), truth)
    return found


def write_results(
    plan: FinetunePlan, data: PreparedData, exported: Exported, accuracies: dict[str, Accuracy], folder: Path
) -> None:
    """Write figures and pictures into the model folder."""
    precision = RuntimeConfig().precision  # a host runs it unless its configuration names another one
    shown = accuracies[precision]
    clips = f"{len(shown.truth)} clips of {data.recordings} recording(s)"
    title = f"{plan.id}, {precision}: top-1 {shown.top1:.1%} of {clips}"
    write_at_once(folder / CONFUSION, shown.picture(title))
    write_at_once(folder / CURVES, (plan.run_folder / CURVES).read_bytes())
    results = {
        "schema": 1,
        "notes": [*data.notes, *exported.notes, *precision_warnings(accuracies)],
        "run": json.loads((plan.run_folder / RUN).read_bytes()),
        "recordings_evaluated": data.recordings,
        "results": {name: accuracy_json(one) for name, one in accuracies.items()},
    }
    write_at_once(folder / REPORT, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode(errors=ESCAPED))
