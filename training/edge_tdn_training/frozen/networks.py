"""The frozen networks of own actions: what things are, and how they move.

    appearance    ResNet-50 with ImageNet weights on the centre frame of each segment (TSN); the last layer reads mean,
                  mean absolute difference of neighbours and maximum over the T segments
    motion        the shipped model `motion`, on the same pictures at half their size

Both read the same segments, and their logits are added: together they are an ensemble of one stream.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from edge_tdn_export.network.reference import open_networks
from edge_tdn_export.network.tdn import TDN

from edge_tdn.manifest import InputSpec, open_model, shipped_models
from edge_tdn_training.frozen.features import FrozenNetwork
from edge_tdn_training.frozen.last_layer import LastLayer
from edge_tdn_training.loop.initial_weights import load_initial_weights

APPEARANCE, MOTION = "appearance", "motion"
SIDE = 256  # pixels of the pictures' sides
SHRINK = 2  # pixels of a side that are averaged for `motion`, which was trained on pictures of 96x96
TSN = {"stdm_stages": (), "ltdm_stages": (), "temporal_conv_stages": ()}
ORIGINAL_CONV1 = (-0.1426, 1.1123, 1.2725)  # the first weights of He's ResNet-50, which halves a stage in its first 1x1


def frozen_networks(imagenet: Path, labels: Sequence[str]) -> tuple[tuple[FrozenNetwork, ...], InputSpec]:
    """Return the networks for `labels`, appearance first, and their input. ModelError: weights that cannot be read."""
    shipped = open_model(shipped_models() / MOTION)  # never a folder of that name beside the clips
    motion = load_initial_weights(str(shipped.folder), tuple(labels), 1)
    assert motion.spec is not None  # a model folder states its input
    spec = motion.spec.model_copy(update={"height": SIDE, "width": SIDE})
    options = {**TSN, "segments": spec.segments, "pooling": "statistics"}
    appearance = load_initial_weights(str(imagenet), tuple(labels), 1, **options)
    first = appearance.model.conv1.weight.detach().flatten()[: len(ORIGINAL_CONV1)]
    stride_conv = "1x1" if torch.allclose(first, torch.tensor(ORIGINAL_CONV1), atol=1e-3) else "3x3"
    own = open_networks(shipped).members[0].linear
    return (
        FrozenNetwork(
            APPEARANCE, appearance.source, appearance.sha256, _changed(appearance.model, stride_conv=stride_conv)
        ),
        FrozenNetwork(MOTION, motion.source, motion.sha256, _changed(motion.model, shrink=SHRINK), LastLayer.of(own)),
    ), spec


def _changed(network: TDN, **options: Any) -> TDN:
    """Return a network of other options that change none of its weights."""
    own = TDN(replace(network.config, **options))
    own.load_state_dict(network.state_dict())
    return own.eval()


def with_last_layer(network: TDN, layer: LastLayer) -> TDN:
    """Return a network of the same weights, but for the last layer."""
    own = copy.deepcopy(network)
    with torch.no_grad():
        own.linear.weight.copy_(torch.from_numpy(layer.weight))
        own.linear.bias.copy_(torch.from_numpy(layer.bias))
    return own
