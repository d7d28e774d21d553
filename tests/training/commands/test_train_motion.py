"""The recipe of the shipped model: the same loop as every training, on generated clips instead of videos."""

import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from edge_tdn_export.limits import LIMITS
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.tdn import TDN
from edge_tdn_training.__main__ import main
from edge_tdn_training.commands import train_motion
from edge_tdn_training.evaluation.accuracy import Accuracy
from edge_tdn_training.loop.run_folder import RunFolder
from edge_tdn_training.synthetic import dataset
from edge_tdn_training.synthetic.clips import CLIPS_PER_SEED, HELD_OUT, SEEDS, SPEC, generate_clip
from edge_tdn_training.synthetic.dataset import GeneratedClips
from edge_tdn_training.training_config import TrainingConfig
from rich.console import Console

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.manifest import Model, open_model
from edge_tdn.shell import command as shell_command
from tests.support.training_tasks import kill_trainer_when

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]
SMALL = SPEC.model_copy(update={"height": 64, "width": 64, "segments": 2, "segment_stride": 28})
OPTIONS = "--drawings 24 --views 2 --batch 8 --held-out 4 --workers 0 --precision fp32"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """command(out="run") -> a training of three short epochs into tmp_path / "run"."""
    monkeypatch.setattr(train_motion, "SPEC", SMALL)
    monkeypatch.setattr(train_motion, "NETWORK", {"arch": "resnet18", "width": 0.125, "segments": SMALL.segments})
    monkeypatch.setattr(train_motion, "EPOCH_CLIPS", 8)

    def make(*more: str, out: str = "run") -> list[str]:
        return ["motion", "--out", str(tmp_path / out), *OPTIONS.split(), *more]

    return make


def test_a_killed_run_is_resumed_and_gives_the_weights_of_an_unbroken_one(
    command: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bit for bit. The files of the run are complete; the model folder is the next test's."""
    monkeypatch.setattr(train_motion, "_make_folder", lambda *_: None)
    assert main(command(out="unbroken")) == 0
    assert "3 epoch(s) of 8 drawings, 16 clips; rate up to 0.025 for 8 clips per step; fp32" in capsys.readouterr().out
    kill_trainer_when(command(), (tmp_path / "run/checkpoint.pt").exists)
    assert main(command()) == 0
    assert "resuming after epoch" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(np.isfinite(line["held_out_loss"]) for line in lines)
    before, after = (
        checkpoint.load(tmp_path / name / "weights.safetensors").state_dict() for name in ("unbroken", "run")
    )
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (tmp_path / "run/labels.txt").read_text().split() == list(MOTIONS)
    recorded = json.loads((tmp_path / "run/run.json").read_text())
    assert recorded["course"]["dropout"] == 0
    assert recorded["data"] == GeneratedClips(1 << 24, 8).summary()
    assert main(command("--views", "4")) == 78
    assert "this run was started with course.views = 2, now it is 4" in capsys.readouterr().err
    monkeypatch.setattr(dataset, "GENERATOR", dataset.GENERATOR + 1)
    assert main(command()) == 78
    assert re.search(r"started with data\.generator = \d+, now .*; choose another folder", capsys.readouterr().err)


def test_the_result_is_a_folder_like_the_shipped_one(
    command: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    motion: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every precision is compared on generated clips that went through the live path, and evaluated. A model that was
    trained so little is seldom accurate enough in INT8; here the limit rejects any, and the note names no option that
    `motion` does not have.
    """
    monkeypatch.setattr(train_motion, "CALIBRATION_CLIPS", 4)
    monkeypatch.setitem(LIMITS, "int8", replace(LIMITS["int8"], mean_kl=-1.0))
    assert main(command("--drawings", "8")) == 0
    model = open_model(tmp_path / "run/model")
    assert {path.name for path in model.folder.iterdir()} == {path.name for path in motion.folder.iterdir()} - {"int8"}
    printed = capsys.readouterr().out
    assert re.search(
        r"^no int8: the limits .*; for other limits: edge-tdn-export quantize --limit; edge-tdn-export quantize also",
        printed,
        re.MULTILINE,
    )
    assert (model.manifest.id, model.manifest.background) == (motion.manifest.id, motion.manifest.background)
    assert model.manifest.input == SMALL
    assert all(parity.within_limits and parity.clips == 4 for parity in model.manifest.parity.values())
    results = json.loads((tmp_path / "run/evaluation.json").read_text())["results"]
    assert results.keys() == model.manifest.precisions.keys()
    assert all(sum(map(sum, one["confusion"])) == 4 for one in results.values())
    assert (tmp_path / "run/confusion.png").exists()
    capsys.readouterr()
    assert main(command("--drawings", "8")) == 78
    assert "run/model: exists already" in capsys.readouterr().err


def test_confusion_matrix_is_that_of_the_precision_that_a_host_runs_by_default(
    motion: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `finetune`, and not of the last one, which is INT8."""
    truth = np.arange(len(MOTIONS))
    right, wrong = (Accuracy(MOTIONS, logits, truth) for logits in (np.eye(8, dtype="f4"), np.eye(8, dtype="f4")[::-1]))
    opened = lambda model, name: SimpleNamespace(name=name, close=lambda: None)  # noqa: E731
    monkeypatch.setattr(train_motion, "open_runtime", opened)
    monkeypatch.setattr(
        train_motion, "evaluate_clips", lambda runtime, clips: (right if runtime.name == "fp32" else wrong, [])
    )
    train_motion._evaluate(motion, 8, tmp_path, Console())
    assert (tmp_path / "confusion.png").read_bytes() == right.picture("motion, fp32: top-1 100.0% of 8 generated clips")


def test_a_generator_with_other_clips_has_another_number() -> None:
    """A change of what is drawn needs new figures here, and a larger GENERATOR."""
    drawn = [generate_clip(number, SPEC) for number in range(8)]
    assert dataset.GENERATOR == 1
    assert [one.label for one in drawn] == [4, 3, 1, 0, 7, 6, 3, 4]
    brightness = [88.6, 103.4, 169.9, 89.7, 95.3, 78.2, 162.6, 117.6]
    assert [one.frames.mean() for one in drawn] == pytest.approx(brightness, abs=0.3)  # encoders may round differently


def test_no_generated_clip_is_used_twice_or_held_out() -> None:
    """Each seed has its numbers, each epoch its part of them; the views of a clip stay together, with their labels."""
    config = TrainingConfig(views=4)
    own = GeneratedClips(3 * CLIPS_PER_SEED, 5)
    for epoch, index, number in ((0, 0, 0), (0, 4, 4), (2, 1, 11)):
        frames, labels = own.train_clips(config, SMALL)[epoch, index]
        expected = generate_clip(3 * CLIPS_PER_SEED + number, SMALL)
        assert frames.shape == (4, 2, 5, 64, 64, 3)
        assert torch.equal(frames[0], torch.from_numpy(expected.frames))
        assert int(labels[0]) == expected.label
        assert torch.equal(frames[1], frames[0].flip(-2))
        assert torch.equal(frames[2], frames[0].flip(0, 1))
    frames, _ = GeneratedClips(HELD_OUT, 3).eval_clips(SMALL)[2]
    assert torch.equal(torch.as_tensor(frames), torch.from_numpy(generate_clip(HELD_OUT + 2, SMALL).frames))
    assert SEEDS * CLIPS_PER_SEED == HELD_OUT
    photo = np.zeros((4, 4, 3), np.uint8)
    assert (
        GeneratedClips(0, 1).summary()
        != GeneratedClips(0, 1, (photo,)).summary()
        != GeneratedClips(0, 1, (photo + 1,)).summary()
    )


def test_one_cycle() -> None:
    """The rate rises to its height, then falls to nothing, and never jumps."""
    config = replace(TrainingConfig(), epochs=10, rate=1.28, batch=10, warm_up_epochs=2, cosine=True)
    rates = np.array([config.rate_at(epoch) for epoch in np.linspace(0, 10, 501)])
    assert rates.argmax() == 100
    assert rates[[0, 100, 300, 500]] == pytest.approx([0.001, 0.1, 0.05, 0], abs=1e-6)
    assert np.abs(np.diff(rates)).max() < 0.0011


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "256"], "--seed 256: must be from 0 to 255"),
        (["--seed", "-1"], "--seed -1: must be from 0 to 255"),
        (["--drawings", "2"], "batch 8: a step would need more clips than an epoch has, 4; use --batch 4 or less"),
        (["--batch", "3"], "batch 3: not a multiple of 2 views; change --batch"),
        (
            ["--micro-batch", "3"],
            "a process's share of a step is 4 x 2 clip(s); use --micro-batch 2, 4 or 8",
        ),
        (["--workers", "-1"], "--workers -1: must be from 0"),
        (["--from", "motion"], "was trained with segments = 8, requested is 2"),
    ],
)
def test_an_option_out_of_range_is_an_error_and_nothing_is_written(
    more: list[str], message: str, command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(*more)) == 78
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_was_learned_is_kept_when_the_disk_is_full(
    command: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it trains, and when the model folder is made; the printed command continues."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save = RunFolder.save_epoch

    def second_fails(run: RunFolder, model: TDN, optimiser: Any, metrics: Any, **options: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if len(metrics) == 2:
                patch.setattr(os, "fsync", full)
            save(run, model, optimiser, metrics, **options)

    line = command()
    again = shell_command("edge-tdn-train", *line)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_epoch", second_fails)
        assert main(line) == 78
    refusal = capsys.readouterr().err
    assert "metrics.jsonl: No space left on device; the file is unchanged\n" in refusal
    assert f"what was learned is kept in {tmp_path / 'run'}; to resume: {again}\n" in refusal
    with monkeypatch.context() as patch:
        patch.setattr(train_motion, "_film", full)
        assert main(line) == 78
    refusal = capsys.readouterr().err
    assert "resuming after epoch 1\n" in refusal
    assert f"the trained weights are kept: {tmp_path / 'run/weights.safetensors'}\n" in refusal
    assert f"to continue from there: {again}\n" in refusal
    assert not (tmp_path / "run/model").exists()
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 3
