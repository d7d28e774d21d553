"""`make bench`: measure every figure of speed and memory, in turn with its baseline.

    make bench                                        everything, a quarter of an hour on two idle cores
    make bench BENCH="--only hop memory"              only these parts
    make bench BENCH="--beside 'benchmark_app -m other.xml -niter 100 -api sync'"   another tool, in turn with ours

It needs no data: videos are generated; weights are the reference's if they are found, else random. It writes below
--out: bench.json with every repetition, bench.png, and the model that it exported, which the next run uses again.
"""

import argparse
import json
import logging
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from edge_tdn_export.network.tdn import TDN
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from edge_tdn.manifest import Model
from tests.bench import model as models
from tests.bench.beside import beside
from tests.bench.capture import capture
from tests.bench.gate import gate
from tests.bench.hop import hop
from tests.bench.memory import memory
from tests.bench.overhead import overhead
from tests.bench.page import page
from tests.bench.row import Row
from tests.bench.start import start
from tests.bench.zones import zones

Step = Callable[[str], None]
Part = Callable[[TDN, Model, int, Step], Iterable[Row]]
PARTS: dict[str, Part] = {
    "hop": hop,
    "overhead": lambda _, model, __, ___: [overhead(model, precision) for precision in ("int8", "fp32")],
    "capture": lambda _, __, ___, ____: [capture()],
    "gate": lambda _, model, __, ___: [gate(model, "int8")],
    "zones": lambda _, __, repetitions, ___: zones(repetitions),
    "page": lambda _, __, repetitions, ___: page(repetitions),
    "memory": lambda _, model, __, ___: memory(model, "int8"),
    "start": lambda _, model, __, ___: [row for precision in ("int8", "fp32") for row in start(model, precision)],
}


def main() -> None:
    options = _options()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of a missing torchvision, which is not needed
    console = Console()
    bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console)
    rows: list[Row] = []
    with bar:
        task = bar.add_task("weights")
        step: Step = lambda what: bar.update(task, description=what)  # noqa: E731
        network = models.network(options.reference)
        model = models.folder(network, options.out / "r50", lambda what: step(f"model: {what}"))
        for name in options.only or PARTS:
            step(name)
            rows += PARTS[name](network, model, options.repetitions, lambda what, name=name: step(f"{name}: {what}"))  # type: ignore[misc]
        if options.beside:
            step(options.beside)
            rows.append(beside(model.folder, "int8", options.beside))
    console.print(table(rows))
    report = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "host": _host(), "rows": [asdict(r) for r in rows]}
    (options.out / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    plot(rows, options.out / "bench.png")
    console.print(f"written: {options.out / 'bench.json'}, {options.out / 'bench.png'}")


def table(rows: Iterable[Row]) -> Table:
    """Return the table for the terminal."""
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column, side in (("what", "left"), ("against", "left"), ("figure", "right"), ("goal", "right"), ("", "left")):
        found.add_column(column, justify=side, no_wrap=side == "right")  # type: ignore[arg-type]
    for row in rows:
        style = "green" if row.reached else "bold red"
        goal = f"<= {_figure(row.goal, row.unit)}"
        found.add_row(row.what, row.against, Text(_figure(row.figure, row.unit), style), goal, Text(row.note, "dim"))
    return found


def plot(rows: list[Row], path: Path) -> None:
    """Draw every figure as a share of its goal: a bar that ends left of the line reaches it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [f"{row.what}\nagainst {row.against}" if row.against else row.what for row in rows]
    shares = [row.share for row in rows]
    colours = ["tab:green" if row.reached else "tab:red" for row in rows]
    figure, axes = pyplot.subplots(figsize=(11, 0.7 * len(rows) + 1.2), layout="constrained")
    axes.barh(range(len(rows)), shares, color=colours, height=0.6)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.15, *shares) * 1.4)
    for place, row in enumerate(rows):
        text = f" {_figure(row.figure, row.unit)} (goal {_figure(row.goal, row.unit)})"
        axes.text(shares[place], place, text, va="center", fontsize=8)
    axes.set_xlabel("share of the goal; smaller is better")
    axes.set_title(f"edge-tdn, R50 T = 8 at 224x224, {os.cpu_count()} cores")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _figure(value: float, unit: str) -> str:
    shown = {"ratio": f"{value:.3f}", "s": f"{value:.2f} s", "% of one core": f"{value:.1f} %"}
    return shown.get(unit, f"{value:.1f} {unit}")


def _host() -> dict[str, str | int | None]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    tools = {tool: version(tool) for tool in ("openvino", "torch", "nncf", "numpy")}
    return {"processor": name, "cores": os.cpu_count(), "python": platform.python_version(), **tools}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, metavar="PART", help=f"parts to measure: {', '.join(PARTS)} (default: all)"
    )
    parser.add_argument("--repetitions", type=int, default=15, help="measurements of each hop (default: 15)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/bench"), help="folder for the results (default: runs/bench)"
    )
    parser.add_argument("--beside", metavar="COMMAND", help="a command line to measure in turn with ours")
    data = Path(os.environ.get("EDGE_TDN_DATA", "../shared/data"))
    parser.add_argument(
        "--reference",
        type=Path,
        default=data.parent / "reference",
        help="folder of reference_state.py (default: next to EDGE_TDN_DATA)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
