"""`edge-tdn-train ablation`: the paper's comparisons in small: networks with and without its parts, trained alike.

1 training  loop/trainer.py, a run folder for each network and seed: with the same seed all see the same generated
            clips, in the same order, at the same rate, and begin with the same backbone if one is given
2 evaluate  all of them on the same held-out clips, in turn, in OpenVINO: accuracy and time

S-TDM and L-TDM are added to the baseline of the paper: T-Conv, which is TSN with temporal convolutions. The tables are
those of options/ablation_tables.py.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.inspection import macs
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.progress import ProgressDisplay
from numpy.typing import NDArray
from rich.console import Console

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ModelError
from edge_tdn.manifest import WEIGHTS, InputSpec
from edge_tdn_training.commands.ablation_report import AblationResult, markdown, notes, picture, table, to_json
from edge_tdn_training.commands.motion_recipe import NETWORK, one_cycle
from edge_tdn_training.commands.next_steps import noted, same_command
from edge_tdn_training.commands.option_checks import MAX_WORKERS, check_ranges
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.motion_clips import generated_clips
from edge_tdn_training.evaluation.whole_network import Compiled, compile_whole
from edge_tdn_training.loop.distributed import DistributedContext, distributed_context
from edge_tdn_training.loop.initial_weights import load_backbone, load_initial_weights
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.options.ablation import BATCH, PICTURE, RESULTS, VIEWS
from edge_tdn_training.options.ablation_tables import Variant, chosen
from edge_tdn_training.synthetic.clips import CLIPS_PER_SEED, SEEDS, SPEC
from edge_tdn_training.synthetic.dataset import GeneratedClips

EPOCH_CLIPS = 1000  # drawings, about: a killed run is resumed from there
RATE = 0.4  # as for the shipped model
MIN_TABLE_WIDTH = 120  # columns: a narrower terminal wraps the table instead of cutting it off


def run(options: argparse.Namespace) -> int:
    """Train the missing networks, evaluate all; return the exit status 0. EdgeTdnError: options or a folder."""
    ranges = {
        "seeds": (1, SEEDS - 1),
        "drawings": (BATCH // VIEWS, CLIPS_PER_SEED),
        "held_out": (2, CLIPS_PER_SEED),
        "size": (33, 1024),
        "micro_batch": (0, BATCH),
        "workers": (0, MAX_WORKERS),
    }
    check_ranges(options, ranges)
    if options.start:
        load_backbone(options.start, MOTIONS, 1)  # wrong weights are an error before anything is trained
    variants = chosen(options.tables)
    spec = SPEC.model_copy(update={"height": options.size, "width": options.size})
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of operators that no TDN has
    kept = f"the networks that were trained are kept in {options.out}; to continue: {same_command(options)}"
    with noted(ModelError, kept), distributed_context(options.device) as context:
        return _compare(options, variants, spec, context)


def _compare(
    options: argparse.Namespace, variants: Sequence[Variant], spec: InputSpec, context: DistributedContext
) -> int:
    """Train the missing networks, evaluate all, and write the results; return the exit status 0."""
    jobs = [(variant, seed) for seed in range(1, options.seeds + 1) for variant in variants]
    for number, (variant, seed) in enumerate(jobs, 1):
        name = f"network {number} of {len(jobs)}, {variant.name} with seed {seed}"
        _train(variant, seed, spec, options, context, name)
    if not context.is_first:
        return 0
    networks = [checkpoint.load(_folder(options.out, *job) / WEIGHTS).eval() for job in jobs]
    with ProgressDisplay() as progress:
        tracked = progress.track(networks, len(networks), "compiling")
        compiled = [compile_whole(network, spec) for network in tracked]
        evaluated = evaluate(compiled, spec, options.held_out, progress)
    results = [
        _result(variant, networks[number], spec, evaluated[number :: len(variants)])
        for number, variant in enumerate(variants)
    ]
    _write(results, networks[0].config, spec, options)
    _print(results, options)
    return 0


def _folder(out: Path, variant: Variant, seed: int) -> Path:
    return out / f"{variant.folder}-{seed}"


def _train(
    variant: Variant,
    seed: int,
    spec: InputSpec,
    options: argparse.Namespace,
    context: DistributedContext,
    name: str,
) -> None:
    """Train one network, unless its run is complete. `name`: of the progress."""
    folder = _folder(options.out, variant, seed)
    epochs = max(1, round(options.drawings / EPOCH_CLIPS))
    config = one_cycle(epochs, context, RATE, BATCH, VIEWS, seed)
    if options.start:
        initial = load_backbone(options.start, MOTIONS, seed, segments=NETWORK["segments"], **variant.network)
    else:
        initial = load_initial_weights("", MOTIONS, seed, **NETWORK, **variant.network)
    clips = GeneratedClips(seed * CLIPS_PER_SEED, options.drawings // epochs)
    micro_batch = options.micro_batch or BATCH // context.world
    task = TrainingTask(initial, spec, clips, None, config)
    train(task, folder, context, micro_batch, options.workers, name=name)


def evaluate(
    networks: Sequence[Compiled], spec: InputSpec, count: int, progress: ProgressDisplay
) -> list[tuple[Accuracy, NDArray[np.float64]]]:
    """Return for each network its accuracy on the first `count` held-out clips, and the seconds of each clip, [count].

    All networks take a clip before the next one, in a random order: other load on the machine slows them down alike.
    """
    rng = np.random.default_rng(0)
    logits = np.empty((len(networks), count, len(MOTIONS)), np.float32)
    seconds = np.empty((len(networks), count))
    truth = np.empty(count, np.int64)
    clips = progress.track(generated_clips(spec, count), count, "evaluating")
    for number, (_, frames, truth[number]) in enumerate(clips):
        for one in rng.permutation(len(networks)):
            began = time.perf_counter()
            logits[one, number] = networks[one](frames)
            seconds[one, number] = time.perf_counter() - began
    return [(Accuracy(MOTIONS, own, truth), took) for own, took in zip(logits, seconds, strict=True)]


def _result(
    variant: Variant, network: TDN, spec: InputSpec, evaluated: Sequence[tuple[Accuracy, NDArray[np.float64]]]
) -> AblationResult:
    """Return the result of a network that was evaluated once for each seed."""
    encoder, head = macs(network, spec.height, spec.width)
    return AblationResult(
        name=variant.name,
        network=variant.network,
        paper=variant.paper,
        parameters=sum(p.numel() for p in network.parameters()),
        gmac=(spec.segments * encoder + head) / 1e9,
        accuracies=tuple(accuracy for accuracy, _ in evaluated),
        seconds=np.stack([seconds for _, seconds in evaluated]),
    )


def _write(results: Sequence[AblationResult], network: TDNConfig, spec: InputSpec, options: argparse.Namespace) -> None:
    common = {
        "input": spec.model_dump(mode="json"),
        "network": {name: getattr(network, name) for name in NETWORK},
        "from": options.start,
        "drawings": options.drawings,
        "views": VIEWS,
        "seeds": options.seeds,
        "held_out": options.held_out,
    }
    write_at_once(options.out / RESULTS, to_json(results, common))
    start = f", from the backbone of {Path(options.start).name}" if options.start else ""
    title = f"{options.held_out} held-out clips, after training on {options.drawings * VIEWS} others{start}"
    write_at_once(options.out / PICTURE, picture(results, title))


def _print(results: Sequence[AblationResult], options: argparse.Namespace) -> None:
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.width = max(console.width, MIN_TABLE_WIDTH)
    console.print(markdown(results) if options.markdown else table(results))
    start = f"all began with the backbone of {options.start}" if options.start else "all began with random weights"
    for line in (*notes(results), start, f"{options.out / RESULTS}, {PICTURE}: written"):
        console.print(line)
