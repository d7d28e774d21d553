"""train, evaluate and finetune with published lists and folders of pictures, as users call them."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_export.network import checkpoint
from edge_tdn_training.__main__ import main
from edge_tdn_training.loop.initial_weights import load_initial_weights
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.training_config import TrainingConfig

from edge_tdn.capture.video_file import read_file
from edge_tdn.manifest import WEIGHTS, open_model
from tests.support import published_lists
from tests.support.networks import small_network
from tests.support.published_lists import CLASSES, write_pictures
from tests.support.training_clips import SPEC, decode_clips, make_clips
from tests.support.training_tasks import NETWORK as SMALL
from tests.support.training_tasks import train_here

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]
NETWORK = (
    *("--arch", "resnet18", "--width", "0.125", "--segments", "4", "--size", "64"),
    *("--epochs", "1", "--batch", "2", "--workers", "0", "--device", "cpu"),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), each=2)


def paths(folder: Path) -> list[str]:
    return ["--out", str(folder / "run"), "--cache", str(folder / "cache")]


def test_train_states_the_format_and_takes_the_part_of_a_split_that_is_meant(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """HMDB51: one file stands for the split; --data are its training videos, --evaluate-on its test videos."""
    split = published_lists.hmdb51_train(clips, tmp_path)
    data = ["--data", str(split.path), "--evaluate-on", str(split.path), "--videos-in", str(split.reading.videos_in)]
    assert main(["train", *data, *NETWORK, *paths(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for part in ("train", "test"):
        assert f"{split.path}: HMDB51 split 1, its {part} part; 2 videos, 2 labels, sorted\n" in printed
    assert "2 classes; 2 videos to train on, 2 held out, 0 skipped" in printed
    assert (tmp_path / "run/labels.txt").read_text() == "turn_left\nturn_right\n"


def test_evaluation_data_may_lack_classes_but_has_no_other(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = published_lists.kinetics(clips, tmp_path).path
    rows = [line for line in listed.read_text().splitlines() if "gone" not in line]
    listed.write_text("\n".join(row for row in rows if "idright1" not in row) + "\n")
    fewer = listed.with_name("validate.csv")
    fewer.write_text("\n".join([rows[0], *(row for row in rows if "idright1" in row)]) + "\n")
    assert main(["train", "--data", str(listed), "--evaluate-on", str(fewer), *NETWORK, *paths(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"{listed}: Kinetics CSV; 3 videos, 2 labels, sorted\n" in printed
    assert f"{fewer}: Kinetics CSV; 1 video, 1 label, sorted\n" in printed
    fewer.write_text(fewer.read_text().replace("moving right", "moving up"))
    (tmp_path / "train/moving_right").rename(tmp_path / "moving_up")
    assert main(["train", "--data", str(listed), "--evaluate-on", str(fewer), *NETWORK, *paths(tmp_path)]) == 78
    assert f"{fewer}: class 'moving up' is not a class of {listed}; " in capsys.readouterr().err


def test_evaluate_reads_labels_and_lists_of_a_published_checkpoint(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list of frame folders, classInd.txt as --labels; results are by name, whatever the list's order is."""
    published = published_lists.tsn(clips, tmp_path)
    checkpoint.save(small_network(width=0.125, classes=3), tmp_path / WEIGHTS)
    (tmp_path / "classInd.txt").write_text("1 up\n2 right\n3 left\n")
    model = ["--model", str(tmp_path / WEIGHTS), "--size", "64", "--short-side", "72"]
    data = ["--data", str(published.path), "--labels-of-list", str(tmp_path / "category.txt")]
    assert main(["evaluate", *data, *model, "--labels", str(tmp_path / "classInd.txt"), *paths(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"{published.path}: {published.shown}; 4 videos, 2 labels of category.txt\n" in printed
    assert "assumed preprocessing: that of Something-Something (no published weights have 3 classes), which" in printed
    assert printed.count("; if its videos were different: --frame-rate\n") == 1
    found = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert found["labels"] == ["up", "right", "left"]
    assert np.array(found["results"]["pytorch"]["confusion"]).sum(axis=1).tolist() == [0, 2, 2]
    assert found["notes"] == [
        f"{published.path}: {published.shown}; 4 videos, 2 labels of category.txt",
        f"{tmp_path}/classInd.txt: numbered labels, 1-based, 3 labels",
    ]


def test_a_folder_of_pictures_is_played_like_a_camera(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = (frame.picture for frame in read_file(data / "videos/sam2_04_coffee.mp4"))
    folder = write_pictures(tmp_path / "frames", (picture for picture, _ in zip(pictures, range(60), strict=False)))
    (tmp_path / "x.json").write_text('{"segments": [{"label": "still", "start_s": 0, "end_s": 2}]}')
    command = ["evaluate", "--stream", str(folder), str(tmp_path / "x.json"), "--model", "motion"]
    for options, seconds in (((), 4.0), (("--picture-rate", "20"), 3.0)):
        assert main([*command, *options, "--out", str(tmp_path / "out")]) == 0
        assert json.loads((tmp_path / "out/evaluation.json").read_text())["seconds"] == pytest.approx(seconds, abs=0.2)


def test_names_that_are_not_utf8_are_printed_and_recorded(
    clips: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = os.fsencode(shutil.copytree(clips, tmp_path / "data"))
    for name in (b"left/\xff.mp4", b"left/\xfe.old"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"no video")
    assert main(["train", "--data", os.fsdecode(folder), *NETWORK, *paths(tmp_path)]) == 0
    assert b"2 skipped" in capfdbinary.readouterr().out
    assert len(json.loads((tmp_path / "run/run.json").read_bytes())["data"]["skipped"]) == 2
    model = ["--model", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "--data", os.fsdecode(folder), *model]) == 0
    assert len(json.loads((tmp_path / "out/evaluation.json").read_bytes())["skipped"]) == 2


@pytest.mark.parametrize("command", ["train", "finetune", "evaluate"])
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--videos-in", "/nowhere", "--videos-in /nowhere: no such folder"),
        (
            "--picture-names",
            "img.jpg",
            "--picture-names: pattern 'img.jpg': expected the name of a picture with a place",
        ),
        ("--picture-rate", "0", "--picture-rate 0: must be more than 0, and at most 1000"),
        ("--picture-rate", "nan", "--picture-rate nan: must be more than 0"),
        ("--labels-of-list", "/nowhere.txt", "/nowhere.txt: No such file or directory"),
    ],
)
def test_a_wrong_option_is_an_error_of_one_line(
    command: str, option: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text("a.mp4 0\n")
    line = [command, "--data", str(tmp_path / "list.txt"), *paths(tmp_path), option, value]
    assert main([*line, *(["--model", "motion"] if command == "evaluate" else [])]) == 78
    (printed,) = capsys.readouterr().err.splitlines()
    assert message in printed
    assert not (tmp_path / "run").exists()


def test_finetune_on_frame_folders_calibrates_and_compares_on_them(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their folders have two series of pictures; the chosen one is used from training to parity."""
    published = published_lists.tsn(clips, tmp_path)
    for folder in (tmp_path / "img").iterdir():
        write_pictures(folder, [np.zeros((80, 112, 3), np.uint8)] * 30, "depth_{:05d}.png")
    chosen = ["--data", str(published.path), "--picture-names", "img_{:05d}.jpg"]
    config = TrainingConfig(epochs=12, batch=4, rate=1.0, warm_up_epochs=0.5, dropout=0.0, precision="fp32")
    initial = load_initial_weights("", CLASSES, 1, **SMALL, stdm_fusion="add")
    train_here(TrainingTask(initial, SPEC, decode_clips(clips, tmp_path / "cache"), None, config), tmp_path / "run")
    command = ["finetune", *chosen, "--from", str(tmp_path / "run"), "--out", str(tmp_path / "own")]
    quick = ["--without-background", "--epochs", "1", "--batch", "2", "--workers", "0", "--device", "cpu"]
    assert main([*command, "--cache", str(tmp_path / "cache"), *quick]) == 0
    printed = capsys.readouterr().out
    assert f"{published.path}: {published.shown}; 4 videos, 2 labels of category.txt\n" in printed
    assert open_model(tmp_path / "own").labels == CLASSES
    notes = json.loads((tmp_path / "own/finetune.json").read_text())["notes"]
    assert not any("not one clip" in note for note in notes), (
        "INT8 was tried on them, whether it keeps its limits or not"
    )
    parity = json.loads((tmp_path / "own/parity.json").read_text())
    compared = {clip["recording"].partition("/")[2] for clip in parity["comparisons"][0]["clips"]}
    assert compared <= {"left-0", "left-1", "right-0", "right-1"}
    assert len(compared) >= 2
