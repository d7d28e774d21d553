"""Reports of `edge-tdn-export quantize`: quantize.json, and a table for the terminal."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_tdn.verdict import Claim
from edge_tdn_export.limits import NOT_INDEPENDENT, Limits
from edge_tdn_export.quantize.agreement import Agreement
from edge_tdn_export.quantize.clip_split import ClipSet
from edge_tdn_export.quantize.operators import Operator
from edge_tdn_export.quantize.sensitivity import Sensitivity

MAX_SHOWN = 20  # operators in the terminal, besides the exceptions


@dataclass(frozen=True)
class QuantizationReport:
    """The operators that stay in floating point, with the measurements; the field names are keys of quantize.json."""

    model: str
    limits: Limits
    calibration: ClipSet
    held_out: ClipSet
    skipped: tuple[str, ...]  # one reason for each video without a clip
    video_list: str  # its format, as it was recognised; empty for a folder of videos
    bias_correction: bool  # NNCF's, the fast one
    everything: Agreement  # with all operators in INT8, on the held-out clips
    reached: Agreement  # as written, with the exceptions, on the held-out clips
    golden_error: float  # relative to the largest logit
    exceptions: tuple[Operator, ...]
    sensitivities: tuple[Sensitivity, ...]  # the most sensitive operator first
    sensitivity_clips: int
    size_fp32: int  # bytes of the graphs
    size_int8: int
    chosen_on_held_out: bool = False  # the exceptions: those of the calibration clips did not suffice

    @property
    def claim(self) -> Claim:
        """Return what the held-out clips allow to be stated: the written files are within the limits."""
        return Claim("int8", True, len(self.held_out.clips), len(self.held_out.videos))


def to_json(report: QuantizationReport, **more: str) -> str:
    """Return the content of quantize.json: all fields, with numbers and videos in place of the clips."""
    plain = asdict(replace(report, calibration=ClipSet(()), held_out=ClipSet(())))
    for half in ("calibration", "held_out"):
        clips: ClipSet = getattr(report, half)
        plain[half] = {"clips": len(clips.clips), "videos": clips.videos}
    plain["verdict"] = str(report.claim.verdict)
    return json.dumps(plain | more, indent=1, ensure_ascii=False) + "\n"


def verdict(report: QuantizationReport) -> str:
    """Return the verdict, what it compares, and how far the held-out clips are independent of the result."""
    chosen = "; the exceptions were chosen on these clips" if report.chosen_on_held_out else ""
    return f"{report.claim}, held out, against the folder's fp32{chosen}"


def table(report: QuantizationReport) -> RenderableType:
    """Return the exceptions and the most sensitive operators, for the terminal."""
    above = Table.grid(padding=(0, 2))
    above.add_column(no_wrap=True)
    above.add_column(overflow="fold")  # a path is shown whole
    for name in ("calibration", "held_out"):
        half: ClipSet = getattr(report, name)
        above.add_row(name.replace("_", "-"), Text(f"{len(half.clips)} clips of {_some(half.videos, 6)}"))
    if report.video_list:
        above.add_row("list", Text(report.video_list))
    if report.skipped:
        above.add_row("skipped", Text(_some(report.skipped, 1)))
    limits = report.limits
    above.add_row("limits", f"top-1 agreement at least {limits.top1_agreement:.1%}, mean KL at most {limits.mean_kl:g}")
    above.add_row("all in INT8", str(report.everything))
    count = len(report.exceptions)
    exceptions = f"{count} of {len(report.sensitivities)} operators stay in floating point"
    above.add_row("exceptions", exceptions if count else "none: everything in INT8 keeps the limits")
    above.add_row("as written", Text(str(report.reached), "bold"))
    above.add_row("verdict", Text(verdict(report), "bold"))
    above.add_row("", Text(NOT_INDEPENDENT))
    above.add_row("size", f"{report.size_fp32 / 1e6:.1f} -> {report.size_int8 / 1e6:.1f} MB")
    if not report.sensitivities:
        return above
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows.add_column("operator", overflow="fold")
    rows.add_column("gain (KL)", justify="right", no_wrap=True)
    rows.add_column("is in", no_wrap=True)
    listed = [one for n, one in enumerate(report.sensitivities) if n < MAX_SHOWN or one.operator in report.exceptions]
    for one in listed:
        kept = one.operator in report.exceptions
        rows.add_row(Text(one.operator.name), f"{one.gain:.2g}", Text("floating point", "bold") if kept else "INT8")
    title = (
        f"Gain of each operator alone in floating point, on {report.sensitivity_clips} calibration clips of highest KL:"
    )
    return Group(above, Text(), Text(title), rows)


def _some(names: Sequence[str], max_names: int) -> str:
    """Return the first names and the number of the others."""
    more = len(names) - max_names
    return ", ".join(names[:max_names]) + (f", and {more} more" if more > 0 else "")
