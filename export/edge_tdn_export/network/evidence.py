"""Evidence of a checkpoint's network: what the file states, and what names and shapes of its weights show.

Trainers save arguments beside the weights (`arch`, `args`, `hyper_parameters`, the text of mmaction2's configuration).
Depth, width, classes and modules follow from the weights. T does not: the weights of any T have the same names and
shapes. Where the file does not state it, the published trainer's names of folders and files do (`..._segment8_e60`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from edge_tdn.errors import ModelError
from edge_tdn_export.network.checkpoint_file import StandIn
from edge_tdn_export.network.config import BASIC, DEPTHS, MAX_WIDTH, MIN_WIDTH, POOLINGS, STAGES, TDNConfig

FIELDS = {  # names of arguments, and the fields of TDNConfig that they are
    "arch": "arch",
    "base_model": "arch",
    "backbone": "arch",
    "num_segments": "segments",
    "n_segment": "segments",
    "n_segments": "segments",
    "segments": "segments",  # only beside another one of these: schedules have segments too
}
RESNET = re.compile(r"resnet[-_]?(18|34|50|101)(?![0-9])", re.IGNORECASE)
CONFIG_TEXTS = (  # of mmaction2's configuration, which is Python
    (re.compile(r"\bnum_segments\s*=\s*([0-9]+)"), "num_segments"),
    (re.compile(r"\bdepth\s*=\s*(18|34|50|101)\b"), "depth"),
)
SEGMENTS_IN_NAME = re.compile(
    r"segments?[_-]?(8|16)(?![0-9])|(?<![0-9a-z])(8|16)(?:f|frames?)(?![0-9a-z])", re.IGNORECASE
)
MAX_DEPTH = 4  # of nested tables of arguments
MAX_SEGMENTS = 64


@dataclass(frozen=True)
class Evidence:
    """The value of one field of TDNConfig, and where it was found."""

    value: Any
    source: str  # for messages; empty: the metadata of our own files


Stated = Mapping[str, tuple[Evidence, ...]]  # by field of TDNConfig


def stated(content: object) -> Stated:
    """Return what the entries beside the weights state about the network."""
    found: dict[str, tuple[Evidence, ...]] = {}
    for name, evidence in _statements(content, "", 0):
        found[name] = (*found.get(name, ()), evidence)
    return found


def segments_of_names(path: Path) -> tuple[Evidence, ...]:
    """Return the T that the names of a file and its folder state; none if they state none, or two."""
    absolute = path.absolute()
    found = {
        int(match[1] or match[2]): Evidence(int(match[1] or match[2]), f"the name `{name}`")
        for name in (absolute.parent.name, absolute.name)
        for match in SEGMENTS_IN_NAME.finditer(name)
    }
    return tuple(found.values()) if len(found) == 1 else ()


def shown_by(state: Mapping[str, Tensor]) -> dict[str, Evidence]:
    """Return the fields of TDNConfig that names and shapes of weights, under our names, allow one value for."""
    shown = {
        "classes": Evidence(len(state["linear.bias"]), "linear layer"),
        "conv_bias": Evidence("conv1.bias" in state, "`conv1.bias`"),
        "ltdm_stages": Evidence(_stages_with(state, "ltdm"), "their L-TDMs"),
        "temporal_conv_stages": Evidence(_stages_with(state, "temporal"), "their temporal convolutions"),
    }
    arch, depths = resnet_of(state)
    if arch:
        kind = "two" if arch in BASIC else "three"
        shown["arch"] = Evidence(arch, f"{', '.join(map(str, depths))} blocks of {kind} convolutions")
    if any(".ltdm." in name for name in state):
        shown["ltdm_multiscale"] = Evidence(any(".ltdm.coarse." in name for name in state), "their L-TDMs")
    last, linear = _last_channels(state), state.get("linear.weight")
    if last and linear is not None and linear.dim() == 2:
        inputs = linear.shape[1]
        pooling = next((name for name, count in POOLINGS.items() if inputs == count * last), "mean")
        shown["pooling"] = Evidence(pooling, f"{inputs} inputs of the linear layer")
    if any(name.endswith(".temporal.weight") and not _is_shift(weight) for name, weight in state.items()):
        shown["temporal"] = Evidence("conv", "their temporal convolutions")
    if width := _width(state):
        shown["width"] = Evidence(width, f"{state['conv1.weight'].shape[0]} channels of conv1")
    return shown


def resnet_of(state: Mapping[str, Tensor]) -> tuple[str, tuple[int, ...]]:
    """Return the ResNet of weights under our names, empty if it is none of DEPTHS, and the blocks of its stages."""
    blocks = {tuple(name.split(".")[:2]) for name in state if re.match(r"res[2-5]\.\d+\.", name)}
    depths = tuple(sum(stage == f"res{number}" for stage, _ in blocks) for number in STAGES)
    basic = not any(re.match(r"res[2-5]\.\d+\.conv3\.", name) for name in state)
    known = (arch for arch, stages in DEPTHS.items() if stages == depths and basic == (arch in BASIC))
    return next(known, ""), depths


def settled(path: Path, given: Mapping[str, Any], stated: Stated, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the fields of TDNConfig: as `given`, else as `stated`, else as the weights show, without contradiction.

    Fields that none of the three has are left out. ModelError: two of them contradict each other; the message names
    both.
    """
    shown = shown_by(state)
    values = dict(given)
    for field in fields(TDNConfig):
        name, seen = field.name, shown.get(field.name)
        claims = stated.get(name, ())
        if name in given:
            value = given[name]
            confirmed = seen is not None and _same(name, value, seen.value)
            agreed = any(_same(name, value, claim.value) for claim in claims)
            if claims and not agreed and not (confirmed and claims[0].source):
                raise ModelError(f"{path}: {_claim(name, claims[0])}, requested is {value!r}{_by(claims[0])}")
            if seen and not confirmed:
                raise ModelError(f"{path}: its weights have {name} = {seen.value!r}, requested is {value!r}{_by(seen)}")
        elif claims:
            first, *others = claims
            if seen and (wrong := next((one for one in claims if not _same(name, one.value, seen.value)), None)):
                sure = f"; if the weights are right: --{name} {seen.value}" if wrong.source else ""
                raise ModelError(
                    f"{path}: {_claim(name, wrong)}, in its weights is {seen.value!r}{_by(wrong, seen)}{sure}"
                )
            if differing := next((one for one in others if one.value != first.value), None):
                raise ModelError(
                    f"{path}: states {name} = {first.value!r} ({first.source}) and {differing.value!r} "
                    f"({differing.source}); choose one with --{name.replace('_', '-')}"
                )
            values[name] = first.value
        elif seen:
            values[name] = seen.value
    if "stdm_stages" not in values:
        values["stdm_stages"] = _stdm_stages(state)
    return values


def _statements(value: object, where: str, depth: int) -> Iterator[tuple[str, Evidence]]:
    table = value.content if isinstance(value, StandIn) else value
    if not isinstance(table, Mapping) or depth > MAX_DEPTH:
        return
    for key, part in table.items():
        if not isinstance(key, str) or isinstance(part, Tensor):
            continue
        place = f"{where}.{key}".lstrip(".")
        if isinstance(part, str) and key in ("config", "cfg"):
            yield from _in_text(part, place)
        elif (field := _field(key, table)) and (read := _read(field, part)) is not None:
            yield field, Evidence(read, f"`{place}`")
        else:
            yield from _statements(part, place, depth + 1)


def _field(key: str, table: Mapping[Any, Any]) -> str:
    """Return the field of TDNConfig that an argument of this name is in its table; empty: it is none."""
    return FIELDS.get(key, "") if key != "segments" or len(FIELDS.keys() & table.keys()) > 1 else ""


def _in_text(text: str, place: str) -> Iterator[tuple[str, Evidence]]:
    """Yield what the text of a configuration states once, or several times alike."""
    for pattern, name in CONFIG_TEXTS:
        found = set(pattern.findall(text))
        if len(found) == 1:
            (number,) = found
            evidence = _read("segments", int(number)) if name == "num_segments" else f"resnet{number}"
            if evidence is not None:
                yield ("segments" if name == "num_segments" else "arch"), Evidence(evidence, f"`{name}` in `{place}`")


def _read(field: str, value: object) -> Any:
    """Return the value of an argument for a field, or None if it is not such a value."""
    if field == "segments":
        return value if type(value) is int and 2 <= value <= MAX_SEGMENTS else None
    found = RESNET.search(value) if isinstance(value, str) else None
    return f"resnet{found[1]}" if found else None


def _stages_with(state: Mapping[str, Tensor], module: str) -> tuple[int, ...]:
    found = {match[1] for name in state if (match := re.match(rf"res([2-5])\.\d+\.{module}\.", name))}
    return tuple(sorted(map(int, found)))


def _stdm_stages(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the stages up to the last that the S-TDM has a copy of; whether all of them are fused is not visible."""
    if not any(name.startswith("stdm.") for name in state):
        return ()
    copied = {int(match[1]) for name in state if (match := re.match(r"stdm\.res([2-5])\.", name))}
    return tuple(range(1, max(copied, default=1) + 1))


def _last_channels(state: Mapping[str, Tensor]) -> int:
    """Return the number of channels of res5; 0 if it has none."""
    last = state.get("res5.0.conv3.weight", state.get("res5.0.conv2.weight"))
    return last.shape[0] if last is not None and last.dim() else 0


def _is_shift(weight: Tensor) -> bool:
    return bool(((weight == 0) | (weight == 1)).all())


def _width(state: Mapping[str, Tensor]) -> float | None:
    """Return the width that gives the channels of conv1 and of the four stages; None if none does."""
    layers = [state.get(name) for name in ("conv1.weight", *(f"res{stage}.0.conv1.weight" for stage in STAGES))]
    channels = [layer.shape[0] for layer in layers if layer is not None and layer.dim() == 4]
    if len(channels) < len(layers):
        return None
    width = channels[-1] / 512
    return width if MIN_WIDTH <= width <= MAX_WIDTH and channels == _channels(width) else None


def _channels(width: float) -> list[int]:
    """Return the channels of conv1 and of the four stages."""
    return [TDNConfig(width=width).channels(n) for n in (64, 64, 128, 256, 512)]


def _same(name: str, one: Any, other: Any) -> bool:
    if name == "width" and all(isinstance(w, float | int) and MIN_WIDTH <= w <= MAX_WIDTH for w in (one, other)):
        return _channels(one) == _channels(other)
    if isinstance(one, tuple) and isinstance(other, tuple):  # stages, in any order
        return set(one) == set(other)
    return bool(one == other)


def _claim(name: str, evidence: Evidence) -> str:
    return f"was trained with {name} = {evidence.value!r}"


def _by(*evidence: Evidence) -> str:
    """Return where values were found, in brackets; empty for our own files, which state everything."""
    sources = [one.source for one in evidence if one.source]
    return f" (by {', '.join(sources)})" if sources else ""
