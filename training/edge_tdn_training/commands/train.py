"""`edge-tdn-train train`: the published training, on one machine or many: videos -> weights."""

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from edge_tdn_export.video_options import reading
from rich.console import Console

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.manifest import InputSpec, model_id
from edge_tdn.teaching.class_folder import is_background
from edge_tdn_training.commands.given_network import input_spec, network_options
from edge_tdn_training.commands.next_steps import convert_command, noted, same_command
from edge_tdn_training.commands.option_checks import check_ranges
from edge_tdn_training.data.copies import copies_are_one
from edge_tdn_training.data.dataset import DataSet, open_data, open_evaluation_data
from edge_tdn_training.data.decoded import DecodedDataSet, printed
from edge_tdn_training.data.split import check_apart, check_evaluation_data, check_share, hold_out
from edge_tdn_training.data.video_cache import decode_with_progress
from edge_tdn_training.loop.distributed import DistributedContext, distributed_context
from edge_tdn_training.loop.initial_weights import load_initial_weights
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.training_config import PUBLISHED, TrainingConfig


def run(options: argparse.Namespace) -> int:
    """Train, or resume; return the exit status 0. EdgeTdnError: data, weights or options are wrong."""
    if options.hold_out is not None:
        check_share(options.hold_out)
    if options.evaluate_on and options.hold_out:
        raise ConfigError(
            "--evaluate-on and --hold-out: use one of them; held-out videos are from other data or from --data"
        )
    check_ranges(options, {"workers": (0, None)})
    console = Console(markup=False, highlight=False, soft_wrap=True)
    with distributed_context(options.device) as context:
        config = _training_config(options)
        how = reading(options)
        data = open_data(options.data, how, "train")
        evaluation = open_evaluation_data(options.evaluate_on, how, data, options.data) if options.evaluate_on else None
        if evaluation:
            check_evaluation_data(data, evaluation)
        initial = load_initial_weights(options.start, data.labels, config.seed, **network_options(options))
        spec, assumed = input_spec(options, initial)
        training, held_out = _decode(options, data, evaluation, spec, context)
        copies: Sequence[str] = ()
        if options.hold_out:  # of the videos that can be read
            training, held_out, copies = hold_out_decoded(training, options.hold_out, config.seed)
        if context.is_first:
            _print_data(
                console,
                data,
                training,
                held_out,
                (*data.notes, *(evaluation.notes if evaluation else ()), *initial.notes, *assumed, *copies),
            )
        micro_batch = options.micro_batch or context.micro_batch(config.batch)
        task = TrainingTask(initial, spec, training, held_out, config)
        with noted(ModelError, f"what was learned is kept in {options.out}; to resume: {same_command(options)}"):
            metrics = train(task, options.out, context, micro_batch, options.workers)
        if context.is_first:
            _print_result(console, options.out, spec, data.labels, metrics[-1])
    return 0


def _training_config(options: argparse.Namespace) -> TrainingConfig:
    given = {field.name: getattr(options, field.name, None) for field in fields(TrainingConfig)}
    return replace(PUBLISHED[options.schedule], **{name: value for name, value in given.items() if value is not None})


def _decode(
    options: argparse.Namespace,
    data: DataSet,
    evaluation: DataSet | None,
    spec: InputSpec,
    context: DistributedContext,
) -> tuple[DecodedDataSet, DecodedDataSet | None]:
    """Decode both data sets; the first process of each machine does the work."""
    with context.leader_first(context.local_rank == 0):
        training = decode_with_progress(data, spec, options.cache, context.is_first)
        if evaluation is None:
            return training, None
        return training, decode_with_progress(evaluation, spec, options.cache, context.is_first)


def hold_out_decoded(
    decoded: DecodedDataSet, share: float, seed: int
) -> tuple[DecodedDataSet, DecodedDataSet, list[str]]:
    """Return the videos to train on, the held-out ones, and notes on copies of files. ConfigError: as `hold_out`."""
    data, copies = copies_are_one(decoded.data)
    decoded = replace(decoded, data=data)
    training, held_out = map(decoded.select, hold_out(data, share, seed))
    check_apart(training.data, held_out.data)
    return training, held_out, copies


def _print_data(
    console: Console,
    data: DataSet,
    training: DecodedDataSet,
    held_out: DecodedDataSet | None,
    notes: Sequence[str],
) -> None:
    for line in notes:
        console.print(line)
    skipped = [*training.data.skipped, *(held_out.data.skipped if held_out else ())]
    evaluated = f", {len(held_out.frames)} held out" if held_out else ""
    console.print(
        f"{len(data.labels)} classes; {len(training.frames)} videos to train on{evaluated}, {len(skipped)} skipped"
    )
    for reason in printed(skipped):
        console.print(f"  skipped: {reason}")
    if data.sideways:
        labels = ", ".join(map(repr, data.sideways))
        console.print(f"{labels}: unchanged in a mirror; if that is wrong, see [flip] in --help")


def _print_result(
    console: Console, out: Path, spec: InputSpec, labels: Sequence[str], metrics: dict[str, float]
) -> None:
    held_out = f", held out {metrics['held_out_top1']:.1%}" if "held_out_top1" in metrics else ""
    console.print(f"{out}: {metrics['epoch']:.0f} epochs, top-1 {metrics['top1']:.1%}{held_out}; see curves.png")
    background = [label for label in labels if is_background(label)]
    console.print(f"next: {convert_command(out, Path('models', model_id(out.resolve().name)), spec, background)}")
