"""Measure how closely a quantised model agrees with FP32 on a set of clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_tdn.manifest import InputSpec
from edge_tdn.verdict import percent
from edge_tdn_export.limits import Limits, bound, divergence
from edge_tdn_export.progress import OnProgress
from edge_tdn_export.quantize.clip_split import ClipSet
from edge_tdn_export.quantize.compiled import Array

Score = Callable[[Array], Array]  # clip, uint8 RGB [T, InputSpec.frames, H, W, 3] -> logits [classes]


@dataclass(frozen=True)
class Agreement:
    """Agreement with FP32."""

    top1_agreement: float  # share of clips with the same first label, 0 to 1
    mean_kl: float  # nats, KL(FP32 || quantised); infinite where a logit is NaN
    clips: int

    @property
    def same_labels(self) -> int:
        """Return the number of clips with the same first label."""
        return round(self.top1_agreement * self.clips)

    def keeps(self, limits: Limits) -> bool:
        assert limits.mean_kl is not None
        return self.top1_agreement >= limits.top1_agreement and self.mean_kl <= limits.mean_kl

    def __str__(self) -> str:
        """Return the figures, with the lower bound of the agreement."""
        top1 = f"{percent(self.top1_agreement)} ({bound(self.same_labels, self.clips)})"
        return f"top-1 agreement {top1}, mean KL {self.mean_kl:.2g}"


@dataclass(frozen=True, eq=False)
class ReferenceClips:
    """Some clips and FP32's logits of them."""

    spec: InputSpec
    clips: ClipSet
    logits: tuple[Array, ...]  # [classes] each

    @classmethod
    def of(cls, spec: InputSpec, clips: ClipSet, fp32: Score, progress: OnProgress) -> "ReferenceClips":
        return cls(spec, clips, tuple(_scores(spec, clips, fp32, "FP32", progress)))

    def clip(self, number: int) -> Array:
        """Return one clip, uint8 RGB [T, InputSpec.frames, H, W, 3]."""
        recording, last = self.clips.clips[number]
        return recording.clip(last, self.spec)

    def scores(self, score: Score, what: str, progress: OnProgress) -> list[Array]:
        """Return the logits [classes] of every clip. `what` describes the model to `progress`."""
        return _scores(self.spec, self.clips, score, what, progress)

    def agreement(self, score: Score, what: str, progress: OnProgress) -> Agreement:
        """Run every clip and compare with FP32."""
        return compare(self.logits, self.scores(score, what, progress))


def compare(expected: Sequence[Array], got: Sequence[Array]) -> Agreement:
    """Compare the logits [classes] of the same clips."""
    kl = float(np.mean([divergence(one, other) for one, other in zip(expected, got, strict=True)]))
    same = float(np.mean([one.argmax() == other.argmax() for one, other in zip(expected, got, strict=True)]))
    return Agreement(same, kl if np.isfinite(kl) else np.inf, len(expected))


def _scores(spec: InputSpec, clips: ClipSet, score: Score, what: str, progress: OnProgress) -> list[Array]:
    found = []
    for number, (recording, last) in enumerate(clips.clips):
        progress(what, number, len(clips.clips))
        found.append(score(recording.clip(last, spec)))
    return found
