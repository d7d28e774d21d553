"""`edge-tdn-train motion`: generated clips (synthetic/clips.py) -> the model folder that ships, in one go.

1 training  loop/trainer.py, on generated clips instead of videos; a run folder
2 export    a model folder, INT8 calibrated on generated clips, every precision compared with PyTorch
3 evaluate  all held-out clips, through the daemon's own runtime: figures and a confusion matrix
"""

import argparse
import json
import tempfile
from contextlib import closing
from pathlib import Path

from edge_tdn_export.command_line import require_extra
from edge_tdn_export.convert.convert import Recipe, runs_here
from edge_tdn_export.convert.model_folder import whole_or_nothing, write_at_once
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.parity.report import table
from edge_tdn_export.progress import ProgressDisplay
from rich.console import Console

from edge_tdn.config.tables import RuntimeConfig
from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import LABELS, WEIGHTS, Model, open_model
from edge_tdn.media.video_writer import write_video
from edge_tdn_training.commands.motion_recipe import NETWORK, one_cycle
from edge_tdn_training.commands.next_steps import convert_command, noted, same_command, weights_kept
from edge_tdn_training.commands.option_checks import MAX_WORKERS, check_ranges
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.motion_clips import evaluate_clips, generated_clips, print_accuracy
from edge_tdn_training.evaluation.report import accuracy_json
from edge_tdn_training.loop.distributed import distributed_context
from edge_tdn_training.loop.initial_weights import load_initial_weights
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.options.train_motion import HELD_OUT_CLIPS
from edge_tdn_training.synthetic.clips import CLIPS_PER_SEED, HELD_OUT, SEEDS, SPEC, generate_clip
from edge_tdn_training.synthetic.dataset import GeneratedClips
from edge_tdn_training.synthetic.photos import read_photos

EPOCH_CLIPS = 4000  # about: after so many drawings it is evaluated, and a killed run is resumed from there
CALIBRATION_CLIPS = 128  # that INT8 is calibrated on
ID, BACKGROUND = "motion", ("still",)
MODEL = "model"
RESULTS, CONFUSION = "evaluation.json", "confusion.png"
RANGES = {
    "seed": (0, SEEDS - 1),
    "drawings": (1, CLIPS_PER_SEED),
    "held_out": (0, CLIPS_PER_SEED),
    "workers": (0, MAX_WORKERS),
    "micro_batch": (0, 1 << 20),
}


def run(options: argparse.Namespace) -> int:
    """Train, or resume; return the exit status 0. EdgeTdnError: options, weights, videos or the folder are wrong."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if (options.out / MODEL).exists():
        raise ConfigError(f"{options.out / MODEL}: exists already; remove it, or choose another folder with --out")
    check_ranges(options, RANGES)
    require_extra()
    photos = read_photos(options.backdrops) if options.backdrops else ()
    epochs = max(1, round(options.drawings / EPOCH_CLIPS))
    held_out = min(HELD_OUT_CLIPS, options.held_out)
    with distributed_context(options.device) as context:
        task = TrainingTask(
            initial=load_initial_weights(options.start, MOTIONS, options.seed, **NETWORK),
            spec=SPEC,
            train=GeneratedClips(options.seed * CLIPS_PER_SEED, options.drawings // epochs, photos),
            held_out=GeneratedClips(HELD_OUT, held_out) if held_out else None,
            config=one_cycle(
                epochs, context, options.rate, options.batch, options.views, options.seed, options.precision
            ),
        )
        if context.is_first:
            for line in (*task.initial.notes, _summary(task)):
                console.print(line)
        micro_batch = options.micro_batch or max(1, options.batch // context.world)
        with noted(ModelError, f"what was learned is kept in {options.out}; to resume: {same_command(options)}"):
            train(task, options.out, context, micro_batch, options.workers)
    if context.is_first:
        fewer_steps = convert_command(options.out, options.out / MODEL, SPEC, BACKGROUND, ID, ("fp32",))
        with weights_kept(options, options.out, fewer_steps):
            _make_folder(task.initial.model.to("cpu").float(), options, console)
    return 0


def _summary(task: TrainingTask) -> str:
    config, drawings = task.config, len(task.train)
    highest = config.rate_at(config.warm_up_epochs)
    return (
        f"{config.epochs} epoch(s) of {drawings} drawings, {drawings * config.views} clips; rate up to {highest:g} for "
        f"{config.batch} clips per step; {config.precision}"
    )


def _make_folder(model: TDN, options: argparse.Namespace, console: Console) -> None:
    """Create the model folder that ships; its reports are written into the run's folder, beside it."""
    from edge_tdn_training.commands.export_model import export_model  # nncf takes seconds to import

    out: Path = options.out
    recipe = Recipe(
        id=ID,
        labels=out / LABELS,
        input=SPEC,
        background=BACKGROUND,
        source=(("file", WEIGHTS), ("sha256", checkpoint.sha256(out / WEIGHTS))),
    )
    with whole_or_nothing(out / MODEL) as scratch, tempfile.TemporaryDirectory() as videos:
        films = [_film(options.seed * CLIPS_PER_SEED + number, Path(videos)) for number in range(CALIBRATION_CLIPS)]
        report, notes = export_model([(model, recipe)], films, scratch)
        for name in ("parity.json", "parity.html"):
            write_at_once(out / name, (scratch / name).read_bytes())
            (scratch / name).unlink()
        console.print(table(report))
        for line in notes:
            console.print(line)
        if options.held_out:
            _evaluate(open_model(scratch), options.held_out, out, console)
    results = f", {CONFUSION}, {RESULTS}" if options.held_out else ""
    console.print(f"{out / MODEL}: done; see curves.png{results}, parity.html")


def _film(number: int, folder: Path) -> Path:
    """Write a generated clip as a camera's video of the same length."""
    every_tick = SPEC.model_copy(update={"segments": SPEC.video_frames, "segment_stride": 1})
    path = folder / f"{number}.mp4"
    write_video(generate_clip(number, every_tick).frames[:, 0], round(SPEC.frame_rate), path)
    return path


def _evaluate(model: Model, count: int, out: Path, console: Console) -> None:
    found: dict[str, Accuracy] = {}
    for name in filter(runs_here, model.manifest.precisions):
        with closing(open_runtime(model, name)) as runtime, ProgressDisplay() as progress:
            clips = progress.track(generated_clips(SPEC, count), count, f"evaluating {name}")
            found[name], _ = evaluate_clips(runtime, clips)
        print_accuracy(console, name, found[name])
    results = {name: accuracy_json(one) for name, one in found.items()}
    write_at_once(out / RESULTS, (json.dumps({"schema": 1, "results": results}, indent=1) + "\n").encode())
    precision = RuntimeConfig().precision  # a host runs it unless its configuration names another one
    title = f"{ID}, {precision}: top-1 {found[precision].top1:.1%} of {count} generated clips"
    write_at_once(out / CONFUSION, found[precision].picture(title))
