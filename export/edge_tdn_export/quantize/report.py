"""What `edge-tdn-export quantize` says in the end: what was left in floating point, and why."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_tdn_export.parity.result import Limits
from edge_tdn_export.quantize.clip_split import ClipSet
from edge_tdn_export.quantize.operators import Operator
from edge_tdn_export.quantize.sensitivity import Figures, Sensitivity

SHOWN = 20  # operators, in the terminal


@dataclass(frozen=True)
class Report:
    """What was left in floating point, and why."""

    model: str
    limits: Limits
    calibration: ClipSet
    held_out: ClipSet
    skipped: tuple[str, ...]  # videos that gave no clip, and why
    bias_correction: bool  # NNCF's, the fast one
    everything: Figures  # in INT8, on the held-out clips
    reached: Figures  # with the exceptions: as written, on the held-out clips
    golden_error: float
    exceptions: tuple[Operator, ...]
    sensitivities: tuple[Sensitivity, ...]  # the most sensitive operator first
    sensitivity_clips: int
    size_fp32: int  # bytes of the graphs
    size_int8: int


def to_json(report: Report, **more: str) -> str:
    """For `quantize.json`: everything, of the clips only how many and of which videos."""
    plain = asdict(replace(report, calibration=ClipSet(()), held_out=ClipSet(())))
    for half in ("calibration", "held_out"):
        clips: ClipSet = getattr(report, half)
        plain[half] = {"clips": len(clips.clips), "videos": clips.videos}
    return json.dumps(plain | more, indent=1, ensure_ascii=False) + "\n"


def table(report: Report) -> RenderableType:
    """What was left in floating point and why, for the terminal."""
    above = Table.grid(padding=(0, 2))
    for name in ("calibration", "held_out"):
        half: ClipSet = getattr(report, name)
        above.add_row(name.replace("_", "-"), Text(f"{len(half.clips)} clips of {_some(half.videos, 6)}"))
    if report.skipped:
        above.add_row("skipped", Text(_some(report.skipped, 1)))
    limits = report.limits
    above.add_row("limits", f"top-1 agreement at least {limits.top1_agreement:.1%}, mean KL at most {limits.mean_kl:g}")
    above.add_row("all in INT8", str(report.everything))
    count = len(report.exceptions)
    above.add_row("exceptions", f"{count} of {len(report.sensitivities)} operators stay in floating point" if count else
                  "none: everything in INT8 keeps the limits")  # fmt: skip
    above.add_row("as written", Text(str(report.reached), "bold"))
    above.add_row("size", f"{report.size_fp32 / 1e6:.1f} -> {report.size_int8 / 1e6:.1f} MB")
    if not report.sensitivities:
        return above
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows.add_column("operator", overflow="fold")
    rows.add_column("gain (KL)", justify="right", no_wrap=True)
    rows.add_column("is in", no_wrap=True)
    listed = [one for n, one in enumerate(report.sensitivities) if n < SHOWN or one.operator in report.exceptions]
    for one in listed:
        kept = one.operator in report.exceptions
        rows.add_row(Text(one.operator.name), f"{one.gain:.2g}", Text("floating point", "bold") if kept else "INT8")
    clips = f"the {report.sensitivity_clips} held-out clips that INT8 changes most"
    return Group(
        above, Text(), Text(f"How much nearer to FP32 each operator brings {clips}, alone in floating point:"), rows
    )


def _some(names: Sequence[str], most: int) -> str:
    """The first ones, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f", and {more} more" if more > 0 else "")
