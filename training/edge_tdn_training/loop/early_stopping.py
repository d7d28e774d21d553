"""The choice of the best epoch, and the end of a training that improves no more. Pure functions of the metrics.

Only epochs after the first fall of the learning rate count: at a high rate the held-out loss goes up and down from step
to step, and a low value is luck.
"""

import math
from collections.abc import Sequence

from edge_tdn_training.loop.metrics import Metrics


def best_epoch(metrics: Sequence[Metrics]) -> int:
    """Return the epoch, from 0, whose held-out loss is lowest: of those since the rate fell, if there are any.

    A loss that is not finite is higher than any other.
    """

    def loss(epoch: int) -> float:
        value = metrics[epoch]["held_out_loss"]
        return value if math.isfinite(value) else math.inf

    return min(epochs_at_low_rate(metrics) or range(len(metrics)), key=loss, default=0)


def has_stalled(metrics: Sequence[Metrics], patience: int) -> bool:
    """Return whether the held-out loss has not improved for `patience` epochs since the rate fell."""
    low = epochs_at_low_rate(metrics)
    return bool(low) and len(metrics) - max(best_epoch(metrics) + 1, low.start) >= patience


def epochs_at_low_rate(metrics: Sequence[Metrics]) -> range:
    """Return the epochs, from 0, since the rate fell below half of its maximum for the first time."""
    rates = [epoch["rate"] for epoch in metrics]
    top = rates.index(max(rates)) if rates else 0
    low = (epoch for epoch in range(top, len(rates)) if rates[epoch] < rates[top] / 2)
    return range(next(low, len(rates)), len(rates))
