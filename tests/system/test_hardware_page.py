"""docs/hardware.md: its table is made of the files in docs/hardware/, which are reports of `edge-tdn bench`."""

from pathlib import Path

import pytest

from edge_tdn.cli.bench_report import BenchReport, MeasuredMachine, MeasuredModel, MeasuredRow
from edge_tdn.errors import ConfigError
from tests.bench import hardware_table
from tests.bench.hardware_table import PAGE, read_reports, table, with_table


def report() -> BenchReport:
    def row(precision: str, threads: int, ms: float) -> MeasuredRow:
        figures = {1: ms, 2: ms + 1, 4: ms + 3}
        cameras = {hop: int(hop * 400 / figures[hop]) for hop in figures}
        hops = dict.fromkeys(figures, 9)
        return MeasuredRow(
            precision=precision,
            device="CPU",
            threads=threads,
            parity="equal",
            golden_error=1e-6,
            hops=hops,
            median_ms=figures,
            p95_ms={hop: ms * 1.5 for hop, ms in figures.items()},
            cameras=cameras,
        )

    return BenchReport(
        measured_at="2026-05-01T10:00:00+00:00",
        edge_tdn="0.1.0",
        software={"openvino": "2026.4.1"},
        machine=MeasuredMachine(
            processor="Some CPU",
            architecture="x86_64",
            features=("AVX2", "VNNI"),
            cores=4,
            memory_mb=7900,
            load=0.1,
            devices={},
            system="Debian",
            kernel="6",
        ),
        model=MeasuredModel(
            id="m", sha256="0" * 64, network="resnet50", segments=8, width=224, height=224, segment_s=0.4
        ),
        rows=(row("int8", 4, 50), row("int8", 2, 80), row("fp32", 4, 200)),
    )


def test_the_page_has_the_table_of_the_files() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page, table(read_reports())), "run: python -m tests.bench.hardware_table"


def test_the_fastest_threads_of_each_precision_are_a_row() -> None:
    _, _, *rows = table([report()]).splitlines()
    machine = "Some CPU, 4 cores, 8 GB (AVX2, VNNI) | `m`: resnet50, T = 8, 224x224"
    when = "2026-05-01, edge-tdn 0.1.0, OpenVINO 2026.4.1"
    assert rows == [
        f"| {machine} | int8, CPU, 4 threads | 50.0 (75.0) | 8, 15, 30 | {when} |",
        f"| {machine} | fp32, CPU, 4 threads | 200.0 (300.0) | 2, 3, 7 | {when} |",
    ]
    busy = report().model_copy(update={"machine": report().machine.model_copy(update={"load": 3.0})})
    assert table([busy]).count(f"{when}; other programs ran (load 3): an idle machine is faster |") == 2


def test_a_contributed_file_becomes_a_row_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, folder = tmp_path / "hardware.md", tmp_path / "hardware"
    page.write_text(PAGE.read_text(encoding="utf-8"))
    folder.mkdir()
    (folder / "some.json").write_text(report().model_dump_json(by_alias=True))
    monkeypatch.setattr(hardware_table, "PAGE", page)
    monkeypatch.setattr(hardware_table, "read_reports", lambda: read_reports(folder))
    hardware_table.main()
    written = page.read_text()
    assert written == with_table(PAGE.read_text(encoding="utf-8"), table([report()]))
    assert "| Some CPU, 4 cores" in written
    (folder / "other.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"other\.json: .*edge-tdn bench --json"):
        read_reports(folder)
