"""A streaming evaluation as one picture: a row a label, the labelled intervals above, its score, the events below."""

from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from edge_tdn.cli import plot
from edge_tdn.cli.plot import INK
from edge_tdn_training.evaluation.matching import Judgement
from edge_tdn_training.evaluation.streaming import Streamed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT, AROUND = 0.95, 1.6  # inches
ABOVE, BELOW = (1.08, 0.3), (-0.38, 0.3)  # of a row whose score goes from 0 to 1: lower edge, height
INTERVAL, MISSED, TOLD = INK, "#c9d3dd", "#000000"
EVENTS = {"hit": "#2a9d5c", "split": "#f2a541", "stray": "#c0392b"}


def timeline(title: str, streamed: Streamed) -> bytes:
    """A PNG. Rows are the labels of the intervals and events; without any, of what the model was nearest to telling."""
    names = streamed.judgement.labels or plot.most_active(streamed.scores, streamed.thresholds)
    figure, rows = plot.rows_over_time(title, len(names), ROW_HEIGHT, AROUND)
    for axes, name in zip(rows, names, strict=True):
        _row(axes, name, streamed)
    rows[0].set_xlim(0, streamed.judgement.seconds)
    rows[-1].set_xlabel("seconds of the recording")
    shown = {"interval": INTERVAL, "missed": MISSED, **EVENTS}
    patches = [Patch(color=colour, label=label) for label, colour in shown.items()]
    marks = [mark for mark in rows[0].lines if not str(mark.get_label()).startswith("_")]
    figure.legend(handles=[*patches, *marks], loc="outside lower center", ncols=8, frameon=False, fontsize=9)
    return plot.png(figure)


def _row(axes: "Axes", name: str, streamed: Streamed) -> None:
    judgement = streamed.judgement
    plot.draw_score(axes, name, streamed.scores)
    _bars(axes, judgement, name)
    told = [event.told_s for event in judgement.events if event.label == name]
    middle = BELOW[0] + BELOW[1] / 2
    axes.plot(told, [middle] * len(told), "|", color=TOLD, markersize=9, markeredgewidth=1.6, label="its start is told")
    for edge in (0, 1):
        axes.axhline(edge, color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_ylim(BELOW[0] - 0.05, sum(ABOVE) + 0.05)
    axes.set_yticks([0, 1], ["0", "1"], fontsize=8)


def _bars(axes: "Axes", judgement: Judgement, name: str) -> None:
    for interval in judgement.intervals:
        if interval.label == name:
            colour = MISSED if interval in judgement.missed else INTERVAL
            axes.broken_barh([(interval.start_s, interval.end_s - interval.start_s)], ABOVE, facecolor=colour)
    for number, event in enumerate(judgement.events):
        if event.label == name:
            colour = EVENTS[judgement.outcome(number)]
            axes.broken_barh([(event.start_s, event.end_s - event.start_s)], BELOW, facecolor=colour)
