"""`edge-tdn bench`: its measurements are consistent, and the lines that it prints are a valid configuration."""

import json
import os
import tomllib
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from edge_tdn.cli import hop_timing
from edge_tdn.cli.bench_report import bench_report, read_report, this_machine
from edge_tdn.cli.bench_table import configuration, print_results
from edge_tdn.cli.hop_timing import HOPS, MIN_ROUNDS, Candidate, measure_candidates
from edge_tdn.config.load import parse
from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.inference.cpu_features import cpu_flags
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model, open_model
from edge_tdn.shell import command
from tests.conftest import HAS_BF16
from tests.support.command_line import Run, assert_refused
from tests.support.model_folders import edit_manifest

PARITY = command("edge-tdn-export", "parity")
SEGMENT_S = 4 / 15  # of the model `motion`


def output(model: Model, precisions: tuple[str, ...] = (), on: tuple[str, ...] = ()) -> tuple[str, list[Candidate]]:
    """Return what is printed, and the candidates that could be measured."""
    text = StringIO()
    console = Console(file=text, width=110, markup=False, highlight=False)
    measured = print_results(console, model, measure_candidates(model, 0, precisions, on, None))
    return text.getvalue(), measured


@pytest.fixture(scope="module")
def in_fp32(motion: Model) -> list[Candidate]:
    """The candidates in FP32, each hop of which is measured a few times only."""
    return output(motion, ("fp32",))[1]


def test_the_table_is_sorted_by_speed_and_the_lines_are_a_valid_configuration(here: Run, tmp_path: Path) -> None:
    result = here("bench", "--seconds", "2", "--precision", "fp32", "--json", tmp_path / "bench.json")
    assert result.returncode == 0, result.stderr
    assert "no fp16 in this folder: edge-tdn-export convert" in result.stdout
    site = result.stdout[result.stdout.index("[runtime]") :].partition("\nThe host was busy")[0]
    config = parse(tomllib.loads(f'{site}\nname = "a"\nsource = "demo:"'), "bench")
    assert (config.runtime.model, config.runtime.device, config.runtime.precision) == ("motion", "CPU", "fp32")
    report = read_report(tmp_path / "bench.json")
    assert config.runtime.threads == report.rows[0].threads
    assert [row.median_ms[1] for row in report.rows] == sorted(row.median_ms[1] for row in report.rows)
    for row in report.rows:
        assert row.golden_error < 1e-3
        for hop in HOPS:
            assert 0 < row.median_ms[hop] <= row.p95_ms[hop]
            assert row.hops[hop] >= 2 * MIN_ROUNDS
            assert row.cameras[hop] == pytest.approx(hop * SEGMENT_S * 1e3 / row.median_ms[hop], abs=1)
    assert f"best  {report.rows[0].precision}" in result.stdout
    assert ("The host was busy (load " in result.stdout) == report.machine.busy
    assert (report.model.id, report.model.segments, report.model.segment_s) == ("motion", 8, SEGMENT_S)
    assert report.model.network == "resnet18 x 0.5"


def test_the_report_describes_this_machine_and_names_no_host(motion: Model, in_fp32: list[Candidate]) -> None:
    """As psutil and the kernel describe it; the file may be published."""
    report = bench_report(this_machine(), motion, in_fp32)
    assert report.machine.cores == len(psutil.Process().cpu_affinity() or ())
    assert report.machine.memory_mb == psutil.virtual_memory().total // 2**20
    assert report.machine.processor in " ".join(Path("/proc/cpuinfo").read_text().split())
    assert report.machine.kernel == os.uname().release
    assert ("AVX-512" in report.machine.features) == ("avx512f" in cpu_flags())
    assert report.software["openvino"] == version("openvino")
    assert os.uname().nodename not in report.model_dump_json()


@pytest.mark.parametrize(("load", "cores", "busy"), [(0.4, 2, False), (0.6, 2, True), (2.0, 16, False)])
def test_other_work_on_the_host_is_noticed(load: float, cores: int, busy: bool) -> None:
    assert this_machine().model_copy(update={"load": load, "cores": cores}).busy == busy


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [("schema", 2, "schema"), ("rows", [], "rows"), ("host", "barn", "host"), ("edge_tdn", 1, "edge_tdn")],
)
def test_a_file_that_is_not_a_report_is_refused_by_key(
    key: str, value: object, named: str, motion: Model, in_fp32: list[Candidate], tmp_path: Path
) -> None:
    content = json.loads(bench_report(this_machine(), motion, in_fp32).model_dump_json(by_alias=True))
    path = tmp_path / "row.json"
    path.write_text(json.dumps(content))
    assert read_report(path).rows[0].precision == "fp32"
    path.write_text(json.dumps({**content, key: value}))
    with pytest.raises(ConfigError, match=rf"row\.json: {named}: .*edge-tdn bench --json"):
        read_report(path)


def test_every_hop_is_measured_a_few_times_even_without_time(in_fp32: list[Candidate]) -> None:
    for one in in_fp32:
        assert [len(one.seconds[hop]) for hop in HOPS] == [2 * MIN_ROUNDS] * 3  # forwards and backwards


@pytest.mark.parametrize(
    ("compared", "best", "remark"),
    [(("fp32",), "fp32", ""), ((), None, f"no precision is equal or within limits: {PARITY}")],
)
def test_the_best_is_the_fastest_that_is_equal_or_within_limits(
    compared: tuple[str, ...], best: str | None, remark: str, model_copy: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["parity"] = dict.fromkeys(compared, content["parity"]["fp32"])
        content["precisions"] = dict.fromkeys(("fp32", "bf16"), content["precisions"]["fp32"])

    edit_manifest(model_copy, change)
    text, measured = output(open_model(model_copy))
    assert {one.precision for one in measured} == {"fp32", *(["bf16"] if HAS_BF16 else [])}
    assert f'precision = "{best or measured[0].precision}"' in text
    assert remark in text


def test_a_missing_device_is_reported_and_the_others_are_measured(motion: Model) -> None:
    text, measured = output(motion, ("fp32",), ("GPU", "CPU"))
    assert {one.device for one in measured} == {"CPU"}
    assert text.count("not measured: fp32 on GPU: device 'GPU' is not available; OpenVINO finds") == 1


def test_a_device_that_runs_out_of_memory_is_reported_and_the_others_are_measured(
    motion: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = hop_timing.measure

    def full(model: Model, runtime: Runtime, candidate: Candidate, until: float) -> None:
        if candidate.precision == "int8":
            raise RuntimeError("[GPU] CL_OUT_OF_HOST_MEMORY")
        measure(model, runtime, candidate, until)

    monkeypatch.setattr(hop_timing, "measure", full)
    text, measured = output(motion, ("fp32", "int8"))
    assert {one.precision for one in measured} == {"fp32"}
    assert "not measured: int8 on CPU: device CPU ran out of memory, measuring; take a smaller model" in text


def test_nothing_to_measure_is_an_error_that_lists_precisions_and_devices(motion: Model) -> None:
    with pytest.raises(ModelError, match=r"nothing can be measured here\nfp32 on GPU: device 'GPU' is not available"):
        output(motion, (), ("GPU",))
    with pytest.raises(ModelError, match=r"nothing to measure; this model has: fp32.*, this host: .*CPU"):
        output(motion, ("fp16",))


def test_a_model_that_is_too_slow_for_one_camera_is_marked(motion: Model) -> None:
    slow = Candidate("fp32", "CPU", 1, "equal", seconds={1: [1.0] * 6, 2: [1.1] * 6, 4: [1.2] * 6})
    assert [slow.cameras(hop, 0.27) for hop in HOPS] == [0, 0, 0]
    assert "too slow for one" in configuration(motion, slow, 0.27)
    assert [slow.cameras(hop, 0.6) for hop in HOPS] == [0, 1, 2]
    assert configuration(motion, slow, 0.6).endswith("[[camera]]  # serves 1 of them\nhop = 2")


def test_an_invalid_or_missing_model_is_exit_78(here: Run, model_copy: Path) -> None:
    (model_copy / "labels.txt").write_text("one\n")
    assert_refused(here("bench", "--model", model_copy), 78, "labels.txt")
    assert_refused(here("bench", "--model", "nothing"), 78, "no such model folder")
