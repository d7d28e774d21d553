"""From the model's labels to the actions that are reported: their names and limits. Pure.

Every label that is not a background label is reported under its own name, with the limits of [decide], unless a
[[decide.action]] says otherwise: limits of its own, another name, or several labels under one name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_tdn.config.fault import KeyPath
from edge_tdn.config.resolved_zones import IGNORE, ONLY
from edge_tdn.config.tables import Config, DecideConfig
from edge_tdn.errors import ConfigError
from edge_tdn.messages import NS_PER_S
from edge_tdn.spelling import nearest_of_many


@dataclass(frozen=True)
class Rule:
    """A name under which actions are reported, and its limits. See [decide] in the configuration reference."""

    name: str
    members: tuple[int, ...]  # indices of its labels in the logits; their probabilities are added up
    enter_threshold: float  # score, 0 to 1
    exit_threshold: float  # score, 0 to 1
    min_length_ns: int
    max_length_ns: int  # 0: unlimited
    merge_gap_ns: int
    cool_down_ns: int


def rules(config: DecideConfig, labels: Sequence[str], background: Sequence[str] = ()) -> dict[str, Rule]:
    """Return the rules of all reported actions, by name, in the order of the labels.

    ValueError: the model lacks a label, which `check_names` reports with file and line.
    """
    configured = {action.labels[0] if action.labels else action.name: action for action in config.action}
    taken = {label for action in config.action for label in action.labels} - set(configured)
    found = {}
    for label in labels:
        if label in background or label in taken:
            continue
        action = configured.pop(label, None)
        name = action.name if action else label
        if name in config.ignore or (config.only and name not in config.only):
            continue
        limits = config.of(action) if action else config
        found[name] = Rule(
            name=name,
            members=tuple(map(labels.index, action.labels if action and action.labels else [label])),
            enter_threshold=limits.enter_threshold,
            exit_threshold=limits.exit_threshold,
            min_length_ns=round(limits.min_length_s * NS_PER_S),
            max_length_ns=round(limits.max_length_s * NS_PER_S),
            merge_gap_ns=round(limits.merge_gap_s * NS_PER_S),
            cool_down_ns=round(limits.cool_down_s * NS_PER_S),
        )
    if configured:
        raise ValueError(f"no label {next(iter(configured))!r}")
    return found


@dataclass(frozen=True)
class NamedActions:
    """The limits of a zone, which name actions, with the labels of its model and the keys of the lists of names."""

    scope: str  # where these limits hold, for messages: `zone 'gate' of camera 'yard'`, or `[decide]`
    decide: DecideConfig
    only_keys: KeyPath
    ignore_keys: KeyPath
    labels: Sequence[str]  # of the model
    background: Sequence[str]


def check_names(config: Config, labels: Sequence[str], background: Sequence[str] = ()) -> None:
    """Raise a ConfigError that lists every name in [decide] which this model does not have."""
    check_all_names(config, [NamedActions("[decide]", config.decide, ONLY, IGNORE, labels, background)])


def check_all_names(config: Config, uses: Sequence[NamedActions]) -> None:
    """Raise a ConfigError that lists every name of a zone that its model lacks, or of [decide] that all lack."""
    faults = [_faults_by_place(use) for use in uses]
    of_all = _faults_by_place(_together(config, uses))  # whose messages list the names of all models
    found: dict[_Place, _NameFault] = {}
    for own in faults:
        for place, fault in own.items():
            concerned = [other for use, other in zip(uses, faults, strict=True) if fault.concerns(use)]
            if fault.strict or all(place in other for other in concerned):
                found[place] = of_all.get(place, fault)
    for use in [] if found else uses:
        if not rules(for_model(use.decide, use.labels, use.background), use.labels, use.background):
            keys, value = (use.only_keys, use.decide.only) if use.decide.only else (use.ignore_keys, use.decide.ignore)
            found[keys, use.scope] = _NameFault(keys, value, f"nothing is left to report in {use.scope}; {REMEDY}")
    if found:
        raise ConfigError("\n".join(config.fault(one.keys, one.value, one.reason) for one in found.values()))


def for_model(decide: DecideConfig, labels: Sequence[str], background: Sequence[str]) -> DecideConfig:
    """Return the limits with only those labels and tables of [[decide.action]] that concern this model."""
    reportable = set(labels) - set(background)
    actions = []
    for action in decide.action:
        own = tuple(label for label in action.labels or (action.name,) if label in reportable)
        if own:
            actions.append(action.model_copy(update={"labels": own}) if action.labels else action)
    return decide.model_copy(update={"action": tuple(actions)})


REMEDY = "give the zone an `only` of its own"
_Place = tuple[KeyPath, str]  # the keys of a value, and the value as text


@dataclass(frozen=True)
class _NameFault:
    """A name that a model lacks. `strict`: it is wrong even if another model has it."""

    keys: KeyPath
    value: object
    reason: str
    strict: bool = False

    def concerns(self, use: NamedActions) -> bool:
        """Return whether these limits have the name from the same key."""
        return self.keys[:2] == ("decide", "action") or self.keys in (use.only_keys, use.ignore_keys)


def _together(config: Config, uses: Sequence[NamedActions]) -> NamedActions:
    """Return [decide] for a model that has the labels of all."""
    labels = dict.fromkeys(label for use in uses for label in use.labels)
    background = dict.fromkeys(label for use in uses for label in use.background)
    return NamedActions("[decide]", config.decide, ONLY, IGNORE, tuple(labels), tuple(background))


def _faults_by_place(use: NamedActions) -> dict[_Place, _NameFault]:
    return {(fault.keys, repr(fault.value)): fault for fault in _faults(use)}


def _faults(use: NamedActions) -> Iterator[_NameFault]:
    decide, labels, background = use.decide, use.labels, use.background
    reportable = [label for label in labels if label not in background]
    moved = {label: action.name for action in decide.action for label in action.labels}
    unmoved = [label for label in reportable if label not in moved]
    for number, action in enumerate(decide.action):
        keys: KeyPath = ("decide", "action", number)
        if not action.labels and action.name not in reportable:
            more = "; to report labels under a name of your own, list them in `labels`"
            yield _NameFault((*keys, "name"), action.name, _unknown(action.name, reportable, background) + more)
        if action.labels and action.name in unmoved:
            reason = "a label of the model has this name; add it to `labels`, or choose another name"
            applies = not set(action.labels).isdisjoint(reportable)
            yield _NameFault((*keys, "name"), action.name, reason, strict=applies)
        for label in action.labels:
            if label not in reportable:
                yield _NameFault((*keys, "labels"), label, _unknown(label, reportable, background))
    names = list(dict.fromkeys([*(action.name for action in decide.action), *unmoved]))
    for key, chosen in ((use.only_keys, decide.only), (use.ignore_keys, decide.ignore)):
        for name in chosen:
            if name in names:
                continue
            renamed = f"is reported as {moved[name]!r}; use that name" if name in moved else ""
            yield _NameFault(key, name, renamed or _unknown(name, names, background))
    if not set(decide.only or names) - set(decide.ignore):
        reason = "nothing is left to report; remove a name from `ignore`, or add one to `only`"
        yield _NameFault(use.ignore_keys, decide.ignore, reason)


def _unknown(name: str, allowed: Sequence[str], background: Sequence[str]) -> str:
    if name in background:
        return "a background label of the model, which is never reported"
    return f"the model has no such label; {nearest_of_many(name, allowed)}"
