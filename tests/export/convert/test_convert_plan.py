"""The plan of `edge-tdn-export convert`: what it reads from the checkpoint, the files beside it and the options."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from edge_tdn_export.__main__ import main
from edge_tdn_export.commands.network_options import add_input_options, input_spec
from edge_tdn_export.lists.labels import read_labels
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig

from edge_tdn.errors import EdgeTdnError
from edge_tdn.manifest import LABELS as LABELS_FILE
from edge_tdn.manifest import WEIGHTS, open_model
from tests.support.exports import LABELS, SPEC, SmallModel, planned, write_labels
from tests.support.model_folders import edit_manifest
from tests.support.networks import small_network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a training: its weights state network and preprocessing, and its labels are beside them."""
    (tmp_path / "run").mkdir()
    checkpoint.save(small_network(width=0.125, classes=len(LABELS)), tmp_path / "run" / WEIGHTS, SPEC)
    write_labels(tmp_path / "run" / LABELS_FILE)
    return tmp_path / "run"


def test_a_plan_is_what_the_options_say(run: Path, tmp_path: Path) -> None:
    """The precisions are in the order of the exporter, and `id` is the name of the folder unless it is given."""
    arguments = ["convert", str(run), f"{tmp_path}/m", "--precisions", "onnx", "fp32"]
    recipe = planned(arguments)[0].recipe
    assert (recipe.id, recipe.precisions) == ("m", ("fp32", "onnx"))
    assert recipe.source == (("file", WEIGHTS), ("sha256", checkpoint.sha256(run / WEIGHTS)))
    assert planned([*arguments, "--id", "door"])[0].recipe.id == "door"


@pytest.mark.parametrize("given", ["", f"/{WEIGHTS}"])
def test_our_own_weights_need_no_options(given: str, run: Path, tmp_path: Path) -> None:
    """The folder of a training, or the weights in it: network and preprocessing are in the file, labels beside it."""
    (network, recipe), notes = planned(["convert", f"{run}{given}", f"{tmp_path}/m"])
    assert not any("assumed" in note for note in notes)
    assert network.config == small_network(width=0.125, classes=len(LABELS)).config
    assert (read_labels(recipe.labels).labels, recipe.input) == (LABELS, SPEC)


def test_a_model_folder_is_converted_again_with_all_that_it_states(small_model: SmallModel, tmp_path: Path) -> None:
    """To add a precision, for example; the options that are given are taken."""
    arguments = ["convert", str(small_model.folder), f"{tmp_path}/m", "--precisions", "fp32", "--frame-rate", "30"]
    (network, recipe), _ = planned(arguments)
    before = open_model(small_model.folder)
    assert read_labels(recipe.labels).labels == before.labels
    assert recipe.background == before.manifest.background == ("one",)
    assert recipe.input == before.manifest.input.model_copy(update={"frame_rate": 30.0})
    assert network.config.as_dict() == before.manifest.members[0].network


def test_an_ensemble_is_refused_as_a_source(
    model_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    member = json.loads((model_copy / "manifest.json").read_text())["members"][0]
    graphs = json.loads((model_copy / "manifest.json").read_text())["precisions"]

    def change(content: dict[str, Any]) -> None:
        content["members"] = [member, member]
        content["input"]["per_segment"] = [1, 1]
        content["precisions"] = {name: {**build, "graphs": build["graphs"] * 2} for name, build in graphs.items()}

    edit_manifest(model_copy, change)
    assert main(["convert", str(model_copy), f"{tmp_path}/m"]) == 78
    assert f"{model_copy}: is an ensemble; give one of the model folders" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("classes", "where"),
    [
        (3, "one line per class in the order of the training"),
        (174, "Something-Something V2: something-something-v2-labels.json"),
        (400, "Kinetics-400: tools/data/kinetics/label_map_k400.txt of https://github.com/open-mmlab/mmaction2"),
    ],
)
def test_without_labels_the_error_says_where_they_are(
    classes: int, where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = small_network(width=0.125, classes=classes).state_dict()
    torch.save({"state_dict": state}, tmp_path / "best.pth.tar")
    assert main(["convert", f"{tmp_path}/best.pth.tar", f"{tmp_path}/m", "--segments", "8"]) == 78
    (message,) = capsys.readouterr().err.splitlines()
    assert f"best.pth.tar: {classes} classes, and no labels.txt beside it; give the labels with --labels" in message
    assert where in message


@pytest.mark.parametrize(
    ("classes", "segments", "reason", "rate", "stride"),
    [
        (174, 8, "that of Something-Something (174 classes)", 12, 5),
        (174, 16, "that of Something-Something (174 classes)", 12, 3),
        (400, 8, "that of Kinetics (400 classes)", 25, 8),
        (400, 16, "that of Kinetics (400 classes)", 25, 4),
        (3, 8, "that of Something-Something (no published weights have 3 classes)", 12, 5),
    ],
)
def test_assumed_preprocessing_is_printed_with_its_reason(
    classes: int, segments: int, reason: str, rate: float, stride: int
) -> None:
    """And only what is not given is assumed."""
    parser = argparse.ArgumentParser()
    add_input_options(parser)
    config, notes = TDNConfig(classes=classes, segments=segments), list[str]()
    spec = input_spec(parser.parse_args([]), config, None, notes.append)
    assert (spec.frame_rate, spec.segment_stride, spec.short_side) == (rate, stride, 256)
    assert notes[0].startswith(f"assumed preprocessing: {reason}, which is {rate} frames per second and a segment")
    given = parser.parse_args(["--frame-rate", "30", "--segment-stride", "7"])
    assert input_spec(given, config, None, notes.append).segment_stride == 7
    assert input_spec(parser.parse_args(["--frame-rate", "30"]), config, SPEC, notes.append).segment_stride == 3
    assert len(notes) == 1
    assert input_spec(parser.parse_args(["--frame-rate", "30"]), config, None, notes.append).frame_rate == 30
    assert notes[1] == (
        f"assumed preprocessing: {reason}, which is a segment every {stride} frames; if its videos were different: "
        f"--segment-stride"
    )


def test_backgrounds_may_begin_with_a_dash(run: Path, tmp_path: Path) -> None:
    """As in the command that a failed fine-tuning prints: one option for each label."""
    write_labels(run / LABELS_FILE, ["-off", *LABELS[1:]])
    chosen = ["--background=-off", f"--background={LABELS[2]}"]
    (_, recipe), _ = planned(["convert", str(run), f"{tmp_path}/m", *chosen])
    assert recipe.background == ("-off", LABELS[2])
    assert read_labels(recipe.labels).labels == ("-off", *LABELS[1:])


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("2 two\n1 one\n3 three\n", "numbered labels, 1-based, 3 labels"),
        ("\ufeffone\r\ntwo\r\nthree", "one label per line, 3 labels"),  # as Windows editors save it
    ],
)
def test_the_format_of_labels_is_recognised_and_printed(content: str, note: str, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "classInd.txt"
    path.write_bytes(content.encode())
    (_, recipe), notes = planned(["convert", str(run), f"{tmp_path}/m", "--labels", str(path)])
    assert f"{path}: {note}" in notes
    assert read_labels(recipe.labels).labels == LABELS


def test_a_list_of_videos_is_refused_as_labels(run: Path, tmp_path: Path) -> None:
    (tmp_path / "classInd.txt").write_text("left/a.mp4 0\nleft/b.mp4 1\nleft/c.mp4 2\n")
    with pytest.raises(EdgeTdnError, match=r"classInd\.txt:1: 'left/a.mp4 0': a list of videos, not labels"):
        planned(["convert", str(run), f"{tmp_path}/m", "--labels", f"{tmp_path}/classInd.txt"])
