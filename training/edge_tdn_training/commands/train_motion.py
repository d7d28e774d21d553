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
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import LABELS, WEIGHTS, Model, open_model
from edge_tdn.media.video_writer import write_video
from edge_tdn_training.commands.machine_options import add_machine_options
from edge_tdn_training.commands.motion_recipe import CLIPS_PER_SEED, NETWORK, SEEDS, one_cycle
from edge_tdn_training.commands.next_steps import convert_command, noted, same_command, weights_kept
from edge_tdn_training.commands.option_checks import MAX_WORKERS, check_ranges
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.motion_clips import evaluate_clips, generated_clips, print_accuracy
from edge_tdn_training.evaluation.report import accuracy_json
from edge_tdn_training.loop.distributed import distributed_context
from edge_tdn_training.loop.initial_weights import load_initial_weights
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.loop.trainer import train
from edge_tdn_training.synthetic.clips import HELD_OUT, SPEC, generate_clip
from edge_tdn_training.synthetic.dataset import GeneratedClips
from edge_tdn_training.synthetic.photos import read_photos
from edge_tdn_training.training_config import REFERENCE_BATCH

EPOCH_CLIPS = 4000  # about: after so many drawings it is evaluated, and a killed run is resumed from there
HELD_OUT_CLIPS = 500  # that are evaluated after each epoch
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

HELP = CommandHelp(
    description="""\
Train the model `motion`, which comes with the package, again: on generated clips of moving things, in one go from
nothing to a model folder with INT8, compared with PyTorch and evaluated. Use it to reproduce the shipped model, or to
make a variant of it; an hour on 2 cores. Your own actions are taught with `finetune`, not with this command.

Stopped, killed, or out of power? Run the same command again to resume; at most 4000 drawings are lost.
""",
    examples=(
        Example(
            "the shipped model with its own settings; the result is runs/motion/model",
            "edge-tdn-train motion --out runs/motion",
        ),
        Example(
            "with pictures of your own videos as backgrounds",
            "edge-tdn-train motion --out runs/mine --backdrops videos/",
        ),
        Example(
            "continue from the shipped model, with more clips",
            "edge-tdn-train motion --out runs/longer --from motion --drawings 80000",
        ),
    ),
    exit_status={
        0: "trained, exported and evaluated",
        71: "",
        78: "options are wrong, or the folder is of another run",
    },
)


def add_parser(commands: Commands, summary: str) -> None:
    """Add the subcommand `motion`."""
    parser = add_command(
        commands,
        "motion",
        run,
        summary,
        HELP,
        stopped="stopped; run the same command again to resume after the last whole epoch",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    parser.add_argument(
        "--drawings",
        type=int,
        default=40_000,
        metavar="N",
        help="number of generated clips to train on (default: %(default)s)",
    )
    parser.add_argument(
        "--views",
        type=int,
        choices=(1, 2, 4),
        default=2,
        help="clips made of a drawing; 1: as it is; 2: also mirrored; 4: both also backwards (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=1000,
        metavar="N",
        help=f"drawings to evaluate on, the first {HELD_OUT_CLIPS} of them after every epoch (default: %(default)s)",
    )
    parser.add_argument(
        "--backdrops",
        type=Path,
        metavar="DIR",
        help="videos whose pictures become backgrounds of half of the drawings (default: none)",
    )
    parser.add_argument(
        "--from",
        dest="start",
        default="",
        metavar="MODEL",
        help="initial weights, of the same network: a model folder or shipped model, a run, a file (default: random)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=32,
        metavar="N",
        help="clips per step, of all processes together (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=0.4,
        help=f"highest learning rate for {REFERENCE_BATCH} clips per step; scaled with --batch (default: %(default)s, "
        "which is 0.1 for 32)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help=f"0 to {SEEDS - 1}: seed of weights and drawings (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=("bf16", "fp32"),
        help="precision of the training (default: bf16, mixed, where it is fast)",
    )
    add_machine_options(parser, "batch norms use its statistics (default: the process's share of --batch)")


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
        report, notes = export_model(model, recipe, films, scratch)
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
