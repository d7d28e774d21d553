"""SGD with the published parameter groups: biases learn twice as fast; neither they nor batch norms decay."""

import torch
from edge_tdn_export.network.tdn import TDN
from torch import nn

from edge_tdn_training.training_config import TrainingConfig

BIAS_RATE = 2.0  # learning rate of biases, relative to that of weights


def make_optimiser(model: TDN, frozen_norms: frozenset[str], config: TrainingConfig) -> torch.optim.Optimizer:
    """Return SGD for the parameters of `model`. Batch norms in `frozen_norms` are frozen if `config.partial_norm`.

    Each group has a `scale`: its learning rate relative to `config.rate_at`.
    """
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        module, _, kind = name.rpartition(".")
        if config.partial_norm and module in frozen_norms:
            parameter.requires_grad_(False)
            continue
        scale = BIAS_RATE if kind == "bias" and module not in norms else 1.0
        decay = 0.0 if kind == "bias" or module in norms else config.weight_decay
        groups.setdefault((scale * (config.last_layer if module == "linear" else 1.0), decay), []).append(parameter)
    return torch.optim.SGD(
        [{"params": own, "scale": scale, "weight_decay": decay} for (scale, decay), own in groups.items()],
        lr=config.rate_at(0),
        momentum=config.momentum,
        nesterov=config.nesterov,
    )
