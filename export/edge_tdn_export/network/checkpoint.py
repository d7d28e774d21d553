"""Load published checkpoints and our own weights into a TDN. No code is run; every key must match.

Published files (`best.pth.tar` of MCG-NJU/TDN) are PyTorch pickles `{epoch, arch, state_dict, ...}`. `PUBLISHED` maps
their names to those of `edge_tdn_export.network.tdn`. Our own `.safetensors` files keep their TDNConfig in their
metadata.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from edge_tdn.errors import ModelError
from edge_tdn.manifest import InputSpec
from edge_tdn_export.network.checkpoint_file import INPUT, METADATA, read_content
from edge_tdn_export.network.config import TDNConfig
from edge_tdn_export.network.evidence import Evidence, Stated, segments_of_names, settled, stated
from edge_tdn_export.network.state_dict import FoundWeights, find_weights
from edge_tdn_export.network.tdn import TDN

IGNORED = re.compile(r"base_model\.conv1_temp\.")  # entries of the published files that no layer uses

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


OnNote = Callable[[str], None]


def load(path: Path | str, entry: str = "", note: OnNote = lambda _: None, **options: Any) -> TDN:
    """Load a checkpoint and return its network in evaluation mode.

    `path`: a file of torch.save, or `.safetensors`. `entry`: see `find_weights`. `note` is called with the entry, the
    prefix and the network that were found. `options`: fields of TDNConfig; missing ones are read from the file, see
    `evidence`, else they are TDNConfig's defaults. T has no default: a wrong one would load and give other logits.
    ModelError: options or statements that contradict the file; every key that is missing, unexpected or of another
    shape.
    """
    path = Path(path)
    weights, claims = read(path, entry)
    state = weights.state
    if str(weights):
        note(f"{path.name}: {weights}")
    if any(name.startswith("base_model.") for name in state):
        state = rename_published(state)
    linear = state.get("linear.bias")
    if linear is None or linear.dim() != 1:
        where = f" ({weights})" if str(weights) else ""
        raise ModelError(
            f"{path}: not a TDN: it has no linear layer (`new_fc` or `linear`); its weights{where} are below: "
            f"{weights.contents}"
        )
    named = () if "segments" in claims else segments_of_names(path)
    if "segments" not in options:
        claims |= {"segments": named} if named else {}
    elif named and named[0].value != options["segments"]:
        note(f"{path.name}: {named[0].source} states T = {named[0].value}, but {options['segments']} is requested")
    values = settled(path, options, claims, state)
    if "segments" not in values:
        raise ModelError(
            f"{path}: does not state its T, and its weights fit any; give the trained one with --segments, 8 or 16 "
            f"(the published trainer names its folder after it, such as ..._segment8_e60)"
        )
    try:
        config = TDNConfig.of(values)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if read_from := _found_out(config, options, claims):
        note(f"{path.name}: {read_from}")
    model = TDN(config)
    fill(model, state, path)
    return model.eval()


def save(model: TDN, path: Path, spec: InputSpec | None = None) -> None:
    """Write `.safetensors` with its TDNConfig and input, so that `load` and `read_input` need no options.

    OSError: it cannot be written.
    """
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    try:
        save_file(state, path, metadata(model.config, spec))
    except SafetensorError as error:  # the disk is full
        raise OSError(str(error)) from error
    path.chmod(0o644)  # safetensors creates it readable only by its owner


def metadata(config: TDNConfig, spec: InputSpec | None = None) -> dict[str, str]:
    """Return the metadata of our own `.safetensors` files: one entry, since the library shuffles several."""
    stated = config.as_dict() | ({INPUT: spec.model_dump(mode="json")} if spec else {})
    return {METADATA: json.dumps(stated)}


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


def read(path: Path, entry: str = "") -> tuple[FoundWeights, dict[str, tuple[Evidence, ...]]]:
    """Return the weights of a file and what it states about its network. ModelError: it cannot be read.

    `entry`: see `find_weights`.
    """
    content, stored = read_content(path)
    weights = find_weights(path, content, entry)
    if stored is None:
        return weights, dict(stated(content))
    try:
        own = TDNConfig.of(stored).as_dict() if stored else {}
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return weights, {name: (Evidence(value, ""),) for name, value in own.items()}


def _found_out(config: TDNConfig, options: Mapping[str, Any], claims: Stated) -> str:
    """Describe the network of a file where neither the options nor its own metadata do; else return an empty string."""
    sources = [claim.source for claim in claims.get("segments", ())]
    if ("arch" in options and "segments" in options) or (sources and not sources[0]):
        return ""
    by = f" by {', '.join(sources)}" if "segments" not in options else ""
    width = f", width {config.width:g}" if config.width != 1 else ""
    return f"{config.arch}{width}, {config.classes} classes, T = {config.segments}{by}"


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
