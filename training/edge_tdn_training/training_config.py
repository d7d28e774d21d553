"""The settings of a training: schedule, optimiser, augmentation and precision.

The published commands use a learning rate of 0.02 for 128 clips per step (0.01 for the 64 of Something-Something). The
rate is scaled with the batch and divided by ten at the milestones.
"""

import math
from dataclasses import dataclass
from typing import Literal

from edge_tdn.errors import ConfigError

Precision = Literal["bf16", "fp32"]

REFERENCE_BATCH = 128  # clips per step that `TrainingConfig.rate` refers to
DECAY_FACTOR = 0.1  # of the rate, at each milestone
WARM_UP_START = 0.01  # of the rate, where a warm-up begins
RANGES = {
    "epochs": (1, 10_000),
    "rate": (0, 100),
    "warm_up_epochs": (0, 10_000),
    "batch": (1, 1 << 20),
    "weight_decay": (0, 1),
    "momentum": (0, 1),
    "dropout": (0, 1),
    "clip": (0, math.inf),
    "last_layer": (0, 100),
    "window_s": (0, math.inf),
    "views": (1, 64),
    "spliced": (0, 1),
    "seed": (0, (1 << 32) - 1),
}


@dataclass(frozen=True)
class TrainingConfig:
    """The settings that fix the result of a training. The defaults are published; see PUBLISHED for both data sets.

    The names of the fields are keys of run.json ("course"): they never change, so that old runs can be resumed.
    """

    epochs: int = 60
    milestones: tuple[float, ...] = (30 / 60, 45 / 60, 55 / 60)  # shares of all epochs; the rate falls after each
    rate: float = 0.02  # learning rate for REFERENCE_BATCH clips per step
    warm_up_epochs: float = 0.0  # epochs in which the rate rises to its full height
    cosine: bool = False  # after the warm-up, decay as half a cosine to 0 instead of at the milestones
    batch: int = 64  # clips per step, of all processes together
    weight_decay: float = 5e-4
    momentum: float = 0.9
    nesterov: bool = False
    dropout: float = 0.5
    clip: float = 20.0  # largest norm of a step's gradient
    last_layer: float = 1.0  # its rate relative to the others'; published: 5 for fine-tuning on small data sets
    partial_norm: bool = True  # pretrained batch norms keep their statistics, except for the first
    flip: bool = True  # mirror half of the clips
    views: int = 1  # clips made of one drawing, always in the same micro-batch; 1 for videos
    window_s: float = 0.0  # seconds of a longer video that a clip is taken from; 0: the whole video, as published
    spliced: float = 0.0  # share of the clips that begin in another video, as a camera's do between two actions
    precision: Precision = "bf16"  # bf16: autocast to BF16 where it is safe
    seed: int = 1

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} {getattr(self, name)}: must be from {low:g} to {high:g}")

    def rate_at(self, epoch: float) -> float:
        """Return the learning rate after `epoch` epochs, which may be a fraction."""
        rate = self.rate * self.batch / REFERENCE_BATCH
        if epoch < self.warm_up_epochs:
            return rate * (WARM_UP_START + (1 - WARM_UP_START) * epoch / self.warm_up_epochs)
        if self.cosine:
            passed = (epoch - self.warm_up_epochs) / (self.epochs - self.warm_up_epochs)
            return rate * (1 + math.cos(math.pi * passed)) / 2
        return rate * float(DECAY_FACTOR ** sum(epoch >= share * self.epochs - 1e-9 for share in self.milestones))


PUBLISHED = {
    "something": TrainingConfig(),
    "kinetics": TrainingConfig(epochs=100, milestones=(0.5, 0.75, 0.9), batch=128, weight_decay=1e-4),
}
