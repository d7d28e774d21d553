"""`edge-tdn-train evaluate`: evaluate a model, on clips by the published protocols, or on a long video as a camera.

The precision `pytorch` is the full-precision network; every other one is of a model folder, which runs in the daemon's
own runtime. Several models are an ensemble: their logits are added. Results are a table, and in a folder
evaluation.json and a picture for each precision. With --timing also the time of a video, as in the paper's table 6.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from edge_tdn_export.commands.network_options import check_no_checkpoint_options
from edge_tdn_export.convert.convert import open_any, tools
from edge_tdn_export.convert.model_folder import write_at_once
from edge_tdn_export.lists.labels import read_labels
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.input_spec import stated_or_published
from edge_tdn_export.network.reference import Networks, open_networks
from edge_tdn_export.network.source import find_source, locate
from edge_tdn_export.video_options import LABELS_HELP, add_video_options, reading
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge_tdn.actions.labels import check_names, rules
from edge_tdn.capture.video_file import length_s
from edge_tdn.config.load import load
from edge_tdn.config.tables import DecideConfig
from edge_tdn.errors import ConfigError
from edge_tdn.help.command_help import CommandHelp, Example
from edge_tdn.help.parser import Commands, add_command
from edge_tdn.inference.runtime import enough_memory
from edge_tdn.label_file import check_labels
from edge_tdn.manifest import MANIFEST, Model, open_model
from edge_tdn.output import check_output_folder
from edge_tdn_training.data.dataset import open_data
from edge_tdn_training.data.decoded import printed
from edge_tdn_training.data.video_cache import default_cache
from edge_tdn_training.evaluation import report, video_times
from edge_tdn_training.evaluation.protocols import (
    EVALUATING,
    PYTORCH,
    EvaluatedModel,
    check_protocol,
    evaluate,
    steps,
    with_pytorch,
    with_runtime,
)
from edge_tdn_training.evaluation.streaming import StreamResult, check_length, read_intervals, stream
from edge_tdn_training.evaluation.timeline import timeline
from edge_tdn_training.loop.run_folder import ESCAPED

REPORT = "evaluation.json"
CHECKPOINT_OPTIONS = ("labels", "entry", "arch", "segments", "size", "short_side", "frame_rate")

HELP = CommandHelp(
    description="""\
Measure how good a model is: on clips, by the published protocols, or on a long video, played like a camera. Use it to
compare models and precisions on videos that none of them was trained on.

With --stream, an event is right if it overlaps an interval of its label that no other event has; further ones, and
those that overlap no interval of their label, are false. The delay ends when the start event is published.
""",
    examples=(
        Example(
            "a folder with a folder of videos for each class, in the precisions of the daemon and in PyTorch",
            "edge-tdn-train evaluate --data clips/test --model models/mine --precision pytorch fp32 int8",
        ),
        Example(
            "the published ensemble by the Kinetics protocol, ten clips and three crops of each",
            "edge-tdn-train evaluate --data val.txt --model tdn8.pth.tar tdn16.pth.tar --segments 8 16 "
            "--labels labels.txt --frame-rate 25 --protocol 10x3",
        ),
        Example(
            "also the time of a video, decoding included, beside the paper's",
            "edge-tdn-train evaluate --data clips/test --model models/mine --timing",
        ),
        Example(
            "a long video, played like a camera, and a JSON file with the intervals of its actions",
            "edge-tdn-train evaluate --stream yard.mp4 yard.json --model models/mine --config site.toml",
        ),
    ),
    exit_status={0: "evaluated", 66: "", 71: "", 78: "model, labels or intervals are wrong"},
    notes="""\
The JSON file of --stream:

  {"segments": [
    {"label": "door_open", "start_s": 12.0, "end_s": 15.5},
    {"label": "background", "start_s": 15.5, "end_s": 60.0}]}

Protocols:

  1x1   one clip over the whole video, the model's own resize and centre crop
  10x3  ten clips of 64 frames, three crops each, scores averaged before
        softmax; PyTorch only, or a folder that was exported for that size
        (--size 256 --short-side 256)
""",
)


def add_parser(commands: Commands, summary: str) -> None:
    """Add the subcommand `evaluate`."""
    parser = add_command(commands, "evaluate", run, summary, HELP)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--data", type=Path, metavar="PATH", help="a folder of videos for each class, or a list file: see train"
    )
    data.add_argument(
        "--stream", type=Path, nargs=2, metavar=("VIDEO", "JSON"), help="a long video, and its labelled intervals"
    )
    parser.add_argument(
        "--model",
        nargs="+",
        required=True,
        metavar="MODEL",
        help="a model folder or shipped model, a run, a checkpoint; several: an ensemble",
    )
    parser.add_argument(
        "--precision",
        nargs="+",
        default=[],
        metavar="P",
        help=f"precisions of the model folder, or {PYTORCH} (default: fp32; for a checkpoint {PYTORCH})",
    )
    parser.add_argument("--protocol", choices=("1x1", "10x3"), default="1x1", help="with --data (default: 1x1)")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=default_cache(),
        help="with --data: folder of decoded videos (default: %(default)s)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="TOML",
        help="with --stream: use [decide] of this configuration (default: its defaults)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help=f"folder for {REPORT} and the pictures (default: evaluation)",
    )
    parser.add_argument(
        "--timing",
        action="store_true",
        help="with --data: also measure the time of a video, decoding included, beside the paper's table 6: of the "
        f"first {video_times.MAX_VIDEOS} videos, one model, PyTorch in batches of {video_times.BATCH} clips",
    )
    add_video_options(parser, labels=True)
    _add_checkpoint_options(parser)


def _add_checkpoint_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the description of a checkpoint; a model folder or a run has its own")
    group.add_argument("--labels", type=Path, help=f"{LABELS_HELP} (default: labels.txt beside it)")
    group.add_argument("--entry", metavar="NAME", help="entry that holds its weights, such as model_ema")
    group.add_argument("--arch", help="the ResNet (default: resnet50, or that of the weights)")
    group.add_argument(
        "--segments",
        type=int,
        nargs="+",
        metavar="T",
        help="segments per clip: one number, or one for each model",
    )
    group.add_argument("--size", type=int, help="height and width of the centre crop, pixels (default: 224)")
    group.add_argument(
        "--short-side", type=int, help="shorter side of a frame before the crop, pixels (default: size * 256 / 224)"
    )
    group.add_argument(
        "--frame-rate",
        type=float,
        help="frames per second of its training videos (default: as published: 12, Kinetics: 25)",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate; return the exit status 0. EdgeTdnError: models, data or intervals are wrong; nothing is written."""
    check_output_folder(options.out)
    if all(map(_is_model_folder, options.model)):
        check_no_checkpoint_options(options, CHECKPOINT_OPTIONS, options.model[0])
    if options.timing and (options.stream or len(options.model) > 1):
        raise ConfigError("--timing: the time of a video is measured with --data and one --model")
    if options.stream:
        _evaluate_stream(options)
    else:
        _evaluate_clips(options)
    return 0


def _evaluate_clips(options: argparse.Namespace) -> None:
    data = open_data(options.data, reading(options), "test")
    precisions = _precisions(options)
    with ExitStack() as opened:
        models = [_evaluated_model(number, options, precisions, opened) for number in range(len(options.model))]
        with _bar(steps(data, models)) as (progress, task):
            found = evaluate(
                data,
                str(options.data),
                models,
                options.protocol,
                options.cache,
                step=lambda what: progress.update(task, description=what, advance=1),
            )
            times = {}
            if options.timing:
                timed = replace(data, videos=found.videos)
                step = lambda name: progress.update(task, description=f"timing {name}")  # noqa: E731
                times = video_times.time_videos(timed, models[0], options.protocol, _device(), options.cache, step)
    title = " + ".join(model.name for model in models)
    notes = (*data.notes, *([read_labels(options.labels).note] if options.labels else ()))
    content: dict[str, Any] = {
        "data": str(options.data),
        "notes": notes,
        "protocol": options.protocol,
        "models": [{"name": model.name, "sha256": model.sha256} for model in models],
        "labels": models[0].labels,
        "skipped": found.skipped,
        "results": {name: report.accuracy_json(one) for name, one in found.accuracies.items()},
    }
    pictures = {
        f"confusion-{name}.png": one.picture(f"{title}, {name}, {options.protocol}, top-1 {one.top1:.1%}")
        for name, one in found.accuracies.items()
    }
    tables = [report.accuracy_table(found.accuracies), report.class_table(found.accuracies)]
    if times:
        content["timing"] = video_times.times_json(times)
        tables.append(video_times.times_table(times, found.accuracies))
        notes = (*notes, video_times.times_note())
    _write(options.out, content, pictures, tables, found.skipped, notes)


def _precisions(options: argparse.Namespace) -> list[str]:
    checkpoints = [name for name in options.model if not _is_model_folder(name)]
    precisions = options.precision or ([PYTORCH] if checkpoints else ["fp32"])
    if checkpoints and precisions != [PYTORCH]:
        raise ConfigError(
            f"--precision {' '.join(precisions)}: {checkpoints[0]} is a checkpoint, whose only precision is "
            f"{PYTORCH}; convert it with edge-tdn-export convert to evaluate others"
        )
    return list(dict.fromkeys(precisions))


def _evaluated_model(
    number: int, options: argparse.Namespace, precisions: Sequence[str], opened: ExitStack
) -> EvaluatedModel:
    name = options.model[number]
    device = _device()
    if not _is_model_folder(name):
        source = find_source(name)
        network = checkpoint.load(source.weights, note=print, **_network(options, number))
        given = {name: getattr(options, name) for name in ("size", "short_side", "frame_rate")}
        given["resize"] = None if options.size is None else "short_side_centre_crop"
        spec = stated_or_published(network.config, source.input, given, print)
        check_protocol(options.protocol, spec, PYTORCH, name)
        listed = options.labels or source.labels_for(network.config.classes)
        labels = read_labels(listed).labels
        check_labels(listed, labels, network.config.classes, ())
        scorers = {PYTORCH: with_pytorch(Networks([network], spec), device)}
        return EvaluatedModel(Path(name).name, checkpoint.sha256(source.weights), labels, spec, scorers)
    model = open_model(locate(name))
    scorers = {}
    for precision in precisions:
        check_protocol(options.protocol, model.manifest.input, precision, name)
        if precision == PYTORCH:
            scorers[precision] = with_pytorch(open_networks(model), device)
        else:
            scorers[precision] = with_runtime(opened.enter_context(closing(open_any(model, precision))))
    return EvaluatedModel(model.manifest.id, model.sha256, model.labels, model.manifest.input, scorers)


def _device() -> torch.device:
    """Return the device of networks in PyTorch."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _is_model_folder(name: str) -> bool:
    """Return whether a model is a model folder, not a checkpoint or a run. ModelError: it does not exist."""
    return (locate(name) / MANIFEST).is_file()


def _network(options: argparse.Namespace, number: int) -> dict[str, Any]:
    """Return the options of the network that were given on the command line."""
    given = {name: getattr(options, name) for name in ("arch", "entry") if getattr(options, name)}
    segments = options.segments
    if segments and len(segments) not in (1, len(options.model)):
        raise ConfigError(f"--segments: {len(segments)} given for {len(options.model)} models; give 1 or as many")
    return given | ({"segments": segments[number if len(segments) > 1 else 0]} if segments else {})


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
    pictures_of = reading(options).pictures.at(model.manifest.input.frame_rate)
    declared_s = length_s(video, pictures=pictures_of)
    check_length(labelled, intervals, video, declared_s)
    found: dict[str, StreamResult] = {}
    for name in dict.fromkeys(options.precision or ["fp32"]):
        with closing(open_any(model, name)) as runtime, _bar(declared_s) as (progress, task):
            step = partial(_seconds_done, progress, task, name)
            with enough_memory(runtime.device, EVALUATING):
                found[name] = stream(model, runtime, video, intervals, decide, step, pictures_of)
        check_length(labelled, intervals, video, found[name].matched.seconds)
    content = {
        "video": str(video),
        "intervals": str(labelled),
        "seconds": next(iter(found.values())).matched.seconds,
        "models": [{"name": model.manifest.id, "sha256": model.sha256}],
        "decide": decide.model_dump(mode="json"),
        "results": {name: report.stream_json(one) for name, one in found.items()},
    }
    pictures = {
        f"timeline-{name}.png": timeline(f"{video.name}, model {model.manifest.id}, {name}", one)
        for name, one in found.items()
    }
    tables = [report.stream_table(found), *(report.label_table(name, one) for name, one in found.items())]
    _write(options.out, content, pictures, tables, ())


def _streamed_model(options: argparse.Namespace) -> Model:
    """Return the model folder. ConfigError: a camera cannot run these models."""
    if len(options.model) > 1 or not _is_model_folder(options.model[0]) or PYTORCH in options.precision:
        raise ConfigError(
            "--stream: a camera runs one model folder in a precision of its own; use edge-tdn-export convert for a "
            "checkpoint, edge-tdn-export ensemble for several models"
        )
    return open_model(locate(options.model[0]))


def _write(
    out: Path,
    content: dict[str, Any],
    pictures: dict[str, bytes],
    tables: Sequence[Table],
    skipped: Sequence[str],
    notes: Sequence[str] = (),
) -> None:
    """Write the files, and print the tables."""
    whole = {"schema": 1, "evaluated_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "tools": tools(), **content}
    for name, picture in pictures.items():
        write_at_once(out / name, picture)
    write_at_once(out / REPORT, (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode(errors=ESCAPED))
    console = Console(width=None if sys.stdout.isatty() else 120, markup=False, highlight=False)
    for line in notes:
        console.print(line, soft_wrap=True)
    for table in tables:
        console.print(table)
        console.print()
    for reason in printed(skipped):
        console.print(f"skipped: {reason}", soft_wrap=True)
    console.print(f"written: {', '.join(str(out / name) for name in (REPORT, *pictures))}", soft_wrap=True)


@contextmanager
def _bar(total: float | None) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("", total=total)


def _seconds_done(progress: Progress, task: TaskID, name: str, seconds: float) -> None:
    progress.update(task, description=name, completed=seconds)
