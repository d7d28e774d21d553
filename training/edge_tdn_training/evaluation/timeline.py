"""The picture of a streaming evaluation: for each label a row of its intervals, its score, and its events."""

from typing import TYPE_CHECKING

from matplotlib.patches import Patch

from edge_tdn.replay import plot
from edge_tdn.replay.plot import INK
from edge_tdn_training.evaluation.matching import MatchedEvents
from edge_tdn_training.evaluation.streaming import StreamResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT, MARGIN = 0.95, 1.6  # inches
ABOVE, BELOW = (1.08, 0.3), (-0.38, 0.3)  # lower edge and height of the bars; a score is from 0 to 1
INTERVAL, MISSED, PUBLISHED = INK, "#c9d3dd", "#000000"
EVENTS = {"hit": "#2a9d5c", "split": "#f2a541", "stray": "#c0392b"}


def timeline(title: str, streamed: StreamResult) -> bytes:
    """Return a PNG with a row for each label of intervals or events; without any, for the labels of highest scores."""
    scores = plot.ZoneScores(None, streamed.scores, streamed.thresholds)
    names = streamed.matched.labels or [name for _, name in plot.most_active([scores])]
    figure, rows = plot.rows_over_time(title, len(names), ROW_HEIGHT, MARGIN)
    for axes, name in zip(rows, names, strict=True):
        _row(axes, name, streamed)
    rows[0].set_xlim(0, streamed.matched.seconds)
    rows[-1].set_xlabel("seconds of the recording")
    shown = {"interval": INTERVAL, "missed": MISSED, **EVENTS}
    patches = [Patch(color=colour, label=label) for label, colour in shown.items()]
    marks = [mark for mark in rows[0].lines if not str(mark.get_label()).startswith("_")]
    figure.legend(handles=[*patches, *marks], loc="outside lower center", ncols=8, frameon=False, fontsize=9)
    return plot.png(figure)


def _row(axes: "Axes", name: str, streamed: StreamResult) -> None:
    matched = streamed.matched
    plot.draw_score(axes, name, streamed.scores)
    _bars(axes, matched, name)
    published = [event.published_s for event in matched.events if event.label == name]
    middle = BELOW[0] + BELOW[1] / 2
    (ticks,) = axes.plot(published, [middle] * len(published), "|", color=PUBLISHED, label="start is published")
    ticks.set(markersize=9, markeredgewidth=1.6)
    for edge in (0, 1):
        axes.axhline(edge, color="#dddddd", linewidth=0.6, zorder=0)
    axes.set_ylim(BELOW[0] - 0.05, sum(ABOVE) + 0.05)
    axes.set_yticks([0, 1], ["0", "1"], fontsize=8)


def _bars(axes: "Axes", matched: MatchedEvents, name: str) -> None:
    for interval in matched.intervals:
        if interval.label == name:
            colour = MISSED if interval in matched.missed else INTERVAL
            axes.broken_barh([(interval.start_s, interval.end_s - interval.start_s)], ABOVE, facecolor=colour)
    for number, event in enumerate(matched.events):
        if event.label == name:
            colour = EVENTS[matched.outcome(number)]
            axes.broken_barh([(event.start_s, event.end_s - event.start_s)], BELOW, facecolor=colour)
