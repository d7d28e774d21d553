"""The figures of a motion model, and the commands that show clips and evaluate on them."""

import re
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_tdn_export.clips import find_videos
from edge_tdn_training.__main__ import main
from edge_tdn_training.evaluation import clip_sheet
from edge_tdn_training.evaluation.motion_clips import (
    check_labels,
    evaluate_clips,
    false_alarms,
    generated_clips,
    swapped,
)
from edge_tdn_training.evaluation.real_crops import real_crops
from edge_tdn_training.synthetic.clips import generate_clip

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ModelError
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import Model

pytestmark = pytest.mark.training

STILL, LEFT, RIGHT, UP = (MOTIONS.index(label) for label in ("still", "left", "right", "up"))


def test_swapped_and_false_alarms_of_a_confusion_matrix() -> None:
    confusion = np.zeros((len(MOTIONS), len(MOTIONS)), np.int64)
    assert swapped(confusion) is None
    assert false_alarms(confusion) is None
    confusion[STILL, STILL], confusion[STILL, UP] = 9, 1
    confusion[LEFT, LEFT], confusion[LEFT, RIGHT] = 18, 2
    confusion[RIGHT, RIGHT], confusion[RIGHT, UP] = 10, 10
    assert swapped(confusion) == pytest.approx(2 / 40)
    assert false_alarms(confusion) == pytest.approx(1 / 10)


def test_a_sheet_has_a_row_for_each_clip_of_the_label(tmp_path: Path, motion: Model) -> None:
    assert main(["show-motion", str(tmp_path / "sheet.png"), "--rows", "3", "--label", "still"]) == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[0] == 3 * (motion.manifest.input.height + clip_sheet.GAP_PX)


def test_the_shipped_model_is_evaluated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The model runs in the runtime, on the given number of clips; wrong clips are drawn."""
    assert main(["evaluate-motion", "motion", "--generated", "5", "--wrong", str(tmp_path / "wrong.png")]) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"generated: 5 clips, top-1 \d+\.\d%; left and right swapped [\d.%-]+, still called moving", printed
    )
    wrong = re.search(r"wrong\.png, (\d) clips", printed.replace("\n", ""))
    assert (tmp_path / "wrong.png").exists() == bool(wrong)


@pytest.mark.data
@pytest.mark.timeout(1200)  # minutes on a busy machine
def test_the_shipped_model_reaches_the_accuracy_on_its_card(motion: Model, data: Path) -> None:
    """Real videos, on none of which it was trained, and generated held-out clips."""
    spec = motion.manifest.input
    crops = [("", crop.frames, crop.label) for crop in real_crops(find_videos(data / "videos"), spec)]
    right = {}
    for precision in ("fp32", "int8"):
        with closing(open_runtime(motion, precision)) as runtime:
            real, _ = evaluate_clips(runtime, crops)
            drawn, _ = evaluate_clips(runtime, generated_clips(spec, 400))
        assert real.top1 >= 0.9
        assert drawn.top1 >= 0.95
        for accuracy in (real, drawn):
            assert (swapped(accuracy.confusion) or 0) <= 0.02
        right[precision] = real.top1
    assert len(crops) > 400
    assert right["fp32"] - right["int8"] <= 0.005


def test_clips_of_an_ensemble_contain_the_frames_of_each_network(motion: Model) -> None:
    """The network of more segments gets the frames that it would get alone."""
    spec = motion.manifest.input.model_copy(update={"segments": 4, "segment_stride": 8, "per_segment": (1, 2)})
    both, other = generate_clip(3, spec), generate_clip(3, spec.of(1))
    assert both.frames.shape == (4, 15, 96, 96, 3)
    shown = lambda clip: {frame.tobytes() for frame in clip.reshape(-1, 96, 96, 3)}  # noqa: E731
    assert shown(both.frames[:, 5:]) == shown(other.frames)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evaluate-motion motion --generated 0", "--generated 0 without --crops: nothing to evaluate on"),
        ("evaluate-motion motion --seed -1", "--seed -1: must be 0 or more"),
        ("show-motion sheet.png --first -1", "--first -1: must be 0 or more"),
    ],
)
def test_an_option_out_of_range_is_an_error(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 78
    assert message in capsys.readouterr().err


def test_a_model_of_other_labels_is_refused(motion: Model) -> None:
    other = Model(motion.folder, motion.manifest, motion.sha256, ("walk", "run"))
    with pytest.raises(ModelError, match=r"its labels are walk, run; required: still, left"):
        check_labels(other)
