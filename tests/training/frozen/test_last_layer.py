"""The last layer on frozen features: the minimum of its equation, in terms of raw features."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edge_tdn_training.frozen.last_layer import LastLayer, fit


def clips(count: int = 60, width: int = 5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return features of different means and deviations, and labels 0, 1, 2 that follow from two of them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width)).astype(np.float32) * np.array([1, 10, 0.1, 5, 2][:width]) + 3
    labels = (features[:, 0] > 3).astype(np.int64) + (features[:, 1] > 6)
    return features.astype(np.float32), labels


def test_no_other_layer_has_a_smaller_loss() -> None:
    """The gradient of the documented equation is zero, with the weights as they apply to standardised features."""
    features, labels = clips()
    scale = np.array([1, 2, 1, 0.5, 1], np.float32)
    layer = fit(features, labels, 3, scale, penalty=0.01)
    deviation, mean = features.std(0), features.mean(0)
    z = torch.from_numpy((features - mean) / deviation * scale).double()
    weight = torch.from_numpy(layer.weight * deviation / scale).double().requires_grad_()
    bias = torch.from_numpy(layer.bias + layer.weight @ mean).double().requires_grad_()
    y = torch.from_numpy(labels)
    share = len(y) / (3 * torch.bincount(y)[y])
    each = F.cross_entropy(z @ weight.T + bias, y, reduction="none")
    ((share * each).mean() + 0.01 * weight.square().sum()).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert float(weight.grad.abs().max()) < 1e-3
    assert float(bias.grad.abs().max()) < 1e-3


def test_a_class_with_few_clips_counts_as_much_as_one_with_many() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(-0.5, 1, (200, 1)), rng.normal(0.5, 1, (10, 1))]).astype(np.float32)
    labels = np.repeat([0, 1], [200, 10])
    layer = fit(features, labels, 2, np.ones(1, np.float32))
    right = layer.logits(features).argmax(1) == labels
    assert right[200:].mean() > 0.5


@pytest.mark.parametrize("unused", ["scale 0", "constant"])
def test_a_feature_that_is_not_used_has_no_weight(unused: str) -> None:
    features, labels = clips()
    scale = np.ones(5, np.float32)
    if unused == "constant":
        features[:, 0] = 7
    else:
        scale[0] = 0
    layer = fit(features, labels, 3, scale)
    assert not layer.weight[:, 0].any()
    assert layer.weight[:, 1].any()
    assert np.isfinite(layer.logits(features)).all()


def test_logits_are_those_of_a_linear_layer() -> None:
    layer = LastLayer(np.array([[1, 2], [0, -1]], np.float32), np.array([0.5, 0], np.float32))
    assert np.array_equal(layer.logits(np.array([[3, 4]], np.float32)), [[11.5, -4]])
