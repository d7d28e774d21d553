"""The hosts that run an old version of edge-tdn, or an old model. Pure.

The newest version that a host shown runs is current, and all others are old. Names of models that differ only in the
number at their end (door-v3 and door-v12, door-2026-09-30 and door-2026-11-02) are versions of one model, of which the
highest is current; unless a host serves two of them at the same time, as a host with zones may: then they are different
models. If models of one name have different contents, those that most hosts have are current; where no contents have a
majority, each host is listed with the contents that it does not have. Versions and models that are expected, given by
the user, replace these rules.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Literal, NamedTuple

from edge_tdn.messages import ModelRef
from edge_tdn.status_messages import DaemonStatus

DIGEST = 8  # characters of a model's SHA-256 that are shown


class Expected(NamedTuple):
    """The version and the model that hosts are expected to run. Empty: the newest among them."""

    version: str = ""
    model: str = ""  # name, or name@ and the beginning of the SHA-256 of its manifest


NEWEST = Expected()


class Outdated(NamedTuple):
    """A version or model that a host runs, and the one that it is expected to run."""

    what: Literal["version", "model"]
    runs: str
    expected: str

    def __str__(self) -> str:
        return f"{self.what} {self.runs}, expected {self.expected}"

    @property
    def mark(self) -> str:
        """How it differs from what is expected: `old`, `newer`, or `other` where they have no order."""
        if self.what == "version":
            return "newer" if version_order(self.runs) > version_order(self.expected) else "old"
        (name, number), (expected_name, expected) = _family(self.runs), _family(self.expected)
        if "@" in self.runs or name != expected_name or number == expected:
            return "other"
        return "newer" if number > expected else "old"


def outdated(hosts: Mapping[str, DaemonStatus], expected: Expected) -> dict[str, list[Outdated]]:
    """Return what is old, by host; nothing for the hosts that are up to date."""
    version = expected.version or max((one.version for one in hosts.values()), key=version_order, default="")
    models = [model for one in hosts.values() for model in models_of(one)]
    unordered = _served_together(hosts.values())
    current_of = {model: expected.model or _current_model(model, models, unordered) for model in set(models)}
    found: dict[str, list[Outdated]] = {}
    for base, one in hosts.items():
        remarks = []
        if one.version != version:
            remarks.append(Outdated("version", one.version, version))
        for model in _compared(models_of(one), expected.model):
            current = current_of[model]
            if not _matches(model, current):
                remarks.append(Outdated("model", _with_digest(model) if "@" in current else model.id, current))
        if remarks:
            found[base] = remarks
    return found


def models_of(daemon: DaemonStatus) -> list[ModelRef]:
    """Return the models that a host serves, in each of their precisions; at least one."""
    return [one.model for one in daemon.models] or [daemon.model]


def _compared(models: list[ModelRef], expected: str) -> list[ModelRef]:
    """Return the models of a host that may be old, each once.

    If a model is expected, it is that one; or else those of its name, whatever their number; or else the first.
    """
    once = list({(model.id, model.sha256): model for model in models}.values())
    if not expected:
        return once
    if found := [model for model in once if _matches(model, expected)]:
        return found
    name = _family(expected.partition("@")[0])[0]
    return [model for model in once if _family(model.id)[0] == name] or once[:1]


def version_order(version: str) -> list[tuple[int, int | str]]:
    """Return the key by which versions are ordered: 0.9 < 0.10rc1 < 0.10 < 0.10.1."""
    parts = re.findall(r"\d+|[a-z]+", version.lower())
    return [(1, int(part)) if part.isdigit() else (-1, part) for part in parts] + [(0, 0)]


def _served_together(hosts: Iterable[DaemonStatus]) -> set[str]:
    """Return the names without a number of which a host serves several at the same time: these are different models."""
    found = set()
    for one in hosts:
        ids = {model.id for model in models_of(one)}
        found |= {name for name, count in Counter(_family(id_)[0] for id_ in ids).items() if count > 1}
    return found


def _current_model(model: ModelRef, all_models: list[ModelRef], unordered: Set[str]) -> str:
    """Return the model that a host with `model` is expected to run: its name, and its digest where that matters.

    `unordered`: names without a number whose models are different ones, whatever number they have.
    """
    family, number = _family(model.id)
    others = [(_family(other.id)[1], other.id) for other in all_models if _family(other.id)[0] == family]
    newest_number, newest = max(others)
    if newest_number != number and family not in unordered:
        return newest
    contents = Counter(_with_digest(other) for other in all_models if other.id == model.id).most_common()
    if len(contents) == 1:
        return model.id
    if contents[0][1] == contents[1][1]:  # no majority
        return next(other for other, _ in contents if other != _with_digest(model))
    return contents[0][0]


def _family(name: str) -> tuple[str, list[int]]:
    """Return a model's name without the number at its end, and that number, part by part."""
    found = re.search(r"[._-]?v?\d[\d._-]*$", name)
    return (name[: found.start()], [int(part) for part in re.findall(r"\d+", found[0])]) if found else (name, [])


def _with_digest(model: ModelRef) -> str:
    return f"{model.id}@{model.sha256[:DIGEST]}"


def _matches(model: ModelRef, expected: str) -> bool:
    name, _, digest = expected.partition("@")
    return model.id == name and model.sha256.startswith(digest)
