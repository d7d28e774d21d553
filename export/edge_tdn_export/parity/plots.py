"""The plots of parity.html, as inline SVG elements: figures of every clip and every node.

Colours are variables of the style sheet, light or dark. The only texts are numbers and our own names: labels and file
names stay out of the plots, whose fonts cover few scripts.
"""

import io
import math
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from html import escape
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from edge_tdn_export.parity.result import MIN_SHOWN, ComparedClip, NodeError, PrecisionComparison, logit_errors

MAX_POINTS = 5000  # of a scatter plot
MAX_OUTLIERS = 500  # of these, the ones with the largest differences, so that no outlier is sampled away
MAX_LABELS = 5  # drawn in one recording; the style sheet has this number of colours
WIDE, NARROW = 760, 370  # points, as font sizes

NAMES = ("ink", "muted", "line", "shade", "accent", "bad", *(f"c{n}" for n in range(MAX_LABELS)))  # CSS variables
COLOURS = {name: f"#0000{n:02x}" for n, name in enumerate(NAMES, 1)}  # placeholders, which `_svg` replaces
INK, MUTED, LINE, SHADE, ACCENT, BAD, *SERIES = COLOURS.values()
RASTER = "#3d85c6"  # of points in raster images, which CSS cannot colour: visible on light and on dark

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the font of the page
    "svg.hashsalt": "parity",  # equal reports give equal pages
    "text.parse_math": False,
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def style() -> AbstractContextManager[None]:
    """Return the context in which all plots must be drawn."""
    return rc_context(STYLE)


def overview(comparisons: Sequence[PrecisionComparison]) -> str:
    """Draw every clip's logit error: a row of dots per precision, its limit as a stroke."""
    figure, axes = _plot(WIDE, 34 + 30 * len(comparisons), left=70, top=4)
    errors = [logit_errors(c.clips) for c in comparisons]
    limits = [c.limits.max_logit_error for c in comparisons]
    low, _ = _log(axes, "x", [*np.concatenate(errors), *_given(limits)])
    axes.set_ylim(len(errors) - 0.5, -0.5)
    for row, (own, limit) in enumerate(zip(errors, limits, strict=True)):
        finite = np.maximum(own[np.isfinite(own)], low)
        spread = row + 0.5 * (
            np.arange(len(finite)) * 0.618 % 1 - 0.5
        )  # multiples of the golden ratio: even, without repetition
        axes.plot(finite, spread, "o", ms=2.6, mew=0, color=RASTER, alpha=0.55, rasterized=True)
        if limit is not None:
            axes.plot([limit, limit], [row - 0.4, row + 0.4], color=BAD, lw=1.5)
        if len(finite) < len(own):
            note = f"{len(own) - len(finite)} not finite"
            axes.text(1, row, note, color=BAD, ha="right", va="center", transform=axes.get_yaxis_transform())
    axes.set_yticks(range(len(comparisons)), [c.precision for c in comparisons])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlabel("largest logit difference of a clip / largest logit")
    return _svg(figure, "Logit error of every clip, by precision")


def nodes(c: PrecisionComparison) -> str:
    """Draw the error of every node in the graphs' order; nodes above the limit are coloured, stages shaded."""
    figure, axes = _plot(WIDE, 210, left=52, bottom=6, top=34)
    limit = c.limits.node_error
    errors = np.array([node.error for node in c.nodes], np.float64)
    edges = np.arange(len(errors) + 1) - 0.5
    low, high = _log(axes, "y", [*errors, limit])
    axes.set_xlim(edges[0], edges[-1])
    beyond = ~(errors <= limit)
    for chosen, colour in ((~beyond, ACCENT), (beyond, BAD)):
        axes.stairs(np.where(chosen & (errors > low), errors, np.nan), edges, baseline=low, fill=True, color=colour)
    broken = np.flatnonzero(~np.isfinite(errors))
    axes.plot(broken, np.full(len(broken), 0.97), "x", color=BAD, ms=4, transform=axes.get_xaxis_transform())
    _shade(axes, c.nodes)
    axes.axhline(limit, color=INK, lw=0.9, ls=(0, (4, 3)))
    above_line: dict[str, Any] = {
        "xytext": (4, 3),
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
    }
    axes.annotate(f"limit {limit:g}", (0, limit), **above_line)
    if c.first_diverging in c.nodes:
        first = c.nodes.index(c.first_diverging)
        x, right = (first + 0.5) / len(errors), first > len(errors) / 2
        y = float(np.clip(np.nan_to_num(errors[first], nan=high), low, high))
        axes.annotate(
            f"first above the limit: {c.first_diverging.name}, {c.first_diverging.error:.1e}",
            (first, y),
            (x - 0.02 if right else x + 0.02, 0.9),
            textcoords="axes fraction",
            ha="right" if right else "left",
            color=INK,
            weight="bold",
            arrowprops={"arrowstyle": "->", "color": INK, "shrinkA": 0, "shrinkB": 1},
        )
    axes.set_ylabel("largest difference / largest value")
    axes.xaxis.set_major_locator(NullLocator())
    return _svg(figure, f"Error per node of {c.precision}")


def _shade(axes: Axes, nodes: Sequence[NodeError]) -> None:
    """Shade every other stage; write the names of stages above the plot, those of graphs above these."""
    above = axes.get_xaxis_transform()
    for n, (stage, start, end) in enumerate(_stages(nodes)):
        if n % 2:
            axes.axvspan(start - 0.5, end - 0.5, color=SHADE, lw=0, zorder=0)
        if end - start > 0.03 * len(nodes):  # otherwise too narrow for its name
            axes.text((start + end - 1) / 2, 1.02, stage, color=MUTED, ha="center", transform=above)
    for graph, run in groupby(range(len(nodes)), key=lambda n: nodes[n].graph):
        start = next(run)
        axes.plot([start - 0.5] * 2, [0, 1.16], color=LINE, lw=0.8, transform=above, clip_on=False)
        axes.annotate(graph, (start - 0.5, 1.1), (3, 0), xycoords=above, textcoords="offset points", weight="bold")


def _stages(nodes: Sequence[NodeError]) -> list[tuple[str, int, int]]:
    """Group consecutive nodes by stage: name, start and end. Names as in the paper: res1 is the stem."""
    runs: list[tuple[str, str, int, int]] = []  # graph, stage, start, end
    for n, node in enumerate(nodes):
        found = re.match(r"(res\d|stdm|linear|dropout|conv1|bn1)\b", node.name)
        inherited = runs[-1][1] if runs and runs[-1][0] == node.graph else "input"
        stage = {"conv1": "res1", "bn1": "res1", "dropout": "linear"}.get(found[1], found[1]) if found else inherited
        if len(runs) > 1 and runs[-2][:2] == (node.graph, stage) and n - runs[-1][2] <= 2:
            runs.pop()  # one or two nodes of the S-TDM, where a stage fuses its differences
        if runs and runs[-1][:2] == (node.graph, stage):
            runs[-1] = (*runs[-1][:3], n + 1)
        else:
            runs.append((node.graph, stage, n, n + 1))
    return [run[1:] for run in runs]


def scatter(clips: Sequence[ComparedClip]) -> str:
    """Draw PyTorch's logits against those of the exported model."""
    figure, axes = _plot(NARROW, 300)
    expected = np.concatenate([clip.expected for clip in clips], dtype=np.float64)
    got = np.concatenate([clip.got for clip in clips], dtype=np.float64)
    finite = np.isfinite(expected) & np.isfinite(got)
    x, y = expected[finite], got[finite]
    by_difference = np.argsort(-np.abs(y - x), kind="stable")
    rest = np.random.default_rng(0).permutation(by_difference[MAX_OUTLIERS:])
    chosen = np.concatenate([by_difference[:MAX_OUTLIERS], rest])[:MAX_POINTS]
    ends = (min(x.min(), y.min()), max(x.max(), y.max())) if len(x) else (0.0, 1.0)
    around = 0.04 * (ends[1] - ends[0]) or 1.0
    axes.set(xlim=(ends[0] - around, ends[1] + around), ylim=(ends[0] - around, ends[1] + around))
    axes.plot([0, 1], [0, 1], color=LINE, lw=1, transform=axes.transAxes)
    axes.plot(x[chosen], y[chosen], "o", ms=2.4, mew=0, color=RASTER, alpha=0.5, rasterized=True)
    axes.set(xlabel="logit, PyTorch", ylabel="logit, exported")
    return _svg(figure, "Logits of both models")


def over_clips(c: PrecisionComparison) -> str:
    """Draw logit error and KL divergence of every clip; recordings are shaded, flips coloured."""
    figure = Figure((NARROW / 72, 300 / 72))
    upper, lower = figure.subplots(2, sharex=True)
    figure.subplots_adjust(left=0.15, right=0.98, bottom=0.11, top=0.98, hspace=0.12)
    flips = np.array([clip.flips for clip in c.clips])
    for axes, values, limit, name in (
        (upper, logit_errors(c.clips), c.limits.max_logit_error, "logit error"),
        (lower, np.array([clip.kl for clip in c.clips]), c.limits.mean_kl, "KL divergence, nats"),
    ):
        low, high = _log(axes, "y", [*values, *_given([limit])])
        axes.set(xlim=(-0.5, len(values) - 0.5), ylabel=name)
        drawn = np.clip(np.nan_to_num(values, nan=high), low, high)
        axes.plot(np.flatnonzero(~flips), drawn[~flips], "o", ms=2.6, mew=0, color=RASTER, rasterized=True)
        axes.plot(np.flatnonzero(flips), drawn[flips], "D", ms=3.6, mew=0, color=BAD)
        if limit is not None:
            axes.axhline(limit, color=INK, lw=0.9, ls=(0, (4, 3)))
        for n, (_, run) in enumerate(groupby(range(len(values)), key=lambda i: c.clips[i].recording)):
            own = list(run)
            if n % 2:
                axes.axvspan(own[0] - 0.5, own[-1] + 0.5, color=SHADE, lw=0, zorder=0)
    lower.set_xlabel("clip, in the order of recordings")
    return _svg(figure, f"Error of every clip of {c.precision}")


def curves(recording: str, clips: Sequence[ComparedClip], labels: Sequence[str], width: float) -> dict[str, Any]:
    """Draw the scores over time of all first labels: PyTorch's solid, the exported model's dashed."""
    figure, axes = _plot(width, 170, top=14)
    seconds = [clip.at_s for clip in clips]
    expected, got = (np.stack(scores) for scores in zip(*(clip.scores for clip in clips), strict=True))
    leading = {int(logits.argmax()) for clip in clips for logits in (clip.expected, clip.got)}
    peaks = np.nan_to_num(np.maximum(expected, got).max(0), nan=1)
    shown = sorted(leading, key=lambda i: -peaks[i])[:MAX_LABELS]
    alone = len(clips) == 1  # one point gives no line
    for i, colour in zip(shown, SERIES, strict=False):
        axes.plot(seconds, expected[:, i], "o" if alone else "-", color=colour, lw=3.2, alpha=0.35)
        axes.plot(seconds, got[:, i], "x" if alone else "--", color=colour, lw=1.2, ms=8)
    flips = [clip.at_s for clip in clips if clip.flips]
    axes.plot(flips, np.full(len(flips), 1.07), "D", ms=3.6, mew=0, color=BAD, clip_on=False)
    axes.set(ylim=(-0.02, 1.02), xlabel="seconds", ylabel="score")
    legend = [(f"c{n}", labels[i]) for n, i in enumerate(shown)]
    svg = _svg(figure, "Scores over time of both models")
    return {"recording": recording, "svg": svg, "legend": legend, "hidden": len(leading) - len(shown)}


def _plot(width: float, height: float, left: float = 46, bottom: float = 30, top: float = 8) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes; all sizes in points."""
    figure = Figure((width / 72, height / 72))
    size = 1 - (left + 8) / width, 1 - (bottom + top) / height
    return figure, figure.add_axes((left / width, bottom / height, *size))


def _given(limits: Iterable[float | None]) -> list[float]:
    return [limit for limit in limits if limit is not None]


def _log(axes: Axes, which: str, values: Iterable[float]) -> tuple[float, float]:
    """Make axis "x" or "y" logarithmic; return the decades of all values that are finite and not zero."""
    drawn = [max(value, MIN_SHOWN) for value in values if value > 0 and math.isfinite(value)] or [MIN_SHOWN]
    low, high = 10.0 ** math.floor(math.log10(min(drawn))), 10.0 ** math.ceil(math.log10(max(drawn)) + 0.3)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axis.set_minor_locator(NullLocator())
    return low, high


def _svg(figure: Figure, title: str) -> str:
    """Return a figure as an element of the page, its texts escaped. `title` is for screen readers."""
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file := io.StringIO(), format="svg", dpi=160, metadata=nothing)
    svg = file.getvalue().partition("<svg")[2]
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| (width|height)="[\d.]+pt"', "", svg, count=4)  # HTML does not need them
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)  # a third smaller
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return f'<svg role="img" aria-label="{escape(title)}"{svg}'
