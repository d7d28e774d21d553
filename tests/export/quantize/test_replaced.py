"""INT8 that replaces an older one, with operators in floating point to keep a limit."""

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import openvino as ov
import pytest
from edge_tdn_export.clips import read_clips
from edge_tdn_export.limits import Limits
from edge_tdn_export.quantize.clip_split import divide
from edge_tdn_export.quantize.quantize import parse_limits, quantize
from edge_tdn_export.quantize.report import QuantizationReport, table
from rich.console import Console

from edge_tdn.manifest import Parity, open_model
from tests.support.exports import SPEC
from tests.support.model_folders import reseal
from tests.support.quantized import SAMPLES, logits_of, mean_kl, quantised_inputs, read_graph


@dataclass(frozen=True)
class Replaced:
    """INT8 replaced under a limit that everything in INT8 exceeds: half of its divergence."""

    folder: Path
    limits: Limits
    report: QuantizationReport
    before: str  # hash of the manifest
    during: frozenset[str]  # hashes of the manifest at the steps


@pytest.fixture(scope="module")
def replaced(videos: Path, quantised: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Replaced:
    folder = Path(shutil.copytree(quantised[0], tmp_path_factory.mktemp("replaced") / "model"))
    kl = json.loads((folder / "int8" / "quantize.json").read_text())["everything"]["mean_kl"]
    limits = parse_limits(["top1=0.8", f"kl={kl / 2}"])
    parity = Parity(
        clips=9,
        device="CPU",
        max_logit_error=0.0,
        top1_agreement=1.0,
        mean_kl=0.0,
        same_events=True,
        within_limits=True,
        checked_at="2026-01-01T00:00:00Z",
    )
    reseal(folder, parity={"int8": parity, "fp32": parity})
    before = open_model(folder).sha256
    during: dict[str, str] = {}

    def open_it(what: str, done: int, total: int) -> None:
        if what not in during:
            during[what] = open_model(folder).sha256

    report = quantize(folder, videos, limits, SAMPLES, replaces=True, step=open_it)
    return Replaced(folder, limits, report, before, frozenset(during.values()))


@pytest.mark.slow
def test_exceptions_keep_a_limit_that_everything_in_int8_exceeds(replaced: Replaced, videos: Path) -> None:
    folder, report, limits = replaced.folder, replaced.report, replaced.limits
    assert limits.mean_kl is not None
    _, held_out = divide(read_clips(videos, SPEC).recordings, SPEC, SAMPLES)
    kl = mean_kl(logits_of(folder, "fp32", held_out), logits_of(folder, "int8", held_out))
    assert kl <= limits.mean_kl < report.everything.mean_kl
    assert 0 < len(report.exceptions) < len(report.sensitivities)


def test_only_exceptions_are_in_floating_point(replaced: Replaced) -> None:
    folder, report = replaced.folder, replaced.report
    graphs = {half: read_graph(folder, f"int8-2/{half}.xml") for half in ("encoder", "head")}
    for one in report.sensitivities:
        quantised = sum(quantised_inputs(graphs[one.operator.part[1]], node) for node in one.operator.nodes)
        assert (quantised == 0) == (one.operator in report.exceptions), one.operator.name
    constants = [op for op in graphs["encoder"].get_ops() if op.get_type_name() == "Constant"]
    weights = [constant for constant in constants if constant.get_element_type() == ov.Type.i8]
    assert weights  # there are weights in eight bits at all


def test_table_lists_exceptions_with_their_gain(replaced: Replaced) -> None:
    folder, report = replaced.folder, replaced.report
    console = Console(file=io.StringIO(), width=160)
    console.print(table(report))
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "gain (KL)" in output
    written = json.loads((folder / "int8-2" / "quantize.json").read_text())
    assert [one["place"] for one in written["exceptions"]] == [one.place for one in report.exceptions]
    for operator in report.exceptions:
        (line,) = [line for line in output.splitlines() if line.startswith(operator.name + "  ")]
        assert line.rstrip().endswith("floating point")


def test_old_int8_serves_until_the_manifest_is_replaced(replaced: Replaced) -> None:
    assert replaced.during == {replaced.before}
    model = open_model(replaced.folder)
    assert set(model.manifest.parity) == {"fp32"}  # the old int8 was compared, the new one is not
    assert {path.name for path in replaced.folder.iterdir() if path.is_dir()} == {"fp32", "int8-2"}
    assert {name.split("/")[0] for name in model.manifest.files if name.startswith("int8")} == {"int8-2"}
