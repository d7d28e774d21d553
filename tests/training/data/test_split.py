"""Splitting by recording and in time, copies of files, and the balance of classes in an epoch."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_training.commands.train import hold_out_decoded
from edge_tdn_training.data.balance import balance, evaluation_clips
from edge_tdn_training.data.dataset import DataSet, Video
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.split import check_apart, split

from edge_tdn.errors import ConfigError
from tests.support.training_clips import SPEC, decode_clips, make_clips

pytestmark = pytest.mark.training
CLIP = SPEC.video_frames


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> DecodedDataSet:
    """Five videos of 24 frames of each class, left and right."""
    folder = tmp_path_factory.mktemp("split")
    return decode_clips(make_clips(folder / "data", each=5), folder / "cache")


def of(decoded: DecodedDataSet, *sources: str, label: int = 0) -> DecodedDataSet:
    """Return its first videos, as if they were of these recordings and of this class, and the other class."""
    own = [n for n, video in enumerate(decoded.data.videos) if video.label == label][: len(sources)]
    others = [n for n, video in enumerate(decoded.data.videos) if video.label != label]
    videos = [Video(decoded.data.videos[n].path, label, name) for n, name in zip(own, sources, strict=True)]
    data = DataSet(decoded.data.labels, (*videos, *(decoded.data.videos[n] for n in others)), decoded.data.swaps)
    return DecodedDataSet(data, tuple(decoded.frames[n] for n in (*own, *others)))


def names(decoded: DecodedDataSet, label: int = 0) -> list[str]:
    return [video.path.stem for video in decoded.data.videos if video.label == label]


def test_held_out_videos_are_of_other_recordings(decoded: DecodedDataSet) -> None:
    found = split(of(decoded, "a", "a", "b", "b", "b"), 0.4, CLIP, seed=1)
    assert {video.source for video in found.train.data.videos}.isdisjoint(
        video.source for video in found.held_out.data.videos
    )
    assert {video.label for video in found.held_out.data.videos} == {0, 1}
    assert found.notes == ()


def test_a_class_of_one_recording_is_split_in_time_with_a_note(decoded: DecodedDataSet) -> None:
    """The last videos are held out, and the one before them is left out."""
    found = split(of(decoded, "a", "a", "a", "a", "a"), 0.4, CLIP, seed=1)
    assert (names(found.train), names(found.held_out)) == (["take-0", "take-1"], ["take-3", "take-4"])
    (note,) = found.notes
    assert note.startswith("class 'left': one recording, split in time, one video left out between")


def test_a_single_video_is_split_with_a_gap_of_one_segment(decoded: DecodedDataSet) -> None:
    found = split(of(decoded, "a"), 0.3, clip=6, seed=1)
    ((before, trained),), ((after, held_out),) = (
        [item for item in zip(side.data.videos, side.frames, strict=True) if item[0].label == 0]
        for side in (found.train, found.held_out)
    )
    assert (len(trained), len(held_out)) == (24 - 7 - 5, 7)
    assert (before.from_s, before.to_s, after.from_s, after.to_s) == pytest.approx((0, 12 / 12, 17 / 12, 2))
    whole = decoded.frames[0].take(np.arange(24))
    assert np.array_equal(held_out.take(np.arange(7)), whole[17:])
    assert np.array_equal(trained.take(np.arange(12)), whole[:12])
    with pytest.raises(ConfigError, match=r"nothing can be held out of its 1 video.s. of one recording"):
        split(of(decoded, "a"), 0.3, clip=10, seed=1)


def test_copies_are_one_recording(decoded: DecodedDataSet, tmp_path: Path) -> None:
    """Otherwise held-out videos would be trained on under another name."""
    videos = list(decoded.data.videos)
    copy = Path(shutil.copy(videos[0].path, tmp_path / "other.mp4"))
    videos[1] = Video(copy, 0, "elsewhere")
    copied = DecodedDataSet(DataSet(decoded.data.labels, tuple(videos), decoded.data.swaps), decoded.frames)
    for seed in range(4):
        found = split(copied, 0.4, CLIP, seed)
        for held_out, notes in ((found.held_out, found.notes), hold_out_decoded(copied, 0.4, seed)[1:]):  # train's
            sides = ["other" in names(held_out), videos[0].path in {v.path for v in held_out.data.videos}]
            assert sides[0] == sides[1]
            assert "the same file as" in notes[0]


def test_a_split_that_would_leak_is_an_error(decoded: DecodedDataSet, tmp_path: Path) -> None:
    data = decoded.data
    copy = Path(shutil.copy(data.videos[2].path, tmp_path / "other.mp4"))
    for leak in (data.videos[2], Video(copy, 0, "elsewhere", 0.5, 1.0)):
        with pytest.raises(ConfigError, match=r"would be evaluated on and is trained on, as .*take-2\.mp4"):
            check_apart(data, DataSet(data.labels, (leak,), data.swaps))
    first, second = (Video(data.videos[2].path, 0, "x", *part) for part in ((0.0, 1.0), (1.0, 2.0)))
    check_apart(DataSet(data.labels, (first,), data.swaps), DataSet(data.labels, (second,), data.swaps))


def test_an_epoch_has_the_same_number_of_clips_of_every_class(decoded: DecodedDataSet) -> None:
    """Background has as many, but every video of it; for many of these the actions are repeated."""
    few = of(decoded, "a", "b")
    named = DataSet(("background", "left"), few.data.videos, (0, 1))
    many = DecodedDataSet(
        replace(named, videos=tuple(replace(few.data.videos[0], from_s=n / 100) for n in range(30)) + few.data.videos),
        tuple(copy.copy(few.frames[0]) for _ in range(30)) + few.frames,
    )
    for given, each in ((few, 24), (DecodedDataSet(named, few.frames), 24), (many, 32)):
        balanced = balance(given, clip=6)  # four clips a video: 8 of the one, 20 of the other
        count = np.bincount([video.label for video in balanced.data.videos])
        assert count.tolist() == [each, each]
        assert set(balanced.data.videos) == set(given.data.videos)
    evaluated = evaluation_clips(few, clip=12)
    assert {len(frames) for frames in evaluated.frames} == {12}
    assert len(evaluated.frames) == 7 * 5, "from frames 0, 3, 6, 9 and 12"
