"""Load published checkpoints and our own weights into a TDN. No code is run; every key must match.

Published files (`best.pth.tar` of MCG-NJU/TDN) are PyTorch pickles `{epoch, arch, state_dict, ...}`; `published_names`
maps their entries to ours. Our own `.safetensors` files keep their TDNConfig in their metadata.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from edge_tdn_export.network.other_networks import other_network
from edge_tdn_export.network.published_names import our_name, published_name, rename_published
from edge_tdn_export.network.state_dict import FoundWeights, find_weights
from edge_tdn_export.network.tdn import TDN

MAX_NAMES = 5  # of each kind in a message
OnNote = Callable[[str], None]


def load(path: Path | str, entry: str = "", note: OnNote = lambda _: None, **options: Any) -> TDN:
    """Load a checkpoint and return its network in evaluation mode.

    `path`: a file of torch.save, or `.safetensors`. `entry`: see `find_weights`. `note` is called with the entry, the
    prefix and the network that were found. `options`: fields of TDNConfig; missing ones are read from the file, see
    `evidence`, else they are TDNConfig's defaults. T has no default: a wrong one would load and give other logits.
    ModelError: weights of another network; options or statements that contradict the file; keys that are missing,
    unexpected or of another shape.
    """
    path = Path(path)
    weights, claims = read(path, entry)
    state = weights.state
    if str(weights):
        note(f"{path.name}: {weights}")
    if kind := other_network(state):
        names = set(TDN(TDNConfig()).state_dict())
        raise ModelError("\n".join([f"{path}: {kind}", *_differences(names, _our_names(weights), weights)]))
    if _is_published(state):
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
    fill(model, state, path, weights)
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


def fill(model: TDN, state: Mapping[str, Tensor], path: Path, found: FoundWeights | None = None) -> None:
    """Load a state with our names into `model`. ModelError: see `check`."""
    check(model.state_dict(), state, model.config, path, found)
    model.load_state_dict(dict(state), strict=False)


def check(
    expected: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    config: TDNConfig,
    path: Path,
    found: FoundWeights | None = None,
) -> None:
    """Compare a state with the expected one. `found`: where the state is from, for the file's own names.

    ModelError: entries that are missing, unexpected or of another shape (MAX_NAMES of each are listed), or not finite.
    """
    own = _our_names(found) if found else {name: name for name in state}
    lines = _differences(set(expected), own, found)
    misshapen = [
        f"{own.get(name, name)}: {tuple(state[name].shape)} in the file, {tuple(expected[name].shape)} in the network"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    lines += _listed("misshapen", misshapen)
    if lines:
        raise ModelError("\n".join([f"{path}: not the weights of {config.arch}, T={config.segments}:", *lines]))
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


def _is_published(names: Iterable[str]) -> bool:
    return any(name.startswith("base_model.") for name in names)


def _our_names(found: FoundWeights) -> dict[str, str]:
    """Return the file's own names by ours; names that are not known stay as they are."""
    published = _is_published(found.names)
    ours = {(our_name(name) if published else name): own for name, own in found.names.items()}
    ours.pop("", None)  # entries that no layer uses
    return ours


def _differences(expected: Collection[str], own: Mapping[str, str], found: FoundWeights | None) -> list[str]:
    """List names, ours, that a file lacks or that are not expected, as the file spells them (`own`)."""
    published = found is not None and _is_published(found.names)
    before = found.prefix if found and all(own == found.prefix + name for name, own in found.names.items()) else ""
    missing = sorted(name for name in set(expected) - set(own) if not name.endswith("num_batches_tracked"))
    unexpected = sorted(own[name] for name in set(own) - set(expected))
    spelled = [before + (published_name(name) if published else name) for name in missing]
    return [*_listed("missing", spelled), *_listed("unexpected", unexpected)]


def _listed(title: str, names: Sequence[str]) -> list[str]:
    """List the first names under a title with their number; nothing if there are none."""
    more = [f"    and {len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
    return [f"  {title} ({len(names)}):", *(f"    {name}" for name in names[:MAX_NAMES]), *more] if names else []


def _found_out(config: TDNConfig, options: Mapping[str, Any], claims: Stated) -> str:
    """Describe the network of a file where neither the options nor its own metadata do; else return an empty string."""
    sources = [claim.source for claim in claims.get("segments", ())]
    if ("arch" in options and "segments" in options) or (sources and not sources[0]):
        return ""
    by = f" by {', '.join(sources)}" if "segments" not in options else ""
    width = f", width {config.width:g}" if config.width != 1 else ""
    absent = [name for name, stages in (("S-TDM", config.stdm_stages), ("L-TDM", config.ltdm_stages)) if not stages]
    without = f" without {' and '.join(absent)}" if absent else ""
    return f"{config.arch}{width}{without}, {config.classes} classes, T = {config.segments}{by}"


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
