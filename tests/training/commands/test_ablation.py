"""The ablation: networks are trained alike, each once, and evaluated on the same clips in turn."""

import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_export.convert.convert import whole
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_training.__main__ import main
from edge_tdn_training.commands import ablation
from edge_tdn_training.commands.ablation_report import AblationResult, markdown, notes, picture, table, to_json
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.options.ablation_tables import T_CONV, TABLES, TSN, PaperFigures, chosen
from edge_tdn_training.synthetic.clips import SPEC
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ModelError
from edge_tdn.manifest import open_model, shipped_models
from tests.support.training_tasks import kill_trainer_when

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]
STILL, LEFT, RIGHT = (MOTIONS.index(label) for label in ("still", "left", "right"))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """command() -> TSN and T-Conv, one seed, three short epochs each, into tmp_path / "out"."""
    small = SPEC.model_copy(update={"segments": 2, "segment_stride": 28})
    monkeypatch.setattr(ablation, "SPEC", small)
    monkeypatch.setattr(ablation, "NETWORK", {"arch": "resnet18", "width": 0.125, "segments": 2})
    monkeypatch.setattr(ablation, "EPOCH_CLIPS", 4)
    monkeypatch.setattr(ablation, "BATCH", 8)
    monkeypatch.setitem(TABLES, "1d", (TSN, T_CONV))
    options = (
        f"ablation --out {tmp_path / 'out'} --tables 1d --seeds 1 --drawings 12 --held-out 5 --workers 0 --device cpu"
    )
    return lambda *more: [*options.split(), *more]


def test_a_killed_ablation_is_resumed_and_trains_nothing_twice(
    command: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results are the same when the networks are evaluated in PyTorch instead of OpenVINO."""
    kill_trainer_when(command(), (tmp_path / "out/tsn-1/checkpoint.pt").exists)
    capsys.readouterr()
    assert main(command("--micro-batch", "4")) == 0
    printed = capsys.readouterr()
    assert "tsn-1: resuming after epoch" in printed.err
    rows = [line for line in printed.out.splitlines() if re.match("T[\\w-]+ +[0-9]", line)]
    assert [row.split()[0] for row in rows] == ["TSN", "T-Conv"]
    found = json.loads((tmp_path / "out/ablation.json").read_text())
    assert found["schema"] == 1
    assert (found["drawings"], found["views"], found["held_out"]) == (12, 4, 5)
    assert found["input"]["height"] == 64
    tsn, t_conv = found["models"]
    assert (tsn["name"], t_conv["name"]) == ("TSN", "T-Conv")
    assert tsn["differs_in"] == {"stdm_stages": [], "ltdm_stages": [], "temporal_conv_stages": []}
    assert 0 < tsn["parameters"] < t_conv["parameters"]
    assert 0 < tsn["gmac_per_clip"] < t_conv["gmac_per_clip"]
    assert (found["time_ratio_to"], tsn["time_ratio"]) == ("TSN", 1)
    assert tsn["ms_per_clip"] > 0
    assert t_conv["time_ratio"] > 0
    truths = [np.sum(one["seeds"][0]["confusion"], 1).tolist() for one in (tsn, t_conv)]
    assert truths[0] == truths[1]
    assert sum(truths[0]) == 5
    assert Image.open(tmp_path / "out/ablation.png").size[0] > 1000
    runs = [json.loads((tmp_path / f"out/{name}-1/run.json").read_text()) for name in ("tsn", "t-conv")]
    assert all(runs[0][key] == runs[1][key] for key in ("course", "data", "input")), "trained alike"
    assert [run["computed"]["micro_batch"] for run in runs] == [8, 4], (
        "except for the option that was changed in between"
    )
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/*-1/*") if path.name != "curves.png"}
    monkeypatch.setattr(ablation, "compile_whole", lambda network, spec: lambda clip: whole(network, clip, spec))
    assert main(command("--markdown")) == 0
    printed = capsys.readouterr()
    assert "epoch" not in printed.err
    assert printed.out.startswith("| network | top-1 % |")
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    again = json.loads((tmp_path / "out/ablation.json").read_text())
    assert [one["seeds"] for one in again["models"]] == [one["seeds"] for one in found["models"]]
    assert main(command("--size", "96")) == 78
    assert "this run was started with input.height = 64, now it is 96" in capsys.readouterr().err


def test_trained_networks_are_kept_when_the_results_cannot_be_written(
    command: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full at the end; the printed command writes the results without training again."""

    def full(path: Path, content: bytes) -> None:
        raise ModelError(f"{path}: No space left on device; the file is unchanged")

    with monkeypatch.context() as patch:
        patch.setattr(ablation, "write_at_once", full)
        assert main(command()) == 78
    kept, again = capsys.readouterr().err.splitlines()[-1].split("; to continue: ")
    assert kept == f"the networks that were trained are kept in {tmp_path / 'out'}"
    assert main(shlex.split(again)[1:]) == 0
    assert "epoch" not in capsys.readouterr().err
    assert (tmp_path / "out/ablation.json").exists()


def result(
    name: str, predicted: list[list[int]], seconds: list[float], paper: PaperFigures | None = None
) -> AblationResult:
    """Return a result. `predicted`: for each seed, the labels of four clips (left, left, right, still)."""
    truth = np.array([LEFT, LEFT, RIGHT, STILL])
    accuracies = tuple(Accuracy(MOTIONS, np.eye(len(MOTIONS), dtype=np.float32)[one], truth) for one in predicted)
    times: NDArray[np.float64] = np.tile(np.array(seconds), (len(predicted), 1))
    return AblationResult(name, {}, paper, 2_000_000, 0.5, accuracies, times)


def test_table_picture_and_json_of_several_seeds() -> None:
    """The figures were computed by hand."""
    tsn = result("TSN", [[LEFT, LEFT, LEFT, STILL], [RIGHT, RIGHT, RIGHT, STILL]], [0.010, 0.011, 0.010, 0.100])
    paper = PaperFigures(50.0, gflop=36)
    tdn = result("TDN", [[LEFT, LEFT, RIGHT, STILL], [LEFT, LEFT, RIGHT, LEFT]], [0.012, 0.0132, 0.013, 0.110], paper)
    assert tsn.top1.tolist() == [0.75, 0.5]
    assert tsn.left_or_right == pytest.approx([2 / 3, 1 / 3])
    assert tdn.left_or_right.tolist() == [1, 1]
    assert tdn.lead(tsn) == pytest.approx((0.25, np.std([0.5, 0.5, 0.5, -0.5], ddof=1) / 2))
    other = result("TSN", [[LEFT, LEFT, LEFT, STILL], [RIGHT, RIGHT, LEFT, LEFT]], [0.01] * 4)  # right: 0.75, 0
    assert tdn.lead(other) == pytest.approx(
        (0.5, np.sqrt(np.var([0.5, 0.5, 1, 0], ddof=1) / 4 + np.var([0.25, 0.75], ddof=1) / 2))
    )
    assert tdn.time_ratio(tsn) == pytest.approx(1.2)
    Console(file=(shown := io.StringIO()), width=150).print(table([tsn, tdn]))
    cells = [line.split("  ") for line in shown.getvalue().splitlines()[2:]]
    assert [[cell.strip() for cell in row if cell.strip()] for row in cells] == [
        ["TSN", "62.5 ± 17.7", "+25.0 ± 25.0", "50.0 ± 23.6", "2.00", "0.50", "10.5", "1.00"],
        ["TDN", "87.5 ± 17.7", "100.0 ± 0.0", "2.00", "0.50", "13.1", "1.20", "50.0", "36"],
    ]
    assert markdown([tsn, tdn]).splitlines()[3].startswith("| TDN | 87.5 ± 17.7 |  | 100.0")
    assert "4 clips, 3 of them left or right" in notes([tsn, tdn])[0]
    assert "right in 50.0% of all" in notes([tsn, tdn])[0]
    assert markdown([tsn, tdn]).splitlines()[3].endswith("| 1.20 | 50.0 |  | 36 |")
    assert "TSN with 1 of 2 seeds; these" in notes([tsn, tdn])[2]
    assert "ICLR 2021 submission" in notes([tsn, tdn])[3]
    assert "paper" not in "".join(notes([tsn]))
    found = json.loads(to_json([tsn, tdn], {"seeds": 2}))
    assert found["models"][0]["tdn_leads_by"] == {"mean": 0.25, "standard_error": 0.25}
    assert found["models"][0]["left_or_right"]["seeds"] == pytest.approx([2 / 3, 1 / 3])
    assert found["models"][1]["tdn_leads_by"] is None
    assert [one["paper"] for one in found["models"]] == [None, {"top1": 0.5, "top5": None, "gflop_per_clip": 36}]
    assert Image.open(io.BytesIO(picture([tsn, tdn], "what it is of"))).size[0] > 1000


def test_networks_on_the_plateau_are_named_with_their_seeds() -> None:
    """Two of four clips are left, so that a network that always predicts left is right in half of them."""
    stuck, learned = [LEFT, LEFT, LEFT, LEFT], [LEFT, LEFT, RIGHT, STILL]
    networks = [result("TSN", [stuck, stuck], [1.0] * 4), result("T-Conv", [stuck, learned], [1.0] * 4)]
    networks.append(result("TDN", [learned, learned], [1.0] * 4))
    (note,) = [line for line in notes(networks) if "plateau" in line]
    assert "top-1 at most 5 points above always predicting the commonest label" in note
    assert "TSN with 2 of 2 seeds, T-Conv with 1 of 2 seeds" in note
    assert "TDN" not in note
    assert "no network stayed on the plateau (top-1" in notes(networks[2:])[2]
    found = json.loads(to_json(networks, {}))
    assert found["plateau_top1"] == pytest.approx(0.55)
    assert [one["seeds_on_plateau"] for one in found["models"]] == [2, 1, 0]


def test_all_networks_begin_with_the_backbone_of_the_given_weights(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have the width of the shipped model, and a run is not resumed with other initial weights."""
    assert main(command("--from", "motion", "--drawings", "2")) == 0
    assert "all began with the backbone of motion" in capsys.readouterr().out
    found = json.loads((tmp_path / "out/ablation.json").read_text())
    assert (found["from"], found["network"]) == ("motion", {"arch": "resnet18", "width": 0.5, "segments": 2})
    runs = [json.loads((tmp_path / f"out/{name}-1/run.json").read_text()) for name in ("tsn", "t-conv")]
    assert runs[0]["start"]["sha256"] == runs[1]["start"]["sha256"] == open_model(shipped_models() / "motion").sha256
    assert main(command("--drawings", "2")) == 78
    assert "this run was started with" in capsys.readouterr().err


def test_every_row_of_the_papers_tables_is_a_different_network() -> None:
    """Each occurs once, the smallest first; every option is one of TDNConfig."""
    names = [variant.name for variant in chosen(["1d", "1c"])]
    assert names == ["TSN", "TSM online", "TSM", "T-Conv", "S-TDM", "L-TDM", "TDN"]
    assert [variant.name for variant in chosen(["5"])] == ["T-Conv", "TDN", "TDN S1 L2-5", "TDN S1-3 L4-5"]
    assert chosen(["1b", "1a"])[0].name == "TDN"
    every = chosen(list(TABLES))
    assert len({variant.folder for variant in every}) == len(every) == 14
    networks = [TDNConfig(**ablation.NETWORK, **variant.network) for variant in every]
    assert len(set(networks)) == len(every)


def test_the_papers_figures_are_quoted_from_one_version() -> None:
    """Every network but the online TSM has its row of the paper; TDN has the one of the ICLR submission."""
    papers = {variant.name: variant.paper for variant in chosen(list(TABLES))}
    assert papers["TSM online"] is None
    assert {name: one.top1 for name, one in papers.items() if one} == {
        "TSN": 19.7,
        "TSM": 45.6,
        "T-Conv": 46.2,
        "S-TDM": 49.5,
        "L-TDM": 48.9,
        "TDN": 51.3,
        "TDN added": 51.3,
        "TDN attended": 47.6,
        "TDN one way": 50.0,
        "TDN one scale": 49.7,
        "TDN no gates": 44.1,
        "TDN S1 L2-5": 49.9,
        "TDN S1-3 L4-5": 50.8,
    }


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seeds", "0"], "--seeds 0: must be from 1 to 255"),
        (["--drawings", "1"], "--drawings 1: must be from 2 to"),
        (["--held-out", "1"], "--held-out 1: must be from 2 to"),
        (["--size", "16"], "--size 16: must be from 33 to 1024"),
        (["--workers", "-1"], "--workers -1: must be from 0"),
        (["--from", "gone.pth"], "gone.pth: no such checkpoint, run, model folder or shipped model"),
        (["--micro-batch", "9"], "--micro-batch 9: must be from 0 to 8"),
        (
            ["--micro-batch", "6"],
            "6 clip(s) at once: a process's share of a step is 2 x 4 clip(s); use --micro-batch 4 or 8",
        ),
    ],
)
def test_an_option_out_of_range_is_an_error_and_nothing_is_written(
    more: list[str], message: str, command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(*more)) == 78
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_backbone_that_cannot_be_read_is_an_error_before_the_training(
    command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("--from", "gone.pth")) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "no such checkpoint" in line
