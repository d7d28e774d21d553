"""`edge-tdn-train finetune`: your own clips -> a model folder that `edge-tdn run` takes, in one go.

plan        finetune_plan.py: options, data and initial weights are checked before any work
1 videos    finetune_data.py: decoded, a part held out by recording
2 teach     finetune_frozen.py: a last layer on frozen networks that know what things are and how they move; or
            finetune_training.py: all layers of a model that knows motion, in a run folder beside --out
3 export    a model folder, INT8 calibrated on the clips, every precision compared with PyTorch
4 evaluate  held-out clips, through the daemon's own runtime: figures and a confusion matrix
"""

import argparse
import json
import sys
import tempfile
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import numpy as np
import torch
from edge_tdn_export.convert.convert import Recipe, open_any, runs_here
from edge_tdn_export.convert.model_folder import whole_or_nothing, write_at_once
from edge_tdn_export.parity.report import table
from edge_tdn_export.parity.result import ParityReport
from edge_tdn_export.progress import ProgressDisplay, begin_step, reported_as
from edge_tdn_export.progress_lines import ProgressLines
from rich.console import Console

from edge_tdn.config.tables import RuntimeConfig
from edge_tdn.errors import ModelError
from edge_tdn.manifest import LABELS, InputSpec, open_model
from edge_tdn_training.commands.finetune_frozen import learn_last_layer
from edge_tdn_training.commands.finetune_plan import STEPS, FinetunePlan, FrozenStart, make_plan
from edge_tdn_training.commands.finetune_training import train_all_layers
from edge_tdn_training.commands.finetuned import FinetunedModel
from edge_tdn_training.commands.next_steps import convert_command, noted, same_command, serve_lines, weights_kept
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.hop_time import hop_s
from edge_tdn_training.evaluation.protocols import views, with_runtime
from edge_tdn_training.evaluation.report import accuracy_json, accuracy_table, class_table, precision_warnings
from edge_tdn_training.loop.run_folder import CURVES, ESCAPED
from edge_tdn_training.machine import lower_priority

REPORT = "finetune.json"
CONFUSION = "confusion.png"
TABLE_WIDTH = 120  # characters, of tables in lines of JSON


@dataclass(frozen=True, eq=False)
class Exported:
    """The outcome of the export."""

    parity: ParityReport
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The outcome of the evaluation, by precision."""

    accuracies: dict[str, Accuracy]
    hops_s: dict[str, float]  # seconds of a hop on this machine
    every_s: float  # seconds from one hop of a camera to the next

    @property
    def cost(self) -> str:
        """Return the line that states what a camera costs."""
        times = ", ".join(f"{1000 * seconds:.0f} ms in {name}" for name, seconds in self.hops_s.items())
        every = f"with hop = 1 a camera has one every {1000 * self.every_s:.0f} ms"
        return f"a hop takes {times} on this machine, all of its cores; {every}"


def run(options: argparse.Namespace) -> int:
    """Fine-tune; return the exit status 0. EdgeTdnError: data, model or options are wrong; --out is not created."""
    if not lower_priority():
        torch.set_num_threads(max(1, torch.get_num_threads() // 2))
    lines = ProgressLines(sys.stdout) if options.progress == "json" else None
    width = TABLE_WIDTH if lines else None
    console = Console(file=cast("TextIO | None", lines), width=width, markup=False, highlight=False, soft_wrap=True)
    with reported_as(lines):
        plan = _finetune(options, console)
    if lines:
        lines.done(plan.id)
    else:
        for line in serve_lines(plan.out):
            console.print(line)
    return 0


def _finetune(options: argparse.Namespace, console: Console) -> FinetunePlan:
    """Fine-tune, and return the plan that was carried out."""
    plan = make_plan(options)
    kept: AbstractContextManager[None]
    if isinstance(plan.start, FrozenStart):
        with _features_kept(options):
            finetuned = learn_last_layer(plan, plan.start, console)
        kept = _features_kept(options)
    else:
        with noted(ModelError, f"what was learned is kept in {plan.run_folder}; to resume: {same_command(options)}"):
            finetuned = train_all_layers(plan, plan.start, console)
        kept = _run_kept(options, plan, plan.start.spec)
    begin_step(console, 3, STEPS, "model folder: export, INT8, comparison with PyTorch")
    with kept, whole_or_nothing(plan.out) as scratch:
        exported = export_networks(plan, finetuned, scratch)
        begin_step(console, 4, STEPS, "evaluation of the model folder on the held-out clips")
        evaluated = evaluate_model(scratch, finetuned.data.held_out)
        write_results(plan, finetuned, exported, evaluated, scratch)
    _print_results(plan, exported, evaluated, console)
    if finetuned.curves:
        console.print(f"the training run is kept in {plan.run_folder}")
    return plan


def _features_kept(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Return a context that adds to any error how to continue; what was computed of the clips is in the cache."""
    return noted(Exception, f"what was computed is kept in {options.cache}; to continue: {same_command(options)}")


def _run_kept(options: argparse.Namespace, plan: FinetunePlan, spec: InputSpec) -> AbstractContextManager[None]:
    """Return a context that adds to any error how to continue from the training run, and with fewer steps."""
    fewer_steps = convert_command(plan.run_folder, plan.out, spec, plan.background, plan.id, ("fp32",))
    return weights_kept(options, plan.run_folder, fewer_steps)


def _print_results(plan: FinetunePlan, exported: Exported, evaluated: Evaluated, console: Console) -> None:
    accuracies = evaluated.accuracies
    for title, shown in (
        ("comparison with PyTorch", table(exported.parity)),
        ("accuracy on the held-out clips", accuracy_table(accuracies, "clips")),
        ("the same for each class", class_table(accuracies, "clips")),
    ):
        console.print(f"\n{title}:")
        console.print(shown)
    for line in ("", *exported.notes, *precision_warnings(accuracies)):
        console.print(line)
    top1 = ", ".join(f"{name} {one.top1:.1%}" for name, one in accuracies.items())
    console.print(f"{plan.out}: top-1 {top1} of the held-out clips; see {CONFUSION}, parity.html and {REPORT} in it")
    console.print(evaluated.cost)


def export_networks(plan: FinetunePlan, finetuned: FinetunedModel, folder: Path) -> Exported:
    """Step 3: fill the empty `folder` with the networks in all precisions, compared with PyTorch."""
    from edge_tdn_training.commands.export_model import export_model  # nncf takes seconds to import

    with tempfile.TemporaryDirectory() as scratch:
        labels = Path(scratch) / LABELS
        labels.write_text("".join(f"{label}\n" for label in plan.data.labels), encoding="utf-8")
        parts = [
            (one.network, Recipe(plan.id, labels, finetuned.spec, plan.background, one.source))
            for one in finetuned.networks
        ]
        report, notes = export_model(parts, finetuned.data.videos, folder, plan.data.pictures)
    return Exported(report, tuple(notes))


def evaluate_model(folder: Path, held_out: DecodedDataSet) -> Evaluated:
    """Step 4: evaluate each precision of a model folder on the held-out clips, as the daemon runs it."""
    model = open_model(folder)
    spec = model.manifest.input
    truth = np.array([video.label for video in held_out.data.videos])
    names = list(filter(runs_here, model.manifest.precisions))
    found: dict[str, Accuracy] = {}
    hops_s: dict[str, float] = {}
    with ProgressDisplay() as progress:
        for name in names:
            logits = []
            with closing(open_any(model, name)) as runtime:
                score = with_runtime(runtime)
                for frames in progress.track(held_out.frames, len(held_out.frames), f"evaluating {name}"):
                    logits += [score(clip)[0] for clip in views(frames, spec, "1x1")]
                hops_s[name] = hop_s(runtime, spec)
            found[name] = Accuracy(model.labels, np.stack(logits), truth)
    return Evaluated(found, hops_s, spec.segment_s)


def write_results(
    plan: FinetunePlan, finetuned: FinetunedModel, exported: Exported, evaluated: Evaluated, folder: Path
) -> None:
    """Write figures and pictures into the model folder."""
    data, accuracies = finetuned.data, evaluated.accuracies
    precision = RuntimeConfig().precision  # a host runs it unless its configuration names another one
    shown = accuracies[precision]
    clips = f"{len(shown.truth)} clips of {data.recordings} recording(s)"
    title = f"{plan.id}, {precision}: top-1 {shown.top1:.1%} of {clips}"
    write_at_once(folder / CONFUSION, shown.picture(title))
    if finetuned.curves:
        write_at_once(folder / CURVES, finetuned.curves)
    results = {
        "schema": 1,
        "notes": [*data.notes, *exported.notes, *precision_warnings(accuracies)],
        "run": finetuned.record,
        "recordings_evaluated": data.recordings,
        "results": {name: accuracy_json(one) for name, one in accuracies.items()},
        "hop_ms": {name: round(1000 * seconds, 1) for name, seconds in evaluated.hops_s.items()},
    }
    write_at_once(folder / REPORT, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode(errors=ESCAPED))
