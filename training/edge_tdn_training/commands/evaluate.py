"""`edge-tdn-train evaluate`: evaluate a model, on clips by the published protocols, or on a long video as a camera.

The precision `pytorch` is the full-precision network; every other one is of a model folder, which runs in the daemon's
own runtime. Several models are an ensemble: their logits are added. Results are a table, and in a folder
evaluation.json and a picture for each precision. With --timing also the time of a video, as in the paper's table 6.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
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
from edge_tdn_export.progress import ProgressDisplay, stepped
from edge_tdn_export.video_options import reading
from rich.console import Console
from rich.table import Table

from edge_tdn.actions.labels import check_names, rules
from edge_tdn.capture.video_file import length_s
from edge_tdn.config.load import load
from edge_tdn.config.tables import DecideConfig
from edge_tdn.errors import ConfigError, DeviceError
from edge_tdn.inference.runtime import enough_memory
from edge_tdn.label_file import check_labels
from edge_tdn.manifest import MANIFEST, Model, open_model
from edge_tdn.output import check_output_folder
from edge_tdn_training.data.dataset import open_data
from edge_tdn_training.data.decoded import printed
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
from edge_tdn_training.options.evaluate import MAX_TIMED_VIDEOS, REPORT

CHECKPOINT_OPTIONS = ("labels", "entry", "arch", "segments", "size", "short_side", "frame_rate")


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
        with stepped(steps(data, models), "evaluating") as step:
            found = evaluate(data, str(options.data), models, options.protocol, options.cache, step)
        notes = (*data.notes, *([read_labels(options.labels).note] if options.labels else ()))
        times = {}
        if options.timing:
            timed = replace(data, videos=found.videos[:MAX_TIMED_VIDEOS])
            try:
                with stepped(len(models[0].scorers), "timing") as step:
                    times = video_times.time_videos(timed, models[0], options.protocol, _device(), options.cache, step)
            except DeviceError as error:  # batches are larger than those of the evaluation, which is kept
                notes = (*notes, f"--timing: {error}")
    title = " + ".join(model.name for model in models)
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
        with closing(open_any(model, name)) as runtime, ProgressDisplay(" s") as progress:
            step = partial(progress.report, f"evaluating {name}", total=declared_s)
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
