"""Published checkpoints and our own weights -> a TDN. `weights_only=True` always, every key accounted for.

Published files (`best.pth.tar` of MCG-NJU/TDN) are PyTorch pickles `{epoch, arch, state_dict, ...}`; names carry a
`module.` prefix when the distributed trainer wrote them. `PUBLISHED` turns their names into those of `export.tdn`.
"""

import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from edge_tdn.errors import ModelError
from export.tdn import TDN, TDNConfig

IGNORED = re.compile(r"base_model\.conv1_temp\.")  # an unused pair of entries in the published files

# published name -> ours, applied in this order; `\1` is the index of a block
PUBLISHED = (
    (r"^base_model\.conv1_5\.0\.", "encoder.diff_conv."),
    (r"^base_model\.conv1_5\.1\.", "encoder.diff_bn."),
    (r"^base_model\.(conv1|bn1)\.", r"encoder.\1."),
    (r"^base_model\.resnext_layer1\.", "encoder.diff_res2."),
    (r"^base_model\.layer1_bak\.", "encoder.res2."),
    (r"^base_model\.layer2_bak\.", "res3."),
    (r"^base_model\.layer3_bak\.", "res4."),
    (r"^base_model\.layer4_bak\.", "res5."),
    (r"^new_fc\.", "head.linear."),
    (r"\.mse\.conv1\.", ".exit.temporal.0.squeeze."),
    (r"\.mse\.bn1\.", ".exit.temporal.0.squeeze_bn."),
    (r"\.mse\.conv2\.", ".exit.temporal.0.smooth."),
    (r"\.mse\.conv3_smallscale2\.", ".exit.temporal.0.coarse."),
    (r"\.mse\.bn3_smallscale2\.", ".exit.temporal.0.coarse_bn."),
    (r"\.mse\.conv3_smallscale4\.", ".exit.temporal.0.fine."),
    (r"\.mse\.bn3_smallscale4\.", ".exit.temporal.0.fine_bn."),
    (r"\.mse\.conv3\.", ".exit.temporal.0.expand."),
    (r"\.mse\.bn3\.", ".exit.temporal.0.expand_bn."),
    (r"\.shift\.conv\.", ".exit.temporal.1."),
    (r"(res\d\.\d+)\.(conv1|bn1|downsample)\.", r"\1.entry.\2."),
    (r"(res\d\.\d+)\.(conv[23]|bn[23])\.", r"\1.exit.\2."),
)


def load(
    path: Path | str,
    *,
    arch: str = "resnet50",
    segments: int = 8,
    width: float = 1.0,
    classes: int | None = None,
) -> TDN:
    """The network of a checkpoint, in evaluation mode.

    `path`: a published pickle, a bare `state_dict`, or `.safetensors`. `classes` is read from the file unless given.
    ModelError names every key that is missing, unexpected or of another shape.
    """
    path = Path(path)
    state = _read(path)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    published = any(name.startswith("base_model.") for name in state)
    if published:
        state = rename_published(state)
    linear = state.get("head.linear.bias")
    if linear is None or linear.dim() != 1:
        raise ModelError(f"{path}: no TDN: it has no linear layer (`new_fc` or `head.linear`)")
    config = TDNConfig(
        arch=arch,
        segments=segments,
        classes=classes or linear.shape[0],
        width=width,
        conv_bias="encoder.conv1.bias" in state,
    )
    model = TDN(config)
    _load_strictly(model, state, path)
    return model.eval()


def rename_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names -> ours. Names that fit no rule stay, and are reported as unexpected."""
    depth_res3 = _blocks(state, "layer2_bak")
    depth_res4 = _blocks(state, "layer3_bak")
    renamed = {}
    for name, value in state.items():
        if IGNORED.match(name):
            continue
        for pattern, replacement in PUBLISHED:
            name = re.sub(pattern, replacement, name)
        renamed[_place(name, depth_res3, depth_res4)] = value
    return renamed


def _place(name: str, depth_res3: int, depth_res4: int) -> str:
    """`res4.1.…` -> where the cut network keeps it: res3's first block is split, the others follow in one sequence."""
    found = re.match(r"res([345])\.(\d+)\.(.*)", name)
    if not found:
        inner = re.match(r"(encoder\.\w*res2\.\d+)\.(conv1|bn1|downsample|conv[23]|bn[23])\.(.*)", name)
        if not inner:
            return name
        half = "entry" if inner[2] in ("conv1", "bn1", "downsample") else "exit"
        return f"{inner[1]}.{half}.{inner[2]}.{inner[3]}"
    stage, block, rest = int(found[1]), int(found[2]), found[3]
    if (stage, block) == (3, 0):
        side, _, rest = rest.partition(".")
        return f"encoder.entry.{rest}" if side == "entry" else f"head.first.{rest}"
    offset = {3: -1, 4: depth_res3 - 1, 5: depth_res3 + depth_res4 - 1}[stage]
    return f"head.blocks.{offset + block}.{rest}"


def _blocks(state: Mapping[str, Tensor], stage: str) -> int:
    found = [re.match(rf"base_model\.{stage}\.(\d+)\.", name) for name in state]
    return 1 + max((int(match[1]) for match in found if match), default=0)


def _load_strictly(model: TDN, state: Mapping[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    optional = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(set(expected) - set(state) - optional)
    unexpected = sorted(set(state) - set(expected))
    misshapen = [
        f"{name}: {tuple(state[name].shape)} in the file, {tuple(expected[name].shape)} in the network"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    if missing or unexpected or misshapen:
        lines = [f"{path}: not the weights of {model.config.arch}, T={model.config.segments}:"]
        for title, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)):
            lines += [f"  {title} ({len(names)}):", *(f"    {name}" for name in names)] if names else []
        raise ModelError("\n".join(lines))
    bad = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise ModelError(f"{path}: {len(bad)} entries are not finite, the first is {bad[0]}; the training diverged")
    model.load_state_dict(dict(state), strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path}: damaged or no checkpoint: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items())
    ):
        raise ModelError(f"{path}: holds no `state_dict` of tensors")
    return dict(state)


def _unpickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise ModelError(f"{path}: refused: it would run code, or is no checkpoint ({reason})") from error


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
