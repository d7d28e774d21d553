"""The results of `edge-tdn bench`: a table, and the lines for a configuration."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from edge_tdn.cli.hop_timing import HOPS, Candidate, refusals
from edge_tdn.manifest import Model, shipped_models
from edge_tdn.shell import command
from edge_tdn.verdict import Verdict

TABLE_WIDTH = 124  # characters
EXPLANATION = """ms: median (95th percentile). cameras: the maximum for each hop, if this host does nothing else.
error: of the golden clip's logits, relative to the largest. parity: the verdict of `edge-tdn-export parity`."""
TRUSTED = (Verdict.EQUAL, Verdict.WITHIN)
HOW_TO_CONVERT = {
    "fp32": "edge-tdn-export convert",
    "fp16": "edge-tdn-export convert ... --precisions fp32 fp16",
    "bf16": "edge-tdn-export convert ... --precisions fp32 bf16",
}


def print_results(console: Console, model: Model, found: Sequence[Candidate]) -> list[Candidate]:
    """Print the table and the lines for a configuration. Return what was measured, the fastest hop first."""
    measured = sorted((one for one in found if not one.refused), key=lambda one: one.hop_s(1))
    best = next((one for one in measured if one.parity in TRUSTED), measured[0])
    segment_s = model.manifest.input.segment_s
    console.print(_table(measured, best, segment_s))
    console.print(EXPLANATION)
    for line in refusals(found):
        console.print(f"not measured: {line}")
    quantize = command("edge-tdn-export", "quantize", model.folder, "--clips", "VIDEOS")
    for precision, line in (HOW_TO_CONVERT | {"int8": quantize}).items():
        if precision not in model.manifest.precisions:
            console.print(f"no {precision} in this folder: {line}", soft_wrap=True)
    if best.parity not in TRUSTED:
        parity = command("edge-tdn-export", "parity", model.folder, "--clips", "VIDEOS")
        console.print(f"no precision is {' or '.join(TRUSTED)}: {parity}", soft_wrap=True)
    console.print(configuration(model, best, segment_s))
    return measured


def configuration(model: Model, best: Candidate, segment_s: float) -> str:
    """Return the lines to copy, with the smallest hop at which one camera is served."""
    name = model.folder.name if model.folder.parent == shipped_models() else model.folder
    hop = next((hop for hop in HOPS if best.cameras(hop, segment_s)), HOPS[-1])
    lines = [
        "",
        "[runtime]",
        f'model = "{name}"',
        f'device = "{best.device}"',
        f'precision = "{best.precision}"',
        f"threads = {best.threads}",
        "",
        f"[[camera]]  # serves {best.cameras(hop, segment_s)} of them",
        f"hop = {hop}",
    ]
    if not best.cameras(hop, segment_s):
        lines[-2] = "[[camera]]  # too slow for one: its hop will grow, and its status will report it"
    return "\n".join(lines)


def _table(measured: Sequence[Candidate], best: Candidate, segment_s: float) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "precision", "device", "threads", *(f"hop {hop}, ms" for hop in HOPS), "hops/s", "cameras"):
        table.add_column(column, no_wrap=True, justify="right" if column.startswith("hop") else "left")
    table.add_column("error", no_wrap=True)
    table.add_column("parity", no_wrap=True)
    for one in measured:
        table.add_row(
            "best" if one is best else "",
            one.precision,
            one.device,
            str(one.threads or ""),
            *(f"{one.hop_s(hop) * 1e3:.1f} ({one.p95_s(hop) * 1e3:.1f})" for hop in HOPS),
            f"{1 / one.hop_s(1):.1f}",
            "/".join(str(one.cameras(hop, segment_s)) for hop in HOPS),
            f"{one.golden_error:.0e}",
            one.parity,
        )
    return table
