"""Find the weights of a network among the entries of a checkpoint, and take off what trainers put before their names.

Trainers save the weights alone, or beside other things as `state_dict`, `model`, `model_state_dict`, `net` ..., often
with a moving average (EMA) of them as a second entry. DataParallel, torch.compile, Lightning and others add a prefix.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_tdn.errors import ModelError

USUAL = "state_dict"  # the published checkpoints' entry, taken where there are others
AVERAGED = re.compile(r"(^|[._-])(ema|swa|averaged?)([._-]|$)", re.IGNORECASE)  # names of entries with averaged weights
WRAPPERS = {"module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# First parts of names in a TDN, ours and published, and in torchvision's ResNets: no prefix
OWN = re.compile(r"(conv1|bn1|stdm|res[2-5]|linear|base_model|new_fc|layer[1-4]|fc|last_linear)$")
CLASSIFIER = re.compile(r"\.(linear|new_fc|fc_cls)\.bias$")  # of a network with a prefix
MAX_LISTED = 6  # entries in a message


@dataclass(frozen=True, eq=False)
class FoundWeights:
    """The weights in a checkpoint, by name without prefix."""

    state: dict[str, Tensor]
    entry: str  # of the checkpoint; empty: the file holds nothing else
    names: dict[str, str]  # the file's own name of each
    prefix: str  # that all names shared, and that was taken off
    averaged: tuple[str, ...]  # other entries, with averaged weights

    def __str__(self) -> str:
        """Return the origin for messages: entry `model`, prefix `module.` taken off."""
        parts = [f"entry `{self.entry}`"] if self.entry else []
        if self.prefix:
            parts.append(f"prefix `{self.prefix}` taken off")
        if self.averaged:
            names = ", ".join(f"`{name}`" for name in self.averaged)
            parts.append(f"averaged weights (EMA) are in {names}: --entry {self.averaged[0]} takes them")
        return ", ".join(parts)

    @property
    def contents(self) -> str:
        """Count the entries below each first part of the names: model (62), criterion (1).

        If just one of these parts has a classifier, the option that takes it alone follows.
        """
        counts = Counter(name.partition(".")[0] for name in self.state)
        more = ", ..." if len(counts) > MAX_LISTED else ""
        listed = ", ".join(f"{part[:80]} ({number})" for part, number in list(counts.items())[:MAX_LISTED]) + more
        networks = {name.partition(".")[0] for name in self.state if CLASSIFIER.search(name)}
        if len(networks) != 1 or self.prefix:
            return listed
        (one,) = networks
        return f"{listed}; --entry {f'{self.entry}.{one}'.lstrip('.')} takes {one} alone"


def find_weights(path: Path, content: object, entry: str = "") -> FoundWeights:
    """Return the weights in a checkpoint's content.

    `entry`: the entry that holds them, where there are several; with `.NAME` behind it, only those below this name.

    ModelError: there are none, none of this name, or several without averaged ones or `state_dict` among them.
    """
    found = _entries(content)
    if not found:
        raise ModelError(f"{path}: holds no `state_dict` of dense tensors{_contents(content)}")
    averaged = [name for name in found if AVERAGED.search(name)]
    plain = [name for name in found if name not in averaged]
    names = ", ".join(f"`{name}`" for name in found if name)
    if entry:
        found |= _below(found, entry)
        if entry not in found:
            raise ModelError(f"{path}: no entry {entry!r} with weights; it has: {names or 'one only, without a name'}")
        chosen = entry
    elif len(plain or averaged) == 1:
        (chosen,) = plain or averaged
    elif USUAL in plain:
        chosen = USUAL
    else:
        raise ModelError(f"{path}: several entries hold weights: {names}; choose one with --entry")
    own_names, prefix = _without_prefix(path, found[chosen])
    state = {name: found[chosen][own] for name, own in own_names.items()}
    return FoundWeights(state, chosen, own_names, prefix, tuple(name for name in averaged if name != chosen))


def _entries(content: object) -> dict[str, Mapping[str, Tensor]]:
    """Return the entries that are weights, by name; those one level deeper as `outer.inner`; alone: an empty name."""
    if not isinstance(content, Mapping):
        return {}
    if _is_state(content):
        return _families("", content)
    found: dict[str, Mapping[str, Tensor]] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Mapping):
            continue
        inner = {f"{name}.{key}": part for key, part in value.items() if isinstance(key, str)}
        for place, part in {name: value, **inner}.items():
            if _is_state(part) and any("." in key for key in part):  # others are figures, such as of an optimiser
                found |= _families(place, part)
    return found


def _below(found: Mapping[str, Mapping[str, Tensor]], entry: str) -> dict[str, Mapping[str, Tensor]]:
    """Return the weights below a part of the names: entry `state_dict.model` is `model.` in `state_dict`."""
    name, _, part = entry.rpartition(".")
    own = {key: value for key, value in found.get(name, {}).items() if key.startswith(f"{part}.")}
    return {entry: own} if own else {}


def _families(name: str, state: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
    """Separate averaged weights that a trainer keeps beside the others, below a name of their own (Lightning)."""
    first = {key: key.partition(".")[0] for key in state if "." in key}
    averaged = {part for part in first.values() if AVERAGED.search(part)}
    if not averaged or averaged == set(first.values()):
        return {name: state}
    rest = {key: value for key, value in state.items() if first.get(key) not in averaged}
    separated: dict[str, Mapping[str, Tensor]] = {name: rest}
    for part in sorted(averaged):
        own = {key: value for key, value in state.items() if first.get(key) == part}
        separated[f"{name}.{part}".lstrip(".")] = own
    return separated


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and _is_plain(part) for name, part in value.items())
    )


def _is_plain(value: object) -> bool:
    """Check for a dense tensor: not sparse, nested, quantised or on the meta device."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_nested or value.is_quantized)
    )


def _without_prefix(path: Path, state: Mapping[str, Tensor]) -> tuple[dict[str, str], str]:
    """Take off wrappers' names wherever they stand, and the first parts that all names share.

    Return the file's own name by the new one, and what was taken off.

    Counters that belong to no layer, such as `n_averaged`, are left out. ModelError: two names become the same.
    """
    parts = {name: name.split(".") for name, value in state.items() if "." in name or value.dim()}
    taken: list[str] = []
    while first := _shared(parts.values()):
        taken.append(first)
        parts = {name: own[1:] for name, own in parts.items()}
    if {own[0] for own in parts.values()} == {"backbone", "cls_head"}:  # mmaction2
        taken.append("backbone")
        parts = {name: _of_mmaction(own) for name, own in parts.items()}
    renamed = {name: ".".join(part for part in own if part not in WRAPPERS) for name, own in parts.items()}
    twice = [name for name, count in Counter(renamed.values()).items() if count > 1]
    if twice:
        both = " and ".join(f"`{name}`" for name, new in renamed.items() if new == twice[0])
        raise ModelError(f"{path}: {both} are the same entry, `{twice[0]}`; save the weights of one network only")
    wrapped = [part for part in dict.fromkeys(part for own in parts.values() for part in own) if part in WRAPPERS]
    prefix = "".join(f"{part}." for part in (*taken, *wrapped))
    return {new: name for name, new in renamed.items()}, prefix


def _shared(names: Any) -> str:
    """Return the first part that all names share, if it is a prefix; else an empty string."""
    firsts = {own[0] if len(own) > 1 else "" for own in names}
    first = firsts.pop() if len(firsts) == 1 else ""
    return "" if OWN.match(first) else first


def _of_mmaction(parts: list[str]) -> list[str]:
    """Return a name of an mmaction2 recogniser without its `backbone`, and its classifier under our name."""
    if parts[0] == "backbone":
        return parts[1:] or parts
    return ["linear", *parts[2:]] if parts[1:2] == ["fc_cls"] else parts


def _contents(content: object) -> str:
    """List what a file without weights holds."""
    if not isinstance(content, Mapping):
        return f"; it holds: {type(content).__name__}"
    parts = []
    for name, value in list(content.items())[:MAX_LISTED]:
        what = f"{len(value)} entries" if isinstance(value, Mapping) else type(value).__name__
        if isinstance(value, Mapping):
            wrong = next((key for key, part in value.items() if isinstance(key, str) and not _is_plain(part)), None)
            what += f", `{str(wrong)[:80]}` is not a dense tensor" if wrong is not None else ""
        parts.append(f"{str(name)[:80]!r} ({what})")
    more = ", ..." if len(content) > MAX_LISTED else ""
    return f"; it holds: {', '.join(parts)}{more}" if parts else "; it is empty"
