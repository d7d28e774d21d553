"""The test protocols and their figures, in PyTorch and in the daemon's runtime."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.convert.convert import whole
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.reference import Networks, open_networks
from edge_tdn_export.network.tdn import TDN
from edge_tdn_training.__main__ import main
from edge_tdn_training.data.dataset import open_data
from edge_tdn_training.data.video_cache import decode
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.evaluation.protocols import (
    EvaluatedModel,
    check_protocol,
    clip_indices,
    evaluate,
    steps,
    views,
    with_pytorch,
    with_runtime,
)
from edge_tdn_training.evaluation.report import accuracy_table
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.manifest import LABELS as LABELS_FILE
from edge_tdn.manifest import WEIGHTS, InputSpec, Model
from edge_tdn.media.video_writer import write_video
from tests.support.networks import small_network

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]
LABELS = ("one", "two", "three")
CPU = torch.device("cpu")
CROPPED = InputSpec(
    segments=8, height=64, width=64, resize="short_side_centre_crop", short_side=72, frame_rate=15.0, segment_stride=4
)


@given(st.data())
def test_accuracies_are_those_of_counting(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 9))
    labels = tuple(f"class {n}" for n in range(classes))
    number = st.one_of(st.integers(-3, 3).map(float), st.just(float("nan")))
    rows = data.draw(st.lists(st.lists(number, min_size=classes, max_size=classes), min_size=1, max_size=8))
    truth = data.draw(st.lists(st.integers(0, classes - 1), min_size=len(rows), max_size=len(rows)))
    found = Accuracy(labels, np.array(rows, np.float32), np.array(truth))

    def place(row: list[float], label: int) -> int:
        """Return the number of classes that score higher."""
        keys = [(value != value, -value if value == value else 0.0, n) for n, value in enumerate(row)]
        return sorted(keys).index(keys[label])

    before = [place(row, label) for row, label in zip(rows, truth, strict=True)]
    assert found.top1 == pytest.approx(np.mean([n == 0 for n in before]))
    assert (found.top5 is None) == (classes <= 5)
    assert found.top5 is None or found.top5 == pytest.approx(np.mean([n < 5 for n in before]))
    own = [[n == 0 for n, t in zip(before, truth, strict=True) if t == label] for label in set(truth)]
    assert found.mean_class == pytest.approx(np.mean([np.mean(one) for one in own]))
    assert found.confusion.sum() == len(rows)
    for label, one in enumerate(found.classes):
        assert (one.videos, one.right) == (truth.count(label), found.confusion[label, label])


def test_a_class_has_the_label_that_it_is_mostly_taken_for() -> None:
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 1]]
    found = Accuracy(LABELS, logits, np.array([0, 0, 0, 0, 1]))
    assert [one.taken_for for one in found.classes] == ["two", "", ""]
    assert [one.accuracy for one in found.classes] == [0.25, 1.0, None]
    assert found.mean_class == 0.625  # without the class that has no video


def test_only_all_is_shown_as_100_percent() -> None:
    """As in every table of the exporter."""
    logits = np.eye(2, dtype=np.float32)[[1, *[0] * 2999]]
    cells = [
        list(column.cells)
        for column in accuracy_table({"fp32": Accuracy(("a", "b"), logits, np.zeros(3000, np.int64))}).columns
    ]
    assert cells == [["fp32"], ["3000"], ["99.9%"], ["-"], ["99.9%"]]


def test_a_picture_can_show_any_label(recwarn: pytest.WarningsRecorder) -> None:
    """Labels whose script the font lacks give no warning: the terminal shows them, and users cannot add fonts."""
    png = Accuracy(("$x_1$ 手洗い", "b"), np.eye(2, dtype=np.float32), np.array([0, 1])).picture("門")
    assert Image.open(io.BytesIO(png)).size[0] > 200
    assert not recwarn.list


def test_each_network_of_an_ensemble_takes_its_own_frames_as_in_the_live_window() -> None:
    both = CROPPED.model_copy(update={"segment_stride": 6, "per_segment": (1, 2)})
    (indices,) = clip_indices(8 * 6 + 4, both, "1x1")
    live = [[k * 6 + start + n for start in both.starts for n in range(5)] for k in range(8)]
    assert indices.tolist() == live
    dense = clip_indices(300, both, "10x3")
    assert np.stack(dense).shape == (10, 8, 15)
    alone = np.stack(clip_indices(300, both.of(1), "10x3"))  # [10, 16, 5]
    assert np.array_equal(np.stack(dense)[..., 5:].reshape(10, 16, 5), alone)


class Drawn:
    """Frames whose pixels contain their place: red the frame's number, green the row, blue the column."""

    def __init__(self, count: int, height: int, width: int) -> None:
        grid = np.stack(np.meshgrid(np.arange(count), np.arange(height), np.arange(width), indexing="ij"), -1)
        self.pixels = grid.astype(np.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[indices]


@pytest.mark.parametrize(("height", "width", "axis"), [(72, 110, 2), (110, 72, 1)])
def test_three_crops_lie_along_the_longer_side(height: int, width: int, axis: int) -> None:
    clips = list(views(Drawn(100, height, width), CROPPED, "10x3"))  # type: ignore[arg-type]
    assert [clip.shape for clip in clips] == [(3, 8, 5, 72, 72, 3)] * 10
    for clip in clips:
        corners = clip[:, 0, 0, 0, 0, 1:].tolist()
        assert corners == [[step * (axis == 1), step * (axis == 2)] for step in (0, 18, 36)]  # 2 and 4 quarters of 38
        assert np.array_equal(clip[0, ..., 0], clip[2, ..., 0])  # of the same frames
    (centre,) = views(Drawn(100, height, width), CROPPED, "1x1")  # type: ignore[arg-type]
    assert centre.shape == (1, 8, 5, 64, 64, 3)
    assert centre[0, 0, 0, 0, 0, 1:].tolist() == [(height - 64) // 2, (width - 64) // 2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes that the shipped model knows, three videos each; and one file that is not a video."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    for label, x in (("left", 0.75), ("right", 0.25)):
        for number in range(3):
            scene = Scene(np.random.default_rng(number), 120, 180)
            motion, start = Motion(label, speed=0.2), Pose(x, 0.5, 0.4)
            pictures = (scene.draw(motion.at(start, n / 15)) for n in range(40))
            write_video(pictures, 15, folder / label / f"{number}.mp4")
    (folder / "left" / "9.mp4").write_bytes(b"no video")
    return folder


def evaluated_model(network: TDN, spec: InputSpec) -> EvaluatedModel:
    return EvaluatedModel(
        "small", "", ("left", "right", "up"), spec, {"pytorch": with_pytorch(Networks([network], spec), CPU)}
    )


def test_scores_of_ten_clips_and_three_crops_are_averaged_and_those_of_an_ensemble_added(
    clips: Path, tmp_path: Path
) -> None:
    eight, sixteen = (small_network(t, seed=seed, width=0.125, classes=3) for t, seed in ((8, 11), (16, 3)))
    members = [evaluated_model(eight, CROPPED), evaluated_model(sixteen, CROPPED.model_copy(update={"segments": 16}))]
    data = open_data(clips)
    steps_done: list[str] = []
    data = replace(data, videos=data.videos[:1])
    together = evaluate(data, "clips", members, "10x3", tmp_path, steps_done.append)
    assert len(steps_done) == steps(data, members)
    assert together.skipped == ()
    alone = [evaluate(data, "clips", [one], "10x3", tmp_path).accuracies["pytorch"] for one in members]
    assert np.allclose(together.accuracies["pytorch"].logits, sum(one.logits for one in alone), atol=1e-5)
    decoded = decode(data, CROPPED.frame_rate, CROPPED.short_side, tmp_path)
    for frames, expected in zip(decoded.frames, alone[0].logits, strict=True):
        thirty = [whole(eight, view, CROPPED) for clip in views(frames, CROPPED, "10x3") for view in clip]
        assert len(thirty) == 30
        assert np.allclose(np.mean(thirty, axis=0), expected, atol=1e-5)


@pytest.mark.parametrize(("precision", "off"), [("fp32", 1e-4), ("int8", 0.05)])
def test_the_daemons_runtime_gives_the_scores_of_pytorch(
    precision: str, off: float, clips: Path, motion: Model, tmp_path: Path
) -> None:
    runtime = open_runtime(motion, precision)
    scorers = {"pytorch": with_pytorch(open_networks(motion), CPU), precision: with_runtime(runtime)}
    shipped = EvaluatedModel("motion", motion.sha256, motion.labels, motion.manifest.input, scorers)
    found = evaluate(open_data(clips), "clips", [shipped], "1x1", tmp_path)
    runtime.close()
    expected, got = (found.accuracies[name].logits for name in ("pytorch", precision))
    assert expected.shape == (6, len(motion.labels))
    assert np.abs(got - expected).max() <= off * np.abs(expected).max()
    assert np.array_equal(got.argmax(1), expected.argmax(1))
    assert precision == "fp32" or not np.array_equal(got, expected)
    assert [reason for reason in found.skipped if "9.mp4" in reason] == list(found.skipped) != []


def test_the_command_prints_tables_and_writes_json_and_pictures(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "motion", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "--data", str(clips), *options, "--precision", "fp32", "int8"]) == 0
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["results"].keys() == {"fp32", "int8"}
    for result in found["results"].values():
        assert (result["videos"], result["top1"], result["mean_class_accuracy"]) == (6, 1.0, 1.0)
        assert np.array(result["confusion"]).sum() == 6
    (skipped,) = found["skipped"]
    assert "9.mp4" in skipped
    printed = capsys.readouterr().out
    for precision in ("fp32", "int8"):
        assert re.search(rf"{precision}\s+6\s+100.0%\s+100.0%\s+100.0%", printed)
    assert re.search(r"left\s+3\s+100.0%\s+100.0%", printed)
    assert f"skipped: {skipped}" in printed
    with Image.open(tmp_path / "out" / "confusion-fp32.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 50


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    checkpoint.save(small_network(width=0.125, classes=3), tmp_path / WEIGHTS)
    return tmp_path / WEIGHTS


@pytest.mark.parametrize("form", ["checkpoint", "run"])
def test_weights_are_evaluated_with_the_files_in_their_folder(
    form: str, clips: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / LABELS_FILE).write_text("left\nright\nup\n")
    (tmp_path / "list.txt").write_text(
        "".join(f"{clips}/{name}/0.mp4 {n}\n" for n, name in enumerate(("left", "right")))
    )
    command = ["evaluate", "--data", str(tmp_path / "list.txt"), "--protocol", "10x3", "--out", str(tmp_path / "out")]
    if form == "run":
        (tmp_path / "run.json").write_text(json.dumps({"input": CROPPED.model_dump(mode="json")}))
    else:
        command += ["--size", "64", "--short-side", "72", "--frame-rate", "15"]
    model = tmp_path if form == "run" else weights
    assert main([*command, "--model", str(model), "--cache", str(tmp_path / "cache")]) == 0
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["models"] == [{"name": model.name, "sha256": checkpoint.sha256(weights)}]
    assert found["results"]["pytorch"]["videos"] == 2
    small = [evaluated_model(small_network(width=0.125, classes=3), CROPPED)]
    expected = evaluate(open_data(tmp_path / "list.txt"), "list", small, "10x3", tmp_path / "cache")
    assert found["results"]["pytorch"]["confusion"] == expected.accuracies["pytorch"].confusion.tolist()


@pytest.mark.parametrize(("option", "precision"), [("--data", "pytorch"), ("--data", "fp32"), ("--stream", "fp32")])
def test_too_little_memory_is_an_error(
    option: str,
    precision: str,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Raised by any library: here the errors of their allocators, after a model is opened."""
    monkeypatch.setattr(TDN, "forward", lambda *_: torch.empty(1 << 60, dtype=torch.uint8))
    monkeypatch.setattr(OpenVinoRuntime, "classify", lambda *_: np.empty(1 << 60, np.uint8))
    monkeypatch.setattr("edge_tdn.inference.open_runtime.self_test", lambda *_: None)
    (tmp_path / "x.json").write_text('{"segments": [{"label": "left", "start_s": 0, "end_s": 2}]}')
    data = [str(clips)] if option == "--data" else [str(clips / "left/0.mp4"), str(tmp_path / "x.json")]
    options = ["--model", "motion", "--precision", precision, "--out", str(tmp_path / "out")]
    assert main(["evaluate", option, *data, *options, "--cache", str(tmp_path / "cache")]) == 71
    printed = capsys.readouterr().err
    assert re.search(
        r"device \w+ ran out of memory, evaluating a clip; take a smaller model, .* or run less on it", printed
    )
    assert not (tmp_path / "out").exists()


def test_crops_that_exported_graphs_cannot_take_are_an_error() -> None:
    published = InputSpec(
        segments=8,
        height=224,
        width=224,
        resize="short_side_centre_crop",
        short_side=256,
        frame_rate=12.0,
        segment_stride=5,
    )
    check_protocol("10x3", published, "pytorch", "ssv2")
    check_protocol("10x3", published.model_copy(update={"height": 256, "width": 256}), "int8", "ssv2")
    check_protocol("1x1", published, "int8", "ssv2")
    with pytest.raises(ModelError, match=r"ssv2: int8: exported for 224x224, and protocol 10x3 takes crops of 256x256"):
        check_protocol("10x3", published, "int8", "ssv2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--data", "{other}", "--model", "motion"],
            r"other: 2 label\(s\) that the model does not know: 'jump', 'lefts'; .*it knows: still, left",
        ),
        (
            ["--data", "{clips}", "--model", "motion", "--protocol", "10x3"],
            "motion: its pictures are resized to .* as a whole, .* nothing to crop; allowed: 1x1",
        ),
        (["--data", "{clips}", "--model", "motion", "--precision", "int9"], "no precision 'int9'; this model has: "),
        (
            ["--data", "{clips}", "--model", "{weights}"],
            "3 classes, and no labels.txt beside it; give the labels with --labels",
        ),
        (
            ["--data", "{clips}", "--model", "{weights}", "--precision", "int8"],
            "whose only precision is pytorch",
        ),
        (["--data", "{clips}", "--model", "{weights}", "--segments", "8", "16"], "--segments: 2 given for 1 models"),
        (["--data", "{clips}", "--model", "{weights}", "--size", "5"], "height: .*greater than or equal to 32, got 5"),
        (["--data", "{clips}/gone", "--model", "motion"], "gone: no such data"),
        (
            ["--data", "{clips}", "--model", "motion", "--frame-rate", "30"],
            "--frame-rate: is for a checkpoint; motion is a model folder, and its manifest defines it",
        ),
        (["--data", "{clips}", "--model", "motion", "--segments", "8"], "--segments: is for a checkpoint; motion is"),
        (
            ["--stream", "{clips}/left/0.mp4", "x.json", "--model", "motion", "--labels", "l.txt"],
            "--labels: is for a checkpoint; motion is",
        ),
        (["--stream", "{clips}/left/0.mp4", "x.json", "--model", "{weights}"], "--stream: a camera runs one"),
        (["--stream", "{clips}/left/0.mp4", "x.json", "--model", "motion"], "x.json: No such file"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error_of_one_line(
    arguments: list[str], message: str, clips: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    for label in ("jump", "left", "lefts"):
        (other / label).mkdir(parents=True)
        (other / label / "one.mp4").write_bytes(b"")
    places = {"clips": clips, "weights": weights, "other": other}
    options = [argument.format_map(places) for argument in arguments]
    out = [] if "--out" in options else ["--out", str(tmp_path / "out")]
    assert main(["evaluate", *options, "--cache", str(tmp_path / "cache"), *out]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"edge-tdn-train: .*{message}", line)
    assert not (tmp_path / "out").exists()
