"""`edge-tdn-export explain`: heat follows Grad-CAM's equations and lies on the action; D(X) is the S-TDM's input."""

import copy
import dataclasses
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edge_tdn_export.__main__ import main
from edge_tdn_export.clips import read_clips
from edge_tdn_export.explain import report
from edge_tdn_export.explain.gradcam import (
    ExplainedModel,
    ModelView,
    best_clip,
    clip_at,
    explain,
    explained_checkpoint,
    open_explained,
)
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.reference import open_networks
from edge_tdn_export.network.source import find_source
from edge_tdn_export.network.tdn import normalise
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.capture.video_file import length_s, read_file
from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.manifest import LABELS, InputSpec, Model, open_model
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Segment
from edge_tdn.segments.preprocess import Preprocessor
from tests.support.exports import write_labels
from tests.support.model_folders import reseal
from tests.support.networks import T_CONV, TSM, TSN, small_network

pytestmark = pytest.mark.usefixtures("one_thread")
SPEC = InputSpec(segments=2, height=64, width=96, resize="stretch", frame_rate=12.0, segment_stride=5)
CLASSES = ("one", "two", "three", "four", "five")
FIRST_FRAME_S = 1000.0  # far longer than the test that may not wait for it


@pytest.fixture(scope="module")
def shipped() -> ExplainedModel:
    return open_explained("motion")


def noise(spec: InputSpec) -> NDArray[np.uint8]:
    shape = (spec.segments, spec.frames, spec.height, spec.width, 3)
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("options", "height", "stage"),
    [({}, 192, 5), ({"stdm_stages": (1, 5), "stdm_fusion": "attention"}, 96, 4), (T_CONV, 64, 3)],
)
def test_heat_follows_the_equations_by_finite_differences(options: dict[str, Any], height: int, stage: int) -> None:
    """The weight of a feature map is the logit's mean gradient over it, measured by growing one map at a time."""
    spec = SPEC.model_copy(update={"height": height, "width": height + 32})
    subject = ExplainedModel("small", small_network(segments=2, width=0.125, **options), spec, CLASSES)
    frames, step = noise(spec), 1e-6
    maps: list[Tensor] = []

    def grow(module: Any, inputs: Any, output: Tensor) -> Tensor:
        """Grow one map of one segment in each clip but the first."""
        maps.append(output[: spec.segments])
        each = torch.eye(spec.segments * output.shape[1], dtype=torch.float64)
        growth = torch.cat([torch.zeros_like(each[:1]), step * each])
        return output + growth.unflatten(1, (spec.segments, -1)).flatten(0, 1)[..., None, None]

    network = copy.deepcopy(subject.network).double()
    clips = 1 + spec.segments * network.get_submodule(f"res{stage}.1.bn2").num_features
    hook = network.get_submodule(f"res{stage}.1").register_forward_hook(grow)
    with torch.inference_mode():
        pixels = normalise(torch.from_numpy(frames), spec.mean, spec.std).double()
        features = network.encode(pixels)
        logits = network.classify(*(feature.repeat(clips, 1, 1, 1) for feature in features))  # [clips, classes]
    hook.remove()
    gains = (logits[1:] - logits[0]) / step / maps[0][0, 0].numel()
    hottest = 0.0
    for label in range(len(CLASSES)):
        parts = gains[:, label].unflatten(0, (spec.segments, -1))[..., None, None] * maps[0]  # [T, C, h, w]
        heat = parts.sum(1, keepdim=True).clamp(min=0)
        expected = F.interpolate(heat, size=(height, height + 32), mode="bilinear", align_corners=False)[:, 0]
        view, scale = explain(subject, frames, label), float(parts.abs().sum(1).max())
        assert view.stage == stage
        assert view.heat.shape == expected.shape
        assert np.abs(view.heat - expected.numpy()).max() <= 1e-3 * scale
        hottest = max(hottest, float(expected.max()) / scale)
    assert hottest > 0.05


def test_drawn_differences_are_the_input_of_the_stdm(shipped: ExplainedModel) -> None:
    """Frames that are normalised, subtracted and pooled by 2 equal the input of the S-TDM's first convolution."""
    frames = noise(shipped.spec)
    motion = explain(shipped, frames, 0).motion
    x = frames / 255 / np.array(shipped.spec.std)  # the mean cancels out
    d = (x[:, 1:] - x[:, :-1]).transpose(0, 1, 4, 2, 3)  # [T, 4, 3, H, W]
    pooled = (d[..., ::2, ::2] + d[..., 1::2, ::2] + d[..., ::2, 1::2] + d[..., 1::2, 1::2]) / 4
    assert motion is not None
    assert np.allclose(motion, pooled, atol=1e-5)
    tsn = ExplainedModel("tsn", small_network(segments=2, width=0.125, **TSN), SPEC, CLASSES)
    assert explain(tsn, noise(SPEC), 0).motion is None


def test_explaining_does_not_change_scores_or_network(shipped: ExplainedModel, motion: Model) -> None:
    """The scores are those of the network alone, and no hook remains."""
    frames = noise(shipped.spec)
    expected = torch.from_numpy(open_networks(motion)(frames)).double().softmax(0).numpy()
    for label in (0, 5):
        assert np.allclose(explain(shipped, frames, label).scores, expected, atol=1e-6)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in shipped.network.modules())


def drawn(label: str, seed: int, spec: InputSpec) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw a moving thing: return the clip, and masks of the thing in its centre frames, [T, H, W]."""
    rng = np.random.default_rng(seed)
    height, width = 120, 160
    scene, resize = Scene(rng, height, width), Preprocessor(spec)
    motion = Motion(label, speed=0.2, growth=0.4, swing=0.1)
    middle = Pose(rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), 0.3)
    half = motion.at(middle, spec.ticks / spec.frame_rate / 2) if label != "wave" else middle
    start = Pose(2 * middle.x - half.x, 2 * middle.y - half.y, middle.size**2 / half.size)
    starts = np.arange(spec.segments) * spec.segment_stride
    poses = [motion.at(start, tick / spec.frame_rate) for tick in range(spec.ticks)]
    pictures = np.stack([resize(scene.draw(pose)) for pose in poses])
    y, x = np.mgrid[0:height, 0:width]
    places = []
    for pose in (poses[tick + 2] for tick in starts):
        disc = np.hypot(x - pose.x * width, y - pose.y * height) < pose.size * height / 2
        places.append(resize(np.repeat(disc[..., None] * np.uint8(255), 3, 2))[..., 0] > 127)
    return pictures[starts[:, None] + np.arange(5)], np.stack(places)


def test_heat_lies_on_the_action(shipped: ExplainedModel) -> None:
    """Heat is much higher on the moving thing than elsewhere, and not on the place of another clip's thing.

    (Over 56 clips: 5.0 times at the median, 4.0 at the tenth percentile; 1.8 at the place of another clip's thing.)
    """
    labels = ("left", "right", "up", "down", "approach", "wave")
    clips = [(drawn(label, seed, shipped.spec), shipped.label(label)) for label in labels for seed in range(5)]
    heats = [explain(shipped, frames, label).heat for (frames, _), label in clips]
    places = [place for (_, place), _ in clips]

    def ratio(heat: NDArray[np.float32], place: NDArray[np.bool_]) -> float:
        return float(heat[place].mean() / heat[~place].mean()) if heat.any() else 1.0

    own = [ratio(heat, place) for heat, place in zip(heats, places, strict=True)]
    other = [ratio(heat, place) for heat, place in zip(heats, places[1:] + places[:1], strict=True)]
    assert np.median(own) > 3
    assert np.mean(np.array(own) > 2) > 0.9
    assert np.median(other) < 0.7 * np.median(own)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a thing: 2 s still, 3 s to the right, 2 s still."""
    scene, path = Scene(np.random.default_rng(35), 120, 160), tmp_path_factory.mktemp("video") / "thing.mp4"
    times = np.clip(np.arange(0, 7, 1 / 15) - 2, 0, 3)
    write_video((scene.draw(Motion("right", speed=0.17).at(Pose(0.3, 0.5, 0.35), t)) for t in times), 15, path)
    return path


def test_chosen_clip_is_the_best_or_the_nearest(shipped: ExplainedModel, motion: Model, video: Path) -> None:
    """The clip is cut as the live path cuts it, and is the best when the whole network scores every clip."""
    spec, networks = shipped.spec, open_networks(motion)
    (recording,) = read_clips(video, spec).recordings
    lasts = recording.lasts(spec)
    logits = np.stack([networks(recording.clip(last, spec)) for last in lasts])
    scores = torch.from_numpy(logits).double().log_softmax(1).numpy()

    def place(segments: tuple[Segment, ...]) -> int:
        """Return the number of this clip in the recording."""
        last = segments[-1].index
        assert np.array_equal(np.stack([segment.frames for segment in segments]), recording.clip(last, spec))
        return lasts.index(last)

    all_but_left = tuple(name for name in shipped.labels if name != "left")
    for background in (shipped.background, all_but_left):
        reported = scores[:, [n for n, name in enumerate(shipped.labels) if name not in background]].max(1)
        found = place(best_clip(dataclasses.replace(shipped, background=background), video))
        assert reported[found] == pytest.approx(reported.max(), rel=1e-3)
    still = shipped.label("still")
    assert scores[place(best_clip(shipped, video, still)), still] == pytest.approx(scores[:, still].max(), rel=1e-3)
    middles = np.array([recording.seconds(last) for last in lasts]) - (spec.ticks - 1) / spec.frame_rate / 2
    for at_s in (0.0, 3.3, 6.9):
        assert place(clip_at(video, spec, at_s)) == np.abs(middles - at_s).argmin()


def test_a_checkpoints_class_background_is_its_background(tmp_path: Path) -> None:
    """So that the clip is chosen by its actions, as of a model folder."""
    labels = (*CLASSES[:4], "background")
    write_labels(tmp_path / LABELS, labels)
    checkpoint.save(small_network(segments=2, width=0.125), tmp_path / "w.safetensors", SPEC)
    source = find_source(tmp_path / "w.safetensors")
    found = explained_checkpoint(source, checkpoint.load(source.weights), SPEC, None)
    assert (found.labels, found.background) == (labels, ("background",))


def test_explain_command_draws_both_networks_and_prints_their_scores(
    motion: Model, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint with its input on the command line gives the same scores as its model folder."""
    tsn, both, alone = (tmp_path / name for name in ("tsn.safetensors", "both.png", "alone.png"))
    checkpoint.save(small_network(width=0.125, classes=8, **TSN), tsn)
    assert main(["explain", "motion", str(video), "--baseline", str(tsn), "--at", "3.5", "--out", str(both)]) == 0
    of_both = capsys.readouterr().out
    spec, weights = motion.manifest.input, motion.folder / "weights.safetensors"
    options = ["--size", str(spec.height), "--resize", spec.resize, "--frame-rate", str(spec.frame_rate)]
    options += ["--segment-stride", str(spec.segment_stride), "--at", "3.5", "--out", str(alone)]
    assert main(["explain", str(weights), str(video), *options]) == 0
    of_one = capsys.readouterr().out
    rows = [[line.split() for line in output.splitlines() if line[:1].isdigit()] for output in (of_both, of_one)]
    assert [row[3:] for row in rows[0][:5]] == [row[1:] for row in rows[1][:5]]
    assert rows[1][0][1] == "right"
    assert "tsn.safetensors" in of_both
    with Image.open(both) as two, Image.open(alone) as one:
        assert two.width == one.width
        assert two.height > one.height + 150


def test_image_has_every_heat_and_difference_in_its_place() -> None:
    """Heat in one corner of one segment, and four differences of different brightness, appear where they belong."""
    subject = ExplainedModel("$x$ 中文\a", small_network(segments=2, width=0.125), SPEC, CLASSES)
    frames = np.full((5, 64, 96, 3), 128, np.uint8)
    segments = [Segment(frames, n, 0, 0, 0, 0, 0, 0) for n in range(2)]
    heat = np.zeros((2, 64, 96), np.float32)
    heat[1, :32, :48] = 2
    levels = np.array([-1, -0.3, 0.4, 1], np.float32)
    motion = np.broadcast_to(levels[:, None, None, None], (2, 4, 3, 32, 48)).copy()
    motion[0] = 0
    drawn = report.draw("a.mp4", 0, segments, [ModelView(subject, np.full(5, 0.2), 3, heat, motion)])
    with Image.open(io.BytesIO(drawn)) as image:
        picture = np.asarray(image.convert("RGB")).astype(int)
    r = report
    down = 2 * r.COLUMN * 64 / (2 * 96 + r._gap(96))

    def at(row: int, column: int, x: float, y: float) -> NDArray[np.int_]:
        """Return the colour at (x, y) of a frame, with its width and height as 1."""
        top = r.ABOVE + row * (down + r.BETWEEN) + y * down
        left = r.LEFT + 2 * r.COLUMN * (column * (96 + r._gap(96)) + x * 96) / (2 * 96 + r._gap(96))
        return picture[round(top * r.DPI), round(left * r.DPI)]

    quarters = [(x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    hot = [[at(1, column, *quarter).sum() for quarter in quarters] for column in (0, 1)]
    assert hot[1][0] > 1.5 * max(hot[0] + hot[1][1:])
    assert np.ptp(hot[0] + hot[1][1:]) <= 3
    shown = np.array([[at(2, column, *quarter) for quarter in quarters] for column in (0, 1)])
    assert np.abs(shown[0] - 127.5).max() <= 1
    assert np.abs(shown[1] - (127.5 + 127.5 * levels)[:, None]).max() <= 1


def altered(folder: Path, labels: tuple[str, ...] | None = None, **spec: Any) -> str:
    """Change a model folder's labels or input and return its path."""
    changed = open_model(folder).manifest.input.model_copy(update=spec)
    if labels:
        write_labels(folder / LABELS, labels)
    return str(reseal(folder, input=changed))


BEFORE: dict[str, tuple[list[str], str]] = {
    "label": (["--label", "lefft"], "no label 'lefft'; the nearest: left, "),
    "out of another kind": (["--out", "why.jpg"], "choose a name that ends in .png"),
    "baseline's T": (["--baseline", "T"], "input.segments is 16, that of motion 8"),
    "baseline's label": (["--baseline", "labels"], "only one of them has 'towards'"),
    "baseline's order": (["--baseline", "order"], "the same ones in another order"),
    "baseline's classes": (["--baseline", "classes"], "5 classes, motion has 8"),
    "baseline's weights' T": (["--baseline", "other T"], "was trained with segments = 16, requested is 8"),
    "baseline's absence": (["--baseline", "missing"], "no such model folder"),
    "a folder's size": (["--size", "224"], "--size: is for a checkpoint; motion is a model folder"),
}


@pytest.mark.parametrize("case", BEFORE)
def test_wrong_options_exit_with_78_before_the_video_is_read(
    case: str,
    model_copy: Path,
    tmp_path: Path,
    video: Path,
    motion: Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("the video is read")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edge_tdn_export.explain.gradcam.slide", read)
    arguments, message = BEFORE[case]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    made: dict[str, Callable[[], str]] = {
        "T": lambda: altered(model_copy, segments=16),
        "labels": lambda: altered(model_copy, (*motion.labels[:-1], "towards")),
        "order": lambda: altered(model_copy, (motion.labels[0], *motion.labels[:0:-1])),
        "classes": lambda: saved(tmp_path / "five.safetensors"),
        "other T": lambda: saved(tmp_path / "sixteen.safetensors", segments=16, classes=8),
    }
    if options.get("--baseline") in made:
        options["--baseline"] = made[options["--baseline"]]()
    options = {"--out": "why.png", **options}
    assert main(["explain", "motion", str(video), *(word for pair in options.items() for word in pair)]) == 78
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def saved(path: Path, **options: Any) -> str:
    checkpoint.save(small_network(width=0.125, **options), path)
    return str(path)


@pytest.mark.timeout(FIRST_FRAME_S - 100)
def test_files_without_a_clip_exit_with_66_or_78(
    make_video: Callable[..., Path],
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timing = CaptureTiming(first_frame_s=FIRST_FRAME_S)  # the limit must play no part
    monkeypatch.setattr("edge_tdn_export.clips.read_file", partial(read_file, timing=timing))
    monkeypatch.setattr("edge_tdn_export.commands.explain.length_s", partial(length_s, timing=timing))
    Image.new("RGB", (64, 48)).save(tmp_path / "picture.png")
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 100)
    cases: dict[Path, tuple[list[str], int, str]] = {
        make_video(20, name="short.mp4"): ([], 78, "short.mp4: too short, a clip of this model needs 2.4 s"),
        tmp_path / "picture.png": ([], 66, "picture.png: a PNG picture or animation, not a video"),
        tmp_path / "junk.mp4": ([], 66, "junk.mp4"),
        tmp_path / "absent.mp4": ([], 66, "absent.mp4"),
        tmp_path: ([], 66, "no numbered pictures in it"),
        video: (["--at", "99"], 78, "thing.mp4: no clip at 99 s; the nearest one is from"),
    }
    for path, (more, status, message) in cases.items():
        assert main(["explain", "motion", str(path), "--out", str(tmp_path / "why.png"), *more]) == status, path
        assert message in capsys.readouterr().err
    assert not (tmp_path / "why.png").exists()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "TDN"),
        ({"ltdm_stages": ()}, "S-TDM"),
        ({"stdm_stages": ()}, "L-TDM"),
        (T_CONV, "T-Conv"),
        (TSM, "TSM"),
        ({**TSM, "temporal": "online_shift"}, "TSM"),
        (TSN, "TSN"),
    ],
)
def test_a_network_has_its_name_in_the_paper(options: dict[str, Any], name: str) -> None:
    assert report.kind(TDNConfig(**options)) == name
