"""Logits and true labels -> top-1, top-5, mean class accuracy, and the confusion matrix with its picture. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_tdn.replay.plot import png

TOP = 5
MAX_NUMBERED_CLASSES = 30  # a picture of more classes shows no counts in its cells
CELL_IN, MARGIN_IN, MAX_SIDE_IN, DPI = 0.38, 2.4, 24.0, 110  # inches; pixels per inch


@dataclass(frozen=True)
class ClassAccuracy:
    """The results of one class."""

    label: str
    videos: int
    right: int
    taken_for: str  # the wrong label that was given most often; empty: none

    @property
    def accuracy(self) -> float | None:
        """Return the share of its videos that are right; None: it has no videos."""
        return self.right / self.videos if self.videos else None


@dataclass(frozen=True, eq=False)
class Accuracy:
    """The results of N >= 1 videos: logits float [N, classes] and true labels int [N]. NaN is never the best."""

    labels: tuple[str, ...]
    logits: NDArray[np.float32]
    truth: NDArray[np.int64]

    @cached_property
    def best(self) -> NDArray[np.int64]:
        """The classes of each video from the most to the least likely, [N, classes]; of equal ones the first."""
        order: NDArray[np.int64] = np.argsort(-self.logits, axis=1, kind="stable")
        return order

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [classes, classes]: rows are the true labels, columns the predicted ones."""
        counts = np.zeros((len(self.labels), len(self.labels)), np.int64)
        np.add.at(counts, (self.truth, self.best[:, 0]), 1)
        return counts

    @property
    def right(self) -> int:
        """Return the number of videos whose best class is the true one."""
        return int(self.confusion.trace())

    @property
    def top1(self) -> float:
        return self._top(1)

    @property
    def top5(self) -> float | None:
        """Return None for five classes or fewer, of which all would be among the top five."""
        return self._top(TOP) if len(self.labels) > TOP else None

    def _top(self, count: int) -> float:
        return float(np.mean((self.best[:, :count] == self.truth[:, None]).any(1)))

    @property
    def mean_class(self) -> float:
        """Return the mean of the accuracies of the classes that have videos."""
        return float(np.mean([one.accuracy for one in self.classes if one.accuracy is not None]))

    @property
    def classes(self) -> tuple[ClassAccuracy, ...]:
        """Return the results of every label, in the order of the logits."""
        found = []
        for number, (label, row) in enumerate(zip(self.labels, self.confusion, strict=True)):
            wrong = row.copy()
            wrong[number] = 0
            taken_for = self.labels[int(wrong.argmax())] if wrong.any() else ""
            found.append(ClassAccuracy(label, int(row.sum()), int(row[number]), taken_for))
        return tuple(found)

    def picture(self, title: str) -> bytes:
        """Return a PNG of the confusion matrix, without labels that occur nowhere: shares as shades, counts inside."""
        used = np.flatnonzero(self.confusion.sum(0) + self.confusion.sum(1))
        return draw(title, [self.labels[n] for n in used], self.confusion[np.ix_(used, used)])


def draw(title: str, labels: Sequence[str], confusion: NDArray[np.int64]) -> bytes:
    """Return a PNG of a confusion matrix [classes, classes], whose rows are the true labels."""
    count = len(labels)
    side = min(MAX_SIDE_IN, CELL_IN * count + MARGIN_IN)
    figure = Figure(figsize=(side + 0.6, side), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(1, confusion.sum(1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = min(8.0, 0.6 * 72 * (side - MARGIN_IN) / count)  # points: names fit into their row
    axes.set_xticks(range(count), labels, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(count), labels, fontsize=size, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true")
    if count <= MAX_NUMBERED_CLASSES:
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[row, column] > 0.55 else "black"
            number = str(confusion[row, column])
            axes.text(column, row, number, ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, label="share of the row", shrink=0.7)
    figure.suptitle(title, parse_math=False, x=0.01, ha="left", fontsize=11)
    return png(figure)
