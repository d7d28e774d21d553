"""How much each kind of feature counts: tried by cross-validation.

    appearance    mean over the segments, and mean absolute difference of neighbours, of the appearance network
    maximum       maximum over the segments of the same
    motion        mean over the segments of the motion network
    scores        the motion network's own scores: eight numbers that know left from right

Each mixture of the kinds is fitted on all but one fold of the clips and judged on that fold, as the clips are (not
mirrored). The one with the highest accuracy is taken, of equal ones that with the lowest loss. Its logits are then
scaled so that their softmax is calibrated on the held-out clips.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from edge_tdn_export.progress import Step
from numpy.typing import NDArray

from edge_tdn_training.frozen.features import ClipFeatures, FrozenNetwork
from edge_tdn_training.frozen.folds import FOLDS, assign_folds, overlapping
from edge_tdn_training.frozen.last_layer import Features, Labels, LastLayer, fit

REFERENCE_FEATURES = 4096  # a kind of so many features has the scale that its mixture states; kinds of others the same
#                            total variance
LOGIT_SCALES = np.geomspace(0.25, 4, 17)

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
UNTRIED = MIXTURES[2]  # where there are too few clips to compare any


@dataclass(frozen=True)
class MixtureTrial:
    """A mixture, and its results on held-out clips."""

    mixture: Mixture
    accuracy: float  # mean over the classes
    loss: float  # mean over the classes of the cross-entropy, nats
    logit_scale: float  # factor of the logits with the lowest loss


@dataclass(frozen=True, eq=False)
class CombinedFeatures:
    """The features of both networks side by side, each of a kind."""

    features: ClipFeatures
    columns: Features  # [clips, features]
    kinds: NDArray[np.int64]  # [features], fields of Mixture

    def scale(self, mixture: Mixture) -> NDArray[np.float32]:
        """Return the scale of each feature, float32 [features]."""
        count = np.bincount(self.kinds, minlength=4)
        each = np.array(astuple(mixture)) * np.sqrt(REFERENCE_FEATURES / np.maximum(1, count))
        return each[self.kinds].astype(np.float32)


def combine(features: ClipFeatures, networks: Sequence[FrozenNetwork]) -> CombinedFeatures:
    """Put the features of all networks side by side, with the scores of those that have their original layer."""
    columns, kinds = [], []
    for block, network in zip(features.blocks, networks, strict=True):
        columns.append(block)
        if network.original_layer is None:
            third = block.shape[1] // 3
            kinds += [0] * (2 * third) + [1] * third
        else:
            scores = network.original_layer.logits(block)
            columns.append(scores)
            kinds += [2] * block.shape[1] + [3] * scores.shape[1]
    return CombinedFeatures(features, np.concatenate(columns, axis=1), np.array(kinds))


def try_mixtures(
    combined: CombinedFeatures, classes: int, seed: int, step: Step = lambda _: None
) -> list[MixtureTrial]:
    """Return a trial of each mixture, the best first; none if there are too few clips. `step`: called before each."""
    folds = assign_folds(combined.features.clips, seed)
    trials = []
    for mixture in MIXTURES:
        step(str(mixture))
        trial = _cross_validate(combined, classes, folds, mixture)
        trials += [trial] if trial else []
    return sorted(trials, key=lambda trial: (-round(trial.accuracy, 4), trial.loss))


def _cross_validate(
    combined: CombinedFeatures, classes: int, folds: NDArray[np.int64], mixture: Mixture
) -> MixtureTrial | None:
    """Return the trial of a mixture. Clips of a class without others to fit on are not judged; None: no clip is."""
    features, columns = combined.features, combined.columns
    scale = combined.scale(mixture)
    logits: list[Logits] = []
    labels: list[Labels] = []
    for fold in range(FOLDS):
        held_out = folds == fold
        fitted = ~held_out & ~overlapping(features.clips, held_out)
        judged = held_out & ~features.mirrored & np.isin(features.labels, features.labels[fitted])
        if judged.any() and len(np.unique(features.labels[fitted])) > 1:
            layer = fit(columns[fitted], features.labels[fitted], classes, scale)
            logits.append(layer.logits(columns[judged]))
            labels.append(features.labels[judged])
    if not logits:
        return None
    own, truth = np.concatenate(logits), np.concatenate(labels)
    losses = [_by_class(_cross_entropy(factor * own, truth), truth) for factor in LOGIT_SCALES]
    best = int(np.argmin(losses))
    return MixtureTrial(mixture, _by_class(own.argmax(1) == truth, truth), losses[best], float(LOGIT_SCALES[best]))


def fit_networks(
    combined: CombinedFeatures, networks: Sequence[FrozenNetwork], classes: int, mixture: Mixture, logit_scale: float
) -> list[LastLayer | None]:
    """Return the last layer of each network, fitted together on all clips; None where a network is not used."""
    whole = fit(combined.columns, combined.features.labels, classes, combined.scale(mixture))
    weight, bias = logit_scale * whole.weight, logit_scale * whole.bias
    used = (mixture.uses_appearance, mixture.uses_motion)
    layers: list[LastLayer | None] = []
    first = 0
    for network, is_used in zip(networks, used, strict=True):
        width = network.network.linear.in_features
        own_weight, own_bias = weight[:, first : first + width], bias / sum(used)
        first += width
        if (original := network.original_layer) is not None:  # its scores are linear in the other features
            scores = weight[:, first : first + len(original.bias)]
            own_weight, own_bias = own_weight + scores @ original.weight, own_bias + scores @ original.bias
            first += len(original.bias)
        layer = LastLayer(own_weight.astype(np.float32), own_bias.astype(np.float32))
        layers.append(layer if is_used else None)
    return layers


def _by_class(values: NDArray[np.bool_] | NDArray[np.float32], labels: Labels) -> float:
    """Return the mean over the classes of each one's mean."""
    return float(np.mean([values[labels == label].mean() for label in np.unique(labels)]))


def _cross_entropy(logits: Logits, labels: Labels) -> NDArray[np.float32]:
    """Return the loss of each clip, nats [clips]."""
    top = logits.max(1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(1))
    loss: NDArray[np.float32] = total - logits[np.arange(len(labels)), labels]
    return loss
