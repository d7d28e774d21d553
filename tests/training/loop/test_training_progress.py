"""The progress of a training whose output is a file or a pipe."""

import re
from pathlib import Path
from typing import ClassVar

import pytest
from edge_tdn_export.progress import ProgressDisplay
from edge_tdn_training.loop import trainer

from tests.support.training_clips import decode_clips, make_clips
from tests.support.training_tasks import make_task, train_here

pytestmark = pytest.mark.usefixtures("one_thread")


class RecordedDisplay(ProgressDisplay):
    """A display that keeps what is reported to it."""

    reports: ClassVar[list[tuple[str, float, float | None]]] = []

    def report(self, what: str, done: float, total: float | None) -> None:
        self.reports.append((what, done, total))
        super().report(what, done, total)


def test_training_and_evaluation_report_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The display prints the newest report in its interval where there is no terminal."""
    monkeypatch.setattr(trainer, "ProgressDisplay", RecordedDisplay)
    decoded = decode_clips(make_clips(tmp_path / "clips"), tmp_path / "cache")
    RecordedDisplay.reports.clear()
    train_here(make_task(decoded, held_out=True), tmp_path / "run")
    held_out = len(decoded.frames)
    assert held_out > 1
    shown = [f"{what}, {done:.0f} of {total:.0f}" for what, done, total in RecordedDisplay.reports if total]
    for what in (
        r"training: epoch 1/2, 0 of 2",
        r"training: epoch 2/2, loss \d+\.\d{3}, 1 of 2",
        rf"training: epoch 2/2, held-out clips, 0 of {held_out}",
        rf"training: epoch 2/2, held-out clips, {held_out} of {held_out}",
    ):
        assert [line for line in shown if re.fullmatch(what, line)], (what, shown)


def test_a_short_training_prints_one_line_for_each_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decoded = decode_clips(make_clips(tmp_path / "clips"), tmp_path / "cache")
    capsys.readouterr()
    train_here(make_task(decoded), tmp_path / "run")
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "training, 0 of 2",
        "epoch 1/2",
        "epoch 2/2",
    ]
