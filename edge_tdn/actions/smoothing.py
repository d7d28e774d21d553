"""From logits to the scores of actions: softmax, mean over the last clips, sum over an action's labels. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_tdn.actions.labels import Rule

Probabilities = NDArray[np.float32]  # [classes], 0 to 1, sum 1


class ScoreSmoother:
    """The scores of a camera's actions, averaged over its last clips.

    With z the logits of a clip and n the number of averaged clips, `clips` at most:

        p = exp(z - max z) / sum exp(z - max z)     probabilities of one clip
        m = (p of the last n clips) / n             mean probabilities
        score of an action = sum of m over its labels

    Owned by the runtime thread.
    """

    def __init__(
        self, rules: Mapping[str, Rule], classes: int, clips: int, recent: Iterable[Probabilities] = ()
    ) -> None:
        self._members = np.zeros((len(rules), classes), np.float32)  # [actions, classes], 1: the label is part of it
        for row, rule in zip(self._members, rules.values(), strict=True):
            row[list(rule.members)] = 1
        self._names = tuple(rules)
        self._recent = deque(recent, maxlen=clips)
        self.scores: dict[str, float] = self._score() if self._recent else {}  # by action name; empty before a clip

    @property
    def recent(self) -> tuple[Probabilities, ...]:
        """The probabilities of the averaged clips, oldest first."""
        return tuple(self._recent)

    @property
    def mean(self) -> Probabilities:
        """The mean probabilities, float32 [classes]."""
        mean: Probabilities = np.mean(self._recent, axis=0, dtype=np.float32)
        return mean

    def push(self, logits: NDArray[np.float32]) -> None:
        """Add the newest clip's logits, float32 [classes]."""
        self._recent.append(softmax(logits))
        self.scores = self._score()

    def clear(self) -> None:
        """Forget all clips: no average spans a gap in the stream."""
        self._recent.clear()
        self.scores = {}

    def _score(self) -> dict[str, float]:
        return dict(zip(self._names, (self._members @ self.mean).tolist(), strict=True))


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """Return the probabilities [classes] for logits [classes]."""
    exponentials = np.exp(logits - logits.max())
    probabilities: Probabilities = (exponentials / exponentials.sum()).astype(np.float32)
    return probabilities
