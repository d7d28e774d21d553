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


@dataclass(frozen=True, eq=False)
class ZoneScores:
    """The scores of a zone, or of a camera without zones."""

    zone: str | None  # its name; None: the camera has no zones
    clips: Sequence[ScoredClip]
    thresholds: Mapping[str, tuple[float, float]]  # name of the action -> enter, exit

    def peak(self, action: str) -> float:
        """Return the highest score of an action."""
        return max((one.scores.get(action, 0.0) for one in self.clips), default=0.0)


Row = tuple[ZoneScores, str]  # and the name of the action


def require_matplotlib() -> None:
    """Raise ConfigError if matplotlib is not installed; a camera host does not need it."""
    if not importlib.util.find_spec("matplotlib"):
        raise ConfigError(f"--plot needs matplotlib, which is not installed: {install('matplotlib')}")


def plot(
    title: str,
    zones: Sequence[ZoneScores],
    events: Sequence[ActionEvent],
    at_ns: int,
    thumbnails: Sequence[Thumbnail] = (),
) -> bytes:
    """Return a PNG. `at_ns`: wall clock at 0 s. A zone without a clip has no rows, unless none has a clip."""
    zones = [zone for zone in zones if zone.clips] or zones
    shown = most_active(zones, {(event.zone, event.label) for event in events})
    figure, rows = rows_over_time(title, len(shown), ROW_HEIGHT, AROUND, PICTURES if thumbnails else 0.0)
    if thumbnails:
        _draw_thumbnails(rows.pop(0), thumbnails)
    for axes, (zone, name) in zip(rows, shown, strict=True):
        own = [event for event in events if (event.zone, event.label) == (zone.zone, name)]
        _row(axes, zone, name, own, at_ns)
    rows[0].set_xlim(0, max((one.seconds for zone in zones for one in zone.clips), default=1.0))
    hidden = sum(len(zone.thresholds) for zone in zones) - len(shown)
    left_out = f" ({hidden} more actions not shown)" if hidden else ""
    rows[-1].set_xlabel(f"seconds of the recording{left_out}")
    handles, labels = rows[0].get_legend_handles_labels()
    legend = dict(zip(labels, handles, strict=True))  # without duplicates
    figure.legend(
        legend.values(), legend.keys(), loc="outside lower center", ncols=len(legend), frameon=False, fontsize=9
    )
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


def draw_score(axes: "Axes", name: str, clips: Sequence[ScoredClip], zone: str | None = None) -> None:
    """Draw the name of a row and the line of its score."""
    row = f"{zone}: {name}" if zone else name
    values = [one.scores.get(name, float("nan")) for one in clips]  # NaN interrupts the line
    axes.plot([one.seconds for one in clips], values, color=INK, linewidth=1.4, label="score", zorder=3)
    axes.set_ylabel(
        textwrap.fill(row, NAME_WIDTH), rotation=0, ha="right", va="center", fontsize=9, labelpad=8, parse_math=False
    )
    axes.spines[["top", "right"]].set_visible(False)


def png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # characters that the font lacks
        figure.savefig(content, format="png")
    return content.getvalue()


def most_active(zones: Sequence[ZoneScores], happened: Collection[tuple[str | None, str]] = ()) -> list[Row]:
    """Return the actions to draw, by zone: those that happened, then the highest scores of every zone in turn.

    `happened`: names of zones and actions.
    """
    ranked: list[tuple[bool, int, float, Row]] = []
    for zone in zones:
        peaks = {name: zone.peak(name) for name in zone.thresholds}
        for place, name in enumerate(sorted(peaks, key=lambda name: -peaks[name])):
            ranked.append(((zone.zone, name) not in happened, place, -peaks[name], (zone, name)))
    ranked.sort(key=lambda one: one[:3])
    shown = [row for *_, row in ranked[:MAX_ROWS]]
    return [(zone, name) for zone in zones for name in zone.thresholds if (zone, name) in shown]


def _draw_thumbnails(axes: "Axes", thumbnails: Sequence[Thumbnail]) -> None:
    """Draw each thumbnail above its moment, pixel by pixel."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    for one in thumbnails:
        image = OffsetImage(one.picture, zoom=POINTS_PER_INCH / DPI, interpolation="nearest")
        axes.add_artist(AnnotationBbox(image, (one.seconds, 0.5), frameon=False, pad=0.0))
    axes.set_axis_off()


def _row(axes: "Axes", zone: ZoneScores, name: str, events: Sequence[ActionEvent], at_ns: int) -> None:
    def seconds(moment: str) -> float:
        return datetime.fromisoformat(moment).timestamp() - at_ns / NS_PER_S

    draw_score(axes, name, zone.clips, zone.zone)
    limits = zone.thresholds[name]
    for value, colour, style, label in zip(limits, (ENTER, EXIT), ("--", ":"), ("enter", "exit"), strict=True):
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
