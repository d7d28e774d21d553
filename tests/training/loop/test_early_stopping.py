"""The end of a training that improves no more, and its best epoch."""

import math

import pytest
from edge_tdn_training.loop.early_stopping import best_epoch, has_stalled
from edge_tdn_training.loop.metrics import Metrics
from edge_tdn_training.training_config import TrainingConfig

pytestmark = pytest.mark.training


def with_rates(config: TrainingConfig, *losses: float) -> list[Metrics]:
    """Return metrics with these held-out losses, and the rates of the schedule."""
    return [{"rate": config.rate_at(epoch), "held_out_loss": loss} for epoch, loss in enumerate(losses)]


def test_a_training_ends_early_only_after_the_rate_has_fallen() -> None:
    config = TrainingConfig(epochs=10, milestones=(0.5, 0.9))
    lowest_first = with_rates(config, 0.2, 0.5, 0.4, 0.3, 0.5, 0.6, 0.7, 0.8)
    assert [has_stalled(lowest_first[:n], 2) for n in range(1, 9)] == [False] * 7 + [True]
    better_still = with_rates(config, 0.2, 0.5, 0.4, 0.3, 0.5, 0.1, 0.7, 0.8)
    assert [has_stalled(better_still[:n], 2) for n in range(1, 9)] == [False] * 7 + [True]


def test_the_best_epoch_is_one_at_a_low_rate() -> None:
    """A low loss at a high rate is luck; it counts only until the rate falls."""
    for warm_up in (0.0, 1.0):
        metrics = with_rates(
            TrainingConfig(epochs=10, milestones=(0.5,), warm_up_epochs=warm_up), 0.2, 0.1, 0.4, 0.3, 0.5, 0.6, 0.4
        )
        assert [best_epoch(metrics[:n]) for n in range(1, 8)] == [0, 1, 1, 1, 1, 5, 6]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_never_the_best(bad: float) -> None:
    config = TrainingConfig(epochs=10, milestones=(0.5,))
    metrics = with_rates(config, 0.2, 0.1, 0.4, 0.3, 0.5, bad, 0.2, 0.1, bad)
    assert [best_epoch(metrics[:n]) for n in range(6, 10)] == [5, 6, 7, 7]
