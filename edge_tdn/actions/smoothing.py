"""From logits to the scores of actions: softmax, mean over the last seconds, sum over an action's labels. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_tdn.actions.labels import Rule
from edge_tdn.messages import NS_PER_MS, NS_PER_S

Probabilities = NDArray[np.float32]  # [classes], 0 to 1, sum 1
ROUNDING_NS = NS_PER_MS  # of times: seconds that are a multiple of the hop always hold the same number of clips


@dataclass(frozen=True, eq=False)
class SmoothedClip:
    """One of the clips that scores are averaged over."""

    at_ns: int  # its end, on the camera's stream clock
    probabilities: Probabilities


class ScoreSmoother:
    """The scores of a camera's actions, averaged over the clips of the last `seconds` of its stream.

    With z the logits of a clip, and n the number of clips that ended less than `seconds` before the newest, with it:

        p = exp(z - max z) / sum exp(z - max z)     probabilities of one clip
        m = (p of these n clips) / n                mean probabilities
        score of an action = sum of m over its labels

    Clips that are further apart, at a wider hop, are fewer: scores follow the scene at the same speed. The newest clip
    always counts, so that 0 seconds average nothing. Owned by the runtime thread.
    """

    def __init__(
        self, rules: Mapping[str, Rule], classes: int, seconds: float, recent: Iterable[SmoothedClip] = ()
    ) -> None:
        """`recent`: the clips of an earlier smoother of the same camera and labels."""
        self._members = np.zeros((len(rules), classes), np.float32)  # [actions, classes], 1: the label is part of it
        for row, rule in zip(self._members, rules.values(), strict=True):
            row[list(rule.members)] = 1
        self._names = tuple(rules)
        self._span_ns = round(seconds * NS_PER_S)
        self._recent = deque(recent)
        self.scores: dict[str, float] = {}  # by action name; empty before a clip
        if self._recent:
            self._average()

    @property
    def recent(self) -> tuple[SmoothedClip, ...]:
        """The averaged clips, oldest first."""
        return tuple(self._recent)

    @property
    def mean(self) -> Probabilities:
        """The mean probabilities, float32 [classes]."""
        mean: Probabilities = np.mean([clip.probabilities for clip in self._recent], axis=0, dtype=np.float32)
        return mean

    def push(self, logits: NDArray[np.float32], at_ns: int) -> None:
        """Add the newest clip: its logits, float32 [classes], and its end on the camera's stream clock."""
        self._recent.append(SmoothedClip(at_ns, softmax(logits)))
        self._average()

    def clear(self) -> None:
        """Forget all clips: no average spans a gap in the stream."""
        self._recent.clear()
        self.scores = {}

    def _average(self) -> None:
        oldest_ns = self._recent[-1].at_ns - self._span_ns + ROUNDING_NS
        while len(self._recent) > 1 and self._recent[0].at_ns <= oldest_ns:
            self._recent.popleft()
        self.scores = dict(zip(self._names, (self._members @ self.mean).tolist(), strict=True))


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """Return the probabilities [classes] for logits [classes]."""
    exponentials = np.exp(logits - logits.max())
    probabilities: Probabilities = (exponentials / exponentials.sum()).astype(np.float32)
    return probabilities
