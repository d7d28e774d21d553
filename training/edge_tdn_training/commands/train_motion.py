"""`edge-tdn-train motion`: generated clips (synthetic/clips.py) -> the model folder that ships, in one go.

1 learning   loop/trainer.py, on drawings in the place of videos; a run folder
2 folder     exported, INT8 calibrated on generated clips, every precision compared with PyTorch
3 judging    all held-out clips, through the daemon's own runtime: figures and a confusion matrix
"""

import argparse
import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from edge_tdn_export.convert.convert import Recipe, runs_here
from edge_tdn_export.convert.model_folder import whole_or_nothing, write_at_once
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN
from edge_tdn_export.parity.report import table
from rich.console import Console

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ConfigError
from edge_tdn.inference.cpu_features import cpu_flags
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import LABELS, WEIGHTS, Model, open_model
from edge_tdn.media.video_writer import write_video
from edge_tdn_training.commands.evaluate_motion import generated_clips, judge, tell
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.report import accuracy_json
from edge_tdn_training.loop.distributed import DEVICES, Place, join, workers
from edge_tdn_training.loop.initial_weights import begin
from edge_tdn_training.loop.trainer import REFERENCE_BATCH, Course, Task, learn
from edge_tdn_training.progress import counted
from edge_tdn_training.synthetic.backgrounds import read_photos
from edge_tdn_training.synthetic.clips import HELD_OUT, SPEC, lesson
from edge_tdn_training.synthetic.dataset import Generated

NETWORK = {"arch": "resnet18", "width": 0.5, "segments": SPEC.segments}
EPOCH = 4000  # drawings, about: after so many it is judged, and a killed run goes on from there
EXAM = 500  # of the held-out clips, after each of them
SEEDS = 256  # each has numbers of its own
OF_A_SEED = HELD_OUT // SEEDS  # drawings
WARM_UP = 0.2  # of all epochs
CALIBRATING = 128  # clips that INT8 is calibrated on
ID, BACKGROUND = "motion", ("still",)
MODEL = "model"
JUDGED, CONFUSION = "judged.json", "confusion.png"
FAST_BF16 = {"avx512_bf16", "amx_bf16"}  # as Linux names them

EPILOG = """the model that ships, as it was made; it is then runs/motion/model:
  edge-tdn-train motion --out runs/motion

stopped, killed, or out of power? The same command goes on; at most 4000 drawings are lost.
"""


def add_parser(commands: Any) -> None:
    """Adds the subcommand `motion`."""
    parser = commands.add_parser(
        "motion", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.set_defaults(command=run, stopped="stopped; the same command goes on after the last whole epoch")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder; what is there is gone on with")
    parser.add_argument("--drawings", type=int, default=40_000, metavar="N",
                        help="drawings to learn from, none of them twice (default: %(default)s)")  # fmt: skip
    parser.add_argument("--views", type=int, choices=(1, 2, 4), default=2,
                        help="clips that a drawing gives: as it is, in a mirror, backwards, both (default: %(default)s)"
                        )  # fmt: skip
    parser.add_argument("--held-out", type=int, default=1000, metavar="N", help="drawings to judge by, the first "
                        f"{EXAM} of them after every epoch (default: %(default)s)")  # fmt: skip
    parser.add_argument("--backdrops", type=Path, metavar="DIR", help="videos whose pictures become backdrops of half "
                        "of the drawings (default: none)")  # fmt: skip
    parser.add_argument("--from", dest="start", default="", metavar="MODEL", help="weights to begin with, of the "
                        "same network: a model folder or shipped model, a run, a file (default: random)")  # fmt: skip
    parser.add_argument("--batch", type=int, default=32, metavar="N",
                        help="clips a step, of all processes together (default: %(default)s)")  # fmt: skip
    parser.add_argument("--rate", type=float, default=0.4, help=f"highest learning rate for {REFERENCE_BATCH} clips a "
                        "step; scaled with --batch (default: %(default)s, so 0.1 for 32)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help=f"0 to {SEEDS - 1}: each has its own drawings (default: 1)")
    parser.add_argument("--precision", choices=("bf16", "fp32"), help="(default: bf16, mixed, where it is fast)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="(default: auto, a GPU if there is one)")
    parser.add_argument("--at-once", type=int, default=0, metavar="N", help="clips that a process computes at a time, "
                        "of which batch norms take the statistics (default: its share of a step)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=workers(), metavar="N",
                        help="processes that draw, for each that learns (default: %(default)s)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Makes it, or goes on; exit status 0. EdgeTdnError: options, weights, videos or the folder do not do."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    _check(options)
    photos = read_photos(options.backdrops) if options.backdrops else ()
    epochs = max(1, round(options.drawings / EPOCH))
    with join(options.device) as place:
        task = Task(
            start=begin(options.start, MOTIONS, options.seed, **NETWORK),
            spec=SPEC,
            lessons=Generated(options.seed * OF_A_SEED, options.drawings // epochs, photos),
            held_out=Generated(HELD_OUT, min(EXAM, options.held_out)) if options.held_out else None,
            course=one_cycle(
                epochs, place, options.rate, options.batch, options.views, options.seed, options.precision
            ),
        )
        if place.first:
            for line in (*task.start.said, _told(task)):
                console.print(line)
        at_once = options.at_once or max(1, options.batch // place.world)
        learn(task, options.out, place, at_once, options.workers)
    if place.first:
        _make_folder(task.start.model.to("cpu").float(), options, console)
    return 0


def _make_folder(model: TDN, options: argparse.Namespace, console: Console) -> None:
    """What ships, with what is told about it beside it in the run's folder."""
    from edge_tdn_training.commands.export_model import deliver  # nncf takes seconds to import

    out: Path = options.out
    recipe = Recipe(
        id=ID, labels=out / LABELS, input=SPEC, background=BACKGROUND,
        source=(("file", WEIGHTS), ("sha256", checkpoint.sha256(out / WEIGHTS))),
    )  # fmt: skip
    with whole_or_nothing(out / MODEL) as scratch, tempfile.TemporaryDirectory() as room:
        films = [_film(options.seed * OF_A_SEED + number, Path(room)) for number in range(CALIBRATING)]
        report, said = deliver(model, recipe, films, scratch)
        for name in ("parity.json", "parity.html"):
            write_at_once(out / name, (scratch / name).read_bytes())
            (scratch / name).unlink()
        console.print(table(report))
        for line in said:
            console.print(line)
        if options.held_out:
            _judge(open_model(scratch), options.held_out, out, console)
    judged = f", {CONFUSION}, {JUDGED}" if options.held_out else ""
    console.print(f"{out / MODEL}: done; see curves.png{judged}, parity.html")


def _film(number: int, folder: Path) -> Path:
    """A drawing as a camera's video of one clip."""
    every_tick = SPEC.model_copy(update={"segments": SPEC.video_frames, "segment_stride": 1})
    path = folder / f"{number}.mp4"
    write_video(lesson(number, every_tick).frames[:, 0], round(SPEC.frame_rate), path)
    return path


def _judge(model: Model, count: int, out: Path, console: Console) -> None:
    found: dict[str, Accuracy] = {}
    for name in filter(runs_here, model.manifest.precisions):
        with closing(open_runtime(model, name)) as runtime, counted() as progress:
            clips = progress.track(generated_clips(SPEC, count), count, description=f"judging {name}")
            found[name], _ = judge(runtime, clips)
        tell(console, name, found[name])
    results = {name: accuracy_json(one) for name, one in found.items()}
    write_at_once(out / JUDGED, (json.dumps({"schema": 1, "results": results}, indent=1) + "\n").encode())
    title = f"{ID}, {name}: top-1 {found[name].top1:.1%} of {count} generated clips"
    write_at_once(out / CONFUSION, found[name].picture(title))


def _check(options: argparse.Namespace) -> None:
    """What is known to be wrong before anything takes time."""
    if (options.out / MODEL).exists():
        raise ConfigError(f"{options.out / MODEL}: exists already; remove it, or name another folder with --out")
    for name, least, most in (
        ("seed", 0, SEEDS - 1), ("drawings", 1, OF_A_SEED), ("held_out", 0, OF_A_SEED), ("workers", 0, 1000),
        ("at_once", 0, 1 << 20),
    ):  # fmt: skip
        value = getattr(options, name)
        if not least <= value <= most:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be from {least} to {most}")


def one_cycle(
    epochs: int, place: Place, rate: float, batch: int, views: int, seed: int,
    precision: Literal["bf16", "fp32"] | None = None,
) -> Course:  # fmt: skip
    """The rate rises, then falls to 0. No dropout: no clip comes twice. `precision` None: bf16 where it is fast."""
    fast = place.device.type == "cuda" or not FAST_BF16.isdisjoint(cpu_flags())
    return Course(
        epochs=epochs, rate=rate, warm_up_epochs=WARM_UP * epochs, cosine=True, batch=batch, nesterov=True, dropout=0.0,
        clip=5.0, partial_norm=False, flip=False, views=views, precision=precision or ("bf16" if fast else "fp32"),
        seed=seed,
    )  # fmt: skip


def _told(task: Task) -> str:
    course, drawings = task.course, len(task.lessons)
    highest = course.rate_at(course.warm_up_epochs)
    return (
        f"{course.epochs} epoch(s) of {drawings} drawings, {drawings * course.views} clips; rate up to {highest:g} for "
        f"{course.batch} clips a step; {course.precision}"
    )
