"""The evaluation of models that know MOTIONS, on clips whose labels are known by construction."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ModelError
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.self_test import scores
from edge_tdn.manifest import InputSpec, Model
from edge_tdn.verdict import percent
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.clip_sheet import MAX_WRONG_CLIPS, Row
from edge_tdn_training.evaluation.report import class_table, percent_or_dash
from edge_tdn_training.synthetic.clips import HELD_OUT, generate_clip

SIDEWAYS = [MOTIONS.index("left"), MOTIONS.index("right")]
STILL = MOTIONS.index("still")

NamedClip = tuple[str, NDArray[np.uint8], int]  # name, uint8 [T, InputSpec.frames, H, W, 3], index into MOTIONS
Confusion = NDArray[np.int64]  # [labels, labels]: rows are the true labels, columns the predicted ones


def generated_clips(spec: InputSpec, count: int) -> Iterator[NamedClip]:
    """Yield the first held-out clips, which are never trained on."""
    for number in range(count):
        one = generate_clip(HELD_OUT + number, spec)
        yield str(number), one.frames, one.label


def evaluate_clips(runtime: Runtime, clips: Iterable[NamedClip]) -> tuple[Accuracy, list[Row]]:
    """Return the accuracy on labelled clips, and the first wrong ones. ModelError: no clip."""
    logits: list[NDArray[np.float32]] = []
    truth: list[int] = []
    wrong: list[Row] = []
    for name, frames, label in clips:
        logits.append(scores(runtime, frames))
        truth.append(label)
        predicted = int(np.argmax(logits[-1]))
        if predicted != label and len(wrong) < MAX_WRONG_CLIPS:
            wrong.append((f"{name}\n{MOTIONS[label]}\nnot {MOTIONS[predicted]}", frames))
    if not truth:
        raise ModelError("no clip to evaluate: the videos are too short, or their cameras move")
    return Accuracy(MOTIONS, np.stack(logits), np.array(truth)), wrong


def swapped(confusion: Confusion) -> float | None:
    """Return the share of left and right clips that were taken for the other; None: there are none."""
    left, right = SIDEWAYS
    return _ratio(confusion[left, right] + confusion[right, left], confusion[SIDEWAYS].sum())


def false_alarms(confusion: Confusion) -> float | None:
    """Return the share of still clips that were taken for moving ones; None: there are none."""
    still = confusion[STILL]
    return _ratio(still.sum() - still[STILL], still.sum())


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def print_accuracy(console: Console, name: str, accuracy: Accuracy) -> None:
    """Print recall by label, top-1, and the worst errors: left and right swapped, still clips that move."""
    console.print(class_table({name: accuracy}))
    confusion = accuracy.confusion
    console.print(
        f"{name}: {len(accuracy.truth)} clips, top-1 {percent(accuracy.top1)}; left and right swapped "
        f"{percent_or_dash(swapped(confusion))}, still called moving {percent_or_dash(false_alarms(confusion))}"
    )


def check_labels(model: Model) -> None:
    """ModelError: the labels of the model are not MOTIONS, or in another order."""
    if tuple(model.labels) != MOTIONS:
        raise ModelError(f"{model.folder}: its labels are {', '.join(model.labels)}; required: {', '.join(MOTIONS)}")
