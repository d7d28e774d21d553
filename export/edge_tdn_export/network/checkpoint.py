"""Load published checkpoints and our own weights into a TDN. No code is run; every key must match.

Published files (`best.pth.tar` of MCG-NJU/TDN) are PyTorch pickles `{epoch, arch, state_dict, ...}`; names carry a
`module.` prefix when the distributed trainer wrote them. `PUBLISHED` maps their names to those of
`edge_tdn_export.network.tdn`. Our own `.safetensors` files keep their TDNConfig in their metadata.
"""

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from edge_tdn.errors import ModelError
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.tdn import TDN

IGNORED = re.compile(r"base_model\.conv1_temp\.")  # entries of the published files that no layer uses
METADATA = "tdn"  # metadata key of our own files: their TDNConfig as JSON

# published name -> ours, applied in this order
PUBLISHED = (
    (r"^base_model\.conv1_5\.0\.", "stdm.conv."),
    (r"^base_model\.conv1_5\.1\.", "stdm.bn."),
    (r"^base_model\.resnext_layer1\.", "stdm.res2."),
    (r"^base_model\.layer1_bak\.", "res2."),
    (r"^base_model\.layer2_bak\.", "res3."),
    (r"^base_model\.layer3_bak\.", "res4."),
    (r"^base_model\.layer4_bak\.", "res5."),
    (r"^base_model\.(conv1|bn1)\.", r"\1."),
    (r"^new_fc\.", "linear."),
    (r"\.mse\.conv1\.", ".ltdm.squeeze."),
    (r"\.mse\.bn1\.", ".ltdm.squeeze_bn."),
    (r"\.mse\.conv2\.", ".ltdm.smooth."),
    (r"\.mse\.conv3_smallscale2\.", ".ltdm.coarse."),
    (r"\.mse\.bn3_smallscale2\.", ".ltdm.coarse_bn."),
    (r"\.mse\.conv3_smallscale4\.", ".ltdm.fine."),
    (r"\.mse\.bn3_smallscale4\.", ".ltdm.fine_bn."),
    (r"\.mse\.conv3\.", ".ltdm.expand."),
    (r"\.mse\.bn3\.", ".ltdm.expand_bn."),
    (r"\.shift\.conv\.", ".temporal."),
)

# Classes that trainers save beside the weights. Each is replaced with a _StandIn, so that none of their code runs.
HARMLESS = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",  # as Python 3.13 writes them
    "pathlib._local.WindowsPath",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
)


def load(path: Path | str, **options: Any) -> TDN:
    """Load a checkpoint and return its network in evaluation mode.

    `path`: a published pickle, a bare `state_dict`, or `.safetensors`. `options`: fields of TDNConfig; missing ones are
    taken from the file's metadata, else from TDNConfig's defaults. T has no default: a wrong one would load and give
    other logits. `classes` is read from the weights.
    ModelError: options that contradict the file; every key that is missing, unexpected or of another shape.
    """
    path = Path(path)
    state, stored = read(path)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    if any(name.startswith("base_model.") for name in state):
        state = rename_published(state)
    linear = state.get("linear.bias")
    if linear is None or linear.dim() != 1:
        raise ModelError(f"{path}: not a TDN: it has no linear layer (`new_fc` or `linear`)")
    if "segments" not in options | stored:
        raise ModelError(f"{path}: does not state its T, and its weights fit any; give the trained one with --segments")
    found = {"classes": linear.shape[0]}
    config = TDNConfig.of({"conv_bias": "conv1.bias" in state} | stored | found | options)
    for name in found | options:
        value, origin = getattr(config, name), "requested" if name in options else "in its weights"
        if name in stored and stored[name] != value:
            raise ModelError(f"{path}: was trained with {name} = {stored[name]!r}, {origin} is {value!r}")
    model = TDN(config)
    fill(model, state, path)
    return model.eval()


def save(model: TDN, path: Path) -> None:
    """Write `.safetensors` with its TDNConfig, so that `load` needs no options. OSError: it cannot be written."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    try:
        save_file(state, path, {METADATA: json.dumps(model.config.as_dict())})
    except SafetensorError as error:  # the disk is full
        raise OSError(str(error)) from error
    path.chmod(0o644)  # safetensors creates it readable only by its owner


def rename_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map published names to ours. Names that match no rule stay and are reported as unexpected by `check`."""
    renamed = {}
    for name, value in state.items():
        if IGNORED.match(name):
            continue
        for pattern, replacement in PUBLISHED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def fill(model: TDN, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state with our names into `model`. ModelError: see `check`."""
    check(model.state_dict(), state, model.config, path)
    model.load_state_dict(dict(state), strict=False)


def check(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], config: TDNConfig, path: Path) -> None:
    """Compare a state with the expected one.

    ModelError: all entries that are missing, unexpected or of another shape; entries that are not finite.
    """
    optional = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = sorted(set(expected) - set(state) - optional)
    unexpected = sorted(set(state) - set(expected))
    misshapen = [
        f"{name}: {tuple(state[name].shape)} in the file, {tuple(expected[name].shape)} in the network"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    if missing or unexpected or misshapen:
        lines = [f"{path}: not the weights of {config.arch}, T={config.segments}:"]
        for title, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)):
            lines += [f"  {title} ({len(names)}):", *(f"    {name}" for name in names)] if names else []
        raise ModelError("\n".join(lines))
    bad = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if bad:
        raise ModelError(f"{path}: {len(bad)} entries are not finite, the first is {bad[0]}; the training diverged")


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the `state_dict` of a file and the fields of TDNConfig that it states. ModelError: it cannot be read."""
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        content = _unpickle(path)
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes torch's own code raise almost anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path}: damaged, or not a checkpoint: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if (
        not isinstance(content, Mapping)
        or not isinstance(state, Mapping)
        or not state
        or not all(isinstance(name, str) and _is_plain(value) for name, value in state.items())
    ):
        raise ModelError(f"{path}: holds no `state_dict` of dense tensors")
    return dict(state), _trained_with(content)


def _is_plain(value: object) -> bool:
    """Check for a dense tensor: not sparse, nested, quantised or on the meta device."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_nested or value.is_quantized)
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, "pt") as file:
        stored = json.loads((file.metadata() or {}).get(METADATA, "{}"))
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    if not isinstance(stored, dict):
        raise ValueError(f"metadata {METADATA!r} is not a JSON object")
    try:
        return state, TDNConfig.of(stored).as_dict() if stored else {}
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _unpickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([(_StandIn, name) for name in HARMLESS]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            name = found[1] if "." in found[1] else f"builtins.{found[1]}"  # omitted by torch
            raise ModelError(f"{path}: refused: loading it would run code: it calls {name}") from error
        reason = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
        raise ModelError(
            f"{path}: damaged, or not a checkpoint: {reason[1] if reason else str(error)[:200]}"
        ) from error


class _StandIn:
    """A replacement for a harmless object, which keeps its state and runs nothing."""

    content: object = None

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        self.content = state


def _trained_with(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trained T where the trainer saved its arguments beside the weights."""
    arguments = [value.content for value in content.values() if isinstance(value, _StandIn)]
    known = [a["num_segments"] for a in arguments if isinstance(a, dict) and type(a.get("num_segments")) is int]
    return {"segments": known[0]} if known else {}


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
