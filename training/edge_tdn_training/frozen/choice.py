"""Which frozen networks a last layer reads, and how much of each: tried on clips that were held out of its training.

The clips are dealt into folds by recording; a class of one recording in time. Each way of scaling the two networks'
features is fitted on all but one fold and judged on the clips of that fold, as they are (not mirrored). Taken is the
one with the highest accuracy, of equal ones that with the lowest loss. The logits are then scaled so that their
softmax is as sure as the held-out clips allow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_tdn_training.frozen.features import ClipFeatures, FeatureClip
from edge_tdn_training.frozen.last_layer import Features, Labels, LastLayer, fit

FOLDS = 4
SCALES = ((1.0, 0.0), (1.0, 1.0), (1.0, 4.0), (0.25, 4.0), (0.0, 4.0))  # of the networks' standardised features
SHARPNESS = np.geomspace(0.25, 4, 17)  # factors of the logits

Logits = NDArray[np.float32]  # [clips, classes]


@dataclass(frozen=True)
class Trial:
    """One way of scaling the features, and how it did on held-out clips."""

    scales: tuple[float, ...]  # of each network's features; 0: not used
    accuracy: float  # mean over the classes
    loss: float  # mean over the classes of the cross-entropy, nats
    sharpness: float  # factor of the logits with the lowest loss


def try_scales(features: ClipFeatures, classes: int, seed: int) -> list[Trial]:
    """Return all trials, the best first."""
    folds = deal(features.clips, seed)
    trials = [_try(features, classes, folds, scales) for scales in SCALES]
    return sorted(trials, key=lambda trial: (-round(trial.accuracy, 4), trial.loss))


def fit_networks(features: ClipFeatures, classes: int, trial: Trial) -> list[LastLayer | None]:
    """Return the last layer of each network, fitted together on all clips; None: the network is not used."""
    whole = _fit(features, np.ones(len(features.labels), bool), classes, trial.scales)
    layers: list[LastLayer | None] = []
    first = 0
    used = [scale for scale in trial.scales if scale]
    for block, scale in zip(features.blocks, trial.scales, strict=True):
        weight = trial.sharpness * whole.weight[:, first : first + block.shape[1]]
        first += block.shape[1]
        bias = trial.sharpness * whole.bias / len(used)
        layers.append(LastLayer(weight.astype(np.float32), bias.astype(np.float32)) if scale else None)
    return layers


def deal(clips: Sequence[FeatureClip], seed: int) -> NDArray[np.int64]:
    """Return the fold of each clip. A recording is in one fold; one that is its class's only one is dealt in time."""
    recordings: dict[int, list[str]] = {}  # of each class
    for clip in clips:
        own = recordings.setdefault(clip.label, [])
        own += [clip.recording] if clip.recording not in own else []
    rng = np.random.default_rng(seed)
    fold_of: dict[str, int] = {}
    for own in recordings.values():
        new = [own[number] for number in rng.permutation(len(own)) if own[number] not in fold_of]
        fold_of |= {name: number % FOLDS for number, name in enumerate(new)}
    moments: dict[str, set[tuple[int, int]]] = {own[0]: set() for own in recordings.values() if len(own) == 1}
    for clip in clips:
        moments.get(clip.recording, set()).add((clip.video, clip.first))
    ranks = {name: {moment: rank for rank, moment in enumerate(sorted(own))} for name, own in moments.items()}

    def fold(clip: FeatureClip) -> int:
        if own := ranks.get(clip.recording):
            return own[clip.video, clip.first] * FOLDS // len(own)
        return fold_of[clip.recording]

    return np.array([fold(clip) for clip in clips])


def _try(features: ClipFeatures, classes: int, folds: NDArray[np.int64], scales: tuple[float, ...]) -> Trial:
    logits = np.zeros((len(folds), classes), np.float32)
    for fold in range(FOLDS):
        layer = _fit(features, folds != fold, classes, scales)
        logits[folds == fold] = layer.logits(_joined(features.blocks)[folds == fold])
    judged = ~features.mirrored
    own, labels = logits[judged], features.labels[judged]
    right = np.equal(own.argmax(1), labels)
    losses = [_by_class(_cross_entropy(factor * own, labels), labels) for factor in SHARPNESS]
    best = int(np.argmin(losses))
    return Trial(scales, _by_class(right, labels), losses[best], float(SHARPNESS[best]))


def _fit(features: ClipFeatures, chosen: NDArray[np.bool_], classes: int, scales: tuple[float, ...]) -> LastLayer:
    widths = [block.shape[1] for block in features.blocks]
    scale = np.repeat(np.array(scales, np.float32), widths)
    return fit(_joined(features.blocks)[chosen], features.labels[chosen], classes, scale)


def _joined(blocks: Sequence[Features]) -> Features:
    return np.concatenate(blocks, axis=1)


def _by_class(values: NDArray[Any], labels: Labels) -> float:
    """Return the mean over the classes of each one's mean."""
    return float(np.mean([values[labels == label].mean() for label in np.unique(labels)]))


def _cross_entropy(logits: Logits, labels: Labels) -> NDArray[np.float32]:
    """Return the loss of each clip, nats [clips]."""
    top = logits.max(1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(1))
    loss: NDArray[np.float32] = total - logits[np.arange(len(labels)), labels]
    return loss
