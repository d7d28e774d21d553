"""A last layer for frozen features: multinomial logistic regression, fitted with L-BFGS.

    minimise over W, b:  mean over clips n of  w_n * cross-entropy(W z_n + b, label_n)  +  penalty * |W|^2

z are features of zero mean and unit variance, times a scale for each of them; a feature of scale 0 is not used. The
weights w_n give every class the same total. Scaling and shifting are folded into the layer, which takes raw features.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

PENALTY = 1e-3
MAX_STEPS = 100
MIN_DEVIATION = 1e-6  # a feature that varies less is the same in all clips, and is not used

Features = NDArray[np.float32]  # [clips, features]
Labels = NDArray[np.int64]  # [clips]


@dataclass(frozen=True, eq=False)
class LastLayer:
    """A linear layer: logits [clips, classes] of raw features [clips, features]."""

    weight: NDArray[np.float32]  # [classes, features]
    bias: NDArray[np.float32]  # [classes]

    @classmethod
    def of(cls, linear: nn.Linear) -> "LastLayer":
        """Return a copy of a layer of PyTorch."""
        return cls(linear.weight.detach().numpy().copy(), linear.bias.detach().numpy().copy())

    def logits(self, features: Features) -> NDArray[np.float32]:
        found: NDArray[np.float32] = features @ self.weight.T + self.bias
        return found


def fit(features: Features, labels: Labels, classes: int, scale: Features, penalty: float = PENALTY) -> LastLayer:
    """Fit a last layer for `classes` classes, each of which has at least one clip.

    `scale`: float32 [features], of the standardised features.
    """
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    mean, deviation = x.mean(0), x.std(0, correction=0)
    factor = torch.where(deviation > MIN_DEVIATION, torch.from_numpy(scale) / deviation, torch.zeros(()))
    z = (x - mean) * factor
    counts = torch.bincount(y, minlength=classes).clamp(min=1)
    share = len(y) / (classes * counts[y])  # w_n, whose mean is 1
    weight, bias = _minimise(z, y, share, classes, penalty)
    weight = weight * factor
    return LastLayer(weight.numpy(), (bias - weight @ mean).numpy())


def _minimise(z: Tensor, y: Tensor, share: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(classes, z.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=MAX_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        each = F.cross_entropy(z @ weight.T + bias, y, reduction="none")
        total: Tensor = (share * each).mean() + penalty * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
