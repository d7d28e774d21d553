"""The choice between frozen networks, on features that are drawn: one network knows the labels, the other does not."""

import numpy as np
import pytest
from edge_tdn_training.frozen.choice import FOLDS, SCALES, deal, fit_networks, try_scales
from edge_tdn_training.frozen.features import ClipFeatures, FeatureClip

CLIPS, RECORDINGS = 120, 12


def drawn(informed: tuple[bool, bool], spread: float = 1.0, seed: int = 1) -> ClipFeatures:
    """Return clips of three classes, each with four recordings; a network's features show the label if `informed`."""
    rng = np.random.default_rng(seed)
    clips = tuple(FeatureClip(n % RECORDINGS, f"recording {n % RECORDINGS}", n, n % 3) for n in range(CLIPS))
    labels = np.array([clip.label for clip in clips])
    blocks = []
    for knows, width in zip(informed, (40, 8), strict=True):
        features = rng.normal(size=(CLIPS, width)) * spread
        features[:, :3] += 3 * np.eye(3)[labels] * knows
        blocks.append(features.astype(np.float32))
    return ClipFeatures(clips, tuple(blocks))


@pytest.mark.parametrize("knows", [0, 1])
def test_the_network_that_knows_the_classes_is_used(knows: int) -> None:
    features = drawn((knows == 0, knows == 1))
    best = try_scales(features, 3, seed=1)[0]
    assert best.scales[knows] > 0
    assert best.accuracy > 0.9
    alone = next(t for t in try_scales(features, 3, 1) if not t.scales[knows])
    assert alone.accuracy < 0.6


def test_every_way_is_tried_and_the_best_is_first() -> None:
    trials = try_scales(drawn((True, True)), 3, seed=1)
    assert sorted(trial.scales for trial in trials) == sorted(SCALES)
    assert [trial.accuracy for trial in trials] == sorted((trial.accuracy for trial in trials), reverse=True)


def test_layers_of_both_networks_together_recognise_the_classes() -> None:
    """The logits are added, as an ensemble does; a network that is not used has none."""
    features = drawn((True, True))
    trial = next(trial for trial in try_scales(features, 3, 1) if all(trial.scales))
    total = sum(
        layer.logits(block)
        for layer, block in zip(fit_networks(features, 3, trial), features.blocks, strict=True)
        if layer is not None
    )
    assert np.mean(total.argmax(1) == features.labels) > 0.95
    alone = next(trial for trial in try_scales(features, 3, 1) if not trial.scales[1])
    assert fit_networks(features, 3, alone)[1] is None


def test_logits_are_as_sure_as_held_out_clips_allow() -> None:
    """Where held-out clips are often wrong, the logits are scaled down; where never, up."""
    vague = try_scales(drawn((True, False), spread=4.0), 3, 1)[0]
    clear = try_scales(drawn((True, True), spread=0.3), 3, 1)[0]
    assert vague.sharpness < clear.sharpness


def test_no_recording_is_on_both_sides_of_a_fold() -> None:
    features = drawn((True, True))
    folds = deal(features.clips, 1)
    for number in range(RECORDINGS):
        assert len({fold for clip, fold in zip(features.clips, folds, strict=True) if clip.video == number}) == 1
    assert set(folds) == set(range(FOLDS))


def test_the_only_recording_of_a_class_is_dealt_in_time_with_its_mirror_images() -> None:
    plain = [FeatureClip(0, "a", first, 0) for first in range(8)] + [
        FeatureClip(1, "b", first, 1) for first in range(8)
    ]
    mirrored = [FeatureClip(clip.video, clip.recording, clip.first, clip.label, True) for clip in plain]
    folds = deal([*plain, *mirrored], 1)
    assert folds[:8].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert folds[:16].tolist() == folds[16:].tolist()
