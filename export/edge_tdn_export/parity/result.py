"""What `edge-tdn-export parity` finds out, and what it asks for: the data between comparison and report."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-15  # smaller errors, divergences and largest logits are told as this

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What a precision must keep. `max_logit_error` is relative to the largest logit; None: not asked.

    `node_error` is no part of the verdict: a node that is further off computes something else; below, it is rounding.
    """

    max_logit_error: float | None
    top1_agreement: float
    node_error: float  # largest difference / largest value
    mean_kl: float | None = None  # nats
    same_events: bool = False


LIMITS = {
    "fp32": Limits(1e-4, 1.0, node_error=1e-3, same_events=True),
    "onnx": Limits(1e-4, 1.0, node_error=1e-3, same_events=True),
    "fp16": Limits(2e-2, 0.99, node_error=1e-1),
    "bf16": Limits(2e-2, 0.99, node_error=1e-1),
    "int8": Limits(None, 0.99, node_error=3e-1, mean_kl=0.01),
}


def limits_of(precision: str) -> Limits:
    """Of a precision as the manifest names it; on CUDA it must keep the same."""
    return LIMITS[precision.removeprefix("cuda-")]


@dataclass(frozen=True)
class NodeError:
    """How far one node of the graphs is from PyTorch's."""

    graph: str  # "encoder", "head"; of an ensemble with the network's number
    name: str  # see edge_tdn_export.convert.node_names
    error: float  # largest difference / largest value


@dataclass(frozen=True)
class Source:
    """How the live path's input compares with the published one (FFmpeg, Pillow), on a recording's first clip."""

    recording: str
    frames: int
    mean_error: float  # grey levels of 255: our resize and Pillow's, of the same pictures
    max_error: float
    decoder_error: float  # grey levels, mean: the live decoder's pictures and FFmpeg's
    logit_error: float  # PyTorch on both inputs: largest difference / largest logit


@dataclass(frozen=True, eq=False)
class Scored:
    """One clip through both."""

    recording: str
    at_s: float  # where in the video it ends
    expected: NDArray[np.float32]  # [classes], PyTorch's logits
    got: NDArray[np.float32]  # [classes]
    pictures: tuple[NDArray[np.uint8], ...] = ()  # of a flip: the centre frames of its segments, RGB, small

    @property
    def flips(self) -> bool:
        """Another label comes first."""
        return bool(self.expected.argmax() != self.got.argmax())

    @property
    def scores(self) -> tuple[Floats, Floats]:
        """Softmax of both, [classes] each; not a number where a logit is infinite or none."""
        return np.exp(log_softmax(self.expected)), np.exp(log_softmax(self.got))

    @property
    def kl(self) -> float:
        """Kullback-Leibler divergence of the softmaxes, PyTorch's first, nats; not a number where one of them is."""
        return divergence(self.expected, self.got)


@dataclass(frozen=True)
class EventLog:
    """The events of one recording through both, one line each: `start left 3.20 s`."""

    recording: str
    expected: tuple[str, ...]
    got: tuple[str, ...]

    @property
    def same(self) -> bool:
        return self.expected == self.got


@dataclass(frozen=True, eq=False)
class Comparison:
    """One precision against full-precision PyTorch."""

    precision: str
    device: str  # that it ran on
    limits: Limits
    nodes: tuple[NodeError, ...]  # in the graphs' order; empty where the format has no nodes to look at
    first_diverging: NodeError | None  # the first one beyond limits.node_error
    features: dict[str, float]  # of the segment encoder: name -> largest difference / largest value
    clips: tuple[Scored, ...]
    events: tuple[EventLog, ...]
    max_logit_error: float  # largest difference / largest logit
    top1_agreement: float
    top5_agreement: float  # PyTorch's first label is among the five
    mean_kl: float  # nats
    failures: tuple[str, ...]  # limits that were not kept; empty: proven
    size: int = 0  # bytes of the graphs on disk

    @property
    def proven(self) -> bool:
        return not self.failures


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that `edge-tdn-export parity` found out."""

    model: str  # its id
    network: str  # "resnet50, T = 8"; of an ensemble both
    labels: tuple[str, ...]
    checked_at: str  # ISO 8601, UTC
    tools: dict[str, str]  # name -> version
    clips_from: str  # where the videos came from
    sampling_agrees: bool  # the window takes the very frames that the published sampling takes
    preprocessing: tuple[Source, ...]
    comparisons: tuple[Comparison, ...]
    skipped: tuple[str, ...] = field(default=())  # videos that gave no clip, and why


def log_softmax(logits: NDArray[np.float32]) -> Floats:
    """[classes] -> logarithms of the softmax: finite even where a probability is too small for a float."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    result: Floats = shifted - np.log(np.exp(shifted).sum())
    return result


def divergence(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Kullback-Leibler divergence of the softmaxes of two [classes], nats; not a number where one of them is."""
    p, q = log_softmax(first), log_softmax(second)
    return float(np.maximum(0.0, np.sum(np.exp(p) * (p - q))))  # rounding can make it negative


def logit_errors(clips: Sequence[Scored]) -> Floats:
    """Largest difference of each clip / PyTorch's largest finite logit in all of them: [clips]."""
    largest = max((np.max(np.abs(c.expected), initial=0, where=np.isfinite(c.expected)) for c in clips), default=0)
    differences = np.array([np.max(np.abs(c.got - c.expected)) for c in clips], np.float64)
    return differences / max(float(largest), LEAST)
