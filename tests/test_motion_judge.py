"""What a motion model's figures mean, and the commands that show clips and judge."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_tdn.errors import ModelError
from edge_tdn.manifest import Model
from edge_tdn.scene import LABELS
from training import contact_sheet, judge_motion
from training.__main__ import main
from training.judge_motion import Judgement, table

pytestmark = pytest.mark.training

STILL, LEFT, RIGHT, UP = (LABELS.index(label) for label in ("still", "left", "right", "up"))


def test_figures_are_of_what_they_say() -> None:
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    confusion[STILL, STILL], confusion[STILL, UP] = 9, 1
    confusion[LEFT, LEFT], confusion[LEFT, RIGHT] = 18, 2
    confusion[RIGHT, RIGHT], confusion[RIGHT, UP] = 10, 10
    judgement = Judgement(confusion)
    assert judgement.top1 == pytest.approx(37 / 50)
    assert judgement.swapped == pytest.approx(2 / 40)
    assert judgement.false_alarms == pytest.approx(1 / 10)
    assert judgement.recalls[LEFT] == pytest.approx(0.9)
    assert np.isnan(judgement.recalls[UP])
    assert table({"generated": judgement}).row_count == 2 + len(LABELS) + 2


def test_a_sheet_has_a_row_for_each_clip_of_the_label(tmp_path: Path, motion: Model) -> None:
    assert main(["show-motion", str(tmp_path / "sheet.png"), "--rows", "3", "--label", "still"]) == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[0] == 3 * (motion.manifest.input.height + contact_sheet.GAP)


def test_the_shipped_model_is_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """Through the runtime, on as many clips as asked for."""
    assert main(["judge-motion", "motion", "--generated", "5"]) == 0
    rows = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines()
            if "│" in line}  # fmt: skip
    assert rows["clips"] == "5"
    assert rows["top-1"].endswith("%")


def test_a_model_of_other_labels_is_refused(motion: Model) -> None:
    other = Model(motion.folder, motion.manifest, motion.sha256, ("walk", "run"))
    with pytest.raises(ModelError, match=r"knows walk, run; to be judged here: still, left"):
        judge_motion.check_labels(other)
