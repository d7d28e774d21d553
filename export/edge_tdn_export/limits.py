"""Accuracy limits of each precision, and the divergence that they are stated in."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONFIDENCE = 0.95  # of the lower bound of an agreement
NOT_INDEPENDENT = (
    f"The bound in brackets holds with {CONFIDENCE * 100:g} % confidence for independent clips; those of one recording "
    "resemble each other, so that it may be lower."
)


@dataclass(frozen=True)
class Limits:
    """Accuracy that a precision must keep, compared with full-precision PyTorch on the same clips.

    `node_error` decides nothing: it separates rounding from nodes that compute something else.
    """

    max_logit_error: float | None  # largest difference / largest logit; None: unlimited
    top1_agreement: float  # share of clips with the same first label, 0 to 1
    node_error: float  # largest difference / largest value
    mean_kl: float | None = None  # nats; None: unlimited
    same_events: bool = False


LIMITS = {
    "fp32": Limits(1e-4, 1.0, node_error=1e-3, same_events=True),
    "onnx": Limits(1e-4, 1.0, node_error=1e-3, same_events=True),
    "fp16": Limits(2e-2, 0.99, node_error=1e-1),
    "bf16": Limits(2e-2, 0.99, node_error=1e-1),
    "int8": Limits(None, 0.99, node_error=3e-1, mean_kl=0.01),
}


def limits_of(precision: str) -> Limits:
    """Return the limits of a manifest's precision. `cuda-fp16` must keep those of `fp16`."""
    return LIMITS[precision.removeprefix("cuda-")]


def lower_bound(same: int, clips: int) -> float:
    """Return the share of which at least is the true one with 95 % confidence (Clopper-Pearson, one-sided).

    It is that of independent clips; those of one recording are not.
    """
    ways = [math.lgamma(clips + 1) - math.lgamma(n + 1) - math.lgamma(clips - n + 1) for n in range(same, clips + 1)]
    low, high = 0.0, same / clips  # the probability of as many as `same` grows with the share
    for _ in range(50 if same else 0):
        share = (low + high) / 2
        each = (math.log(share), math.log1p(-share))  # logarithms, since the number of ways is beyond a float
        tail = sum(math.exp(way + n * each[0] + (clips - n) * each[1]) for n, way in enumerate(ways, same))
        low, high = (share, high) if tail < 1 - CONFIDENCE else (low, share)
    return low


def bound(same: int, clips: int) -> str:
    """Return the lower bound of an agreement for messages: `95 %: at least 94.7%`."""
    return f"{CONFIDENCE * 100:g} %: at least {math.floor(1000 * lower_bound(same, clips)) / 10:.1f}%"


def log_softmax(logits: NDArray[np.float32]) -> Floats:
    """Return the logarithms of the softmax of logits [classes]; finite even where a probability underflows."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    result: Floats = shifted - np.log(np.exp(shifted).sum())
    return result


def divergence(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the Kullback-Leibler divergence KL(softmax(first) || softmax(second)) of logits [classes], in nats.

    The result is NaN where one of the softmaxes is.
    """
    p, q = log_softmax(first), log_softmax(second)
    return float(np.maximum(0.0, np.sum(np.exp(p) * (p - q))))  # rounding can make it negative
