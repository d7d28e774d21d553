"""Logits and the truth -> top-1, top-5, mean class accuracy, the confusion matrix and its picture. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_tdn.cli.plot import png

TOP = 5
MOST_NUMBERED = 30  # classes up to which a picture's cells show their counts
CELL, AROUND, LARGEST, DPI = 0.38, 2.4, 24.0, 110  # inches; pixels per inch


@dataclass(frozen=True)
class OfClass:
    """How one class went."""

    label: str
    videos: int
    right: int
    taken_for: str  # the wrong label that was given most often; empty: none

    @property
    def accuracy(self) -> float | None:
        """None: there is no video of it."""
        return self.right / self.videos if self.videos else None


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Of `logits` float [N, classes], where int [N] `truth` is right. N is 1 at least. NaN is never the best."""

    labels: tuple[str, ...]
    logits: NDArray[np.float32]
    truth: NDArray[np.int64]

    @cached_property
    def best(self) -> NDArray[np.int64]:
        """[N, classes], the classes from the most likely to the least; of equal ones the first."""
        order: NDArray[np.int64] = np.argsort(-self.logits, axis=1, kind="stable")
        return order

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [classes, classes]: rows are the true labels, columns what the network says."""
        counts = np.zeros((len(self.labels), len(self.labels)), np.int64)
        np.add.at(counts, (self.truth, self.best[:, 0]), 1)
        return counts

    @property
    def top1(self) -> float:
        return self._top(1)

    @property
    def top5(self) -> float | None:
        """None: there are no more than five classes, and everything would be among them."""
        return self._top(TOP) if len(self.labels) > TOP else None

    def _top(self, most: int) -> float:
        return float(np.mean((self.best[:, :most] == self.truth[:, None]).any(1)))

    @property
    def mean_class(self) -> float:
        """The mean of the classes' accuracies, of those that have videos."""
        return float(np.mean([one.accuracy for one in self.classes if one.accuracy is not None]))

    @property
    def classes(self) -> tuple[OfClass, ...]:
        """Every label, in the order of the logits."""
        found = []
        for number, (label, row) in enumerate(zip(self.labels, self.confusion, strict=True)):
            wrong = row.copy()
            wrong[number] = 0
            taken_for = self.labels[int(wrong.argmax())] if wrong.any() else ""
            found.append(OfClass(label, int(row.sum()), int(row[number]), taken_for))
        return tuple(found)

    def picture(self, title: str) -> bytes:
        """A PNG of the confusion matrix, without labels that occur nowhere: a row's shares as shades, counts inside."""
        used = np.flatnonzero(self.confusion.sum(0) + self.confusion.sum(1))
        return draw(title, [self.labels[n] for n in used], self.confusion[np.ix_(used, used)])


def draw(title: str, labels: Sequence[str], confusion: NDArray[np.int64]) -> bytes:
    """A PNG of a confusion matrix [classes, classes], rows the true labels."""
    count = len(labels)
    side = min(LARGEST, CELL * count + AROUND)
    figure = Figure(figsize=(side + 0.6, side), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(1, confusion.sum(1, keepdims=True))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = min(8.0, 0.6 * 72 * (side - AROUND) / count)  # points: names fit into their row
    axes.set_xticks(range(count), labels, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(count), labels, fontsize=size, parse_math=False)
    axes.set(xlabel="what the network says", ylabel="what it is")
    if count <= MOST_NUMBERED:
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[row, column] > 0.55 else "black"
            number = str(confusion[row, column])
            axes.text(column, row, number, ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, label="share of the row", shrink=0.7)
    figure.suptitle(title, parse_math=False, x=0.01, ha="left", fontsize=11)
    return png(figure)
