"""Fine-tuning: clips become a model folder in one go, evaluated on recordings that were held out."""

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_training.__main__ import main
from edge_tdn_training.commands import finetune_frozen
from edge_tdn_training.commands.finetune_plan import default_stride
from edge_tdn_training.data.dataset import open_data
from edge_tdn_training.data.sampling import centre_segments, random_segments
from edge_tdn_training.data.split import check_evaluation_data
from edge_tdn_training.frozen import choice
from edge_tdn_training.loop.initial_weights import load_initial_weights
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.training_config import TrainingConfig
from PIL import Image

from edge_tdn.__main__ import main as host
from edge_tdn.demo.scene import Pose, Scene
from edge_tdn.manifest import InputSpec, open_model
from edge_tdn.media.video_writer import write_video
from tests.support.networks import imagenet_names, published_names, small_network
from tests.support.training_clips import RATE, SPEC, decode_clips, make_clips
from tests.support.training_tasks import NETWORK, train_here
from tests.support.waiting import eventually

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]
CLIP = SPEC.video_frames


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clips/: two classes with odd names; still/: negatives; run/: a small network that knows left from right."""
    workspace = tmp_path_factory.mktemp("finetune")
    clips = make_clips(workspace / "clips", each=5)
    initial = load_initial_weights("", ("left", "right"), 1, **NETWORK, stdm_fusion="add")
    decoded = decode_clips(clips, workspace / "cache")
    config = TrainingConfig(epochs=12, batch=5, rate=1.0, warm_up_epochs=0.5, dropout=0.0, precision="fp32")
    train_here(TrainingTask(initial, SPEC, decoded, None, config), workspace / "run", micro_batch=5)
    for old, new in (("left", "nach links (ü)"), ("right", "50 % right → there")):
        (clips / old).rename(clips / new)
    (clips / "dataset.toml").write_text('[flip]\n"nach links (ü)" = "50 % right → there"\n')
    for n in range(4):
        scene = Scene(np.random.default_rng(n), 80, 112)
        still = (scene.draw(Pose(0.5, 0.5, 0.3) if n % 2 else None) for _ in range(36))
        write_video(still, RATE, workspace / "still" / f"{n}.mp4")
    (workspace / "still/9.mp4").write_bytes(b"no video")
    return workspace


@pytest.fixture
def command(workspace: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """command("--epochs", 5) -> a fine-tuning from `run` into tmp_path / "own"."""

    def make(*more: str | int) -> list[str]:
        line = (
            f"finetune --data {workspace / 'clips'} --from {workspace / 'run'} --out {tmp_path / 'own'} --device cpu "
            f"--cache {workspace / 'cache'} --workers 0"
        )
        return [*line.split(), *map(str, more)]

    return make


@pytest.fixture
def with_imagenet(workspace: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """with_imagenet("--epochs", 5) -> a fine-tuning into tmp_path / "own", with random weights for ImageNet's."""
    weights = tmp_path / "resnet18.pth"
    torch.save(imagenet_names(small_network(width=1.0).state_dict()), weights)
    line = f"finetune --data {workspace / 'clips'} --imagenet {weights} --out {tmp_path / 'own'}"
    return lambda *more: [*line.split(), "--cache", str(tmp_path / "cache"), *map(str, more)]


def test_an_interrupted_run_is_resumed_and_gives_a_model_for_a_host(
    workspace: Path, command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From clips to INT8, with a background of negatives; after an interrupt --out does not exist."""
    line = command("--negatives", workspace / "still", "--epochs", 10, "--rate", "0.2")
    metrics = tmp_path / "own.run/metrics.jsonl"

    def interrupt() -> None:
        eventually((tmp_path / "own.run/checkpoint.pt").exists)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert main(line) == 130
    assert {path.name for path in tmp_path.iterdir()} == {"own.run"}
    assert 1 <= len(metrics.read_text().splitlines()) < 10
    assert main(line) == 0
    printed = capsys.readouterr()
    assert "resuming after epoch" in printed.err
    assert "new: linear layer of 3 classes (it had 2 others)" in printed.out
    assert "  1 video(s) skipped" in printed.out
    assert "  videos to train on: '50 % right → there' 3, 'nach links (ü)' 3, 'background' " in printed.out
    assert re.search(
        r"2/4 training: at most 10 epochs of \d+ clips; each is evaluated on \d+ held-out clips", printed.out
    )
    assert re.search(r"epoch \d+/10: loss .* s, .*\); held out: loss \d\.\d+, top-1 .*% \(\d+ s\)", printed.err)
    assert re.search(r"^precision +clips +top-1", printed.out, re.M)
    model = open_model(tmp_path / "own")
    assert model.labels == ("50 % right → there", "nach links (ü)", "background")
    assert model.manifest.background == ("background",)
    assert model.manifest.input == SPEC
    assert {"fp32", "int8"} <= model.manifest.precisions.keys()
    assert model.manifest.parity["fp32"].within_limits
    found = json.loads((tmp_path / "own/finetune.json").read_text())
    assert found["results"]["fp32"]["top1"] >= 0.8
    (skipped,) = found["run"]["data"]["skipped"]
    assert f"{workspace}/still/9.mp4: " in skipped
    assert Image.open(tmp_path / "own/confusion.png").size[0] > 200
    assert {path.name for path in tmp_path.iterdir()} == {"own", "own.run"}
    (tmp_path / "site.toml").write_text(
        f'[runtime]\nmodel = "own"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n[[camera]]\nname = "c"\n'
        f'source = "{workspace / "still/0.mp4"}"\n'
    )
    assert host(["check", "--config", str(tmp_path / "site.toml")]) == 0
    capsys.readouterr()
    clip = workspace / "clips/nach links (ü)/take-0.mp4"
    assert host(["replay", str(clip), "--config", str(tmp_path / "site.toml")]) == 0
    assert {json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()} == {"nach links (ü)"}
    assert main(line) == 78
    assert "exists already" in capsys.readouterr().err


def test_a_last_layer_on_frozen_networks_gives_a_model_for_a_host(
    workspace: Path, with_imagenet: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random weights in place of ImageNet's know nothing: that the bar's direction is recognised is due to `motion`."""
    assert main(with_imagenet("--from", "appearance", "--negatives", workspace / "still")) == 0
    printed = capsys.readouterr()
    assert "2/4 last layer on the features of appearance and motion" in printed.out
    assert printed.out.count(" of held-out clips (taken)\n") == 1
    assert re.search(r"^a hop takes \d+ ms in fp32.* a camera has one every 133 ms$", printed.out, re.M)
    assert "features of clips, motion" in printed.err
    model = open_model(tmp_path / "own")
    assert model.labels == ("50 % right → there", "nach links (ü)", "background")
    assert model.manifest.background == ("background",)
    assert {"fp32", "int8"} <= model.manifest.precisions.keys()
    assert model.manifest.parity["fp32"].within_limits
    assert any(member.source["file"] == "motion" for member in model.manifest.members)
    found = json.loads((tmp_path / "own/finetune.json").read_text())
    assert found["results"]["fp32"]["top1"] >= 0.8
    assert found["run"]["mixtures"][0]["accuracy"] >= 0.8
    assert found["run"]["mixture"] == found["run"]["mixtures"][0]["mixture"]
    assert found["hop_ms"].keys() == found["results"].keys()
    assert {path.name for path in tmp_path.iterdir()} == {"own", "cache", "resnet18.pth"}


def test_where_motion_alone_is_best_the_model_is_motion_with_a_new_last_layer(
    with_imagenet: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without --from. A hop then costs what `motion` costs; nothing is trained in epochs."""
    for module in (choice, finetune_frozen):
        monkeypatch.setattr(module, "MIXTURES", choice.MIXTURES[-1:])
    assert main(with_imagenet("--without-background")) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^  motion alone: .* of held-out clips \(taken\)$", printed, re.M)
    assert "2/4 training" not in printed
    model = open_model(tmp_path / "own")
    assert [member.source["file"] for member in model.manifest.members] == ["motion"]
    found = json.loads((tmp_path / "own/finetune.json").read_text())
    assert found["run"]["mixture"] == "motion alone"
    assert found["results"]["fp32"]["top1"] >= 0.8
    assert {path.name for path in tmp_path.iterdir()} == {"own", "cache", "resnet18.pth"}


def test_it_starts_from_a_published_checkpoint_of_any_network(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options describe the network. Without mirror images in dataset.toml no clip is mirrored."""
    state = checkpoint.load(workspace / "run/weights.safetensors").state_dict()
    torch.save({"state_dict": published_names(state)}, tmp_path / "best.pth.tar")
    (tmp_path / "clips").mkdir()
    for label in ("nach links (ü)", "50 % right → there"):
        (tmp_path / "clips" / label).symlink_to(workspace / "clips" / label)
    line = (
        f"finetune --data {tmp_path / 'clips'} --from {tmp_path / 'best.pth.tar'} --out {tmp_path / 'own'} --workers 0 "
        f"--cache {workspace / 'cache'} --device cpu --epochs 1 --arch resnet18 --width 0.125 --segments 4 --size 64 "
        f"--network stdm_fusion=add --without-background"
    )

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_tdn_training.commands.export_model.export_model", interrupt)
    assert main(line.split()) == 130
    printed = capsys.readouterr().out
    assert "everything from best.pth.tar" in printed
    assert (
        "clips are not mirrored, because dataset.toml does not define the mirror image of '50 % right → there'"
        in printed
    )
    run = json.loads((tmp_path / "own.run/run.json").read_text())
    assert run["course"]["flip"] is False
    assert (run["network"]["arch"], run["network"]["width"], run["input"]["height"]) == ("resnet18", 0.125, 64)
    assert len((tmp_path / "own.run/metrics.jsonl").read_text().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"own.run", "clips", "best.pth.tar"}


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_evaluation_data_that_leaks_is_an_error(
    command: str, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copies of training files, whatever their names are, and recordings that are on both sides."""
    left, right = (workspace / "clips" / label for label in ("nach links (ü)", "50 % right → there"))
    clips, held_out = tmp_path / "clips", tmp_path / "held_out"

    def lay(evaluated: Path, described: str) -> None:
        """Create both data sets, whose files have the same names."""
        for side, own in (
            (clips, (left / "take-0.mp4", right / "take-0.mp4")),
            (held_out, (evaluated, right / "take-1.mp4")),
        ):
            for label, file in zip("ab", own, strict=True):
                (side / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, side / label / "hall-1.mp4")
            (side / "dataset.toml").write_text(described)

    def refusal() -> str:
        line = ["--data", clips, "--evaluate-on", held_out, "--from", workspace / "run", "--out", tmp_path / "own"]
        accepted = ["--without-background"] if command == "finetune" else []
        assert main([command, *map(str, line), "--cache", str(workspace / "cache"), "--device", "cpu", *accepted]) == 78
        assert {path.name for path in tmp_path.iterdir()} == {"clips", "held_out"}
        return capsys.readouterr().err

    lay(left / "take-0.mp4", "")
    assert f"{held_out}/a/hall-1.mp4: would be evaluated on and is trained on, as {clips}/a/hall-1.mp4" in refusal()
    lay(left / "take-1.mp4", "source = '(.+)-[0-9]+'")
    assert f"{held_out}/a/hall-1.mp4: is of the recording 'hall', and so is {clips}/" in refusal()
    lay(left / "take-1.mp4", "")
    check_evaluation_data(open_data(clips), open_data(held_out))


def test_torchrun_is_an_error(
    command: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of its processes would create the folder."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert main(command()) == 78
    assert "start it without torchrun" in capsys.readouterr().err


def test_train_reports_what_it_does_with_videos(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command lists unreadable videos and copies, and the export command with its background label."""
    for label, old in (("a", "clips/nach links (ü)"), ("background", "still")):
        shutil.copytree(workspace / old, tmp_path / "clips" / label)
    shutil.copy(tmp_path / "clips/a/take-1.mp4", tmp_path / "clips/a/take-9.mp4")
    line = (
        f"train --data {tmp_path / 'clips'} --out {tmp_path / 'own'} --hold-out 0.3 --cache {tmp_path / 'cache'} "
        f"--epochs 1 --batch 4 --arch resnet18 --width 0.125 --segments 4 --size 64 --device cpu --workers 0"
    )
    assert main(line.split()) == 0
    printed = capsys.readouterr().out
    assert "take-9.mp4: the same file as" in printed
    assert re.search(r"^2 classes; 7 videos to train on, 3 held out, 1 skipped\n  skipped: .*9\.mp4: ", printed, re.M)
    assert "--labels" in printed
    assert printed.endswith("--background=background\n")


def test_training_segments_lie_as_those_of_a_camera() -> None:
    """One segment a stride, at a random place of it; evaluation takes its middle, as window.py does."""
    for spec in (SPEC, InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=4)):
        starts = np.arange(spec.segments) * spec.segment_stride
        assert np.array_equal(
            centre_segments(spec.video_frames, spec.segments)[:, 0], starts + spec.segment_stride // 2
        )
        drawn = random_segments(spec.video_frames, spec.segments, np.random.default_rng(1))[:, 0]
        assert np.all((starts <= drawn) & (drawn < starts + spec.segment_stride))


@pytest.mark.parametrize(("rate", "before", "stride"), [(12, 5, 2), (15, 4, 2), (25, 8, 4), (12, 1, 1), (2, 2, 1)])
def test_the_default_stride_limits_the_length_of_a_clip(rate: float, before: int, stride: int) -> None:
    """The clips of the initial weights may be longer: published models have a segment every five frames."""
    known = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=rate, segment_stride=before)
    assert default_stride(known) == stride


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda clips: (clips / "empty").mkdir(), (), "empty: no video of this class"),
        (lambda clips: shutil.rmtree(clips / "b"), (), "the model would take everything that the camera sees for 'a'"),
        (lambda clips: (clips / "b").rename(clips / "b\nc"), (), "not a valid class name: use one line of UTF-8"),
        (lambda clips: [path.unlink() for path in (clips / "b").glob("[1-9]*")], (), "class 'b': nothing can be held"),
        (lambda clips: (clips / "b").rename(clips / "background"), ("--negatives", "nowhere"), "no such folder"),
        (lambda clips: shutil.rmtree(clips), (), "no such data"),
        (lambda clips: None, ("--hold-out", "1"), "--hold-out 1: must be between 0 and 1"),
        (lambda clips: None, ("--batch", "1"), "--batch 1: must be 2 or more"),
        (lambda clips: None, ("--seed", "-1"), "--seed -1: must be 0 or more"),
        (lambda clips: None, ("--segments", "0"), "--segments 0: must be 1 or more"),
        (lambda clips: None, ("--from", "gone.pth"), "gone.pth: no such checkpoint"),
        (lambda clips: None, ("--id", "a b"), "id 'a b': letters, digits"),
    ],
)
def test_data_or_options_that_are_wrong_are_an_error_and_nothing_is_written(
    change: Callable[[Path], object],
    more: tuple[str, ...],
    message: str,
    workspace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips = tmp_path / "clips"
    for label, old in (("a", "nach links (ü)"), ("b", "50 % right → there")):
        for n in range(3):
            (clips / label).mkdir(parents=True, exist_ok=True)
            (clips / label / f"{n}.mp4").symlink_to(workspace / "clips" / old / f"take-{n}.mp4")
    change(clips)
    line = [
        "finetune",
        "--data",
        clips,
        "--from",
        workspace / "run",
        "--out",
        tmp_path / "own",
        "--cache",
        workspace / "cache",
        "--without-background",
    ]
    assert main([*map(str, line), "--device", "cpu", *more]) == 78
    assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {"clips"}
