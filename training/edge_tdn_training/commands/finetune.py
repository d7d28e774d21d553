"""`edge-tdn-train finetune`: your own clips -> a model folder that `edge-tdn run` takes, in one go.

1 videos    decoded, the class `background` made of negatives, a part held out: by recording
2 learning  loop/trainer.py, from a model that knows movement; ends early; a run folder beside --out
3 folder    exported, INT8 calibrated on the clips, every precision compared with PyTorch
4 judging   what was held out, through the daemon's own runtime: figures and a confusion matrix
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from edge_tdn_export.convert.convert import Recipe, check_id, open_any, runs_here
from edge_tdn_export.convert.model_folder import whole_or_nothing, write_at_once
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.input_spec import input_of
from edge_tdn_export.parity.report import table
from rich.console import Console

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import LABELS, MANIFEST, WEIGHTS, InputSpec, Model, find_model, open_model
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn_training.commands.train import add_network, looks_of, network_of
from edge_tdn_training.data.background import LABEL as BACKGROUND
from edge_tdn_training.data.background import with_background
from edge_tdn_training.data.dataset import DataSet, open_data
from edge_tdn_training.data.decoded import Decoded, default_cache
from edge_tdn_training.data.split import Item, check_judge, check_share, part, split
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.protocols import views, with_runtime
from edge_tdn_training.evaluation.report import accuracy_json, accuracy_table, class_table
from edge_tdn_training.loop.distributed import AT_ONCE, DEVICES, join
from edge_tdn_training.loop.initial_weights import begin
from edge_tdn_training.loop.run_folder import CURVES, RUN, Metrics
from edge_tdn_training.loop.trainer import Course, Task, best, learn
from edge_tdn_training.progress import decode_shown

REPORT = "finetune.json"
CONFUSION = "confusion.png"
SEEN = 8000  # clips that a course is long, if nobody says how many epochs
EPOCHS = (6, 80)  # fewest, most
LEAST = 24  # clips of each class in an epoch
SHOWN_S = 1.5  # seconds that a clip shows, at most, if nobody says more: it is told when most of a clip shows it
SPLICED = 0.5  # share of the clips that begin in another video: there events begin and end, and it is hardest to tell
LAST_LAYER = 5.0  # its rate relative to the others', as published for small data sets

EPILOG = """a folder of clips for each action, ten of each are a beginning; the folder's name is the label:
  edge-tdn-train record --source rtsp://192.168.1.20/stream --label "door open" --out clips
  edge-tdn-train record --source rtsp://192.168.1.20/stream --label background --out clips
  edge-tdn-train finetune --data clips --out models/door

stopped, killed, or out of power? The same command goes on. Look at models/door/confusion.png, name the folder in
site.toml ([runtime], model), then:
  edge-tdn check --config site.toml && edge-tdn replay new.mp4 --config site.toml

from a published checkpoint, which does not say what network it is of:
  edge-tdn-train finetune --data clips --from best.pth.tar --arch resnet101 --segments 8 --out models/door

the class `background`, of all that is not to be told, is made of
  --negatives DIR      videos in which nothing happens that is to be told: best the same cameras on a usual day
  a list file's videos outside of their labelled parts (half a second beside these left out), where there is no class
                       of this name yet
  and of nothing else: clips in a class's folder are taken to show it from beginning to end. Without background the
  model takes everything for one of its actions; that is said.

held out is a share of every class, by recording: a file is one, unless dataset.toml says which belong together (record
writes that). A class of one recording is split in time, with a video or five frames left out between, and that is said.
An epoch takes every action equally often, and every video of background. Half of the clips begin in another one, as a
camera's do where one action follows on another. The classes of --from need not be these: then the last layer is made
anew. INT8 is calibrated on whole files, held-out seconds of them included.

exit status: 0 made; 71 no memory for so many clips at once; 78 data or model wrong, nothing at --out; 130 stopped
"""


def add_parser(commands: Any) -> None:
    """Adds the subcommand `finetune`."""
    parser = commands.add_parser("finetune", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(command=run, stopped="stopped, nothing at --out; the same command goes on where it was")
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders, or list file: see train")
    parser.add_argument("--negatives", type=Path, metavar="DIR", help="videos of the class background; see below")
    parser.add_argument("--from", dest="start", default="motion", metavar="MODEL",
                        help="model folder or shipped model, run, TDN checkpoint, ImageNet weights "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="model folder to make; must not exist")
    parser.add_argument("--id", default="", help="the model's name in events (default: the folder's)")
    parser.add_argument("--hold-out", type=float, default=0.3, metavar="SHARE", help="to judge by (default: 0.3)")
    parser.add_argument("--judge", type=Path, metavar="DATA", help="other data, of the same classes, to judge by")
    parser.add_argument("--cache", type=Path, metavar="DIR", default=default_cache(),
                        help="where decoded videos are kept (default: %(default)s)")  # fmt: skip
    course = parser.add_argument_group("how to learn: fits 10 to 1,000 clips if nothing is said")
    course.add_argument("--epochs", type=int, metavar="N", help=f"at most (default: until {SEEN} clips were seen)")
    course.add_argument("--batch", type=int, default=16, metavar="N", help="clips a step (default: 16)")
    course.add_argument("--rate", type=float, default=0.08, help="for 128 clips a step (default: 0.08)")
    course.add_argument("--seed", type=int, default=1, help="(default: 1)")
    course.add_argument("--segment-stride", type=int, metavar="N",
                        help="frames from one segment to the next: with more a model looks at a longer time, and "
                        f"tells later (default: as --from has it, but at most {SHOWN_S:g} s)")  # fmt: skip
    course.add_argument("--device", choices=DEVICES, default="auto", help="(default: auto, a GPU if there is one)")
    course.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N",
                        help="clips computed at a time (default: %(default)s)")  # fmt: skip
    course.add_argument("--workers", type=int, default=1, metavar="N", help="processes that cut clips (default: 1)")
    add_network(parser)


def run(options: argparse.Namespace) -> int:
    """The exit status: 0. EdgeTdnError: whatever of data, model or options is wrong; then nothing is at --out."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    _check(options)
    data, said = with_background(open_data(options.data), options.negatives)
    if len(data.labels) < 2:
        raise ConfigError(
            f"{options.data}: one class, {data.labels[0]!r}: nothing to tell it from; add a folder named {BACKGROUND}, "
            f"of what else the camera sees, or --negatives"
        )
    start = begin(options.start, data.labels, options.seed, **network_of(options))
    known = input_of(start.model.config.segments, start.spec, **looks_of(options))
    spec = input_of(known.segments, known, segment_stride=options.segment_stride or _stride(known))
    background = _background(options.start, data.labels)
    console.print("1/4 videos")
    learnt, judged, split_said = _divide(options, data, spec)
    said = (
        *said,
        *start.said,
        *_told_sooner(known, spec),
        *split_said,
        *_too_short(learnt, spec),
        *_not_mirrored(data),
    )
    skipped = dict.fromkeys((*learnt.data.skipped, *judged.data.skipped))
    for line in (*said, f"{len(skipped)} video(s) skipped", *skipped) if skipped else said:
        console.print(f"  {line}")
    lessons, exam = evenly(learnt, spec.video_frames), each_clip(judged, spec.video_frames)
    course = _course(options, lessons, spec)
    console.print(f"  {_counted(learnt)}; to judge by: {_counted(judged)}")
    console.print(f"2/4 learning, at most {course.epochs} epochs of {len(lessons.frames)} clips")
    folder = options.out.with_name(f"{options.out.name}.run")
    metrics = _learn(options, Task(start, spec, lessons, exam, course), folder)
    console.print(f"  taken is epoch {best(metrics) + 1} of {len(metrics)}: lowest held-out loss since the rate fell")
    console.print("3/4 model folder")
    recipe = Recipe(
        id=options.id or options.out.name, labels=folder / LABELS, input=spec, background=background,
        source=(("file", f"{folder.name}/{WEIGHTS}"), ("sha256", checkpoint.sha256(folder / WEIGHTS))),
    )  # fmt: skip
    from edge_tdn_training.commands.export_model import deliver  # nncf takes seconds to import

    with whole_or_nothing(options.out) as scratch:
        videos = sorted({video.path for video in learnt.data.videos})
        report, more = deliver(start.model.to("cpu").float(), recipe, videos, scratch)
        console.print("4/4 judging")
        accuracies = _judge(open_model(scratch), exam)
        recordings = len({video.source for video in judged.data.videos})
        _write(scratch, recipe.id, accuracies, folder, (*said, *more), recordings)
    for shown in (table(report), accuracy_table(accuracies), class_table(accuracies)):
        console.print(shown)
    for line in more:
        console.print(line)
    console.print(f"{options.out}: {_result(accuracies)}; see {CONFUSION}, parity.html, {REPORT}; the run: {folder}")
    return 0


def _stride(known: InputSpec) -> int:
    """Frames from one segment to the next with which a clip shows no more than SHOWN_S."""
    return max(1, min(known.segment_stride, int(SHOWN_S * known.frame_rate / known.segments)))


def _told_sooner(known: InputSpec, spec: InputSpec) -> list[str]:
    if known.segment_stride == spec.segment_stride:
        return []
    before_s, now_s = (one.ticks / one.frame_rate for one in (known, spec))
    return [f"it looks at {now_s:.1f} s (what it comes from: {before_s:.1f} s), and can tell no sooner after a start"]


def evenly(learnt: Decoded, clip: int) -> Decoded:
    """What an epoch learns from: of every action equally many clips, a long video as many as it has.

    A video stands there as often as it is to be learnt from, each time another stretch of it. Of background, which has
    hours at times, as many clips are taken as of an action, but every video once; where that is more than all actions
    together, these are taken more often.
    """
    items: dict[int, list[Item]] = {}
    videos = Counter(video.label for video in learnt.data.videos)
    for item in zip(learnt.data.videos, learnt.frames, strict=True):
        items.setdefault(item[0].label, []).extend([item] * max(1, round(len(item[1]) / clip)))
    background = {label for label in items if learnt.data.labels[label] == BACKGROUND}
    actions = [len(own) for label, own in items.items() if label not in background]
    each = max(LEAST, *actions, *(-(-videos[label] // max(1, len(actions))) for label in background))
    taken: list[Item] = []
    for label, own in sorted(items.items()):
        once = list(dict.fromkeys(own)) if label in background else []
        rest = max(0, each - len(once))
        taken += [*once, *(own[number * len(own) // rest] for number in range(rest))]
    return _decoded(learnt, taken)


def each_clip(judged: Decoded, clip: int) -> Decoded:
    """The clips of the videos to judge by, a quarter of one apart; shorter videos as they are. Of background no more
    than of the action that has most: else what is found out is told of background alone.
    """
    items: dict[int, list[Item]] = {}
    for item in zip(judged.data.videos, judged.frames, strict=True):
        starts = range(0, len(item[1]) - clip + 1, max(1, clip // 4))
        items.setdefault(item[0].label, []).extend([part(item, first, clip) for first in starts] or [item])
    most = max((len(own) for label, own in items.items() if judged.data.labels[label] != BACKGROUND), default=LEAST)
    taken = []
    for label, own in sorted(items.items()):
        each = min(most, len(own)) if judged.data.labels[label] == BACKGROUND else len(own)
        taken += [own[number * len(own) // each] for number in range(each)]
    return _decoded(judged, taken)


def _decoded(whole: Decoded, items: Sequence[Item]) -> Decoded:
    data = replace(whole.data, videos=tuple(video for video, _ in items))
    return Decoded(data, tuple(frames for _, frames in items))


def _check(options: argparse.Namespace) -> None:
    """What is known to be wrong before anything takes time."""
    if dist.is_torchelastic_launched():
        raise ConfigError(
            "finetune is done by one process, which alone makes --out: start it without torchrun; what is too much for "
            "one GPU is for `torchrun -m training train`, and then edge-tdn-export convert"
        )
    if options.out.exists():
        raise ConfigError(f"--out {options.out}: exists already; name another folder or remove it")
    check_id(options.id or options.out.name)
    check_share(options.hold_out)
    limits = {"epochs": 1, "batch": 2, "at_once": 1, "workers": 0, "seed": 0, "segments": 1, "segment_stride": 1}
    for name, least in limits.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: must be {least} or more")
    if not options.rate > 0:
        raise ConfigError(f"--rate {options.rate:g}: must be more than 0")


def _background(source: str, labels: Sequence[str]) -> tuple[str, ...]:
    """Labels that start no action: `background`, and what --from has as such and the data has, too."""
    known: tuple[str, ...] = ()
    folder = find_model(source, Path.cwd())
    if (folder / MANIFEST).is_file():
        known = open_model(folder).manifest.background
    found = tuple(label for label in labels if label == BACKGROUND or label in known)
    if len(found) == len(labels):
        raise ConfigError(f"{', '.join(found)}: all of it is background; nothing would ever be told")
    return found


def _divide(options: argparse.Namespace, data: DataSet, spec: InputSpec) -> tuple[Decoded, Decoded, Sequence[str]]:
    """What to learn from, what to judge by, and what a person should know of that."""
    other = _of_these_classes(options.judge, data, options.data) if options.judge else None
    if other:
        check_judge(data, other)  # before what takes time
    decoded = decode_shown(data, spec, options.cache)
    if other:
        return decoded, decode_shown(other, spec, options.cache), ()
    found = split(decoded, options.hold_out, spec.video_frames, options.seed)
    return found.lessons, found.held_out, found.said


def _of_these_classes(path: Path, data: DataSet, where: Path) -> DataSet:
    """Other data with the labels of `data`, which was read from `where`. ConfigError: it has one more."""
    other = open_data(path)
    unknown = [label for label in other.labels if label not in data.labels]
    if unknown:
        raise ConfigError(f"{path}: class {unknown[0]!r} is none of {where}: {', '.join(data.labels)}")
    own = tuple(replace(video, label=data.labels.index(other.labels[video.label])) for video in other.videos)
    return replace(data, videos=own, skipped=other.skipped)


def _too_short(learnt: Decoded, spec: InputSpec) -> list[str]:
    """Where most videos are: a camera's clip then shows more than they do."""
    lengths = sorted(len(frames) for frames in learnt.frames)
    middle = lengths[len(lengths) // 2]
    if middle >= spec.ticks:
        return []
    fits = max(1, (middle - FRAMES_PER_SEGMENT + 1) // spec.segments)
    return [
        f"most videos are shorter than the {spec.ticks / spec.frame_rate:.1f} s that the model looks at; record longer "
        f"ones, or try --segment-stride {fits}"
    ]


def _not_mirrored(data: DataSet) -> list[str]:
    """Where labels speak of a side, and nobody said what a mirror makes of them."""
    if not data.sideways:
        return []
    named = ", ".join(map(repr, data.sideways))
    return [
        f"no clip is mirrored, for nobody says what a mirror makes of {named}; [flip] in dataset.toml can, and doubles "
        f"what there is to learn from: see train --help"
    ]


def _course(options: argparse.Namespace, lessons: Decoded, spec: InputSpec) -> Course:
    """Batch norms learn, too: what they know of pictures comes from others, and drawn ones at that where --from is the
    shipped model.
    """
    count = len(lessons.frames)
    epochs = options.epochs or int(np.clip(round(SEEN / count), *EPOCHS))
    return Course(
        epochs=epochs, milestones=(0.6, 0.85), rate=options.rate, warm_up_epochs=min(1.0, epochs / 4),
        batch=min(options.batch, count), last_layer=LAST_LAYER, partial_norm=False, flip=not lessons.data.sideways,
        window_s=spec.video_frames / spec.frame_rate, spliced=SPLICED, seed=options.seed,
    )  # fmt: skip


def _learn(options: argparse.Namespace, task: Task, folder: Path) -> list[Metrics]:
    with join(options.device) as place:
        at_once = place.at_once(task.course.batch, options.at_once)
        return learn(task, folder, place, at_once, options.workers, patience=max(3, task.course.epochs // 4))


def _judge(model: Model, exam: Decoded) -> dict[str, Accuracy]:
    """By precision, as the daemon runs it."""
    spec = model.manifest.input
    truth = np.array([video.label for video in exam.data.videos])
    found: dict[str, Accuracy] = {}
    for name in filter(runs_here, model.manifest.precisions):
        with closing(open_any(model, name)) as runtime:
            score = with_runtime(runtime)
            logits = [score(clip)[0] for frames in exam.frames for clip in views(frames, spec, "1x1")]
        found[name] = Accuracy(model.labels, np.stack(logits), truth)
    return found


def _write(
    folder: Path, name: str, accuracies: dict[str, Accuracy], run: Path, said: Sequence[str], recordings: int
) -> None:
    """The figures and pictures, beside the model."""
    precision, shown = _served(accuracies)
    title = f"{name}, {precision}: top-1 {shown.top1:.1%} of {len(shown.truth)} clips of {recordings} recording(s)"
    write_at_once(folder / CONFUSION, shown.picture(title))
    write_at_once(folder / CURVES, (run / CURVES).read_bytes())
    told = {
        "schema": 1,
        "said": list(said),
        "run": json.loads((run / RUN).read_bytes()),
        "recordings_judged": recordings,
        "results": {name: accuracy_json(one) for name, one in accuracies.items()},
    }
    write_at_once(folder / REPORT, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())


def _served(accuracies: dict[str, Accuracy]) -> tuple[str, Accuracy]:
    """INT8 where there is some: that is what most hosts run."""
    name = "int8" if "int8" in accuracies else next(iter(accuracies))
    return name, accuracies[name]


def _counted(decoded: Decoded) -> str:
    count = Counter(video.label for video in decoded.data.videos)
    return ", ".join(f"{decoded.data.labels[label]}: {number}" for label, number in sorted(count.items()))


def _result(accuracies: dict[str, Accuracy]) -> str:
    return ", ".join(f"{name} {one.top1:.1%}" for name, one in accuracies.items())
