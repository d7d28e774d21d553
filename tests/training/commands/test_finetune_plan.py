"""The plan of a fine-tuning: what is refused before any video is decoded."""

import argparse
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from edge_tdn_training.__main__ import _parser
from edge_tdn_training.commands.finetune_plan import FrozenStart, TrainingStart, make_plan
from edge_tdn_training.data import video_cache
from edge_tdn_training.loop.imagenet_file import NoImageNetWeights

from edge_tdn.errors import ConfigError, EdgeTdnError
from tests.support.networks import imagenet_names, small_network
from tests.support.training_clips import make_clips

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("plan") / "clips", each=2)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all caches: it has no ImageNet weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches"


def options(clips: Path, *more: str | Path) -> argparse.Namespace:
    """Parse the options of a fine-tuning from the shipped model."""
    out = clips.parent / "model"
    line = ["finetune", "--data", str(clips), "--out", str(out), "--without-background", *map(str, more)]
    return _parser().parse_args(line)


def test_a_plan_contains_everything_that_the_steps_need(clips: Path) -> None:
    plan = make_plan(options(clips, "--id", "door", "--batch", 8))
    assert (plan.id, plan.data.labels) == ("door", ("left", "right"))
    assert plan.run_folder == clips.parent / "model.run"
    assert plan.background == ()
    training = plan.start
    assert isinstance(training, TrainingStart)
    assert (training.config.batch, training.config.flip) == (8, True)
    assert training.initial.model.config.classes == 2
    assert training.spec.ticks / training.spec.frame_rate <= 1.6, "a clip of the plan spans 1.5 s at most"


def test_without_imagenet_weights_motion_is_trained_and_a_note_says_how_to_fetch_them(
    clips: Path, caches: Path
) -> None:
    plan = make_plan(options(clips))
    assert isinstance(plan.start, TrainingStart)
    (note,) = (note for note in plan.notes if "ImageNet" in note)
    assert note.startswith("all layers of `motion` are trained, which knows how things move: no ImageNet weights")
    assert str(caches / "edge-tdn/imagenet") in note
    with pytest.raises(NoImageNetWeights, match="curl -fL"):
        make_plan(options(clips, "--from", "appearance"))
    assert [note for note in make_plan(options(clips, "--from", "motion")).notes if "ImageNet" in note] == []


def test_appearance_is_not_for_a_thousand_classes(clips: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    for number in range(101):
        (many / f"class {number}").mkdir(parents=True)
        (many / f"class {number}/take.mp4").symlink_to(clips / "left/take-0.mp4")
    line = options(clips, "--segments", 8)
    line.data = many
    assert (
        "101 classes: the starting point `appearance` is for up to 100; all layers of `motion` are trained"
        in make_plan(line).notes
    )
    line.start = "appearance"
    with pytest.raises(ConfigError, match="for up to 100; use --from motion, or edge-tdn-train train"):
        make_plan(line)


def test_with_imagenet_weights_both_networks_are_frozen(clips: Path, tmp_path: Path) -> None:
    """Any file with torchvision's names will do. What both networks read is the same; nothing has epochs."""
    torch.save(imagenet_names(small_network(width=1.0).state_dict()), tmp_path / "mine.pth")
    own = options(clips, "--imagenet", tmp_path / "mine.pth")
    start = make_plan(own).start
    assert isinstance(start, FrozenStart)
    assert [one.name for one in start.networks] == ["appearance", "motion"]
    assert [one.network.config.classes for one in start.networks] == [2, 2]
    assert "frozen networks: appearance from mine.pth and motion from motion" in start.notes
    training = make_plan(options(clips, "--from", "motion")).start
    assert isinstance(training, TrainingStart)
    assert start.spec.segment_s == training.spec.segment_s
    own.epochs = 5
    with pytest.raises(ConfigError, match="--epochs: from `appearance` nothing is trained in epochs; leave it out or"):
        make_plan(own)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--rate", "101"), "rate 101.0: must be from 0 to 100"),
        (("--seed", str(1 << 32)), "seed 4294967296: must be from 0 to"),
        (("--evaluate-on", "gone"), "gone: no such data"),
        (("--from", "gone.pth"), "gone.pth: no such checkpoint"),
        (("--from", "apearance"), "--from apearance: no such starting point; did you mean 'appearance'?"),
        (("--segment-stride", "0"), "--segment-stride 0: must be 1 or more"),
        (("--from", "", "--arch", "resnet18", "--width", "0.125", "--size", "32"), "size 32x32: too small"),
    ],
)
def test_what_can_be_refused_is_refused_before_videos_are_decoded(
    more: tuple[str, ...], message: str, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_cache, "decode", lambda *_: pytest.fail("a video was decoded"))
    with pytest.raises(EdgeTdnError, match=message):
        make_plan(options(clips, *more))


def test_evaluation_data_with_another_class_is_an_error(clips: Path, tmp_path: Path) -> None:
    other = make_clips(tmp_path / "other", each=1)
    (other / "left").rename(other / "up")
    (other / "dataset.toml").unlink()
    with pytest.raises(ConfigError, match="class 'up' is not a class of"):
        make_plan(options(clips, "--evaluate-on", other))


def test_data_without_background_is_an_error_with_the_command_that_records_it(clips: Path, tmp_path: Path) -> None:
    """A name that resembles it is pointed out; a list needs a folder of its own."""
    other = Path(shutil.copytree(clips, tmp_path / "my clips"))
    (other / "dataset.toml").unlink()
    (other / "left").rename(other / "backround")
    line = options(other)
    line.without_background = False
    with pytest.raises(
        ConfigError, match="would take everything that the camera sees for 'backround' or 'right'"
    ) as no:
        make_plan(line)
    _, near, _, printed, *rest = str(no.value).splitlines()
    assert near == "if it is 'backround', rename that class to background"
    assert shlex.split(printed)[1:] == ["record", "--source", "CAMERA", "--label", "background", "--out", str(other)]
    assert [text.rpartition(": ")[2] for text in rest] == ["--negatives DIR", "--without-background"]
    (other / "backround").rename(other / "Background")
    assert make_plan(line).background == ("Background",)
    (other / "list.txt").write_text("right/take-0.mp4 0\n")
    (other / "labels.txt").write_text("right\n")
    line.data = other / "list.txt"
    with pytest.raises(ConfigError, match=r"--negatives negatives/background:\n.* --out negatives\n.*--negatives DIR$"):
        make_plan(line)


def test_only_a_class_named_background_is_background(clips: Path, tmp_path: Path) -> None:
    """`still` is background in the shipped model; a class that the user records is an action. A note states both."""
    other = Path(shutil.copytree(clips, tmp_path / "clips"))
    (other / "dataset.toml").unlink()
    (other / "left").rename(other / "still")
    line = options(other)
    line.without_background = False
    with pytest.raises(ConfigError, match="no class 'background'"):
        make_plan(line)
    shutil.copytree(other / "right", other / "background")
    plan = make_plan(line)
    assert plan.background == ("background",)
    assert "background, which is never reported: 'background'; actions: 'right', 'still'" in plan.notes


def test_a_place_that_cannot_be_written_to_is_an_error(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not a folder; choose another place for the results"):
        make_plan(options(clips, "--out", tmp_path / "file/model"))
