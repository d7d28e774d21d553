"""The plan of a fine-tuning: everything that can be refused is refused here, before any work is done."""

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist
from edge_tdn_export.command_line import require_extra
from edge_tdn_export.convert.convert import check_id
from edge_tdn_export.network.input_spec import input_of
from edge_tdn_export.video_options import reading

from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec
from edge_tdn.output import check_output_folder
from edge_tdn.shell import command
from edge_tdn.spelling import hint
from edge_tdn.teaching.class_folder import BACKGROUND, is_background
from edge_tdn_training.commands.given_network import input_spec, network_options
from edge_tdn_training.commands.option_checks import check_ranges
from edge_tdn_training.data.background import with_background
from edge_tdn_training.data.dataset import DataSet, open_data, open_evaluation_data
from edge_tdn_training.data.split import check_evaluation_data, check_share
from edge_tdn_training.frozen.features import FrozenNetwork
from edge_tdn_training.frozen.networks import APPEARANCE, MOTION, frozen_networks
from edge_tdn_training.loop.checks import check_size
from edge_tdn_training.loop.distributed import check_device
from edge_tdn_training.loop.imagenet_file import NoImageNetWeights, find_imagenet
from edge_tdn_training.loop.initial_weights import InitialWeights, load_initial_weights
from edge_tdn_training.machine import imagenet_folder
from edge_tdn_training.options.finetune import MAX_CLIP_S
from edge_tdn_training.training_config import TrainingConfig

STEPS = 4  # of a fine-tuning: see finetune.py
SPLICED_SHARE = 0.5  # clips that begin in another video: where events start and end, recognition is hardest
LAST_LAYER_RATE = 5.0  # relative to the other layers, as published for small data sets
MILESTONES = (0.6, 0.85)
MAX_LISTED = 5  # actions that an error names
MAX_CLASSES = 100  # of a last layer that is fitted again and again to find the best mixture of features
RANGES = {
    "epochs": (1, None),
    "batch": (2, None),
    "micro_batch": (1, None),
    "workers": (0, None),
    "seed": (0, None),
    "segments": (1, None),
    "segment_stride": (1, None),
}


@dataclass(frozen=True, eq=False)
class TrainingStart:
    """All layers are trained, from these weights."""

    initial: InitialWeights
    spec: InputSpec
    config: TrainingConfig  # with the number of epochs and the batch still to be adapted to the clips
    epochs: int | None  # None: by the number of clips
    device: str
    max_micro_batch: int
    workers: int
    notes: tuple[str, ...]  # for the user


@dataclass(frozen=True, eq=False)
class FrozenStart:
    """Only the last layer is learned, on frozen networks."""

    networks: tuple[FrozenNetwork, ...]
    spec: InputSpec
    notes: tuple[str, ...]  # for the user


@dataclass(frozen=True, eq=False)
class FinetunePlan:
    """A fine-tuning whose options, data and initial weights have been checked."""

    out: Path  # the model folder
    id: str  # the model's name in events
    data: DataSet  # with the class `background`, if there are negatives
    evaluation: DataSet | None  # separate evaluation data; None: hold out a share of `data`
    hold_out: float
    cache: Path
    seed: int
    background: tuple[str, ...]  # labels that start no action
    start: FrozenStart | TrainingStart
    notes: tuple[str, ...]  # for the user

    @property
    def run_folder(self) -> Path:
        """Return the folder of the training run, beside the model folder."""
        return self.out.with_name(f"{self.out.name}.run")


def make_plan(options: argparse.Namespace) -> FinetunePlan:
    """Check everything that can be checked before videos are decoded. EdgeTdnError: options, data or weights."""
    _check_options(options)
    how = reading(options)
    data, notes = with_background(open_data(options.data, how, "train"), options.negatives)
    background = _background(data.labels)
    if not background and (len(data.labels) < 2 or not options.without_background):
        raise ConfigError(_no_background(options.data, data.labels))
    evaluation = open_evaluation_data(options.evaluate_on, how, data, options.data) if options.evaluate_on else None
    if evaluation:
        check_evaluation_data(data, evaluation)
    frozen, missing = _frozen(options, data)
    return FinetunePlan(
        out=options.out,
        id=options.id or options.out.name,
        data=data,
        evaluation=evaluation,
        hold_out=options.hold_out,
        cache=options.cache,
        seed=options.seed,
        background=background,
        start=frozen or _training(options, data),
        notes=(
            *data.notes,
            *(evaluation.notes if evaluation else ()),
            *notes,
            *_reported(data.labels, background),
            *missing,
        ),
    )


def _frozen(options: argparse.Namespace, data: DataSet) -> tuple[FrozenStart | None, tuple[str, ...]]:
    """Return the frozen networks; or None, with a note if they would otherwise be used.

    ConfigError: they are required, but there are too many classes, or an option is of the training of all layers.
    ModelError: their weights are missing or damaged.
    """
    if options.start not in (None, APPEARANCE):
        if options.imagenet:
            raise ConfigError(f"--imagenet: its weights are those of `appearance`, but --from is {options.start!r}")
        return None, ()
    if len(data.labels) > MAX_CLASSES:
        reason = f"{len(data.labels)} classes: the starting point `appearance` is for up to {MAX_CLASSES}"
        if options.start is None:
            return None, (f"{reason}; all layers of `motion` are trained",)
        raise ConfigError(f"{reason}; use --from motion, or edge-tdn-train train")
    folder = imagenet_folder()
    try:
        imagenet = options.imagenet or find_imagenet(folder)
    except NoImageNetWeights as error:
        if options.start == APPEARANCE:
            raise
        return None, (f"all layers of `motion` are trained, which knows how things move: {error}",)
    if options.epochs:
        raise ConfigError("--epochs: from `appearance` nothing is trained in epochs; leave it out or use --from motion")
    networks, original = frozen_networks(imagenet, data.labels)
    stride = options.segment_stride or default_stride(original)
    spec = input_of(original.segments, original, segment_stride=stride)
    sources = " and ".join(f"{one.name} from {one.source}" for one in networks)
    return FrozenStart(networks, spec, (f"frozen networks: {sources}", *_shorter_clip(original, spec))), ()


def _training(options: argparse.Namespace, data: DataSet) -> TrainingStart:
    start = MOTION if options.start is None else options.start
    initial = load_initial_weights(start, data.labels, options.seed, **network_options(options))
    original, assumed = input_spec(options, initial)
    stride = options.segment_stride or default_stride(original)
    spec = input_of(original.segments, original, segment_stride=stride)
    check_size(initial.model, spec)
    return TrainingStart(
        initial=initial,
        spec=spec,
        config=_training_config(options, data, spec),
        epochs=options.epochs,
        device=options.device,
        max_micro_batch=options.micro_batch,
        workers=options.workers,
        notes=(
            *(f"initial weights: {note}" for note in (*initial.notes, *assumed)),
            *_shorter_clip(original, spec),
        ),
    )


def _check_options(options: argparse.Namespace) -> None:
    if dist.is_torchelastic_launched():
        raise ConfigError(
            "finetune runs in one process, which creates --out: start it without torchrun; for more than one GPU use "
            "`torchrun -m edge_tdn_training train`, and then edge-tdn-export convert"
        )
    if options.out.exists():
        raise ConfigError(f"--out {options.out}: exists already; choose another folder or remove it")
    misspelt = options.start not in (None, APPEARANCE) and not Path(options.start).exists()
    if misspelt and (near := hint(options.start, [APPEARANCE])):
        raise ConfigError(f"--from {options.start}: no such starting point; {near}")
    check_output_folder(options.out)
    check_id(options.id or options.out.name)
    check_share(options.hold_out)
    check_ranges(options, RANGES)
    if not options.rate > 0:
        raise ConfigError(f"--rate {options.rate:g}: must be more than 0")
    check_device(options.device)
    require_extra()


def default_stride(original: InputSpec) -> int:
    """Return the stride of the initial weights, reduced so that a clip spans at most MAX_CLIP_S."""
    return max(1, min(original.segment_stride, int(MAX_CLIP_S * original.frame_rate / original.segments)))


def _shorter_clip(original: InputSpec, spec: InputSpec) -> list[str]:
    if original.segment_stride == spec.segment_stride:
        return []
    before_s, now_s = (one.ticks / one.frame_rate for one in (original, spec))
    return [
        f"a clip spans {now_s:.1f} s (with the initial weights: {before_s:.1f} s); an action cannot be recognised much "
        f"sooner after its start"
    ]


def _background(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that start no action: `background` alone, whatever the initial weights do not report."""
    found = tuple(filter(is_background, labels))
    if len(found) == len(labels):
        raise ConfigError(
            f"{', '.join(found)}: all classes are background; no event would ever be published; record an action too"
        )
    return found


def _reported(labels: Sequence[str], background: Sequence[str]) -> list[str]:
    """Return a note on which labels the model will report, if there is one that it will not."""
    if not background:
        return []
    actions = [repr(label) for label in labels if label not in background]
    more = ", ..." if len(actions) > MAX_LISTED else ""
    hidden = ", ".join(map(repr, background))
    return [f"background, which is never reported: {hidden}; actions: {', '.join(actions[:MAX_LISTED])}{more}"]


def _no_background(data: Path, labels: Sequence[str]) -> str:
    """Return the message of an error: what to record as background, and why."""
    actions = " or ".join(map(repr, labels[:MAX_LISTED])) + (" ..." if len(labels) > MAX_LISTED else "")
    near = difflib.get_close_matches(BACKGROUND, labels, 1)
    out = data if data.is_dir() else Path("negatives")
    recorded = "" if data.is_dir() else f", and add --negatives {out / BACKGROUND}"
    lines = [
        f"{data}: no class {BACKGROUND!r}: the model would take everything that the camera sees for {actions}",
        *([f"if it is {near[0]!r}, rename that class to {BACKGROUND}"] if near else []),
        f"record everything else that the camera sees on a usual day, ten minutes or more (CAMERA: as for the other "
        f"clips){recorded}:",
        f"  {command('edge-tdn', 'record', '--source', 'CAMERA', '--label', BACKGROUND, '--out', out)}",
        "or name a folder of videos in which no action happens: --negatives DIR",
        *(["or accept such a model: --without-background"] if len(labels) > 1 else []),
    ]
    return "\n".join(lines)


def _training_config(options: argparse.Namespace, data: DataSet, spec: InputSpec) -> TrainingConfig:
    """Return the settings, except for what depends on the number of clips. ConfigError: an option out of its range.

    Batch norms are trained as well: their statistics are of other pictures, and of generated ones if the initial
    weights are those of the shipped model.
    """
    return TrainingConfig(
        epochs=options.epochs or 1,
        milestones=MILESTONES,
        rate=options.rate,
        batch=options.batch,
        last_layer=LAST_LAYER_RATE,
        partial_norm=False,
        flip=not data.sideways,
        window_s=spec.video_frames / spec.frame_rate,
        spliced=SPLICED_SHARE,
        seed=options.seed,
    )
