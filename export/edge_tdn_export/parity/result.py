"""The findings of `edge-tdn-export parity`, as data between comparison and report.

The field names are the keys of parity.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_tdn.verdict import Claim
from edge_tdn_export.limits import Floats, Limits, bound, divergence, log_softmax

MIN_SHOWN = 1e-15  # smaller errors, divergences and largest logits are shown as this


@dataclass(frozen=True)
class NodeError:
    """The difference of one graph node from PyTorch's."""

    graph: str  # "encoder" or "head"; in an ensemble preceded by the network's T
    name: str  # see edge_tdn_export.convert.node_names
    error: float  # largest difference / largest value


@dataclass(frozen=True)
class InputComparison:
    """The live path's input compared with the published one (FFmpeg, Pillow), on a recording's first clip."""

    recording: str
    frames: int
    mean_error: float  # grey levels of 255: our resize against Pillow's, on the same frames
    max_error: float
    decoder_error: float  # mean, grey levels of 255: the live decoder against FFmpeg
    logit_error: float  # PyTorch on both inputs: largest difference / largest logit


@dataclass(frozen=True, eq=False)
class ComparedClip:
    """The logits of one clip from PyTorch and from the exported model."""

    recording: str
    at_s: float  # end of the clip in the video, seconds
    expected: NDArray[np.float32]  # [classes], PyTorch's logits
    got: NDArray[np.float32]  # [classes]
    thumbnails: tuple[
        NDArray[np.uint8], ...
    ] = ()  # only if it flips: small centre frames of its segments, uint8 RGB [h, w, 3]

    @property
    def flips(self) -> bool:
        """Return True if the two models give different first labels."""
        return bool(self.expected.argmax() != self.got.argmax())

    @property
    def scores(self) -> tuple[Floats, Floats]:
        """Return the softmax of both, [classes] each; NaN where a logit is not finite."""
        return np.exp(log_softmax(self.expected)), np.exp(log_softmax(self.got))

    @property
    def kl(self) -> float:
        """Return KL(PyTorch || exported) of the softmaxes in nats; NaN where one of them is."""
        return divergence(self.expected, self.got)


@dataclass(frozen=True)
class EventLog:
    """The events of one recording from both models, one line each: `3.20 s  start  left`."""

    recording: str
    expected: tuple[str, ...]
    got: tuple[str, ...]

    @property
    def same(self) -> bool:
        return self.expected == self.got


@dataclass(frozen=True, eq=False)
class PrecisionComparison:
    """One precision compared with full-precision PyTorch."""

    precision: str
    device: str  # on which it ran
    limits: Limits
    nodes: tuple[NodeError, ...]  # in the graphs' order; empty if the format does not show nodes
    first_diverging: NodeError | None  # the first node above limits.node_error
    features: dict[str, float]  # outputs of the encoder: name -> largest difference / largest value
    clips: tuple[ComparedClip, ...]
    events: tuple[EventLog, ...]
    max_logit_error: float  # largest difference / largest logit
    top1_agreement: float
    top5_agreement: float  # share of clips with PyTorch's first label among the first five
    mean_kl: float  # nats
    failures: tuple[str, ...]  # limits that are exceeded
    calibrated: bool = False  # on these clips: none was held out
    size: int = 0  # bytes of the graphs on disk
    hop: int = 1  # segments between two compared clips

    @property
    def top1_bound(self) -> str:
        """Return the lower bound of the top-1 agreement, for messages."""
        return bound(sum(not clip.flips for clip in self.clips), len(self.clips)) if self.clips else ""

    @property
    def claim(self) -> Claim:
        """Return what this comparison allows to be stated. Unbroken runs of one video are one recording."""
        recordings = set() if self.calibrated else {clip.recording for clip in self.clips}
        differing = {log.recording for log in self.events if not log.same}
        return Claim(self.precision, not self.failures, len(self.clips), len(recordings), len(differing))


@dataclass(frozen=True, eq=False)
class ParityReport:
    """All findings of one run of `edge-tdn-export parity`."""

    model: str  # its id
    network: str  # "resnet50, T = 8"; the networks of an ensemble joined with " + "
    labels: tuple[str, ...]
    checked_at: str  # ISO 8601, UTC
    tools: dict[str, str]  # name -> version
    clips_from: str  # path of the videos, or a description
    sampling_agrees: bool  # the window picks the same frames as the published sampling
    preprocessing: tuple[InputComparison, ...]
    comparisons: tuple[PrecisionComparison, ...]
    skipped: tuple[str, ...] = field(default=())  # one reason for each video without a clip


def logit_errors(clips: Sequence[ComparedClip]) -> Floats:
    """Return the largest difference of each clip / PyTorch's largest finite logit in all clips: [clips]."""
    largest = max((np.max(np.abs(c.expected), initial=0, where=np.isfinite(c.expected)) for c in clips), default=0)
    differences = np.array([np.max(np.abs(c.got - c.expected)) for c in clips], np.float64)
    return differences / max(float(largest), MIN_SHOWN)
