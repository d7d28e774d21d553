"""The choice between kinds of features, which are drawn: one network knows the labels, the other does not."""

import numpy as np
import pytest
from edge_tdn_training.frozen.choice import FOLDS, MIXTURES, KnownFeatures, deal, fit_networks, know, try_mixtures
from edge_tdn_training.frozen.features import ClipFeatures, FeatureClip, FrozenNetwork
from edge_tdn_training.frozen.last_layer import LastLayer

from tests.support.networks import TSN, small_network

CLIPS, RECORDINGS = 120, 12
STILL = FrozenNetwork("still", "", "", small_network(**TSN, width=0.125, pooling="statistics"))
MOVING = FrozenNetwork("moving", "", "", small_network(width=0.125), LastLayer.of(small_network(width=0.125).linear))
NETWORKS = (STILL, MOVING)
WIDTHS = [one.network.linear.in_features for one in NETWORKS]


def drawn(informed: tuple[bool, bool], spread: float = 1.0) -> ClipFeatures:
    """Return clips of three classes, each with four recordings; a network's features show the label if `informed`."""
    rng = np.random.default_rng(1)
    clips = tuple(FeatureClip(n % RECORDINGS, f"recording {n % RECORDINGS}", n, n % 3) for n in range(CLIPS))
    labels = np.array([clip.label for clip in clips])
    blocks = []
    for knows, width in zip(informed, WIDTHS, strict=True):
        features = rng.normal(size=(CLIPS, width)) * spread
        features[:, :3] += 6 * np.eye(3)[labels] * knows
        blocks.append(features.astype(np.float32))
    return ClipFeatures(clips, tuple(blocks))


def known(informed: tuple[bool, bool], spread: float = 1.0) -> KnownFeatures:
    return know(drawn(informed, spread), NETWORKS)


def test_the_network_that_knows_the_classes_is_used() -> None:
    best = try_mixtures(known((True, False)), 3, seed=1)[0]
    assert best.mixture.uses_appearance
    assert best.accuracy > 0.85
    trials = try_mixtures(known((False, True)), 3, seed=1)
    assert trials[0].mixture.uses_motion
    assert next(trial for trial in trials if not trial.mixture.uses_motion).accuracy < 0.6


def test_every_mixture_is_tried_and_the_best_is_first() -> None:
    steps: list[str] = []
    trials = try_mixtures(known((True, True)), 3, seed=1, step=steps.append)
    assert {trial.mixture for trial in trials} == set(MIXTURES)
    assert [trial.accuracy for trial in trials] == sorted((trial.accuracy for trial in trials), reverse=True)
    assert steps == list(map(str, MIXTURES))
    assert len(set(steps)) == len(MIXTURES), "two mixtures have the same description"


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
def test_the_layers_of_the_networks_add_up_to_what_was_fitted(mixture: object) -> None:
    """Kinds that are not used and the own scores of a network are folded into the layers of what each gives."""
    features = drawn((True, True))
    side_by_side = know(features, NETWORKS)
    trial = next(trial for trial in try_mixtures(side_by_side, 3, 1) if trial.mixture == mixture)
    layers = fit_networks(side_by_side, NETWORKS, 3, trial)
    total = np.zeros((CLIPS, 3), np.float32)
    for layer, block in zip(layers, features.blocks, strict=True):
        total += layer.logits(block) if layer is not None else 0
    assert np.mean(total.argmax(1) == features.labels) > 0.95
    assert [layer is not None for layer in layers] == [trial.mixture.uses_appearance, trial.mixture.uses_motion]


def test_logits_are_as_sure_as_held_out_clips_allow() -> None:
    """Where held-out clips are often wrong, the logits are scaled down; where never, up."""
    vague = try_mixtures(known((True, False), spread=4.0), 3, 1)[0]
    clear = try_mixtures(known((True, True), spread=0.3), 3, 1)[0]
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
