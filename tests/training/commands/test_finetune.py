"""Fine-tuning: own clips become a model folder in one go, judged by recordings that were not learnt from."""

import copy
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edge_tdn_export.network import checkpoint
from edge_tdn_training.__main__ import main
from edge_tdn_training.commands.finetune_plan import default_stride
from edge_tdn_training.commands.train import hold_out_decoded
from edge_tdn_training.data.augment import decoded_short_side
from edge_tdn_training.data.background import with_background
from edge_tdn_training.data.balance import balance, evaluation_clips
from edge_tdn_training.data.dataset import DataSet, Video, open_data
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.sampling import centre_segments, random_segments
from edge_tdn_training.data.split import check_apart, check_evaluation_data, split
from edge_tdn_training.data.video_cache import decode
from edge_tdn_training.loop.early_stopping import best_epoch, has_stalled
from edge_tdn_training.loop.initial_weights import load_initial_weights
from edge_tdn_training.loop.task import TrainingTask
from edge_tdn_training.training_config import TrainingConfig
from PIL import Image

from edge_tdn.__main__ import main as host
from edge_tdn.demo.scene import Pose, Scene
from edge_tdn.errors import ConfigError
from edge_tdn.manifest import InputSpec, open_model
from edge_tdn.media.video_writer import write_video
from tests.support.networks import published_names
from tests.support.training_clips import RATE, SPEC, make_clips
from tests.support.training_tasks import train_here
from tests.support.waiting import eventually

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("one_thread")]
CLIP = SPEC.video_frames


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clips/: two classes with odd names; still/: negatives; run/: a small network that knows left from right."""
    room = tmp_path_factory.mktemp("finetune")
    clips = make_clips(room / "clips", each=5)
    start = load_initial_weights("", ("left", "right"), 1, arch="resnet18", width=0.125, segments=4, stdm_fusion="add")
    decoded = decode(open_data(clips), SPEC.frame_rate, decoded_short_side(SPEC), room / "cache")
    course = TrainingConfig(epochs=12, batch=5, rate=1.0, warm_up_epochs=0.5, dropout=0.0, precision="fp32")
    train_here(TrainingTask(start, SPEC, decoded, None, course), room / "run", micro_batch=5)
    for old, new in (("left", "nach links (ü)"), ("right", "50 % right → there")):
        (clips / old).rename(clips / new)
    (clips / "dataset.toml").write_text('[flip]\n"nach links (ü)" = "50 % right → there"\n')
    for n in range(4):
        scene = Scene(np.random.default_rng(n), 80, 112)
        still = (scene.draw(Pose(0.5, 0.5, 0.3) if n % 2 else None) for _ in range(36))
        write_video(still, RATE, room / "still" / f"{n}.mp4")
    (room / "still/9.mp4").write_bytes(b"no video")
    return room


@pytest.fixture
def command(room: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """command("--epochs", 5) -> a fine-tuning from `run` into tmp_path / "own"."""

    def make(*more: str | int) -> list[str]:
        line = (
            f"finetune --data {room / 'clips'} --from {room / 'run'} --out {tmp_path / 'own'} --device cpu "
            f"--cache {room / 'cache'} --workers 0"
        )
        return [*line.split(), *map(str, more)]

    return make


def test_stopped_and_gone_on_it_makes_a_model_that_a_host_takes(
    room: Path, command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the clips to INT8, with a background of negatives; interrupted after an epoch, nothing is at --out."""
    line = command("--negatives", room / "still", "--epochs", 10, "--rate", "0.2")
    metrics = tmp_path / "own.run/metrics.jsonl"

    def interrupt() -> None:
        eventually((tmp_path / "own.run/checkpoint.pt").exists)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert main(line) == 130
    assert {path.name for path in tmp_path.iterdir()} == {"own.run"}
    assert 1 <= len(metrics.read_text().splitlines()) < 10
    assert main(line) == 0
    said = capsys.readouterr()
    assert "resuming after epoch" in said.err
    assert "new: linear layer of 3 classes (it had 2 others)" in said.out
    assert "  1 video(s) skipped" in said.out
    model = open_model(tmp_path / "own")
    assert model.labels == ("50 % right → there", "nach links (ü)", "background")
    assert model.manifest.background == ("background",)
    assert model.manifest.input == SPEC
    assert {"fp32", "int8"} <= model.manifest.precisions.keys()
    assert model.manifest.parity["fp32"].proven
    found = json.loads((tmp_path / "own/finetune.json").read_text())
    assert found["results"]["fp32"]["top1"] >= 0.8
    (skipped,) = found["run"]["data"]["skipped"]
    assert f"{room}/still/9.mp4: " in skipped
    assert Image.open(tmp_path / "own/confusion.png").size[0] > 200
    assert {path.name for path in tmp_path.iterdir()} == {"own", "own.run"}
    (tmp_path / "site.toml").write_text(
        f'[runtime]\nmodel = "own"\n[broker]\nurl = "mqtt://127.0.0.1:1"\n[[camera]]\nname = "c"\n'
        f'source = "{room / "still/0.mp4"}"\n'
    )
    assert host(["check", "--config", str(tmp_path / "site.toml")]) == 0
    capsys.readouterr()
    clip = room / "clips/nach links (ü)/take-0.mp4"
    assert host(["replay", str(clip), "--config", str(tmp_path / "site.toml")]) == 0
    assert {json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()} == {"nach links (ü)"}
    assert main(line) == 78
    assert "exists already" in capsys.readouterr().err


def test_it_begins_from_a_published_checkpoint_of_any_network(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the command line describes; stopped when it has learnt. No clip is mirrored: nobody said what that makes."""
    state = checkpoint.load(room / "run/weights.safetensors").state_dict()
    torch.save({"state_dict": published_names(state)}, tmp_path / "best.pth.tar")
    (tmp_path / "clips").mkdir()
    for label in ("nach links (ü)", "50 % right → there"):
        (tmp_path / "clips" / label).symlink_to(room / "clips" / label)
    line = (
        f"finetune --data {tmp_path / 'clips'} --from {tmp_path / 'best.pth.tar'} --out {tmp_path / 'own'} --workers 0 "
        f"--cache {room / 'cache'} --device cpu --epochs 1 --arch resnet18 --width 0.125 --segments 4 --size 64 "
        f"--network stdm_fusion=add"
    )

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_tdn_training.commands.export_model.export_model", interrupt)
    assert main(line.split()) == 130
    said = capsys.readouterr().out
    assert "everything from best.pth.tar" in said
    assert (
        "clips are not mirrored, because dataset.toml does not define the mirror image of '50 % right → there'" in said
    )
    run = json.loads((tmp_path / "own.run/run.json").read_text())
    assert run["course"]["flip"] is False
    assert (run["network"]["arch"], run["network"]["width"], run["input"]["height"]) == ("resnet18", 0.125, 64)
    assert len((tmp_path / "own.run/metrics.jsonl").read_text().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"own.run", "clips", "best.pth.tar"}


@pytest.fixture(scope="module")
def decoded(room: Path) -> DecodedDataSet:
    return decode(open_data(room / "clips"), SPEC.frame_rate, decoded_short_side(SPEC), room / "cache")


def of(decoded: DecodedDataSet, *sources: str, label: int = 0) -> DecodedDataSet:
    """Its first videos, as if they were of these recordings and of this class; the other class's stay."""
    own = [n for n, video in enumerate(decoded.data.videos) if video.label == label][: len(sources)]
    others = [n for n, video in enumerate(decoded.data.videos) if video.label != label]
    videos = [Video(decoded.data.videos[n].path, label, name) for n, name in zip(own, sources, strict=True)]
    data = DataSet(decoded.data.labels, (*videos, *(decoded.data.videos[n] for n in others)), decoded.data.swaps)
    return DecodedDataSet(data, tuple(decoded.frames[n] for n in (*own, *others)))


def names(decoded: DecodedDataSet, label: int = 0) -> list[str]:
    return [video.path.stem for video in decoded.data.videos if video.label == label]


def test_what_is_judged_by_is_of_other_recordings(decoded: DecodedDataSet) -> None:
    found = split(of(decoded, "a", "a", "b", "b", "b"), 0.4, CLIP, seed=1)
    assert {video.source for video in found.train.data.videos}.isdisjoint(
        video.source for video in found.held_out.data.videos
    )
    assert {video.label for video in found.held_out.data.videos} == {0, 1}
    assert found.notes == ()


def test_a_class_of_one_recording_is_split_in_time_and_that_is_said(decoded: DecodedDataSet) -> None:
    """The last videos are judged by, and the one before them is left out."""
    found = split(of(decoded, "a", "a", "a", "a", "a"), 0.4, CLIP, seed=1)
    assert (names(found.train), names(found.held_out)) == (["take-0", "take-1"], ["take-3", "take-4"])
    (said,) = found.notes
    assert said.startswith("class '50 % right → there': one recording, split in time, one video left out between")


def test_a_single_video_is_split_with_a_gap_of_one_segment(decoded: DecodedDataSet) -> None:
    found = split(of(decoded, "a"), 0.3, clip=6, seed=1)
    ((before, learnt),), ((after, judged),) = (
        [item for item in zip(side.data.videos, side.frames, strict=True) if item[0].label == 0]
        for side in (found.train, found.held_out)
    )
    assert (len(learnt), len(judged)) == (24 - 7 - 5, 7)
    assert (before.from_s, before.to_s, after.from_s, after.to_s) == pytest.approx((0, 12 / 12, 17 / 12, 2))
    whole = decoded.frames[0].take(np.arange(24))
    assert np.array_equal(judged.take(np.arange(7)), whole[17:])
    assert np.array_equal(learnt.take(np.arange(12)), whole[:12])
    with pytest.raises(ConfigError, match=r"nothing can be held out of its 1 video.s. of one recording"):
        split(of(decoded, "a"), 0.3, clip=10, seed=1)


def test_copies_are_one_recording(decoded: DecodedDataSet, tmp_path: Path) -> None:
    """Else what is judged by would be learnt from under another name."""
    videos = list(decoded.data.videos)
    copy = Path(shutil.copy(videos[0].path, tmp_path / "other.mp4"))
    videos[1] = Video(copy, 0, "elsewhere")
    copied = DecodedDataSet(DataSet(decoded.data.labels, tuple(videos), decoded.data.swaps), decoded.frames)
    for seed in range(4):
        found = split(copied, 0.4, CLIP, seed)
        for held_out, said in ((found.held_out, found.notes), hold_out_decoded(copied, 0.4, seed)[1:]):  # train's
            sides = ["other" in names(held_out), videos[0].path in {v.path for v in held_out.data.videos}]
            assert sides[0] == sides[1]
            assert "the same file as" in said[0]


def test_a_split_that_would_leak_is_refused(decoded: DecodedDataSet, tmp_path: Path) -> None:
    data = decoded.data
    copy = Path(shutil.copy(data.videos[2].path, tmp_path / "other.mp4"))
    for leak in (data.videos[2], Video(copy, 0, "elsewhere", 0.5, 1.0)):
        with pytest.raises(ConfigError, match=r"would be evaluated on and is trained on, as .*take-2\.mp4"):
            check_apart(data, DataSet(data.labels, (leak,), data.swaps))
    first, second = (Video(data.videos[2].path, 0, "x", *part) for part in ((0.0, 1.0), (1.0, 2.0)))
    check_apart(DataSet(data.labels, (first,), data.swaps), DataSet(data.labels, (second,), data.swaps))


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_data_to_judge_by_that_leaks_is_refused(
    command: str, room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of what is learnt from, whatever it is called; and, of other files, a recording that is on both sides."""
    left, right = (room / "clips" / label for label in ("nach links (ü)", "50 % right → there"))
    clips, exam = tmp_path / "clips", tmp_path / "exam"

    def lay(judged: Path, described: str) -> None:
        """Both sides give their files the same names."""
        for side, own in ((clips, (left / "take-0.mp4", right / "take-0.mp4")), (exam, (judged, right / "take-1.mp4"))):
            for label, file in zip("ab", own, strict=True):
                (side / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, side / label / "hall-1.mp4")
            (side / "dataset.toml").write_text(described)

    def refusal() -> str:
        line = ["--data", clips, "--judge", exam, "--from", room / "run", "--out", tmp_path / "own"]
        assert main([command, *map(str, line), "--cache", str(room / "cache"), "--device", "cpu"]) == 78
        assert {path.name for path in tmp_path.iterdir()} == {"clips", "exam"}
        return capsys.readouterr().err

    lay(left / "take-0.mp4", "")
    assert f"{exam}/a/hall-1.mp4: would be evaluated on and is trained on, as {clips}/a/hall-1.mp4" in refusal()
    lay(left / "take-1.mp4", "source = '(.+)-[0-9]+'")
    assert f"{exam}/a/hall-1.mp4: is of the recording 'hall', and so is {clips}/" in refusal()
    lay(left / "take-1.mp4", "")
    check_evaluation_data(open_data(clips), open_data(exam))


def test_torchrun_is_for_train(
    command: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of its processes would make the folder."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert main(command()) == 78
    assert "start it without torchrun" in capsys.readouterr().err


def test_train_says_what_it_does_with_videos(room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read, what is a copy, and how to export that background starts no action."""
    for label, old in (("a", "clips/nach links (ü)"), ("background", "still")):
        shutil.copytree(room / old, tmp_path / "clips" / label)
    shutil.copy(tmp_path / "clips/a/take-1.mp4", tmp_path / "clips/a/take-9.mp4")
    line = (
        f"train --data {tmp_path / 'clips'} --out {tmp_path / 'own'} --hold-out 0.3 --cache {tmp_path / 'cache'} "
        f"--epochs 1 --batch 4 --arch resnet18 --width 0.125 --segments 4 --size 64 --device cpu --workers 0"
    )
    assert main(line.split()) == 0
    said = capsys.readouterr().out
    assert "take-9.mp4: the same file as" in said
    assert re.search(r"^2 classes; 7 videos to train on, 3 held out, 1 skipped\n  skipped: .*9\.mp4: ", said, re.M)
    assert "--labels" in said
    assert said.endswith("--background background\n")


def test_background_is_what_a_list_leaves_out(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """Half a second beside labelled parts is left out, too; a whole file leaves nothing."""
    make_video(frames=150, name="long.mp4")  # 10 s
    make_video(frames=30, name="whole.mp4")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    (tmp_path / "list.txt").write_text("long.mp4#t=2,3 0\nlong.mp4#t=3.5,5 1\nwhole.mp4 0\n")
    data, said = with_background(open_data(tmp_path / "list.txt"), None)
    assert data.labels == ("a", "b", "background")
    made = [(v.path.name, v.from_s, v.to_s) for v in data.videos if v.label == 2]
    assert made == [("long.mp4", 0, 1.5), ("long.mp4", 5.5, pytest.approx(10))]
    assert len({video.source for video in data.videos if video.path.name == "long.mp4"}) == 1
    assert said == ("class 'background': 2 interval(s) outside of the labelled ones",)
    (tmp_path / "list.txt").write_text("whole.mp4 0\nwhole.mp4 1\n")
    same, said = with_background(open_data(tmp_path / "list.txt"), None)
    assert same.labels == ("a", "b")
    assert "no class 'background'" in said[0]


def test_negatives_of_one_call_of_record_are_one_recording(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """Else some would be judged by while others are learnt from: `dataset.toml` lies beside the class's folder."""
    (tmp_path / "negatives").mkdir()
    for number in (1, 2):
        make_video(frames=6, name=f"day-{number}.mp4").rename(tmp_path / f"negatives/day-{number}.mp4")
    data = DataSet(("a",), (Video(tmp_path / "x.mp4", 0, "x"),), (0,))
    for told, count in (("", 3), ("source = '(.+)-[0-9]+'\n", 2)):
        (tmp_path / "dataset.toml").write_text(told)
        both, _ = with_background(data, tmp_path / "negatives")
        assert len({video.source for video in both.videos}) == count


def test_an_epoch_takes_every_class_equally_often(decoded: DecodedDataSet) -> None:
    """And background as often, but every video of it; then the actions more often, too."""
    few = of(decoded, "a", "b")
    named = DataSet(("background", "left"), few.data.videos, (0, 1))
    many = DecodedDataSet(
        replace(named, videos=tuple(replace(few.data.videos[0], from_s=n / 100) for n in range(30)) + few.data.videos),
        tuple(copy.copy(few.frames[0]) for _ in range(30)) + few.frames,
    )
    for given, each in ((few, 24), (DecodedDataSet(named, few.frames), 24), (many, 32)):
        lessons = balance(given, clip=6)  # four clips a video: 8 of the one, 20 of the other
        count = np.bincount([video.label for video in lessons.data.videos])
        assert count.tolist() == [each, each]
        assert set(lessons.data.videos) == set(given.data.videos)
    exam = evaluation_clips(few, clip=12)
    assert {len(frames) for frames in exam.frames} == {12}
    assert len(exam.frames) == 7 * 5, "from frames 0, 3, 6, 9 and 12"


def test_learnt_clips_are_laid_as_a_cameras() -> None:
    """One segment a stride, wherever in it; judged by is its middle, as window.py has it."""
    for spec in (SPEC, InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=4)):
        starts = np.arange(spec.segments) * spec.segment_stride
        assert np.array_equal(
            centre_segments(spec.video_frames, spec.segments)[:, 0], starts + spec.segment_stride // 2
        )
        drawn = random_segments(spec.video_frames, spec.segments, np.random.default_rng(1))[:, 0]
        assert np.all((starts <= drawn) & (drawn < starts + spec.segment_stride))


@pytest.mark.parametrize(("rate", "before", "stride"), [(12, 5, 2), (15, 4, 2), (25, 8, 4), (12, 1, 1), (2, 2, 1)])
def test_an_action_is_not_waited_for_longer_than_it_must(rate: float, before: int, stride: int) -> None:
    """What it comes from may have looked at longer ones: published models, a segment every five frames."""
    known = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=rate, segment_stride=before)
    assert default_stride(known) == stride


def with_rates(course: TrainingConfig, *losses: float) -> list[dict[str, float]]:
    return [{"rate": course.rate_at(epoch), "held_out_loss": loss} for epoch, loss in enumerate(losses)]


def test_learning_ends_early_only_when_the_rate_has_fallen() -> None:
    course = TrainingConfig(epochs=10, milestones=(0.5, 0.9))
    lowest_first = with_rates(course, 0.2, 0.5, 0.4, 0.3, 0.5, 0.6, 0.7, 0.8)
    assert [has_stalled(lowest_first[:n], 2) for n in range(1, 9)] == [False] * 7 + [True]
    better_still = with_rates(course, 0.2, 0.5, 0.4, 0.3, 0.5, 0.1, 0.7, 0.8)
    assert [has_stalled(better_still[:n], 2) for n in range(1, 9)] == [False] * 7 + [True]


def test_what_is_taken_was_learnt_at_a_low_rate() -> None:
    """A low loss of an epoch at a high rate is luck; while there is no other, it is what a stop leaves."""
    for warm_up in (0.0, 1.0):
        metrics = with_rates(
            TrainingConfig(epochs=10, milestones=(0.5,), warm_up_epochs=warm_up), 0.2, 0.1, 0.4, 0.3, 0.5, 0.6, 0.4
        )
        assert [best_epoch(metrics[:n]) for n in range(1, 8)] == [0, 1, 1, 1, 1, 5, 6]


@pytest.mark.parametrize(
    ("make", "more", "told"),
    [
        (lambda clips: (clips / "empty").mkdir(), (), "empty: no video of this class"),
        (lambda clips: shutil.rmtree(clips / "b"), (), "only one class, 'a'; add a folder named"),
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
def test_what_cannot_be_learnt_from_is_told_and_nothing_is_written(
    make: Callable[[Path], object],
    more: tuple[str, ...],
    told: str,
    room: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips = tmp_path / "clips"
    for label, old in (("a", "nach links (ü)"), ("b", "50 % right → there")):
        for n in range(3):
            (clips / label).mkdir(parents=True, exist_ok=True)
            (clips / label / f"{n}.mp4").symlink_to(room / "clips" / old / f"take-{n}.mp4")
    make(clips)
    line = ["finetune", "--data", clips, "--from", room / "run", "--out", tmp_path / "own", "--cache", room / "cache"]
    assert main([*map(str, line), "--device", "cpu", *more]) == 78
    assert told in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {"clips"}
