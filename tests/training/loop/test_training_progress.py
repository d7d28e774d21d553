"""The progress of a training whose output is a file or a pipe."""

import re
from functools import partial
from pathlib import Path

import pytest
from edge_tdn_export.progress import ProgressDisplay
from edge_tdn_training.loop import trainer

from tests.support.training_clips import decode_clips, make_clips
from tests.support.training_tasks import make_task, train_here

pytestmark = pytest.mark.usefixtures("one_thread")


def test_training_and_evaluation_print_how_far_they_are_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phase, epoch, count and total, in the interval of the display; and a line at the end of each epoch."""
    monkeypatch.setattr(trainer, "ProgressDisplay", partial(ProgressDisplay, line_every_s=0.005))
    decoded = decode_clips(make_clips(tmp_path / "clips"), tmp_path / "cache")
    capsys.readouterr()
    train_here(make_task(decoded, held_out=True), tmp_path / "run")
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "training, 0 of 2"
    for what in (
        r"training: epoch 1/2, 0 of 2",
        r"training: epoch 2/2, loss \d+\.\d{3}, 1 of 2",
        r"training: epoch 2/2, held-out clips, [01] of \d+",
        r"epoch 2/2: loss .*; held out: loss .*",
    ):
        assert [line for line in lines if re.fullmatch(what, line)], what


def test_a_short_training_prints_one_line_for_each_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decoded = decode_clips(make_clips(tmp_path / "clips"), tmp_path / "cache")
    capsys.readouterr()
    train_here(make_task(decoded), tmp_path / "run")
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "training, 0 of 2",
        "epoch 1/2",
        "epoch 2/2",
    ]
