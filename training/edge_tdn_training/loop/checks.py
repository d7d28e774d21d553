"""Checks before a training starts: the batch can be divided, and the picture is large enough for the network."""

import copy

import torch
from edge_tdn_export.network.tdn import TDN

from edge_tdn.errors import ConfigError, last_line
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn_training.loop.distributed import DistributedContext
from edge_tdn_training.training_config import TrainingConfig


def check_batch(config: TrainingConfig, examples: int, context: DistributedContext, micro_batch: int) -> None:
    """ConfigError: a step of `config.batch` clips cannot be made of these examples, processes and micro-batches."""
    clips, groups = examples * config.views, config.batch // config.views
    if config.batch > clips:
        raise ConfigError(
            f"batch {config.batch}: a step would need more clips than an epoch has, {clips}; use --batch {clips} or "
            f"less"
        )
    if config.batch % config.views:
        raise ConfigError(f"batch {config.batch}: not a multiple of {config.views} views; change --batch")
    if groups % context.world:
        processes = _alternatives(_divisors(groups))
        raise ConfigError(
            f"batch {config.batch}: {context.world} processes cannot share it evenly; start {processes} processes"
        )
    allowed = [config.views * n for n in _divisors(groups // context.world)]
    if micro_batch not in allowed:
        raise ConfigError(
            f"{micro_batch} clip(s) at once: a process's share of a step is {groups // context.world} x {config.views} "
            f"clip(s); use --micro-batch {_alternatives(allowed)}"
        )


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _alternatives(numbers: list[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


def check_size(model: TDN, spec: InputSpec) -> None:
    """ConfigError: the pictures are too small for the network. Only shapes are computed, on the device `meta`."""
    clip = torch.empty((1, spec.segments, FRAMES_PER_SEGMENT, 3, spec.height, spec.width), device="meta")
    try:
        copy.deepcopy(model).to("meta")(clip)
    except RuntimeError as error:
        raise ConfigError(f"size {spec.height}x{spec.width}: too small for this network: {last_line(error)}") from error
