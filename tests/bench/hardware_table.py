"""`python -m tests.bench.hardware_table`: write the table of docs/hardware.md from the files in docs/hardware/."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_tdn.cli.bench_report import BenchReport, MeasuredRow, read_report
from tests.style.rules import ROOT

PAGE, FOLDER = ROOT / "docs/hardware.md", ROOT / "docs/hardware"
BEGIN, END = "<!-- measured: written by tests.bench.hardware_table -->\n", "<!-- end of measured -->\n"
HEAD = """| machine | model | precision, device | ms per hop (95 %) | cameras at hop 1, 2, 4 | measured |
|---|---|---|---|---|---|
"""
NONE = "No machine yet.\n"


def table(reports: Sequence[BenchReport]) -> str:
    """Return the table in Markdown: a row for the fastest number of threads of each precision on each device."""
    rows = [row for report in reports for row in _rows(report)]
    return HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in rows) if rows else NONE


def read_reports(folder: Path = FOLDER) -> list[BenchReport]:
    """Read all files of a folder, in the order of their names. ConfigError: one is not a report."""
    return [read_report(path) for path in sorted(folder.glob("*.json"))]


def with_table(page: str, content: str) -> str:
    """Return the page with the table replaced."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{content}{END}{rest.partition(END)[2]}"


def _rows(report: BenchReport) -> Iterator[list[str]]:
    machine, model = report.machine, report.model
    memory = f"{round(machine.memory_mb / 1024)} GB"
    features = ", ".join(machine.features)
    name = f"{machine.board or machine.processor}, {machine.cores} cores, {memory}" + (
        f" ({features})" if features else ""
    )
    network = f"`{model.id}`: {model.network}, T = {model.segments}, {model.width}x{model.height}"
    when = f"{report.measured_at[:10]}, edge-tdn {report.edge_tdn}, OpenVINO {report.software.get('openvino', '?')}"
    when += f"; other programs ran (load {machine.load:g}): an idle machine is faster" if machine.busy else ""
    fastest: dict[tuple[str, str], MeasuredRow] = {}
    for row in report.rows:  # the fastest first
        fastest.setdefault((row.precision, row.device), row)
    for row in fastest.values():
        device = machine.devices.get(row.device, row.device)
        threads = f", {row.threads} thread{'s' * (row.threads > 1)}" if row.threads else ""
        yield [
            name,
            network,
            f"{row.precision}, {device}{threads}",
            f"{row.median_ms[1]:.1f} ({row.p95_ms[1]:.1f})",
            ", ".join(str(row.cameras[hop]) for hop in sorted(row.cameras)),
            when,
        ]


def main() -> None:
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table(read_reports())), encoding="utf-8")


if __name__ == "__main__":
    main()
