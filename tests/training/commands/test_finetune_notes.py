"""The notes that a fine-tuning prints about the clips and the best epoch."""

import numpy as np
import pytest
from edge_tdn_training.commands.finetune import best_epoch_note, too_short_note
from edge_tdn_training.training_config import TrainingConfig

from edge_tdn.manifest import InputSpec

pytestmark = pytest.mark.training


def spec(stride: int) -> InputSpec:
    return InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=stride)


@pytest.mark.parametrize(
    ("frames", "stride", "advice"),
    [
        (30, 2, ""),  # long enough
        (30, 4, "2.4 s that a clip of the model needs; record longer ones, or use --segment-stride 3"),
        (15, 4, "2.4 s that a clip of the model needs; record longer ones, or use --segment-stride 1"),
        (14, 2, "record longer ones, or use --segment-stride 1"),
        (10, 4, "2.4 s that a clip of the model needs; record longer ones"),
        (10, 1, "record longer ones"),
    ],
)
def test_a_stride_is_advised_only_where_it_suffices(frames: int, stride: int, advice: str) -> None:
    note = "".join(too_short_note([frames, frames, 99], spec(stride)))
    assert note.endswith(advice)
    assert bool(note) == bool(advice)
    assert ("--segment-stride" in note) == ("--segment-stride" in advice)


def test_the_best_epoch_is_explained_by_the_fall_of_the_rate_only_after_it() -> None:
    def note(config: TrainingConfig, *losses: float) -> str:
        return best_epoch_note([{"rate": config.rate_at(n), "held_out_loss": loss} for n, loss in enumerate(losses)])

    few = TrainingConfig(epochs=2, milestones=(0.6, 0.85))
    assert note(few, 0.5, 0.4) == "best epoch: 2 of 2, with the lowest held-out loss"
    many = TrainingConfig(epochs=10, milestones=(0.5,))
    fallen = "best epoch: 7 of 7, with the lowest held-out loss since the learning rate fell"
    assert note(many, *np.linspace(0.1, 0.7, 5), 0.9, 0.8) == fallen
