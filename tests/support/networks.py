"""Small networks with random weights, and the variants of the paper's tables."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.published_names import published_name
from edge_tdn_export.network.tdn import TDN, TemporalConv
from torch import Tensor

TSN: dict[str, Any] = {"stdm_stages": (), "ltdm_stages": (), "temporal_conv_stages": ()}
T_CONV: dict[str, Any] = {"stdm_stages": (), "ltdm_stages": ()}
TSM: dict[str, Any] = {**T_CONV, "temporal": "shift"}
# Of every part of a TDN one stage, so that an export or a quantisation takes a third of the time.
FEW_OPERATORS: dict[str, Any] = {"stdm_stages": (1,), "ltdm_stages": (5,), "temporal_conv_stages": (5,)}
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "equation 1": {"stdm_fusion": "add"},
    "S-TDM as attention": {"stdm_fusion": "attention"},
    "one scale": {"ltdm_multiscale": False},
    "one direction": {"ltdm_bidirectional": False},
    "no attention": {"ltdm_attention": False},
    "plain differences": {"ltdm_multiscale": False, "ltdm_bidirectional": False, "ltdm_attention": False},
    "bilinear": {"upsample": "bilinear"},
    "bilinear attention": {"upsample": "bilinear", "stdm_fusion": "attention"},
    "no S-TDM": {"stdm_stages": ()},
    "S-TDM after stage 1": {"stdm_stages": (1,)},
    "S-TDM after stage 2": {"stdm_stages": (2,)},
    "S-TDM to stage 3": {"stdm_stages": (1, 2, 3)},
    "S-TDM everywhere": {"stdm_stages": (1, 2, 3, 4, 5), "ltdm_stages": ()},
    "S-TDM after stage 5": {"stdm_stages": (5,), "stdm_fusion": "add"},
    "no L-TDM": {"ltdm_stages": ()},
    "L-TDM from stage 2": {"ltdm_stages": (2, 3, 4, 5)},
    "L-TDM in stage 5": {"ltdm_stages": (5,), "temporal_conv_stages": ()},
    "L-TDM in stage 2, S-TDM to stage 3": {"ltdm_stages": (2,), "stdm_stages": (1, 2, 3)},
    "L-TDM and T-Conv apart": {"ltdm_stages": (4,), "temporal_conv_stages": (2, 5)},
    "L-TDM without T-Conv": {"temporal_conv_stages": ()},
    "S-TDM alone": {"ltdm_stages": (), "temporal_conv_stages": (), "stdm_stages": (1, 2, 3, 4, 5)},
    "T-Conv": T_CONV,
    "T-Conv in stage 4": {**T_CONV, "temporal_conv_stages": (4,)},
    "TSM": TSM,
    "TSM online": {**TSM, "temporal": "online_shift"},
    "TDN with fixed shifts": {"temporal": "shift"},
    "TSN": TSN,
    "TSN with statistics": {**TSN, "pooling": "statistics"},
    "TDN with statistics": {"pooling": "statistics"},
    "strides of the original ResNet": {"stride_conv": "1x1"},
    "on smaller pictures": {"shrink": 2},
}


def imagenet_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the backbone of a network under torchvision's names, with a last layer of ImageNet's 1,000 classes."""
    ours = re.compile(r"^(stdm|linear)\.|\.(ltdm|temporal)\.")
    kept = {
        re.sub(r"^res(\d)", lambda n: f"layer{int(n[1]) - 1}", name): value
        for name, value in state.items()
        if not ours.search(name)
    }
    width = state["linear.weight"].shape[1]
    return {**kept, "fc.weight": torch.zeros(1000, width), "fc.bias": torch.zeros(1000)}


def small_network(segments: int = 8, arch: str = "resnet18", seed: int = 3, **options: Any) -> TDN:
    """Return a small network in evaluation mode, in which every layer changes the logits.

    `options`: fields of TDNConfig; the defaults are 5 classes and a quarter of ResNet-18's width.
    """
    torch.manual_seed(seed)
    defaults = {"arch": arch, "segments": segments, "classes": 5, "width": 0.25, "conv_bias": False}
    model = TDN(TDNConfig(**{**defaults, **options}))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
        if isinstance(module, TemporalConv) and isinstance(module.weight, torch.nn.Parameter):
            torch.nn.init.normal_(module.weight, std=0.5)
    if model.stdm is not None:
        torch.nn.init.kaiming_normal_(model.stdm.conv.weight, mode="fan_out", nonlinearity="relu")
    torch.nn.init.normal_(model.linear.weight)
    return model.eval()


def published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename our entries to those of the published files, as their distributed trainer writes them."""
    return {f"module.{published_name(name)}": value for name, value in state.items()}
