"""The folds of a cross-validation: nothing is on both sides, and every class is in every fit."""

from collections.abc import Sequence

import numpy as np
from edge_tdn_training.frozen.features import FeatureClip
from edge_tdn_training.frozen.folds import FOLDS, assign_folds, overlapping


def takes(label: int, *recordings: str, each: int = 4, video: int = 0) -> list[FeatureClip]:
    """Return clips of a class, which overlap by half: `each` of every recording, whose videos count from `video`."""
    return [
        FeatureClip(video + number, name, 10 * n, 10 * n + 20, label)
        for number, name in enumerate(recordings)
        for n in range(each)
    ]


def mirrored(clips: Sequence[FeatureClip], swaps: Sequence[int]) -> list[FeatureClip]:
    return [FeatureClip(c.video, c.recording, c.first, c.end, swaps[c.label], True) for c in clips]


def test_a_recording_is_in_one_fold() -> None:
    clips = takes(0, *"abcdef") + takes(1, *"ghij", video=6)
    folds = assign_folds(clips, 1)
    for name in "abcdefghij":
        assert len({fold for clip, fold in zip(clips, folds, strict=True) if clip.recording == name}) == 1
    assert set(folds.tolist()) == set(range(FOLDS))


def test_every_class_of_two_recordings_is_in_every_fit_also_where_classes_share_them() -> None:
    for seed in range(50):
        clips = takes(0, *"abcdef") + takes(1, *"ab", video=6) + takes(2, *"bcd", video=8)
        folds = assign_folds(clips, seed)
        labels = np.array([clip.label for clip in clips])
        assert all(set(labels[folds != fold]) == {0, 1, 2} for fold in range(FOLDS))


def test_classes_of_one_film_are_each_divided_in_time() -> None:
    clips = takes(0, "film", each=8) + takes(1, "film", each=8, video=1)
    assert assign_folds(clips, 1).tolist() == 2 * [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_mirror_image_is_in_the_fold_of_its_original() -> None:
    clips = takes(0, *"abc") + takes(1, "film", video=3)
    folds = assign_folds([*clips, *mirrored(clips, [1, 0])], 1)
    assert folds[: len(clips)].tolist() == folds[len(clips) :].tolist()


def test_clips_with_common_frames_overlap() -> None:
    clips = takes(0, "a", "b", each=3)
    chosen = np.array([True, *[False] * 5])
    assert overlapping(clips, chosen).tolist() == [True, True, False, False, False, False]
