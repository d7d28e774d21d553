"""The clips of a fine-tuning: decoded, and a part held out by recording."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from edge_tdn.manifest import InputSpec
from edge_tdn_training.commands.finetune_plan import FinetunePlan
from edge_tdn_training.data.balance import evaluation_clips
from edge_tdn_training.data.dataset import DataSet
from edge_tdn_training.data.decoded import DecodedDataSet, check_classes, printed
from edge_tdn_training.data.split import DataSplit, split
from edge_tdn_training.data.video_cache import decode_with_progress


@dataclass(frozen=True, eq=False)
class PreparedData:
    """The decoded videos of both sides."""

    train: DecodedDataSet
    held_out: DecodedDataSet  # clips that overlap
    videos: tuple[Path, ...]  # files that INT8 is calibrated on
    recordings: int  # that the held-out clips are of
    notes: tuple[str, ...]


def prepare_data(plan: FinetunePlan, spec: InputSpec, own_notes: Sequence[str], console: Console) -> PreparedData:
    """Decode the videos, at the rate and size that `spec` requires, and hold out a part.

    `own_notes`: on the starting point. ConfigError: a class is too short, or has no video to train on.
    """
    sides = _divide(plan, spec)
    training, held_out = sides.train, sides.held_out
    check_classes(training.data)
    notes = (
        *plan.notes,
        *own_notes,
        *dict.fromkeys(note for side in (training, held_out) for note in side.data.notes if note not in plan.notes),
        *sides.notes,
        *too_short_note([*map(len, training.frames)], spec),
        *_not_mirrored(plan.data),
    )
    skipped = dict.fromkeys((*training.data.skipped, *held_out.data.skipped))
    for line in (*notes, f"{len(skipped)} video(s) skipped", *printed(skipped)) if skipped else notes:
        console.print(textwrap.indent(line, "  "))
    console.print(f"  videos to train on: {_counts(training)}; held out: {_counts(held_out)}")
    return PreparedData(
        train=training,
        held_out=evaluation_clips(held_out, spec.video_frames),
        videos=tuple(sorted({video.path for video in training.data.videos})),
        recordings=len({video.source for video in held_out.data.videos}),
        notes=notes,
    )


def _divide(plan: FinetunePlan, spec: InputSpec) -> DataSplit:
    """Return the videos to train on and the held-out ones, decoded."""
    decoded = decode_with_progress(plan.data, spec, plan.cache)
    if plan.evaluation is None:
        return split(decoded, plan.hold_out, spec.video_frames, plan.seed)
    return DataSplit(decoded, decode_with_progress(plan.evaluation, spec, plan.cache), ())


def too_short_note(lengths: Sequence[int], spec: InputSpec) -> list[str]:
    """Return a note if most videos are shorter than a clip, which on a camera then shows more than they do.

    `lengths`: of the videos, in frames at the model's rate. A shorter stride is advised if it suffices.
    """
    middle = sorted(lengths)[len(lengths) // 2]
    if middle >= spec.first_clip_ticks:
        return []
    shorter = range(spec.segment_stride - 1, 0, -1)
    fits = (n for n in shorter if spec.model_copy(update={"segment_stride": n}).first_clip_ticks <= middle)
    stride = next(fits, None)
    return [
        f"most videos are shorter than the {spec.needed_s():.1f} s that a clip of the model needs; record longer ones"
        + (f", or use --segment-stride {stride}" if stride else "")
    ]


def _not_mirrored(data: DataSet) -> list[str]:
    """Return a note if labels contain a side, and dataset.toml does not describe their mirror images."""
    if not data.sideways:
        return []
    labels = ", ".join(map(repr, data.sideways))
    return [
        f"clips are not mirrored, because dataset.toml does not define the mirror image of {labels}; to train on "
        f"mirrored clips too, define it in [flip]: see edge-tdn-train train --help"
    ]


def _counts(decoded: DecodedDataSet) -> str:
    count = Counter(video.label for video in decoded.data.videos)
    return ", ".join(f"{decoded.data.labels[label]!r} {number}" for label, number in sorted(count.items()))
