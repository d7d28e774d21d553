"""What parity found out, for people: a table for the terminal, a page for the browser, and JSON for programs.

Labels, file names and event lines are other people's texts. They reach the page through the template alone, which
escapes them, and never a plot, whose fonts know few scripts. Colours of plots are the style sheet's, light or dark.
"""

import base64
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from html import escape
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from export.findings import Comparison, EventLog, NodeError, Report, Scored
from export.parity import NODE_LIMITS

SCHEMA = 1  # of the JSON
MOST_POINTS = 5000  # of a scatter plot
OUTERMOST_POINTS = 500  # of these, the ones with the largest differences, so that no outlier is sampled away
MOST_RECORDINGS = 6  # whose scores are drawn
MOST_LABELS = 5  # drawn in one recording; the style sheet has as many colours
MOST_FLIPS = 12  # that are shown, of a precision
THUMBNAIL = 112  # longer side, pixels
LEAST = 1e-15  # smaller errors and divergences are drawn as this
WIDE, NARROW = 760, 370  # of plots, in the unit of their font sizes

Floats = NDArray[np.float64]


# --- terminal -------------------------------------------------------------------------------------------------------


def table(report: Report) -> RenderableType:
    """One row a precision, what the inputs are worth above, what failed below. Made for 100 columns; 80 do."""
    above = Table.grid(padding=(0, 2))
    above.add_row("preprocessing", Text(_preprocessing(report)))
    sampling = "takes the very frames of the published one" if report.sampling_agrees else "takes OTHER frames"
    above.add_row("sampling", Text(sampling, "" if report.sampling_agrees else "bold red"))
    if report.skipped:
        first, more = report.skipped[0], len(report.skipped) - 1
        above.add_row("skipped", Text(_printable(first) + (f"; and {more} more videos" if more else "")))
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("precision", no_wrap=True)
    for name in ("logit\nerror", "top-1", "top-5", "mean\nKL"):
        rows.add_column(name, justify="right", no_wrap=True)
    rows.add_column("same\nevents", justify="right", min_width=8, max_width=9)
    rows.add_column("first diverging node", overflow="fold")
    rows.add_column("MB", justify="right", no_wrap=True)
    rows.add_column("verdict", no_wrap=True)
    for c in report.comparisons:
        rows.add_row(
            _two_lines(_printable(c.precision), f"{len(c.clips)} clips"),
            *(_two_lines(m.value, m.limit, "" if m.kept else "red") for m in _measures(c)),
            _two_lines(*_where(c.first_diverging)),
            f"{c.size / 1e6:.1f}",
            Text("proven", "bold green") if c.proven else Text("NOT equal", "bold red"),
        )
    below = Table.grid(padding=(0, 2))
    for c in report.comparisons:
        for failure in c.failures:
            below.add_row(Text(_printable(c.precision), "bold red"), Text(_printable(failure)))
    if not report.comparisons:
        return Group(above, Text("no precision was compared"))
    return Group(above, Text(), rows, Text(), below) if below.row_count else Group(above, Text(), rows)


@dataclass(frozen=True)
class Measure:
    """One figure of a comparison, as it is told."""

    name: str
    value: str
    limit: str  # empty: not asked
    kept: bool


def _measures(c: Comparison) -> tuple[Measure, ...]:
    limits = c.limits
    logit_limit = "" if limits.max_logit_error is None else f"≤ {limits.max_logit_error:g}"
    kl_limit = "" if limits.mean_kl is None else f"≤ {limits.mean_kl:g}"
    differ = sum(not log.same for log in c.events)
    events = "-" if not c.events else "yes" if not differ else f"{differ} of {len(c.events)} differ"
    return (
        Measure("logit error", _error(c.max_logit_error), logit_limit,
                limits.max_logit_error is None or c.max_logit_error <= limits.max_logit_error),
        Measure("top-1", _percent(c.top1_agreement), f"≥ {limits.top1_agreement * 100:g}%",
                c.top1_agreement >= limits.top1_agreement),
        Measure("top-5", _percent(c.top5_agreement), "", kept=True),
        Measure("mean KL", _error(c.mean_kl), kl_limit,
                limits.mean_kl is None or c.mean_kl <= limits.mean_kl),
        Measure("same events", events, "required" if limits.same_events else "",
                not (differ and limits.same_events)),
    )  # fmt: skip


def _preprocessing(report: Report) -> str:
    sources = report.preprocessing
    if not sources:
        return "not compared with the published one"
    frames = sum(source.frames for source in sources)
    mean = sum(source.mean_error * source.frames for source in sources) / max(frames, 1)
    levels, decoder, effect = (
        max(getattr(source, name) for source in sources) for name in ("max_error", "decoder_error", "logit_error")
    )
    return (
        f"{mean:.2f} grey levels from Pillow on average, {levels:.3g} at most; the decoder up to {decoder:.2f} from "
        f"FFmpeg; logits move by {_error(effect)} of the largest at most ({frames} frames, recordings: {len(sources)})"
    )


def _two_lines(first: str, second: str, style: str = "") -> Text:
    return Text.assemble((first, style), ("\n" + second if second else "", "dim"))


def _where(node: NodeError | None) -> tuple[str, str]:
    return ("-", "") if node is None else (_printable(node.name), f"{_printable(node.graph)}, {_error(node.error)}")


def _printable(text: str) -> str:
    """Without control characters: a file name must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _error(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def _percent(value: float) -> str:
    """Rounded down: 100 % means all."""
    return f"{math.floor(value * 1000 + 1e-9) / 10:.1f}%" if math.isfinite(value) else "nan"


# --- JSON -----------------------------------------------------------------------------------------------------------


def to_json(report: Report) -> str:
    """Everything but the pictures, field for field, logits to 6 digits; numbers that are not finite are null."""
    return _encodable(json.dumps({"schema": SCHEMA, **_plain(report)}, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and arrays -> what JSON knows."""
    if isinstance(value, np.ndarray):
        return [_plain(float(f"{x:.6g}")) for x in value.tolist()]
    if is_dataclass(value):
        plain = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name != "pictures"}
        match value:
            case Comparison():
                plain["proven"] = value.proven
            case Scored():
                plain["flips"] = value.flips
        return plain
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _encodable(text: str) -> str:
    """What UTF-8 cannot say becomes a question mark: bytes of a file name that are no UTF-8."""
    return text.encode(errors="replace").decode()


# --- page -----------------------------------------------------------------------------------------------------------


def to_html(report: Report) -> str:
    """One page that needs nothing else: no network, no script."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"error": _error, "percent": _percent}
    with rc_context(PLOT_STYLE), np.errstate(all="ignore"):  # logits may be infinite
        page = environment.get_template("parity.html.j2").render(
            report=report,
            proven=sum(c.proven for c in report.comparisons),
            preprocessing=_preprocessing(report),
            overview=_overview(report.comparisons) if len(report.comparisons) > 1 else "",
            parts=[_part(c, report.labels) for c in report.comparisons],
        )
    return _encodable(page)


def _part(c: Comparison, labels: Sequence[str]) -> dict[str, Any]:
    """What the page shows of one precision."""
    expected, got = _logits(c.clips)
    recordings = _recordings(c.clips)
    width = NARROW if len(recordings) > 1 else WIDE
    flips = sorted((clip for clip in c.clips if clip.flips), key=_margin, reverse=True)
    return {
        "comparison": c,
        "measures": _measures(c),
        "nodes": _nodes(c) if c.nodes else "",
        "scatter": _scatter(expected, got) if c.clips else "",
        "over_clips": _over_clips(c) if c.clips else "",
        "curves": [_curves(*recording, labels, width) for recording in recordings[:MOST_RECORDINGS]],
        "recordings": len(recordings),
        "flips": [_flip(clip, labels) for clip in flips[:MOST_FLIPS]],
        "more_flips": len(flips[MOST_FLIPS:]),
        "differing": [(log.recording, list(_side_by_side(log))) for log in c.events if not log.same],
        "same": [log for log in c.events if log.same],
    }


def _logits(clips: Sequence[Scored]) -> tuple[Floats, Floats]:
    """PyTorch's and the exported model's, [clips, classes] each."""
    shape = (len(clips), -1) if clips else (0, 0)
    expected = np.array([clip.expected for clip in clips], np.float64).reshape(shape)
    return expected, np.array([clip.got for clip in clips], np.float64).reshape(shape)


def _softmax(logits: Floats) -> Floats:
    """[..., classes] -> probabilities; not a number where a logit is not finite."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    result: Floats = powers / powers.sum(-1, keepdims=True)
    return result


def _divergence(expected: Floats, got: Floats) -> Floats:
    """Kullback-Leibler, of the exported model from PyTorch, in nats: logits [clips, classes] -> [clips]."""
    p, q = _softmax(expected), _softmax(got)
    tiny = np.finfo(np.float64).tiny
    divergence: Floats = (p * np.log(np.maximum(p, tiny) / np.maximum(q, tiny))).sum(-1)
    return divergence


def _relative_errors(expected: Floats, got: Floats) -> Floats:
    """Largest difference of every clip / largest logit of all: [clips]."""
    largest = np.max(np.abs(expected), initial=0, where=np.isfinite(expected))
    errors: Floats = np.max(np.abs(got - expected), axis=-1, initial=0) / max(largest, LEAST)
    return errors


def _margin(flip: Scored) -> float:
    """How much surer PyTorch was of its label than of the exported model's. Small: nearly a draw. 1: not a number."""
    scores = _softmax(flip.expected.astype(np.float64))
    margin = float(scores[flip.expected.argmax()] - scores[flip.got.argmax()])
    return margin if math.isfinite(margin) else 1.0


def _flip(clip: Scored, labels: Sequence[str]) -> dict[str, Any]:
    scores = [_softmax(logits.astype(np.float64)) for logits in (clip.expected, clip.got)]
    leading = [int(clip.expected.argmax()), int(clip.got.argmax())]
    return {
        "clip": clip,
        "rows": [(labels[i], *(float(of_one[i]) for of_one in scores)) for i in leading],
        "pictures": [_data_url(picture) for picture in clip.pictures],
    }


def _data_url(picture: NDArray[np.uint8]) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(file := io.BytesIO(), "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _side_by_side(log: EventLog) -> Iterator[tuple[str, str, bool]]:
    """Lines of PyTorch, of the exported model, and whether they are the same; empty where one has none."""
    for kind, a, b, c, d in SequenceMatcher(a=log.expected, b=log.got, autojunk=False).get_opcodes():
        for left, right in zip_longest(log.expected[a:b], log.got[c:d], fillvalue=""):
            yield left, right, kind == "equal"


def _recordings(clips: Sequence[Scored]) -> list[tuple[str, list[Scored]]]:
    """Clips by recording, in the order of time; the recording whose scores differ most comes first."""
    together: dict[str, list[Scored]] = {}
    for clip in sorted(clips, key=lambda clip: clip.at_s):
        together.setdefault(clip.recording, []).append(clip)

    def difference(clips: Sequence[Scored]) -> float:
        expected, got = map(_softmax, _logits(clips))
        largest = float(np.max(np.abs(got - expected), initial=0))
        return largest if math.isfinite(largest) else math.inf

    return sorted(together.items(), key=lambda item: difference(item[1]), reverse=True)


# --- plots ----------------------------------------------------------------------------------------------------------

COLOURS = {name: f"#0000{n:02x}" for n, name in enumerate(("ink", "muted", "line", "shade", "accent", "bad",
                                                           *(f"c{n}" for n in range(MOST_LABELS))), 1)}  # fmt: skip
INK, MUTED, LINE, SHADE, ACCENT, BAD, *SERIES = COLOURS.values()  # each stands for a variable of the style sheet
RASTER = "#3d85c6"  # of points in pictures, which no style sheet reaches: seen on light and on dark

PLOT_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "parity",  # the same report, the same page
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


def _overview(comparisons: Sequence[Comparison]) -> str:
    """Every clip's logit error, a row of dots a precision; its limit a stroke."""
    figure, axes = _plot(WIDE, 34 + 30 * len(comparisons), left=70, top=4)
    errors = [_relative_errors(*_logits(c.clips)) for c in comparisons]
    limits = [c.limits.max_logit_error for c in comparisons]
    low, _ = _log(axes, "x", [*np.concatenate(errors), *_given(limits)])
    axes.set_ylim(len(errors) - 0.5, -0.5)
    for row, (own, limit) in enumerate(zip(errors, limits, strict=True)):
        finite = np.maximum(own[np.isfinite(own)], low)
        spread = row + 0.5 * (np.arange(len(finite)) * 0.618 % 1 - 0.5)  # golden ratio: even, and no two alike
        axes.plot(finite, spread, "o", ms=2.6, mew=0, color=RASTER, alpha=0.55, rasterized=True)
        if limit is not None:
            axes.plot([limit, limit], [row - 0.4, row + 0.4], color=BAD, lw=1.5)
        if len(finite) < len(own):
            axes.text(1, row, f"{len(own) - len(finite)} not finite", color=BAD, ha="right", va="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set_yticks(range(len(comparisons)), [c.precision for c in comparisons])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlabel("largest logit difference of a clip / largest logit")
    return _svg(figure, "Logit error of every clip, by precision")


def _nodes(c: Comparison) -> str:
    """Error of every node in the graphs' order, those beyond the limit in another colour; stages shaded."""
    figure, axes = _plot(WIDE, 210, left=52, bottom=6, top=34)
    limit = NODE_LIMITS.get(c.precision.removeprefix("cuda-"))
    errors = np.array([node.error for node in c.nodes], np.float64)
    edges = np.arange(len(errors) + 1) - 0.5
    low, high = _log(axes, "y", [*errors, *_given([limit])])
    axes.set_xlim(edges[0], edges[-1])
    beyond = ~(errors <= (math.inf if limit is None else limit))
    for chosen, colour in ((~beyond, ACCENT), (beyond, BAD)):
        axes.stairs(np.where(chosen & (errors > low), errors, np.nan), edges, baseline=low, fill=True, color=colour)
    broken = np.flatnonzero(~np.isfinite(errors))
    axes.plot(broken, np.full(len(broken), 0.97), "x", color=BAD, ms=4, transform=axes.get_xaxis_transform())
    _shade(axes, c.nodes)
    if limit is not None:
        axes.axhline(limit, color=INK, lw=0.9, ls=(0, (4, 3)))
        axes.annotate(f"limit {limit:g}", (0, limit), (4, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points")  # fmt: skip
    if c.first_diverging in c.nodes:
        first = c.nodes.index(c.first_diverging)
        x, right = (first + 0.5) / len(errors), first > len(errors) / 2
        y = float(np.clip(np.nan_to_num(errors[first], nan=high), low, high))
        axes.annotate(f"first beyond the limit: {c.first_diverging.name}, {_error(c.first_diverging.error)}",
                      (first, y), (x - 0.02 if right else x + 0.02, 0.9), textcoords="axes fraction",
                      ha="right" if right else "left", color=INK, weight="bold",
                      arrowprops={"arrowstyle": "->", "color": INK, "shrinkA": 0, "shrinkB": 1})  # fmt: skip
    axes.set_ylabel("largest difference / largest value")
    axes.xaxis.set_major_locator(NullLocator())
    return _svg(figure, f"Error per node of {c.precision}")


def _shade(axes: Axes, nodes: Sequence[NodeError]) -> None:
    """Shades every other stage, names them above, and the graphs above these."""
    above = axes.get_xaxis_transform()
    for n, (stage, start, end) in enumerate(_stages(nodes)):
        if n % 2:
            axes.axvspan(start - 0.5, end - 0.5, color=SHADE, lw=0, zorder=0)
        if end - start > 0.03 * len(nodes):  # else there is no room for its name
            axes.text((start + end - 1) / 2, 1.02, stage, color=MUTED, ha="center", transform=above)
    for graph, run in groupby(range(len(nodes)), key=lambda n: nodes[n].graph):
        start = next(run)
        axes.plot([start - 0.5] * 2, [0, 1.16], color=LINE, lw=0.8, transform=above, clip_on=False)
        axes.annotate(graph, (start - 0.5, 1.1), (3, 0), xycoords=above, textcoords="offset points", weight="bold")


def _stages(nodes: Sequence[NodeError]) -> list[tuple[str, int, int]]:
    """Runs of nodes that belong together, as name, start and end. Names as in the paper: res1 is the stem."""
    runs: list[tuple[str, str, int, int]] = []  # graph, stage, start, end
    for n, node in enumerate(nodes):
        found = re.match(r"(res\d|stdm|linear|dropout|conv1|bn1)\b", node.name)
        inherited = runs[-1][1] if runs and runs[-1][0] == node.graph else "input"
        stage = {"conv1": "res1", "bn1": "res1", "dropout": "linear"}.get(found[1], found[1]) if found else inherited
        if len(runs) > 1 and runs[-2][:2] == (node.graph, stage) and n - runs[-1][2] <= 2:
            runs.pop()  # a node or two of the S-TDM, where a stage takes in its differences
        if runs and runs[-1][:2] == (node.graph, stage):
            runs[-1] = (*runs[-1][:3], n + 1)
        else:
            runs.append((node.graph, stage, n, n + 1))
    return [run[1:] for run in runs]


def _scatter(expected: Floats, got: Floats) -> str:
    """Logits of PyTorch against those of the exported model, [clips, classes]."""
    figure, axes = _plot(NARROW, 300)
    finite = np.isfinite(expected) & np.isfinite(got)
    x, y = expected[finite], got[finite]
    by_difference = np.argsort(-np.abs(y - x), kind="stable")
    rest = np.random.default_rng(0).permutation(by_difference[OUTERMOST_POINTS:])
    chosen = np.concatenate([by_difference[:OUTERMOST_POINTS], rest])[:MOST_POINTS]
    ends = (min(x.min(), y.min()), max(x.max(), y.max())) if len(x) else (0.0, 1.0)
    around = 0.04 * (ends[1] - ends[0]) or 1.0
    axes.set(xlim=(ends[0] - around, ends[1] + around), ylim=(ends[0] - around, ends[1] + around))
    axes.plot([0, 1], [0, 1], color=LINE, lw=1, transform=axes.transAxes)
    axes.plot(x[chosen], y[chosen], "o", ms=2.4, mew=0, color=RASTER, alpha=0.5, rasterized=True)
    axes.set(xlabel="logit, PyTorch", ylabel="logit, exported")
    return _svg(figure, "Logits of both models")


def _over_clips(c: Comparison) -> str:
    """Logit error above, KL divergence below, clip after clip; recordings shaded, flips in another colour."""
    figure = Figure((NARROW / 72, 300 / 72))
    upper, lower = figure.subplots(2, sharex=True)
    figure.subplots_adjust(left=0.15, right=0.98, bottom=0.11, top=0.98, hspace=0.12)
    expected, got = _logits(c.clips)
    flips = np.array([clip.flips for clip in c.clips])
    for axes, values, limit, name in (
        (upper, _relative_errors(expected, got), c.limits.max_logit_error, "logit error"),
        (lower, _divergence(expected, got), c.limits.mean_kl, "KL divergence, nats"),
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


def _curves(recording: str, clips: Sequence[Scored], labels: Sequence[str], width: float) -> dict[str, Any]:
    """Scores over time of the labels that lead anywhere: PyTorch's solid, the exported model's dashed."""
    figure, axes = _plot(width, 170, top=14)
    seconds = [clip.at_s for clip in clips]
    expected, got = map(_softmax, _logits(clips))
    leading = {int(logits.argmax()) for clip in clips for logits in (clip.expected, clip.got)}
    peaks = np.nan_to_num(np.maximum(expected, got).max(0), nan=1)
    shown = sorted(leading, key=lambda i: -peaks[i])[:MOST_LABELS]
    alone = len(clips) == 1  # a line of one point is none
    for i, colour in zip(shown, SERIES, strict=False):
        axes.plot(seconds, expected[:, i], "o" if alone else "-", color=colour, lw=3.2, alpha=0.35)
        axes.plot(seconds, got[:, i], "x" if alone else "--", color=colour, lw=1.2, ms=8)
    flips = [clip.at_s for clip in clips if clip.flips]
    axes.plot(flips, np.full(len(flips), 1.07), "D", ms=3.6, mew=0, color=BAD, clip_on=False)
    axes.set(ylim=(-0.02, 1.02), xlabel="seconds", ylabel="score")
    legend = [(f"c{n}", labels[i]) for n, i in enumerate(shown)]
    return {"recording": recording, "svg": _svg(figure, "Scores over time of both models"), "legend": legend,
            "hidden": len(leading) - len(shown)}  # fmt: skip


def _plot(width: float, height: float, left: float = 46, bottom: float = 30, top: float = 8) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; all in points."""
    figure = Figure((width / 72, height / 72))
    size = 1 - (left + 8) / width, 1 - (bottom + top) / height
    return figure, figure.add_axes((left / width, bottom / height, *size))


def _given(limits: Iterable[float | None]) -> list[float]:
    return [limit for limit in limits if limit is not None]


def _log(axes: Axes, which: str, values: Iterable[float]) -> tuple[float, float]:
    """Makes axis "x" or "y" logarithmic; gives the decades that hold all values but zeros and those not finite."""
    drawn = [max(value, LEAST) for value in values if value > 0 and math.isfinite(value)] or [LEAST]
    low, high = 10.0 ** math.floor(math.log10(min(drawn))), 10.0 ** math.ceil(math.log10(max(drawn)) + 0.3)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axis.set_minor_locator(NullLocator())
    return low, high


def _svg(figure: Figure, title: str) -> str:
    """A figure as an element of the page; `title` is for those who cannot see it. Its texts come out escaped."""
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file := io.StringIO(), format="svg", dpi=160, metadata=nothing)
    svg = file.getvalue().partition("<svg")[2]
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| (width|height)="[\d.]+pt"', "", svg, count=4)  # HTML knows them
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)  # a third smaller
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return f'<svg role="img" aria-label="{escape(title)}"{svg}'
