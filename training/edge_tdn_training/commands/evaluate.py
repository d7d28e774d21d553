"""`edge-tdn-train evaluate`: how good a model is, on clips by the paper's protocols, or on a long video as a camera.

In any precision: `pytorch` is the full-precision network, every other name one of a model folder's, which runs in the
daemon's own runtime. Several models are an ensemble: their logits are added. What comes out is a table, and in a folder
evaluation.json and a picture for each precision.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from edge_tdn_export.convert.convert import open_any, tools
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.input_spec import input_of
from edge_tdn_export.network.reference import Networks, open_networks
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge_tdn.actions.labels import check_names, rules
from edge_tdn.capture.video_file import length_s
from edge_tdn.config.tables import DecideConfig, load
from edge_tdn.errors import ConfigError
from edge_tdn.inference.runtime import enough_memory
from edge_tdn.manifest import LABELS, WEIGHTS, InputSpec, Model, check_labels, find_model, open_model
from edge_tdn_training.data.dataset import open_data
from edge_tdn_training.data.decoded import default_cache
from edge_tdn_training.evaluation import report
from edge_tdn_training.evaluation.protocols import (
    JUDGING,
    PYTORCH,
    Entrant,
    check_protocol,
    evaluate,
    steps,
    with_pytorch,
    with_runtime,
)
from edge_tdn_training.evaluation.streaming import Streamed, check_length, read_intervals, stream
from edge_tdn_training.evaluation.timeline import timeline
from edge_tdn_training.loop.run_folder import RUN, input_of_run

REPORT = "evaluation.json"

EPILOG = """a folder with a folder of videos for each class, through what the daemon runs, and PyTorch beside it:
  edge-tdn-train evaluate --data clips/test --model models/mine --precision pytorch fp32 int8

the published ensemble by the Kinetics protocol, ten clips and three crops of each:
  edge-tdn-train evaluate --data val.txt --model tdn8.pth.tar tdn16.pth.tar --segments 8 16 \\
      --labels labels.txt --frame-rate 25 --protocol 10x3

as a camera: a long video, and a JSON that says what happens in it from when to when:
  edge-tdn-train evaluate --stream yard.mp4 yard.json --model models/mine --precision fp32 int8
  edge-tdn-train evaluate --stream yard.mp4 yard.json --model models/mine --config site.toml

  {"segments": [{"label": "door_open", "start_s": 12.0, "end_s": 15.5},
                {"label": "background", "start_s": 15.5, "end_s": 60.0}]}

an event is right if it overlaps an interval of its label that no other event has; further ones, and those where nothing
of their label happens, are false; the delay ends when the event's start is told

protocol 1x1: one clip over the whole video, the model's own resize and centre crop
        10x3: ten clips of 64 frames, three crops each, scores averaged before softmax; PyTorch only, or a folder that
              was exported for that size (--size 256 --short-side 256)

exit status: 0 evaluated; 66 a video cannot be played; 71 no memory; 78 model, labels or intervals wrong; 130 stopped
"""


def add_parser(commands: Any) -> None:
    """Adds the subcommand `evaluate`."""
    parser = commands.add_parser("evaluate", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(command=run)
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument("--data", type=Path, metavar="PATH", help="a folder of videos for each class, or a list file")
    judged.add_argument("--stream", type=Path, nargs=2, metavar=("VIDEO", "JSON"),
                        help="a long video, and the intervals that are labelled in it")  # fmt: skip
    parser.add_argument("--model", nargs="+", required=True, metavar="MODEL",
                        help="a model folder or shipped model, a run, a checkpoint; several: an ensemble")  # fmt: skip
    parser.add_argument("--precision", nargs="+", default=[], metavar="P",
                        help=f"of the folder, or {PYTORCH} (default: fp32; of a checkpoint {PYTORCH})")  # fmt: skip
    parser.add_argument("--protocol", choices=("1x1", "10x3"), default="1x1", help="with --data (default: 1x1)")
    parser.add_argument("--cache", type=Path, metavar="DIR", default=default_cache(),
                        help="with --data: where decoded videos are kept (default: %(default)s)")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="TOML",
                        help="with --stream: the configuration whose [decide] counts (default: none's)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("evaluation"), metavar="DIR",
                        help=f"for {REPORT} and the pictures (default: evaluation)")  # fmt: skip
    _add_checkpoint_options(parser)


def _add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what a checkpoint does not say itself; a model folder or a run does")
    group.add_argument("--labels", type=Path, help="one label a line (default: labels.txt beside the checkpoint)")
    group.add_argument("--arch", help="(default: resnet50, or what its weights say)")
    group.add_argument("--segments", type=int, nargs="+", default=[], metavar="T", help="one, or one for each model")
    group.add_argument("--size", type=int, help="of the centre crop (default: 224)")
    group.add_argument("--short-side", type=int, help="before any crop (default: size * 256 / 224)")
    group.add_argument("--frame-rate", type=float,
                       help="frames a second that it was trained at (default: 12, Something-Something)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """The exit status. EdgeTdnError: whatever of models, data or intervals is wrong; nothing is written then."""
    there = next(path for path in (options.out, *options.out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"--out {options.out}: {there} is no folder that can be written to; name another one")
    if options.stream:
        _evaluate_stream(options)
    else:
        _evaluate_clips(options)
    return 0


def _evaluate_clips(options: argparse.Namespace) -> None:
    data = open_data(options.data)
    precisions = _precisions(options)
    with ExitStack() as opened:
        entrants = [_entrant(number, options, precisions, opened) for number in range(len(options.model))]
        with _bar(steps(data, entrants)) as (progress, task):
            found = evaluate(
                data, str(options.data), entrants, options.protocol, options.cache,
                step=lambda what: progress.update(task, description=what, advance=1),
            )  # fmt: skip
    title = " + ".join(entrant.name for entrant in entrants)
    told = {
        "data": str(options.data),
        "protocol": options.protocol,
        "models": [{"name": entrant.name, "sha256": entrant.sha256} for entrant in entrants],
        "labels": entrants[0].labels,
        "skipped": found.skipped,
        "results": {name: report.accuracy_json(one) for name, one in found.accuracies.items()},
    }
    pictures = {
        f"confusion-{name}.png": one.picture(f"{title}, {name}, {options.protocol}, top-1 {one.top1:.1%}")
        for name, one in found.accuracies.items()
    }
    tables = [report.accuracy_table(found.accuracies), report.class_table(found.accuracies)]
    _tell(options.out, told, pictures, tables, found.skipped)


def _precisions(options: argparse.Namespace) -> list[str]:
    checkpoints = [name for name in options.model if _checkpoint(name)]
    precisions = options.precision or ([PYTORCH] if checkpoints else ["fp32"])
    if checkpoints and precisions != [PYTORCH]:
        raise ConfigError(
            f"--precision {' '.join(precisions)}: {checkpoints[0]} is a checkpoint, which has {PYTORCH} alone; "
            "edge-tdn-export convert makes a model folder of it, which has others"
        )
    return list(dict.fromkeys(precisions))


def _entrant(number: int, options: argparse.Namespace, precisions: Sequence[str], opened: ExitStack) -> Entrant:
    name = options.model[number]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if path := _checkpoint(name):
        network = checkpoint.load(path, **_network(options, number))
        spec = _input(options, network.config.segments, path.parent)
        check_protocol(options.protocol, spec, PYTORCH, name)
        listed = options.labels or path.parent / LABELS
        try:
            labels = check_labels(listed, listed.read_bytes(), network.config.classes, ())
        except OSError as error:
            raise ConfigError(f"{listed}: {error.strerror}; name the checkpoint's labels with --labels") from error
        judges = {PYTORCH: with_pytorch(Networks([network], spec), device)}
        return Entrant(Path(name).name, checkpoint.sha256(path), labels, spec, judges)
    model = open_model(find_model(name, Path.cwd()))
    judges = {}
    for precision in precisions:
        check_protocol(options.protocol, model.manifest.input, precision, name)
        if precision == PYTORCH:
            judges[precision] = with_pytorch(open_networks(model), device)
        else:
            judges[precision] = with_runtime(opened.enter_context(closing(open_any(model, precision))))
    return Entrant(model.manifest.id, model.sha256, model.labels, model.manifest.input, judges)


def _checkpoint(name: str) -> Path | None:
    """The file of a checkpoint or of a run's weights. None: a model folder is meant."""
    path = Path(name)
    if path.is_dir() and (path / RUN).is_file():
        return path / WEIGHTS
    return path if path.is_file() else None


def _network(options: argparse.Namespace, number: int) -> dict[str, Any]:
    """What was said about the network on the command line, and nothing else."""
    given = {"arch": options.arch} if options.arch else {}
    segments = options.segments
    if segments and len(segments) not in (1, len(options.model)):
        raise ConfigError(f"--segments: {len(segments)} given for {len(options.model)} models; one, or one for each")
    return given | ({"segments": segments[number if len(segments) > 1 else 0]} if segments else {})


def _input(options: argparse.Namespace, segments: int, run: Path) -> InputSpec:
    """What the network looks at: as said, else as its run says, else as published. ConfigError: that cannot be."""
    return input_of(
        segments, input_of_run(run) if (run / RUN).is_file() else None, size=options.size,
        resize=None if options.size is None else "short_side_centre_crop", short_side=options.short_side,
        frame_rate=options.frame_rate,
    )  # fmt: skip


def _evaluate_stream(options: argparse.Namespace) -> None:
    video, labelled = options.stream
    model = _streamed_model(options)
    background = model.manifest.background
    decide = DecideConfig()
    if options.config:
        site = load(options.config)
        check_names(site, model.labels, background)
        decide = site.decide
    intervals = read_intervals(labelled, (*rules(decide, model.labels, background), *background))
    declared_s = length_s(video)
    check_length(labelled, intervals, video, declared_s)
    found: dict[str, Streamed] = {}
    for name in dict.fromkeys(options.precision or ["fp32"]):
        with closing(open_any(model, name)) as runtime, _bar(declared_s) as (progress, task):
            step = partial(_seconds_done, progress, task, name)
            with enough_memory(runtime.device, JUDGING):
                found[name] = stream(model, runtime, video, intervals, decide, step)
        check_length(labelled, intervals, video, found[name].judgement.seconds)
    told = {
        "video": str(video),
        "intervals": str(labelled),
        "seconds": next(iter(found.values())).judgement.seconds,
        "models": [{"name": model.manifest.id, "sha256": model.sha256}],
        "decide": decide.model_dump(mode="json"),
        "results": {name: report.stream_json(one) for name, one in found.items()},
    }
    pictures = {
        f"timeline-{name}.png": timeline(f"{video.name}, model {model.manifest.id}, {name}", one)
        for name, one in found.items()
    }
    tables = [report.stream_table(found), *(report.label_table(name, one) for name, one in found.items())]
    _tell(options.out, told, pictures, tables, ())


def _streamed_model(options: argparse.Namespace) -> Model:
    """The one folder. ConfigError: what a camera cannot run."""
    if len(options.model) > 1 or _checkpoint(options.model[0]) or PYTORCH in options.precision:
        raise ConfigError(
            "--stream: a camera runs one model folder in a precision that it has; edge-tdn-export convert makes one of "
            "a checkpoint, edge-tdn-export ensemble one of several"
        )
    return open_model(find_model(options.model[0], Path.cwd()))


def _tell(
    out: Path, told: dict[str, Any], pictures: dict[str, bytes], tables: Sequence[Table], skipped: Sequence[str]
) -> None:
    """Writes the files, and shows the tables."""
    whole = {"schema": 1, "evaluated_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "tools": tools(), **told}
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        write_at_once(out / name, picture)
    write_at_once(out / REPORT, (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode())
    console = Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)
    for table in tables:
        console.print(table)
        console.print()
    for reason in skipped:
        console.print(f"skipped: {reason}", soft_wrap=True)
    console.print(f"written: {', '.join(str(out / name) for name in (REPORT, *pictures))}", soft_wrap=True)


@contextmanager
def _bar(total: float | None) -> Iterator[tuple[Progress, TaskID]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.completed:.0f}"),
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("", total=total)


def _seconds_done(progress: Progress, task: TaskID, name: str, seconds: float) -> None:
    progress.update(task, description=name, completed=seconds)
