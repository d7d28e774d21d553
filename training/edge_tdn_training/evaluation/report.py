"""Tables for the terminal and JSON for evaluation.json, of the results of an evaluation."""

from typing import Any

from rich.table import Table

from edge_tdn.verdict import percent
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.streaming import StreamResult

STREAM_COLUMNS = (
    "intervals",
    "events",
    "hits",
    "splits",
    "false",
    "precision",
    "recall",
    "F1",
    "mean start delay",
    "false an hour",
)
TAKEN_FOR = "mostly taken for"
FULL = "fp32"  # the precision that the others are compared with


def accuracy_json(one: Accuracy) -> dict[str, Any]:
    return {
        "videos": len(one.truth),
        "top1": one.top1,
        "top5": one.top5,
        "mean_class_accuracy": one.mean_class,
        "classes": [
            {"label": c.label, "videos": c.videos, "right": c.right, "accuracy": c.accuracy, "taken_for": c.taken_for}
            for c in one.classes
        ],
        "confusion": one.confusion.tolist(),
    }


def stream_json(one: StreamResult) -> dict[str, Any]:
    matched = one.matched
    return {
        "all": _counts_json(one, None),
        "labels": {label: _counts_json(one, label) for label in matched.labels},
        "events": [
            {
                "label": event.label,
                "start_s": event.start_s,
                "end_s": event.end_s,
                "published_s": event.published_s,
                "outcome": matched.outcome(number),
            }
            for number, event in enumerate(matched.events)
        ],
        "missed": [{"label": i.label, "start_s": i.start_s, "end_s": i.end_s} for i in matched.missed],
    }


def _counts_json(one: StreamResult, label: str | None) -> dict[str, Any]:
    counts = one.matched.counts(label)
    return {
        "intervals": counts.intervals,
        "events": counts.events,
        "hits": counts.hits,
        "splits": counts.splits,
        "false": counts.false,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "mean_start_delay_s": counts.mean_delay_s,
        "false_per_hour": counts.false_per_hour,
    }


def precision_warnings(accuracies: dict[str, Accuracy]) -> list[str]:
    """Return a line for each precision with at least two right clips fewer than FP32, and what to serve instead.

    `accuracies`: on the same held-out clips. One clip may differ by chance.
    """
    full = accuracies[FULL]
    worse = {name: one for name, one in accuracies.items() if full.right - one.right > 1}
    instead = " or ".join(f'precision = "{name}"' for name in accuracies if name not in worse)
    return [
        f"{name} is less accurate than {FULL}: {one.right} of {len(one.truth)} held-out clips are right, in {FULL} "
        f"{full.right}. Do not serve it: set {instead} in [runtime]"
        for name, one in worse.items()
    ]


def accuracy_table(accuracies: dict[str, Accuracy], evaluated: str = "videos") -> Table:
    """Return a table with a row for each precision. `evaluated`: what was evaluated, videos or clips of them."""
    table = _table("precision", evaluated, "top-1", "top-5", "mean class")
    for name, one in accuracies.items():
        table.add_row(name, str(len(one.truth)), *map(percent_or_dash, (one.top1, one.top5, one.mean_class)))
    return table


def class_table(accuracies: dict[str, Accuracy], evaluated: str = "videos") -> Table:
    """Return a table with a row for each class that has videos; the last column is that of the first precision.

    `evaluated`: as for `accuracy_table`.
    """
    table = _table("class", evaluated, *accuracies, TAKEN_FOR)
    for rows in zip(*(one.classes for one in accuracies.values()), strict=True):
        first = rows[0]
        if first.videos:
            table.add_row(
                first.label, str(first.videos), *(percent_or_dash(row.accuracy) for row in rows), first.taken_for
            )
    return table


def stream_table(found: dict[str, StreamResult]) -> Table:
    """Return a table with a row for each precision."""
    table = _table("precision", *STREAM_COLUMNS)
    for name, one in found.items():
        table.add_row(name, *_counts_cells(one, None))
    return table


def label_table(name: str, one: StreamResult) -> Table:
    """Return a table with a row for each label of the intervals or events. `name`: the precision."""
    table = _table(name, *STREAM_COLUMNS)
    for label in one.matched.labels:
        table.add_row(label, *_counts_cells(one, label))
    return table


def _counts_cells(one: StreamResult, label: str | None) -> tuple[str, ...]:
    c = one.matched.counts(label)
    delay = "-" if c.mean_delay_s is None else f"{c.mean_delay_s:.2f} s"
    hourly = "-" if c.false_per_hour is None else f"{c.false_per_hour:.1f}"
    numbers = map(str, (c.intervals, c.events, c.hits, c.splits, c.false))
    f1 = "-" if c.f1 is None else f"{c.f1:.3f}"
    return (*numbers, percent_or_dash(c.precision), percent_or_dash(c.recall), f1, delay, hourly)


def percent_or_dash(share: float | None) -> str:
    """Return a share as `percent` formats it; a dash for None."""
    return "-" if share is None else percent(share)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="left" if column == TAKEN_FOR else "right")
    return table
