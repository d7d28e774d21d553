"""`edge-tdn-train train`: the training as the paper does it, on one machine or many: videos -> weights."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from edge_tdn_export.network.config import DEPTHS, TDNConfig
from edge_tdn_export.network.input_spec import input_of
from rich.console import Console

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import LABELS, WEIGHTS, InputSpec
from edge_tdn_training.data.background import LABEL as BACKGROUND
from edge_tdn_training.data.dataset import DataSet, open_data
from edge_tdn_training.data.decoded import Decoded, default_cache
from edge_tdn_training.data.split import check_apart, check_judge, check_share, copies_are_one, hold_out
from edge_tdn_training.loop.distributed import DEVICES, join, workers
from edge_tdn_training.loop.initial_weights import begin
from edge_tdn_training.loop.trainer import PUBLISHED, Course, Task, learn
from edge_tdn_training.progress import decode_shown

EPILOG = """your own clips, from ImageNet weights, a fifth of the recordings held out to judge by:
  edge-tdn-train train --data clips --hold-out 0.2 --from resnet50.pth --out runs/mine --batch 16

Something-Something as published, on all GPUs of a machine:
  torchrun --nproc-per-node gpu -m training train --data train.txt --judge val.txt --from resnet50.pth --out runs/ssv2

on two machines, the same command on each; --out is one folder that both see, the videos and --cache may be copies
  torchrun --nnodes 2 --nproc-per-node gpu --rdzv-backend c10d --rdzv-endpoint first-machine:29500 \\
      -m training train --data train.txt --judge val.txt --from resnet50.pth --out /shared/runs/ssv2

stopped, killed, or out of power? The same command goes on; at most one epoch is lost.

exit status: 0 trained; 71 no memory for so many clips at once; 78 data, weights or sizes wrong; 130 stopped
"""

DATA = """the data (--data, --judge) is one of:
  a folder with a folder of videos for each class, named as the class; or
  a list file, one video a line: `path [frames] label`, beside labels.txt (one label a line; the list's labels are its
  line numbers, from 0). Paths start at the list's folder; `path#t=2.5,7` is the part from second 2.5 to 7. The number
  of frames is read over: what is listed are videos, not folders of pictures.

dataset.toml beside them says what a mirror makes of a class, and which recording a clip was cut from:
  source = '(.+)-[0-9]+'          # front-door-3.mp4 is of the recording front-door; without it each file is its own
  [flip]
  "turn left" = "turn right"      # every other class looks the same in a mirror
"""


def run(options: argparse.Namespace) -> int:
    """The exit status: 0. EdgeTdnError: whatever of data, weights or options is wrong."""
    if options.hold_out is not None:
        check_share(options.hold_out)
    if options.judge and options.hold_out:
        raise ConfigError("--judge and --hold-out: one of them; held-out videos come from other data or from this")
    if options.workers < 0:
        raise ConfigError(f"--workers {options.workers}: must be 0 or more")
    console = Console(markup=False, highlight=False, soft_wrap=True)
    with join(options.device) as place:
        course = _course(options)
        data, judged = open_data(options.data), open_data(options.judge) if options.judge else None
        if judged and judged.labels != data.labels:
            raise ConfigError(f"{options.judge}: has other classes than {options.data}, or in another order")
        if judged:
            check_judge(data, judged)
        start = begin(options.start, data.labels, course.seed, **network_of(options))
        spec = input_of(start.model.config.segments, start.spec, **looks_of(options))
        with place.in_turn(place.local_rank == 0):
            lessons = decode_shown(data, spec, options.cache, place.first)
            held_out = decode_shown(judged, spec, options.cache, place.first) if judged else None
        copies: Sequence[str] = ()
        if options.hold_out:  # of those that can be read
            lessons, held_out, copies = _hold_out(lessons, options.hold_out, course.seed)
        if place.first:
            _tell(console, data, lessons, held_out, (*start.said, *copies))
        at_once = options.at_once or place.at_once(course.batch)
        metrics = learn(Task(start, spec, lessons, held_out, course), options.out, place, at_once, options.workers)
        if place.first:
            _tell_result(console, options.out, spec, data.labels, metrics[-1])
    return 0


def _hold_out(decoded: Decoded, share: float, seed: int) -> tuple[Decoded, Decoded, list[str]]:
    """What to learn from, what to judge by, and which copies were found."""
    data, copies = copies_are_one(decoded.data)
    decoded = replace(decoded, data=data)
    lessons, held_out = map(decoded.only, hold_out(data, share, seed))
    check_apart(lessons.data, held_out.data)
    return lessons, held_out, copies


def _tell(console: Console, data: DataSet, lessons: Decoded, held_out: Decoded | None, said: Sequence[str]) -> None:
    for line in said:
        console.print(line)
    skipped = [*lessons.data.skipped, *(held_out.data.skipped if held_out else ())]
    judged = f", {len(held_out.frames)} to judge by" if held_out else ""
    console.print(
        f"{len(data.labels)} classes; {len(lessons.frames)} videos to learn from{judged}, {len(skipped)} skipped"
    )
    for reason in skipped:
        console.print(f"  skipped: {reason}")
    if data.sideways:
        console.print(
            f"a mirror does not change {', '.join(map(repr, data.sideways))}: if it should, see [flip] in --help"
        )


def _tell_result(
    console: Console, out: Path, spec: InputSpec, labels: Sequence[str], metrics: dict[str, float]
) -> None:  # fmt: skip
    held_out = f", held out {metrics['held_out_top1']:.1%}" if "held_out_top1" in metrics else ""
    console.print(f"{out}: {metrics['epoch']:.0f} epochs, top-1 {metrics['top1']:.1%}{held_out}; see curves.png")
    size = f"--size {spec.height} --resize {spec.resize}" + (
        f" --short-side {spec.short_side}" if spec.short_side else ""
    )
    size += f" --frame-rate {spec.frame_rate:g} --segment-stride {spec.segment_stride}"
    background = f" --background {BACKGROUND}" if BACKGROUND in labels else ""
    console.print(
        f"next: edge-tdn-export convert {out / WEIGHTS} models/{out.name} --labels {out / LABELS} {size}{background}"
    )


def _course(options: argparse.Namespace) -> Course:
    given = {field.name: getattr(options, field.name, None) for field in fields(Course)}
    return replace(PUBLISHED[options.schedule], **{name: value for name, value in given.items() if value is not None})


def network_of(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_network` heard about the network, and nothing else: options of TDNConfig."""
    given = {
        name: getattr(options, name) for name in ("arch", "segments", "width") if getattr(options, name) is not None
    }
    for pair in options.network:
        name, _, text = pair.partition("=")
        if name not in {field.name for field in fields(TDNConfig)} - {"classes"}:
            raise ConfigError(f"--network {pair!r}: no option of the network; see edge-tdn-export convert --help")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        given[name] = tuple(value) if isinstance(value, list) else value
    return given


def looks_of(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_network` heard about what the network looks at, for `input_of`."""
    return {name: getattr(options, name) for name in ("size", "resize", "frame_rate")}


def add_parser(commands: Any) -> None:
    """Adds the subcommand `train`."""
    train = commands.add_parser(
        "train", epilog=f"{EPILOG}\n{DATA}", formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    train.set_defaults(command=run, stopped="stopped; the same command goes on after the last whole epoch")
    train.add_argument("--data", type=Path, required=True, help="folder of class folders, or list file; see below")
    train.add_argument("--judge", type=Path, metavar="DATA", help="other data, of the same classes, to judge by")
    train.add_argument("--hold-out", type=float, metavar="SHARE",
                       help="judge by this share of --data instead, split by recording (default: none)")  # fmt: skip
    train.add_argument("--out", type=Path, required=True, help="the run's folder; what is there is gone on with")
    train.add_argument("--from", dest="start", default="", metavar="WEIGHTS",
                       help="ImageNet weights with torchvision's names (.pth, .safetensors, .npz), a published TDN or "
                       "our own, a run, a model folder, a shipped model (default: random weights)")  # fmt: skip
    train.add_argument("--cache", type=Path, metavar="DIR", default=default_cache(),
                       help="where decoded videos are kept: 4 MB a second at 12 frames of 456x256 "
                       "(default: %(default)s)")  # fmt: skip
    _add_course(train)
    add_network(train)
    machine = train.add_argument_group("the machine")
    machine.add_argument("--device", choices=DEVICES, default="auto", help="(default: auto, a GPU if there is one)")
    machine.add_argument("--at-once", type=int, default=0, metavar="N",
                         help="clips that a process computes at a time, of which batch norms that learn take the "
                         "statistics; a step adds up as many as --batch says (default: up to 8)")  # fmt: skip
    machine.add_argument("--workers", type=int, default=workers(), metavar="N",
                         help="processes that cut clips, for each that learns (default: %(default)s)")  # fmt: skip


def add_network(parser: argparse.ArgumentParser) -> None:
    """What weights may leave unsaid; see `network_of` and `looks_of`."""
    network = parser.add_argument_group("the network, where --from does not say it, and what it looks at")
    network.add_argument("--arch", choices=tuple(DEPTHS), help="(default: resnet50)")
    network.add_argument("--segments", type=int, metavar="T", help="segments a clip (default: 8)")
    network.add_argument("--width", type=float, help="channels relative to the named ResNet (default: 1)")
    network.add_argument(
        "--network", action="append", default=[], metavar="KEY=VALUE",
        help="any other of its options; T-Conv: --network stdm_stages=[] --network ltdm_stages=[]",
    )  # fmt: skip
    network.add_argument("--size", type=int, help="height and width of its pictures (default: 224)")
    network.add_argument("--resize", choices=("short_side_centre_crop", "stretch"),
                         help="how pictures get that size (default: short_side_centre_crop, as published)")  # fmt: skip
    network.add_argument("--frame-rate", type=float, help="frames a second (default: 12, Something-Something)")


def _add_course(train: argparse.ArgumentParser) -> None:
    """Defaults are the schedule's."""
    course = train.add_argument_group("how to learn (defaults: as published, see --schedule)")
    course.add_argument(
        "--schedule", choices=tuple(PUBLISHED), default="something",
        help="something (default): 60 epochs, the rate falls after 30, 45, 55, batch 64, weight decay 5e-4; "
        "kinetics: 100 epochs, 50, 75, 90, batch 128, weight decay 1e-4",
    )  # fmt: skip
    course.add_argument("--epochs", type=int, metavar="N", help="milestones move with it")
    course.add_argument("--batch", type=int, metavar="N", help="clips a step, of all processes together")
    course.add_argument("--rate", type=float, help="learning rate for 128 clips a step; scaled with --batch "
                        "(default: 0.02)")  # fmt: skip
    course.add_argument("--warm-up", dest="warm_up_epochs", type=float, metavar="EPOCHS",
                        help="while the rate rises (default: 0)")  # fmt: skip
    course.add_argument("--weight-decay", type=float)
    course.add_argument("--dropout", type=float, help="before the linear layer (default: 0.5)")
    course.add_argument("--last-layer", type=float, metavar="FACTOR", help="its learning rate relative to the others' "
                        "(default: 1; published for fine-tuning on small data sets: 5)")  # fmt: skip
    course.add_argument(
        "--all-norms", dest="partial_norm", action="store_const", const=False,
        help="batch norms that came with statistics learn, too, as in the published commands (default: all but the "
        "first keep them, which small batches need)",
    )  # fmt: skip
    course.add_argument("--no-flip", dest="flip", action="store_const", const=False, help="mirror no clips")
    course.add_argument(
        "--window", dest="window_s", type=float, metavar="SECONDS",
        help="of longer videos learn from random stretches of this length (default: whole videos)",
    )  # fmt: skip
    course.add_argument("--precision", choices=("bf16", "fp32"), help="(default: bf16, mixed)")
    course.add_argument("--seed", type=int, help="(default: 1)")
