"""Reports of a parity comparison: a table for the terminal, parity.html for the browser, parity.json for programs.

Labels, file names and event lines are untrusted text. They reach the page only through the template, which escapes
them, and never a plot, whose fonts cover few scripts.
"""

import base64
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_tdn.verdict import Verdict, percent
from edge_tdn_export.limits import NOT_INDEPENDENT
from edge_tdn_export.lists.text import without_controls
from edge_tdn_export.parity import plots
from edge_tdn_export.parity.result import ComparedClip, EventLog, NodeError, ParityReport, PrecisionComparison

SCHEMA = 2  # of the JSON
DECODERS = (
    "Decoders round colours differently: one or two grey levels are normal. Verdicts exclude this: the model and "
    "PyTorch get the same pixels"
)
MAX_RECORDINGS = 6  # whose scores are drawn
MAX_FLIPS = 12  # shown for each precision
THUMBNAIL = 112  # longer side, pixels
State = Literal["kept", "warning", "exceeded"]
STYLES = {"kept": "", "warning": "yellow", "exceeded": "red"}
COLOURS = {Verdict.EQUAL: "green", Verdict.WITHIN: "green", Verdict.TOO_FEW: "yellow", Verdict.OUTSIDE: "red"}


# --- terminal -------------------------------------------------------------------------------------------------------


def table(report: ParityReport) -> RenderableType:
    """Return one row per precision, the comparison of inputs above and the failures below; fits 80 columns."""
    above = Table.grid(padding=(0, 2))
    above.add_column(no_wrap=True)
    above.add_column(overflow="fold")  # a path is shown whole
    above.add_row("preprocessing", Text(_preprocessing(report)))
    sampling = "same frames as published" if report.sampling_agrees else "OTHER frames than published"
    above.add_row("sampling", Text(sampling, "" if report.sampling_agrees else "bold red"))
    if report.skipped:
        first, more = report.skipped[0], len(report.skipped) - 1
        above.add_row("skipped", Text(without_controls(first) + (f"; and {more} more videos" if more else "")))
    rows = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    rows.add_column("precision", no_wrap=True)
    for name in ("logit\nerror", "top-1", "top-5", "mean\nKL"):
        rows.add_column(name, justify="right", no_wrap=True)
    rows.add_column("same\nevents", justify="right", min_width=8, max_width=9)
    rows.add_column("first diverging node", overflow="fold")
    rows.add_column("MB", justify="right", no_wrap=True)
    for c in report.comparisons:
        rows.add_row(
            _two_lines(without_controls(c.precision), f"{len(c.clips)} clips"),
            *(_two_lines(m.value, m.limit, STYLES[m.state]) for m in _measures(c)),
            _two_lines(*_where(c.first_diverging)),
            f"{c.size / 1e6:.1f}",
        )
    below = Table.grid(padding=(0, 2))
    for c in report.comparisons:
        verdict = Text.assemble((c.claim.verdict, f"bold {COLOURS[c.claim.verdict]}"), f": {c.claim.evidence}")
        below.add_row(Text(without_controls(c.precision), "bold"), verdict)
        if c.clips:
            below.add_row("", Text(f"top-1 agreement {percent(c.top1_agreement)} ({c.top1_bound})"))
        for failure in c.failures:
            below.add_row("", Text(without_controls(failure)))
    if not report.comparisons:
        return Group(above, Text("no precision was compared"))
    return Group(above, Text(), rows, Text(), below, Text(NOT_INDEPENDENT))


@dataclass(frozen=True)
class Measure:
    """One figure of a comparison, formatted."""

    name: str
    value: str
    limit: str  # empty: unlimited
    state: State  # of the limit; differing events are a warning where no limit forbids them
    note: str = ""


def _measures(c: PrecisionComparison) -> tuple[Measure, ...]:
    limits = c.limits
    logit_limit = "" if limits.max_logit_error is None else f"≤ {limits.max_logit_error:g}"
    kl_limit = "" if limits.mean_kl is None else f"≤ {limits.mean_kl:g}"
    differ = c.claim.differing
    recordings = len({log.recording for log in c.events})
    events = "-" if not c.events else "yes" if not differ else f"{differ} of {recordings} differ"
    events_state: State = "kept" if not differ else "exceeded" if limits.same_events else "warning"
    top1_limit = f"≥ {limits.top1_agreement * 100:g}%"
    logit_kept = limits.max_logit_error is None or c.max_logit_error <= limits.max_logit_error
    top1_kept = c.top1_agreement >= limits.top1_agreement
    kl_kept = limits.mean_kl is None or c.mean_kl <= limits.mean_kl
    return (
        Measure("logit error", _error(c.max_logit_error), logit_limit, _state(logit_kept)),
        Measure("top-1", percent(c.top1_agreement), top1_limit, _state(top1_kept), c.top1_bound),
        Measure("top-5", percent(c.top5_agreement), "", "kept"),
        Measure("mean KL", _error(c.mean_kl), kl_limit, _state(kl_kept)),
        Measure("same events", events, "required" if limits.same_events else "", events_state),
    )


def _state(kept: bool) -> State:
    return "kept" if kept else "exceeded"


def _preprocessing(report: ParityReport) -> str:
    """Describe the differences of our input from the published one, over all recordings."""
    inputs = report.preprocessing
    if not inputs:
        return "not compared with the published one"
    frames = sum(one.frames for one in inputs)
    mean = sum(one.mean_error * one.frames for one in inputs) / max(frames, 1)
    levels, decoder, effect = (
        max(getattr(one, name) for one in inputs) for name in ("max_error", "decoder_error", "logit_error")
    )
    return (
        f"{mean:.2f} grey levels from Pillow on average, {levels:.3g} at most; the decoder up to {decoder:.2f} from "
        f"FFmpeg; logits change by at most {_error(effect)} of the largest "
        f"({frames} frames, recordings: {len(inputs)}). {DECODERS}"
    )


def _two_lines(first: str, second: str, style: str = "") -> Text:
    return Text.assemble((first, style), ("\n" + second if second else "", "dim"))


def _where(node: NodeError | None) -> tuple[str, str]:
    return (
        ("-", "")
        if node is None
        else (without_controls(node.name), f"{without_controls(node.graph)}, {_error(node.error)}")
    )


def _error(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


# --- JSON -----------------------------------------------------------------------------------------------------------


def to_json(report: ParityReport) -> str:
    """Return all fields but thumbnails as JSON: logits with 6 digits, numbers that are not finite as null."""
    return _encodable(json.dumps({"schema": SCHEMA, **_plain(report)}, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    """Convert dataclasses, tuples and arrays to JSON types."""
    if isinstance(value, np.ndarray):
        return [_plain(float(f"{x:.6g}")) for x in value.tolist()]
    if is_dataclass(value):
        plain = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name != "thumbnails"}
        match value:
            case PrecisionComparison():
                plain |= {"verdict": str(value.claim.verdict), "recordings": value.claim.recordings}
                plain["top1_bound"] = value.top1_bound
            case ComparedClip():
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
    """Replace bytes of file names that are not UTF-8 with question marks."""
    return text.encode(errors="replace").decode()


# --- page -----------------------------------------------------------------------------------------------------------


def to_html(report: ParityReport) -> str:
    """Return one self-contained page: it loads nothing and runs no script."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"error": _error, "percent": percent}
    with plots.style(), np.errstate(all="ignore"):  # logits may be infinite
        page = environment.get_template("parity.html.j2").render(
            report=report,
            verdicts=[(verdict, *_group(report.comparisons, verdict)) for verdict in Verdict],
            colours=COLOURS,
            not_independent=NOT_INDEPENDENT,
            preprocessing=_preprocessing(report),
            overview=plots.overview(report.comparisons) if len(report.comparisons) > 1 else "",
            parts=[_part(c, report.labels) for c in report.comparisons],
        )
    return _encodable(page)


def _group(comparisons: Sequence[PrecisionComparison], verdict: Verdict) -> tuple[str, list[str]]:
    """Return the class of the style sheet for a verdict, and the precisions with it, each with its evidence."""
    claims = [c.claim for c in comparisons if c.claim.verdict == verdict]
    return COLOURS[verdict], [f"{claim.precision}: {claim.evidence}" for claim in claims]


def _part(c: PrecisionComparison, labels: Sequence[str]) -> dict[str, Any]:
    """Return the template's values for one precision."""
    recordings = _recordings(c.clips)
    width = plots.NARROW if len(recordings) > 1 else plots.WIDE
    flips = sorted((clip for clip in c.clips if clip.flips), key=_margin, reverse=True)
    return {
        "comparison": c,
        "measures": _measures(c),
        "nodes": plots.nodes(c) if c.nodes else "",
        "scatter": plots.scatter(c.clips) if c.clips else "",
        "over_clips": plots.over_clips(c) if c.clips else "",
        "curves": [plots.curves(*recording, labels, width) for recording in recordings[:MAX_RECORDINGS]],
        "recordings": len(recordings),
        "flips": [_flip(clip, labels) for clip in flips[:MAX_FLIPS]],
        "more_flips": len(flips[MAX_FLIPS:]),
        "differing": [(log.recording, list(_side_by_side(log))) for log in c.events if not log.same],
        "same": [log for log in c.events if log.same],
    }


def _margin(flip: ComparedClip) -> float:
    """Return PyTorch's score of its label minus that of the exported model's label; 1 if it is NaN."""
    scores, _ = flip.scores
    margin = float(scores[flip.expected.argmax()] - scores[flip.got.argmax()])
    return margin if math.isfinite(margin) else 1.0


def _flip(clip: ComparedClip, labels: Sequence[str]) -> dict[str, Any]:
    """Return the template's values for one flip: both first labels with both scores, and thumbnails."""
    leading = [int(clip.expected.argmax()), int(clip.got.argmax())]
    return {
        "clip": clip,
        "rows": [(labels[i], *(float(of_one[i]) for of_one in clip.scores)) for i in leading],
        "thumbnails": [_data_url(frame) for frame in clip.thumbnails],
    }


def _data_url(frame: NDArray[np.uint8]) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(file := io.BytesIO(), "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _side_by_side(log: EventLog) -> Iterator[tuple[str, str, bool]]:
    """Yield lines of PyTorch and of the exported model, empty where one has none, and True if they are equal."""
    for kind, a, b, c, d in SequenceMatcher(a=log.expected, b=log.got, autojunk=False).get_opcodes():
        for left, right in zip_longest(log.expected[a:b], log.got[c:d], fillvalue=""):
            yield left, right, kind == "equal"


def _recordings(clips: Sequence[ComparedClip]) -> list[tuple[str, list[ComparedClip]]]:
    """Group clips by recording, in the order of time; the recording with the largest score difference is first."""
    together: dict[str, list[ComparedClip]] = {}
    for clip in sorted(clips, key=lambda clip: clip.at_s):
        together.setdefault(clip.recording, []).append(clip)

    def difference(clips: Sequence[ComparedClip]) -> float:
        largest = float(np.max([np.abs(np.subtract(*clip.scores)) for clip in clips]))
        return largest if math.isfinite(largest) else math.inf

    return sorted(together.items(), key=lambda item: difference(item[1]), reverse=True)
