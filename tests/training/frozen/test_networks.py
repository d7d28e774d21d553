"""The frozen networks: which convolution halves a stage follows from the ImageNet weights."""

from pathlib import Path

import pytest
import torch
from edge_tdn_training.frozen.networks import ORIGINAL_CONV1, frozen_networks

from tests.support.networks import imagenet_names, small_network


@pytest.mark.parametrize(("original", "stride_conv"), [(True, "1x1"), (False, "3x3")])
def test_the_original_weights_halve_a_stage_in_the_first_convolution(
    original: bool, stride_conv: str, tmp_path: Path
) -> None:
    state = imagenet_names(small_network(arch="resnet50", width=1.0, stdm_stages=(), ltdm_stages=()).state_dict())
    if original:
        state["conv1.weight"].flatten()[:3] = torch.tensor(ORIGINAL_CONV1)
    torch.save(state, tmp_path / "resnet50.pth")
    (appearance, motion), spec = frozen_networks(tmp_path / "resnet50.pth", ("a", "b"))
    assert appearance.network.config.stride_conv == stride_conv
    assert appearance.network.linear.in_features == 3 * 2048
    assert (motion.network.config.shrink, spec.height, spec.segments) == (2, 256, 8)
    assert motion.original_layer is not None
    assert motion.original_layer.weight.shape == (8, motion.network.linear.in_features)


def test_the_real_imagenet_weights_are_the_original_ones(data: Path) -> None:
    (appearance, _), _ = frozen_networks(data / "weights/resnet50_imagenet_fp16.npz", ("a", "b"))
    assert appearance.network.config.stride_conv == "1x1"
