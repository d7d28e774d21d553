"""The picture of a replay: thumbnails, and for each action a row with its score and when it was active."""

import importlib.util
import io
import textwrap
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from edge_tdn.errors import ConfigError
from edge_tdn.messages import NS_PER_S, ActionEvent
from edge_tdn.replay.thumbnails import HEIGHT, Thumbnail
from edge_tdn.shell import install

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ROWS = 12  # actions
WIDTH, ROW_HEIGHT, AROUND, DPI = 12.0, 0.85, 1.5, 110  # inches; pixels per inch
PICTURES = HEIGHT / DPI  # inches, of the row of thumbnails
POINTS_PER_INCH = 72
NAME_WIDTH = 22  # characters of a line of a name
INK, SPAN, ENTER, EXIT = "#1f3b57", "#f2a541", "#2a9d5c", "#c0392b"


@dataclass(frozen=True)
class ScoredClip:
    """The scores of one clip."""

    seconds: float  # PTS of its last tick
    scores: dict[str, float]  # by the names that are reported; empty: the stream was interrupted here


def require_matplotlib() -> None:
    """Raise ConfigError if matplotlib is not installed; a camera host does not need it."""
    if not importlib.util.find_spec("matplotlib"):
        raise ConfigError(f"--plot needs matplotlib, which is not installed: {install('matplotlib')}")


def plot(
    title: str,
    clips: Sequence[ScoredClip],
    thresholds: Mapping[str, tuple[float, float]],
    events: Sequence[ActionEvent],
    at_ns: int,
    thumbnails: Sequence[Thumbnail] = (),
) -> bytes:
    """Return a PNG. `thresholds`: name of the action -> enter, exit. `at_ns`: wall clock at 0 s."""
    names = most_active(clips, thresholds, {event.label for event in events})
    figure, rows = rows_over_time(title, len(names), ROW_HEIGHT, AROUND, PICTURES if thumbnails else 0.0)
    if thumbnails:
        _draw_thumbnails(rows.pop(0), thumbnails)
    for axes, name in zip(rows, names, strict=True):
        _row(axes, name, clips, thresholds[name], [event for event in events if event.label == name], at_ns)
    rows[0].set_xlim(0, max((one.seconds for one in clips), default=1.0))
    left_out = f" ({len(thresholds) - len(names)} more actions not shown)" if len(thresholds) > len(names) else ""
    rows[-1].set_xlabel(f"seconds of the recording{left_out}")
    handles, labels = rows[0].get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))  # without duplicates
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=len(shown), frameon=False, fontsize=9)
    return png(figure)


def rows_over_time(
    title: str, count: int, row_height: float, around: float, first_height: float = 0.0
) -> tuple["Figure", "list[Axes]"]:
    """Return a figure with `count` rows over one axis of seconds.

    `row_height`, `around`, the rest, and `first_height`, of one more row above the others, if any, are in inches.
    """
    from matplotlib.figure import Figure

    heights = [first_height] * (first_height > 0) + [row_height] * count
    figure = Figure(figsize=(WIDTH, sum(heights) + around), dpi=DPI, layout="constrained")
    figure.suptitle(title, parse_math=False, x=0.01, ha="left", fontsize=11)
    grid = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)
    return figure, list(grid[:, 0])


def draw_score(axes: "Axes", name: str, clips: Sequence[ScoredClip]) -> None:
    """Draw the name of a row and the line of its score."""
    values = [one.scores.get(name, float("nan")) for one in clips]  # NaN interrupts the line
    axes.plot([one.seconds for one in clips], values, color=INK, linewidth=1.4, label="score", zorder=3)
    axes.set_ylabel(
        textwrap.fill(name, NAME_WIDTH), rotation=0, ha="right", va="center", fontsize=9, labelpad=8, parse_math=False
    )
    axes.spines[["top", "right"]].set_visible(False)


def png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # characters that the font lacks
        figure.savefig(content, format="png")
    return content.getvalue()


def most_active(
    clips: Sequence[ScoredClip], thresholds: Mapping[str, tuple[float, float]], happened: Collection[str] = ()
) -> list[str]:
    """Return the actions to draw: those that happened, then those with the highest scores."""
    peaks = {name: max((one.scores.get(name, 0.0) for one in clips), default=0.0) for name in thresholds}
    shown = sorted(thresholds, key=lambda name: (name not in happened, -peaks[name]))[:MAX_ROWS]
    return [name for name in thresholds if name in shown]


def _draw_thumbnails(axes: "Axes", thumbnails: Sequence[Thumbnail]) -> None:
    """Draw each thumbnail above its moment, pixel by pixel."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    for one in thumbnails:
        image = OffsetImage(one.picture, zoom=POINTS_PER_INCH / DPI, interpolation="nearest")
        axes.add_artist(AnnotationBbox(image, (one.seconds, 0.5), frameon=False, pad=0.0))
    axes.set_axis_off()


def _row(
    axes: "Axes",
    name: str,
    clips: Sequence[ScoredClip],
    thresholds: tuple[float, float],
    events: Sequence[ActionEvent],
    at_ns: int,
) -> None:
    def seconds(moment: str) -> float:
        return datetime.fromisoformat(moment).timestamp() - at_ns / NS_PER_S

    draw_score(axes, name, clips)
    for value, colour, style, label in zip(thresholds, (ENTER, EXIT), ("--", ":"), ("enter", "exit"), strict=True):
        axes.axhline(value, color=colour, linestyle=style, linewidth=1, label=f"{label} threshold")
    ends = [event for event in events if event.ended_at]
    starts = [event for event in events if event.type == "start"]
    for left, right in [(seconds(end.started_at), seconds(str(end.ended_at))) for end in ends] or [(-2.0, -1.0)]:
        axes.axvspan(left, right, color=SPAN, alpha=0.45, linewidth=0, label="action")
    published = [seconds(start.window.to) for start in starts] or [-1.0]
    axes.plot(published, [0.06] * len(published), "^", color=INK, markersize=5, label="start published", zorder=4)
    axes.set_ylim(-0.02, 1.04)
    axes.set_yticks([0, 0.5, 1], ["0", "", "1"], fontsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
