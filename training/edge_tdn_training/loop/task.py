"""A training task: the network, its data and its settings, which together fix the result."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import Dataset

from edge_tdn.manifest import InputSpec
from edge_tdn_training.loop.initial_weights import InitialWeights
from edge_tdn_training.training_config import TrainingConfig


class ClipSource(Protocol):
    """Clips to train or to evaluate on: `DecodedDataSet` or `GeneratedClips`. Its length is that of an epoch."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def summary(self) -> dict[str, object]:
        """Return what identifies the clips in run.json: it must be the same when a run is resumed."""

    def train_clips(self, config: TrainingConfig, spec: InputSpec) -> Dataset[tuple[Tensor, Any]]:
        """Return training clips by (epoch, number): uint8 [T, 5, H, W, 3] and a label, or V views of each.

        Views are uint8 [V, T, 5, H, W, 3] and int64 [V], where V is `config.views`. ConfigError: nothing can be
        learned from these clips.
        """

    def eval_clips(self, spec: InputSpec) -> Dataset[tuple[Tensor, Any]]:
        """Return evaluation clips by number: uint8 [T, 5, H, W, 3] and a label."""


@dataclass(frozen=True, eq=False)
class TrainingTask:
    """Everything that fixes the result of a training, except for the micro-batch that batch norms see."""

    initial: InitialWeights
    spec: InputSpec
    train: ClipSource
    held_out: ClipSource | None
    config: TrainingConfig

    def identity(self) -> dict[str, Any]:
        """Return what identifies the task in run.json: it must be the same when a run is resumed."""
        return {
            "network": self.initial.model.config.as_dict(),
            "input": self.spec.model_dump(mode="json"),
            "course": asdict(self.config),
            "start": {"from": self.initial.source, "sha256": self.initial.sha256, "notes": self.initial.notes},
            "data": self.train.summary(),
            "held_out": self.held_out.summary() if self.held_out is not None else None,
        }
