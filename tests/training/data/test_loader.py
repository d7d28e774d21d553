"""The clips of a training: segments, crops and mirror images, decided by seed, epoch and video only."""

import numpy as np
import pytest
import torch
from edge_tdn_training.data.augment import NEAR_PX, SCALES, centre_crop, decoded_short_side, random_crop, resize_crop
from edge_tdn_training.data.dataset import DataSet, Video, open_data
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.frames import Frames
from edge_tdn_training.data.loader import (
    BatchOrder,
    EvalClips,
    ProcessShare,
    TrainClips,
    eval_loader,
    train_loader,
)
from edge_tdn_training.data.sampling import centre_segments, dense_clips, random_segments
from edge_tdn_training.data.video_cache import decode
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_tdn.manifest import InputSpec
from edge_tdn.segments.preprocess import Preprocessor
from tests.support.training_clips import SPEC, make_clips, moves

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> DecodedDataSet:
    folder = tmp_path_factory.mktemp("clips")
    data = open_data(make_clips(folder / "data"))
    return decode(data, SPEC.frame_rate, decoded_short_side(SPEC), folder / "cache")


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> DecodedDataSet:
    """Three videos of two classes, whose grey levels are 50 times the video plus the frame."""
    folder = tmp_path_factory.mktemp("painted")
    for n in range(3):
        grey = (50 * n + np.arange(40, dtype=np.uint8))[:, None, None, None]
        np.save(folder / f"{n}.npy", np.broadcast_to(grey, (40, 72, 100, 3)))
    paths = [folder / f"{n}.npy" for n in range(3)]
    videos = tuple(Video(path, min(n, 1), path.name) for n, path in enumerate(paths))
    return DecodedDataSet(DataSet(("a", "b"), videos, (0, 1)), tuple(Frames(path, 12) for path in paths))


@given(st.integers(1, 400), st.sampled_from((8, 16)), st.integers(0, 9))
def test_a_random_segment_lies_in_each_part(n: int, segments: int, seed: int) -> None:
    chosen = random_segments(n, segments, np.random.default_rng(seed))
    assert chosen.shape == (segments, 5)
    assert (np.diff(chosen[:, 0]) >= 0).all()
    assert ((chosen >= 0) & (chosen < n)).all()
    assert (np.diff(chosen, axis=1) == np.minimum(1, n - 1 - chosen[:, :-1])).all(), "the last frame repeats"
    part = (n - 4) // segments
    if part > 0:
        assert (chosen[:, 0] // part == np.arange(segments)).all()


def test_random_segments_cover_every_place_of_a_part() -> None:
    rng = np.random.default_rng(1)
    starts = np.stack([random_segments(44, 8, rng)[:, 0] for _ in range(200)])
    for k in range(8):
        assert set(starts[:, k]) == {5 * k, 5 * k + 1, 5 * k + 2, 5 * k + 3, 5 * k + 4}


def test_centre_segments_as_published() -> None:
    assert centre_segments(52, 8)[:, 0].tolist() == [3, 9, 15, 21, 27, 33, 39, 45]
    assert centre_segments(30, 8)[:, 0].tolist() == [1, 4, 8, 11, 14, 17, 21, 24]  # int(1.625 + 3.25 i)
    assert centre_segments(12, 8).tolist() == [[0, 1, 2, 3, 4]] * 8
    assert centre_segments(3, 8).tolist() == [[0, 1, 2, 2, 2]] * 8


@given(st.integers(2, 30), st.sampled_from((8, 16)))
def test_centre_segments_are_those_of_the_live_grid(stride: int, segments: int) -> None:
    """The video is as long as a clip of the live window; see edge_tdn/segments/window.py."""
    spec = SPEC.model_copy(update={"segments": segments, "segment_stride": stride})
    expected = spec.starts[0] + stride * np.arange(segments)
    assert centre_segments(segments * stride + 4, segments)[:, 0].tolist() == expected.tolist()


def test_dense_clips_span_64_frames_and_cover_the_video() -> None:
    clips = dense_clips(300, 8, 10)
    assert clips.shape == (10, 8, 5)
    assert (np.diff(clips[:, :, 0], axis=1) == 8).all()
    assert clips[0, 0, 0] == 0
    assert clips[-1, -1, -1] == 300 - 64 - 5 + 7 * 8 + 4
    assert (dense_clips(40, 8, 10) < 40).all()


def test_crops_are_the_published_ones() -> None:
    """Four sizes, sides at most one size apart, 13 places; those near the network's own size are not resized."""
    spec = SPEC.model_copy(update={"height": 224, "width": 224, "short_side": 256})
    rng = np.random.default_rng(1)
    crops = [random_crop(256, 341, spec, rng) for _ in range(3000)]
    sizes = [224 if abs(int(256 * scale) - 224) < NEAR_PX else int(256 * scale) for scale in SCALES]
    assert sizes == [256, 224, 192, 168]
    pairs = {(sizes.index(crop.height), sizes.index(crop.width)) for crop in crops}
    assert pairs == {(a, b) for a in range(4) for b in range(4) if abs(a - b) <= 1}
    places = {(crop.top, crop.left) for crop in crops if crop.height == crop.width == 224}
    rows, columns = (32 // 4, 117 // 4)
    quarters = [(a, b) for a in (0, 2, 4) for b in (0, 2, 4)] + [(a, b) for a in (1, 3) for b in (1, 3)]
    assert places == {(a * rows, b * columns) for a, b in quarters}
    assert 0.45 < np.mean([crop.mirrored for crop in crops]) < 0.55
    assert not any(random_crop(256, 341, spec, rng, flip=False).mirrored for _ in range(50))


@pytest.mark.parametrize("resize", ["short_side_centre_crop", "stretch"])
def test_a_crop_shows_that_part_of_the_picture(resize: str) -> None:
    """The same for all frames: a ramp along both axes shows where each pixel comes from."""
    spec = InputSpec(
        segments=8,
        height=48,
        width=64,
        resize=resize,
        short_side=0 if resize == "stretch" else 80,
        frame_rate=12,
        segment_stride=3,
    )
    ramp = np.stack(np.broadcast_arrays(np.arange(80)[:, None], np.arange(120), 0), -1).astype(np.uint8)
    rng = np.random.default_rng(2)
    for _ in range(60):
        crop = random_crop(80, 120, spec, rng)
        part = np.stack([ramp, ramp + np.uint8(1)])[:, crop.rows, crop.columns]
        got = resize_crop(part, spec, crop.mirrored)
        assert got.shape == (2, 48, 64, 3)
        row, column = got[0, :, :, 0].astype(int), got[0, :, :, 1].astype(int)
        column = column[:, ::-1] if crop.mirrored else column
        assert abs(row[0] - crop.top).max() <= 2
        assert abs(row[-1] - (crop.top + crop.height - 1)).max() <= 2
        assert abs(column[:, 0] - crop.left).max() <= 2
        assert abs(column[:, -1] - (crop.left + crop.width - 1)).max() <= 2
        assert abs(got[1].astype(int) - got[0] - 1).max() <= 1


def test_evaluation_uses_the_whole_picture_if_the_live_path_does() -> None:
    spec = InputSpec(segments=8, height=32, width=32, resize="stretch", frame_rate=12, segment_stride=3)
    ramp = np.broadcast_to(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], (2, 40, 90, 3))
    got = centre_crop(ramp, spec)
    assert got.shape == (2, 32, 32, 3)
    assert got[0, 5, 0, 0] < 8
    assert got[0, 5, -1, 0] > 247
    noise = np.random.default_rng(1).integers(0, 256, (1, 40, 90, 3), np.uint8)
    assert np.array_equal(centre_crop(noise, spec)[0], Preprocessor(spec)(noise[0]))


def test_a_mirrored_clip_has_the_label_of_its_mirror_image(decoded: DecodedDataSet) -> None:
    """Left and right change places in the pixels as well."""
    clips = TrainClips(decoded.data, decoded.frames, SPEC, seed=3)
    seen = [clips[epoch, index] for epoch in range(4) for index in range(len(clips))]
    labels = [decoded.data.labels[label] for _, label in seen]
    assert [moves(clip.numpy()) for clip, _ in seen] == labels
    kept = [decoded.data.labels[video.label] for video in decoded.data.videos] * 4
    assert 8 <= sum(a != b for a, b in zip(labels, kept, strict=True)) <= 24


def test_clips_do_not_depend_on_the_workers(decoded: DecodedDataSet) -> None:
    """They depend on seed and epoch, not on the process that makes them."""

    def batches(seed: int, epoch: int, workers: int) -> list[torch.Tensor]:
        order = BatchOrder(len(decoded.frames), 4, ProcessShare(0, 1, 4), seed)
        order.epoch = epoch
        return [
            frames
            for frames, _ in train_loader(
                TrainClips(decoded.data, decoded.frames, SPEC, seed), order, workers, pinned=False
            )
        ]

    first = torch.stack(batches(1, 0, 0))
    assert first.shape == (2, 4, 4, 5, 64, 64, 3)
    assert first.dtype == torch.uint8
    assert torch.equal(first, torch.stack(batches(1, 0, 2)))
    assert not torch.equal(first, torch.stack(batches(1, 1, 0)))
    assert not torch.equal(first, torch.stack(batches(2, 0, 0)))


def test_a_window_is_a_part_of_the_video(decoded: DecodedDataSet) -> None:
    """13 frames of 24: the bar crosses about half of its way, at different places."""
    whole, part = (TrainClips(decoded.data, decoded.frames, SPEC, 1, flip=False, window=window) for window in (0, 13))

    def way(clips: TrainClips, key: tuple[int, int]) -> tuple[int, int]:
        centres = clips[key][0].numpy().astype(float).mean((-3, -1)).argmax(-1)
        return int(centres.min()), int(centres.max())

    ways = [way(part, (epoch, 0)) for epoch in range(12)]
    assert np.mean([b - a for a, b in ways]) < 0.75 * np.mean(
        [b - a for a, b in (way(whole, (e, 0)) for e in range(12))]
    )
    assert len({a for a, _ in ways}) > 3


@given(st.integers(8, 60), st.sampled_from(((8, 1, 8), (8, 1, 2), (8, 2, 2), (8, 2, 4), (8, 4, 1))), st.integers(0, 3))
def test_a_step_has_the_same_clips_for_any_number_of_processes(
    videos: int, division: tuple[int, int, int], epoch: int
) -> None:
    batch, world, micro_batch = division
    orders = [BatchOrder(videos, batch, ProcessShare(rank, world, micro_batch), 5) for rank in range(world)]
    alone = BatchOrder(videos, batch, ProcessShare(0, 1, batch), 5)
    for order in (*orders, alone):
        order.epoch = epoch
    parts = batch // (world * micro_batch)
    shares = [list(order) for order in orders]
    assert all(len(share) == len(order) for share, order in zip(shares, orders, strict=True))
    steps = [
        sorted(key for share in shares for part in share[step * parts : (step + 1) * parts] for key in part)
        for step in range(videos // batch)
    ]
    assert steps == [sorted(keys) for keys in alone]
    assert len({key for step in steps for key in step}) == videos // batch * batch


def test_all_processes_together_evaluate_every_video_once(decoded: DecodedDataSet) -> None:
    labels = [
        label
        for rank in range(3)
        for _, own in eval_loader(EvalClips(decoded.data, decoded.frames, SPEC), ProcessShare(rank, 3, 2), 0)
        for label in own.tolist()
    ]
    assert sorted(labels) == sorted(video.label for video in decoded.data.videos)


@given(st.integers(0, 3000))
def test_a_spliced_clip_shows_two_videos_and_has_the_label_of_the_longer_part(
    painted: DecodedDataSet, epoch: int
) -> None:
    """First the other video, at its own speed; then its own, with the same frames as without splicing."""
    alone, both = (
        TrainClips(painted.data, painted.frames, SPEC, seed=1, window=16, spliced=spliced)[epoch, epoch % 3]
        for spliced in (0.0, 1.0)
    )
    frame, shown = (clip.numpy()[:, :, 0, 0, 0].astype(int) for clip, _ in (alone, both))
    assert (frame // 50 == epoch % 3).all()
    own = shown // 50 == epoch % 3
    assume(not own.all())  # else the other is the same video
    assert own[-1, -1]
    assert frame[own].min() > frame[~own].max()
    assert (shown[own] == frame[own]).all()
    assert len(np.unique((shown - frame)[~own])) == 1
    longer = epoch % 3 if own.mean() >= 0.5 else shown[0, 0] // 50
    assert both[1] == painted.data.videos[longer].label
