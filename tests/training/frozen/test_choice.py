"""The choice between kinds of features, which are drawn: one network knows the labels, the other does not."""

import numpy as np
import pytest
from edge_tdn_training.frozen.choice import MIXTURES, CombinedFeatures, Mixture, combine, fit_networks, try_mixtures
from edge_tdn_training.frozen.features import ClipFeatures, FeatureClip, FrozenNetwork
from edge_tdn_training.frozen.last_layer import LastLayer, fit

from tests.support.networks import TSN, small_network

CLIPS, RECORDINGS = 120, 12
STILL = FrozenNetwork("still", "", "", small_network(**TSN, width=0.125, pooling="statistics"))
MOVING = FrozenNetwork("moving", "", "", small_network(width=0.125), LastLayer.of(small_network(width=0.125).linear))
NETWORKS = (STILL, MOVING)
WIDTHS = [one.network.linear.in_features for one in NETWORKS]


def drawn(informed: tuple[bool, bool], spread: float = 1.0) -> ClipFeatures:
    """Return clips of three classes, each with four recordings; a network's features show the label if `informed`."""
    rng = np.random.default_rng(1)
    clips = tuple(
        FeatureClip(n % RECORDINGS, f"recording {n % RECORDINGS}", 9 * n, 9 * n + 9, n % 3) for n in range(CLIPS)
    )
    labels = np.array([clip.label for clip in clips])
    blocks = []
    for knows, width in zip(informed, WIDTHS, strict=True):
        features = rng.normal(size=(CLIPS, width)) * spread
        features[:, :3] += 6 * np.eye(3)[labels] * knows
        blocks.append(features.astype(np.float32))
    return ClipFeatures(clips, tuple(blocks))


def combined(informed: tuple[bool, bool], spread: float = 1.0) -> CombinedFeatures:
    return combine(drawn(informed, spread), NETWORKS)


def test_the_network_that_knows_the_classes_is_used() -> None:
    best = try_mixtures(combined((True, False)), 3, seed=1)[0]
    assert best.mixture.uses_appearance
    assert best.accuracy > 0.85
    trials = try_mixtures(combined((False, True)), 3, seed=1)
    assert trials[0].mixture.uses_motion
    assert next(trial for trial in trials if not trial.mixture.uses_motion).accuracy < 0.6


def test_every_mixture_is_tried_and_the_best_is_first() -> None:
    steps: list[str] = []
    trials = try_mixtures(combined((True, True)), 3, seed=1, step=steps.append)
    assert {trial.mixture for trial in trials} == set(MIXTURES)
    assert [trial.accuracy for trial in trials] == sorted((trial.accuracy for trial in trials), reverse=True)
    assert steps == list(map(str, MIXTURES))
    assert len(set(steps)) == len(MIXTURES), "two mixtures have the same description"


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
def test_the_layers_of_the_networks_add_up_to_what_was_fitted(mixture: Mixture) -> None:
    """Scales, scores of a network, and the scale of the logits are folded into the layers of what each gives."""
    features = drawn((True, True))
    together = combine(features, NETWORKS)
    layers = fit_networks(together, NETWORKS, 3, mixture, logit_scale=2.0)
    total = np.zeros((CLIPS, 3), np.float32)
    for layer, block in zip(layers, features.blocks, strict=True):
        total += layer.logits(block) if layer is not None else 0
    fitted = fit(together.columns, features.labels, 3, together.scale(mixture))
    assert np.allclose(total, 2 * fitted.logits(together.columns), rtol=1e-3, atol=1e-3)
    assert [layer is not None for layer in layers] == [mixture.uses_appearance, mixture.uses_motion]


def test_a_class_of_one_clip_does_not_spoil_the_comparison() -> None:
    """It cannot be held out and fitted; the others are judged as before."""
    features = drawn((True, True))
    few = (features.labels != 2) | (np.arange(CLIPS) == 2)
    clips = tuple(clip for clip, kept in zip(features.clips, few, strict=True) if kept)
    best = try_mixtures(combine(ClipFeatures(clips, tuple(b[few] for b in features.blocks)), NETWORKS), 3, 1)[0]
    assert best.accuracy > 0.9
    assert best.logit_scale > 0.25


def test_of_one_clip_of_each_class_nothing_can_be_tried() -> None:
    features = drawn((True, True))
    alone = ClipFeatures(features.clips[:3], tuple(block[:3] for block in features.blocks))
    assert try_mixtures(combine(alone, NETWORKS), 3, 1) == []


def test_logits_are_calibrated_on_held_out_clips() -> None:
    """Where held-out clips are often wrong, the logits are scaled down; where never, up."""
    vague = try_mixtures(combined((True, False), spread=4.0), 3, 1)[0]
    clear = try_mixtures(combined((True, True), spread=0.3), 3, 1)[0]
    assert vague.logit_scale < clear.logit_scale
