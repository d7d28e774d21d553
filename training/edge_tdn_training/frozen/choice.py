"""How much each kind of feature counts: tried on clips that were held out of the fit of the last layer.

    appearance    mean over the segments, and mean absolute difference of neighbours, of the appearance network
    maximum       maximum over the segments of the same
    motion        mean over the segments of the motion network
    scores        the motion network's own scores: eight numbers that know left from right

The clips are dealt into folds by recording; a class of one recording in time. Each mixture of the kinds is fitted on
all but one fold and judged on the clips of that fold, as they are (not mirrored). Taken is the one with the highest
accuracy, of equal ones that with the lowest loss. The logits are then scaled so that their softmax is as sure as the
held-out clips allow.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from edge_tdn_export.progress import Step
from numpy.typing import NDArray

from edge_tdn_training.frozen.features import ClipFeatures, FeatureClip, FrozenNetwork
from edge_tdn_training.frozen.last_layer import Features, Labels, LastLayer, fit

FOLDS = 4
EQUAL = 4096  # features of a kind that counts 1 with a scale of 1: each kind counts the same, however many it has
SHARPNESS = np.geomspace(0.25, 4, 17)  # factors of the logits

Logits = NDArray[np.float32]  # [clips, classes]


@dataclass(frozen=True)
class Mixture:
    """How much each kind of feature counts; 0: not at all."""

    appearance: float = 0.0
    maximum: float = 0.0
    motion: float = 0.0
    scores: float = 0.0

    @property
    def uses_appearance(self) -> bool:
        return bool(self.appearance or self.maximum)

    @property
    def uses_motion(self) -> bool:
        return bool(self.motion or self.scores)

    def __str__(self) -> str:
        if self.uses_appearance and self.uses_motion:
            much = "appearance" if self.appearance >= self.motion else "a little appearance"
            return f"{much} and motion"
        if self.uses_motion:
            return "motion alone"
        return "appearance alone" + (", maxima too" if self.maximum else "")


MIXTURES = (
    Mixture(appearance=1),
    Mixture(appearance=1, maximum=0.5),
    Mixture(appearance=1, maximum=0.5, motion=1, scores=1),
    Mixture(appearance=0.1, motion=0.3, scores=1),
    Mixture(motion=0.3, scores=1),
)


@dataclass(frozen=True)
class MixtureTrial:
    """A mixture, and how it did on held-out clips."""

    mixture: Mixture
    accuracy: float  # mean over the classes
    loss: float  # mean over the classes of the cross-entropy, nats
    sharpness: float  # factor of the logits with the lowest loss


@dataclass(frozen=True, eq=False)
class KnownFeatures:
    """The features of both networks side by side, each of a kind."""

    clips: tuple[FeatureClip, ...]
    columns: Features  # [clips, features]
    kinds: NDArray[np.int64]  # [features], fields of Mixture
    labels: Labels
    mirrored: NDArray[np.bool_]  # [clips]

    def scale(self, mixture: Mixture) -> NDArray[np.float32]:
        """Return the scale of each feature."""
        each = np.array(astuple(mixture)) * np.sqrt(EQUAL / np.maximum(1, np.bincount(self.kinds, minlength=4)))
        return each[self.kinds].astype(np.float32)


def know(features: ClipFeatures, networks: Sequence[FrozenNetwork]) -> KnownFeatures:
    """Put the features of all networks side by side, with the own scores of those that have any."""
    columns, kinds = [], []
    for block, network in zip(features.blocks, networks, strict=True):
        columns.append(block)
        if network.own is None:
            third = block.shape[1] // 3
            kinds += [0] * (2 * third) + [1] * third
        else:
            own = network.own.logits(block)
            columns.append(own)
            kinds += [2] * block.shape[1] + [3] * own.shape[1]
    return KnownFeatures(
        features.clips, np.concatenate(columns, axis=1), np.array(kinds), features.labels, features.mirrored
    )


def try_mixtures(known: KnownFeatures, classes: int, seed: int, step: Step = lambda _: None) -> list[MixtureTrial]:
    """Return a trial of each mixture, the best first. `step` is called before each."""
    folds = deal(known.clips, seed)
    trials = []
    for mixture in MIXTURES:
        step(str(mixture))
        trials.append(_try(known, classes, folds, mixture))
    return sorted(trials, key=lambda trial: (-round(trial.accuracy, 4), trial.loss))


def _try(known: KnownFeatures, classes: int, folds: NDArray[np.int64], mixture: Mixture) -> MixtureTrial:
    logits = np.zeros((len(folds), classes), np.float32)
    scale = known.scale(mixture)
    for fold in range(FOLDS):
        inside = folds != fold
        layer = fit(known.columns[inside], known.labels[inside], classes, scale)
        logits[~inside] = layer.logits(known.columns[~inside])
    judged, labels = logits[~known.mirrored], known.labels[~known.mirrored]
    losses = [_by_class(_cross_entropy(factor * judged, labels), labels) for factor in SHARPNESS]
    best = int(np.argmin(losses))
    return MixtureTrial(mixture, _by_class(judged.argmax(1) == labels, labels), losses[best], float(SHARPNESS[best]))


def fit_networks(
    known: KnownFeatures, networks: Sequence[FrozenNetwork], classes: int, trial: MixtureTrial
) -> list[LastLayer | None]:
    """Return the last layer of each network, fitted together on all clips; None: the network is not used."""
    whole = fit(known.columns, known.labels, classes, known.scale(trial.mixture))
    weight, bias = trial.sharpness * whole.weight, trial.sharpness * whole.bias
    used = (trial.mixture.uses_appearance, trial.mixture.uses_motion)
    layers: list[LastLayer | None] = []
    first = 0
    for network, is_used in zip(networks, used, strict=True):
        width = network.network.linear.in_features
        own_weight, own_bias = weight[:, first : first + width], bias / sum(used)
        first += width
        if network.own is not None:  # scores are linear in the other features
            scores = weight[:, first : first + len(network.own.bias)]
            own_weight, own_bias = own_weight + scores @ network.own.weight, own_bias + scores @ network.own.bias
            first += len(network.own.bias)
        layer = LastLayer(own_weight.astype(np.float32), own_bias.astype(np.float32))
        layers.append(layer if is_used else None)
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


def _by_class(values: NDArray[np.bool_] | NDArray[np.float32], labels: Labels) -> float:
    """Return the mean over the classes of each one's mean."""
    return float(np.mean([values[labels == label].mean() for label in np.unique(labels)]))


def _cross_entropy(logits: Logits, labels: Labels) -> NDArray[np.float32]:
    """Return the loss of each clip, nats [clips]."""
    top = logits.max(1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(1))
    loss: NDArray[np.float32] = total - logits[np.arange(len(labels)), labels]
    return loss
