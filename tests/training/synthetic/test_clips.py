"""Generated clips: the motion of their pixels is that of their label."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from edge_tdn_training.evaluation.clip_sheet import write_sheet
from edge_tdn_training.evaluation.real_crops import real_crops
from edge_tdn_training.synthetic import motions
from edge_tdn_training.synthetic.backgrounds import backdrop
from edge_tdn_training.synthetic.camera_config import EncoderConfig
from edge_tdn_training.synthetic.camera_effects import VideoEncoder
from edge_tdn_training.synthetic.cars import Car
from edge_tdn_training.synthetic.clips import SPEC, LabelledClip, generate_clip
from edge_tdn_training.synthetic.people import Animal, Person
from edge_tdn_training.synthetic.photos import read_photos
from edge_tdn_training.synthetic.scene_config import SceneConfig
from edge_tdn_training.synthetic.sprites import paint
from edge_tdn_training.synthetic.things import Thing
from numpy.typing import NDArray

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture

pytestmark = pytest.mark.training

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SAMPLE = 8  # clips of each label
SCENES = SceneConfig()
MOTION = SCENES.motion


@pytest.fixture(scope="module")
def sample() -> dict[str, list[LabelledClip]]:
    """The first clips of each label."""
    found: dict[str, list[LabelledClip]] = {label: [] for label in MOTIONS}
    seed = 0
    while any(len(clips) < SAMPLE for clips in found.values()):
        one = generate_clip(seed, SPEC)
        found[MOTIONS[one.label]].append(one)
        seed += 1
    return {label: clips[:SAMPLE] for label, clips in found.items()}


def flows(frames: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean flow [T, 2] in pixels, from first to last frame of each segment, and its growth [T]."""
    shifts, growths = [], []
    for segment in frames:
        first, last = (cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (0, 0), 1.2) for f in segment[[0, 4]])
        flow = cv2.calcOpticalFlowFarneback(first, last, None, 0.5, 4, 13, 4, 7, 1.5, 0)  # type: ignore[call-overload]
        strength = np.hypot(flow[..., 0], flow[..., 1])
        weight = strength * (strength > 0.4 * np.percentile(strength, 98))
        weight /= weight.sum() + 1e-9
        shift = (flow * weight[..., None]).sum((0, 1))
        y, x = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float64)
        x, y = x - (x * weight).sum(), y - (y * weight).sum()
        outwards = ((x * flow[..., 0] + y * flow[..., 1]) * weight).sum() / ((x * x + y * y) * weight).sum()
        shifts.append(shift)
        growths.append(outwards)
    return np.array(shifts), np.array(growths)


def test_optical_flow_has_the_direction_of_the_label(sample: dict[str, list[LabelledClip]]) -> None:
    """In seven eighths of the clips at least: flicker, or a thing that enters fast, deceives optical flow."""
    ways = [(flows(one.frames)[0].sum(0), DIRECTIONS[label]) for label in DIRECTIONS for one in sample[label]]
    assert np.mean([float(way @ there) > 0.7 * float(np.hypot(*way)) for way, there in ways]) >= 7 / 8


@pytest.mark.parametrize(("label", "sign"), [("approach", 1), ("recede", -1)])
def test_what_approaches_grows_and_what_recedes_shrinks(
    label: str, sign: int, sample: dict[str, list[LabelledClip]]
) -> None:
    agree = sum(float(np.median(flows(one.frames)[1])) * sign > 0 for one in sample[label])
    assert agree >= 0.75 * SAMPLE


def test_waves_turn_back_and_other_motions_do_not(sample: dict[str, list[LabelledClip]]) -> None:
    """Net displacement over length of the path: small for a wave, nearly 1 for the others."""

    def straightness(one: LabelledClip) -> float:
        shifts = flows(one.frames)[0]
        return float(np.hypot(*shifts.sum(0)) / np.hypot(*shifts.T).sum())

    waves = np.median([straightness(one) for one in sample["wave"]])
    others = np.median([straightness(one) for label in DIRECTIONS for one in sample[label]])
    assert waves < 0.5 < 0.85 < others


def test_still_clips_have_no_displacement(sample: dict[str, list[LabelledClip]]) -> None:
    """Despite flicker: over the clip, nothing moves by a third of the shortest way of a moving label."""
    least = MOTION.way[0] * SPEC.width
    still = [float(np.hypot(*_whole_way(one.frames))) for one in sample["still"]]
    assert np.mean(np.array(still) < least / 3) >= 0.9


def _whole_way(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the displacement in pixels from first to last frame, by the median flow of textured contents."""
    first, last = (cv2.GaussianBlur(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (0, 0), 1.2) for f in frames[[0, -1], [0, 4]])
    flow = cv2.calcOpticalFlowFarneback(first, last, None, 0.5, 4, 15, 4, 7, 1.5, 0)  # type: ignore[call-overload]
    edges = np.hypot(cv2.Sobel(first, cv2.CV_32F, 1, 0), cv2.Sobel(first, cv2.CV_32F, 0, 1))
    way: NDArray[np.float64] = np.median(flow[edges >= np.percentile(edges, 80)], 0)
    return way


def test_clips_have_the_size_of_the_spec() -> None:
    spec = InputSpec(segments=4, height=64, width=112, resize="stretch", frame_rate=10.0, segment_stride=5)
    assert generate_clip(3, spec).frames.shape == (4, 5, 64, 112, 3)


def test_photos_change_the_pictures_and_not_the_labels() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (90, 160, 3)).astype(np.uint8)
    plain, photographed = ([generate_clip(seed, SPEC, photos) for seed in range(8)] for photos in ((), (photo,)))
    assert [one.label for one in plain] == [one.label for one in photographed]
    assert not all(np.array_equal(a.frames, b.frames) for a, b in zip(plain, photographed, strict=True))


def test_labels_have_their_shares() -> None:
    """In 4,000 numbers, each label is within a fifth of its share, by the first draw of each number."""
    labels = [np.random.default_rng(seed).choice(len(MOTIONS), p=SCENES.recording.label_shares) for seed in range(4000)]
    assert np.bincount(labels, minlength=len(MOTIONS)) / 4000 == pytest.approx(SCENES.recording.label_shares, rel=0.2)
    assert all(generate_clip(seed, SPEC).label == labels[seed] for seed in range(3))


@pytest.mark.parametrize("label", MOTIONS)
def test_drifts_are_within_the_limits_of_their_labels(label: str) -> None:
    seconds = np.linspace(0, 2.2, 34)
    for seed in range(60):
        drift = motions.drift(label, seconds, np.random.default_rng(seed), MOTION)
        way, growth = np.array((drift.x[-1] - drift.x[0], drift.y[-1] - drift.y[0])), drift.growth[-1] - drift.growth[0]
        if label in DIRECTIONS:
            assert way @ DIRECTIONS[label] >= 0.85 * np.hypot(*way) > 0.85 * 0.9 * MOTION.way[0]
            assert abs(growth) <= 0.2
        elif label in ("approach", "recede"):
            assert abs(growth) >= MOTION.growth[0]
            assert (growth > 0) == (label == "approach")
            assert not way.any()
        elif label == "wave":
            assert np.ptp(drift.beat) >= 0.8 * 2 * math.pi * MOTION.min_swings
            assert np.ptp(np.hypot(drift.x, drift.y)) >= 0.5 * MOTION.swing[0]
        else:
            assert not any(values.any() for values in (drift.x, drift.y, drift.growth))


@pytest.mark.parametrize("kind", [Person, Animal])
def test_limbs_swing_in_a_cycle(kind: type[Person] | type[Animal]) -> None:
    """A gait is a cycle: half of it looks different, a whole one the same."""
    walker: Thing = kind(np.random.default_rng(1), 96, 1, SCENES.things, SCENES.background.palette)
    start, half, full = (walker.sprite(phase).astype(int) for phase in (0.7, 0.7 + math.pi / 2, 0.7 + 2 * math.pi))
    assert np.abs(start - half).mean() > 2
    assert np.abs(start - full).mean() < 0.5


def test_a_thing_that_faces_left_mirrors_one_that_faces_right() -> None:
    things, colours = SCENES.things, SCENES.background.palette
    cars = (Car(np.random.default_rng(2), 96, facing, things, colours) for facing in (-1, 1))
    left, right = (car.sprite(0.0)[..., 3] for car in cars)
    assert np.abs(left[:, ::-1].astype(int) - right).mean() < 4


def test_a_sprite_is_painted_at_its_place() -> None:
    picture: Picture = np.zeros((60, 80, 3), np.uint8)
    paint(picture, np.full((32, 32, 4), 255, np.uint8), (50.0, 20.0), 16.0)
    rows, columns = np.nonzero(picture[..., 0] > 128)
    assert (rows.mean(), columns.mean()) == pytest.approx((20, 50), abs=0.7)
    assert len(rows) == pytest.approx(256, rel=0.1)
    paint(picture, np.full((32, 32, 4), 255, np.uint8), (-50.0, 20.0), 16.0)  # outside of the picture
    assert len(np.nonzero(picture[..., 0] > 128)[0]) == len(rows)


def test_the_encoder_freezes_still_surfaces_and_codes_motion() -> None:
    """Between key frames, noise below the threshold is frozen, and a moving thing is at its place."""
    rng = np.random.default_rng(0)
    config = EncoderConfig(kind_shares=(0.0, 0.0, 1.0), key_intervals=(1000,), skipped=(3.0, 3.0))
    encoder = VideoEncoder(rng, config)
    ground = backdrop(rng, 96, 128, SCENES.background)
    pictures = []
    for step in range(10):
        picture = np.clip(ground + rng.normal(0, 1, ground.shape), 0, 255).astype(np.uint8)
        cv2.rectangle(picture, (10 + 6 * step, 40), (26 + 6 * step, 56), (255, 255, 255), -1)
        pictures.append(encoder(picture))
    assert np.array_equal(pictures[-1][:24], pictures[-2][:24])
    assert pictures[-1][44:52, 68:76].mean() > 200
    assert pictures[-1][44:52, 12:20].mean() < pictures[0][44:52, 12:20].mean()


def test_a_sheet_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    rows = [("5 left", generate_clip(5, SPEC).frames)]
    write_sheet(rows, tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] > 8 * SPEC.width
    with pytest.raises(ModelError, match=r"sheet\.png: .*; the file is unchanged"):
        write_sheet(rows, tmp_path / "sheet.png" / "sheet.png")


def test_photos_of_a_folder_without_videos_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no video"):
        read_photos(tmp_path)


def test_impossible_crops_are_reported(tmp_path: Path) -> None:
    """Over a bare wall the motion of a window is invisible; that nothing moves is visible."""
    wall = np.full((64, 96, 3), 120, np.uint8)
    write_video([wall] * 40, 15, tmp_path / "wall.mp4")
    reasons: list[str] = []
    crops = list(real_crops([tmp_path / "wall.mp4"], SPEC, left_out=reasons.append))
    assert [MOTIONS[crop.label] for crop in crops] == ["still"]
    assert reasons == ["only bare ground is visible"] * (len(MOTIONS) - 1)


@pytest.mark.data
def test_optical_flow_of_real_crops_has_the_direction_of_the_label(data: Path) -> None:
    """Contents go left if the window goes right; still windows show no motion."""
    videos = [data / "videos" / name for name in ("bottle-detection.mp4", "sam2_03_blocks.mp4")]
    crops = list(real_crops(videos, SPEC, max_parts=2))
    assert {MOTIONS[crop.label] for crop in crops} == set(MOTIONS)
    for crop in crops:
        label = MOTIONS[crop.label]
        way = flows(crop.frames)[0].sum(0)
        if label in DIRECTIONS:
            assert float(way @ DIRECTIONS[label]) > 0.7 * float(np.hypot(*way)), (label, crop.video.name)
        if label == "still":
            assert np.hypot(*_whole_way(crop.frames)) < 1
    again = list(real_crops(videos[:1], SPEC, max_parts=1))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(crops, again, strict=False))
