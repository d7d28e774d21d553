"""The plan of a configuration: what `edge-tdn run` would do, as a table."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from edge_tdn.actions.labels import Rule, for_model, rules
from edge_tdn.config.fault import KeyOrigin, Keys, key_name
from edge_tdn.config.record_table import RecordConfig
from edge_tdn.config.resolved_zones import ResolvedZone, resolved_zones, runtime_choice
from edge_tdn.config.tables import CameraConfig, Config, DecideConfig
from edge_tdn.config.zone_tables import WHOLE
from edge_tdn.delivery.outbox.folder import outbox_folder
from edge_tdn.inference.runtime import build_name
from edge_tdn.networks import Network, OpenedNetworks
from edge_tdn.process.passwords import without_password
from edge_tdn.verdict import recorded_comparison

MAX_NAMES = 12  # labels or actions that are listed
FURTHER_LIMITS: Mapping[str, Callable[[DecideConfig], str]] = {  # shown of a zone, where they differ from [decide]
    "smoothing_s": lambda own: f"averaged over {own.smoothing_s:g} s" if own.smoothing_s else "not averaged",
    "min_length_s": lambda own: f"lasts at least {own.min_length_s:g} s",
    "max_length_s": lambda own: f"ended after {own.max_length_s:g} s" if own.max_length_s else "of any length",
    "merge_gap_s": lambda own: f"continues after a gap of up to {own.merge_gap_s:g} s",
    "several": lambda own: "several at a time" if own.several else "one at a time",
}
WITH_VARIABLE = re.compile(r"(://[^/@:]*:\$\{\w+\}@)")  # user and password in a URL, the latter from a variable


def print_plan(console: Console, config: Config, base: Path, networks: OpenedNetworks, writable: bool) -> None:
    """`base` is the folder of relative paths; `writable` is whether this user can write to the outbox."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("files", "\n".join(config.file.read))
    for remark in config.file.unmatched:
        table.add_row("warning", remark)
    has_zones = any(camera.zone for camera in config.camera)
    for network in networks.all:
        _add_network(table, config, network, has_zones)
    table.add_row("broker", f"{config.broker.url}, MQTT {config.broker.protocol}, topics {config.base_topic}/...")
    outbox = outbox_folder(config.outbox.folder, config.host, base)
    kept = f"{outbox}, at most {config.outbox.max_mb:g} MB" if outbox else "in memory only"
    unwritable = "" if writable else "; this user cannot write there: events would be kept in memory only"
    table.add_row("outbox", f"{kept}, {config.outbox.max_age_h:g} h{unwritable}")
    if config.home_assistant.discovery != "off":
        table.add_row("home assistant", f"by {config.home_assistant.discovery}, {config.home_assistant.prefix}/...")
    if config.record.enabled or config.record.folder:
        table.add_row("record", _recorded(config.record))
    if config.metrics.port:
        table.add_row("metrics", config.metrics.url)
    if config.web.port:
        table.add_row("page", f"{config.web.url}, {_reached_from(config)}")
    for camera in config.camera:
        _add_camera(table, config, camera, networks)
    console.print(table)
    if origins := list(config.file.elsewhere()):
        console.print(_origins(config, origins))
    console.print(f"configuration and {'model' if len(networks.all) == 1 else 'models'} are right")


def _reached_from(config: Config) -> str:
    web = config.web
    if web.trusted_proxy:
        return f"through the proxy at {web.trusted_proxy} alone"
    return "from this host alone" if web.is_local else "by every host that reaches the port"


def _add_network(table: Table, config: Config, network: Network, with_memory: bool) -> None:
    """Add what is known of a model in one precision, and what [decide] reports with it."""
    model, runtime, spec = network.model, network.runtime, network.model.manifest.input
    clip_s = spec.ticks / spec.frame_rate
    table.add_row("model", f"{model.manifest.id}: {model.manifest.classes} labels, {model.folder}")
    table.add_row("runs as", f"{runtime.precision} on {runtime.device}, self-test passed")
    if with_memory:
        table.add_row("memory", f"{network.memory_mb:.0f} MB, estimated")
    table.add_row("parity", recorded_comparison(model, build_name(runtime.precision, runtime.device)))
    segments = " + ".join(str(spec.of(member).segments) for member in range(len(spec.per_segment)))
    table.add_row("clip", f"{segments} segments of 5 frames at {spec.frame_rate:g} fps: {clip_s:.1f} s, {spec.resize}")
    table.add_row("labels", _listed(model.labels))
    decide = for_model(config.decide, model.labels, model.manifest.background)
    reported = rules(decide, model.labels, model.manifest.background).values()
    table.add_row("reported", _listed([_reported(rule, model.labels) for rule in reported]))
    table.add_row("thresholds", _thresholds(decide, reported))


def _add_camera(table: Table, config: Config, camera: CameraConfig, networks: OpenedNetworks) -> None:
    """Add a camera, and its zones if it has any."""
    source, zones = without_password(camera.source), resolved_zones(config, camera)
    if not camera.zone:
        table.add_row(f"camera {camera.name}", f"{source}, {_every(zones[0], networks)}")
        return
    table.add_row(f"camera {camera.name}", source)
    for zone in zones:
        table.add_row(f"  {zone.display_name}", "\n".join(_zone_lines(config, zone, networks)))


def _zone_lines(config: Config, zone: ResolvedZone, networks: OpenedNetworks) -> Iterator[str]:
    """Yield the part of the picture, the model, what is reported, and all limits that differ from [decide]."""
    model, general = networks.of(zone.choice).model, runtime_choice(config)
    other = (zone.choice.model, zone.choice.precision) != (general.model, general.precision)
    by_model = f", {model.manifest.id} in {zone.choice.precision}" if other else ""
    yield f"{_shape(zone)}, {_every(zone, networks)}{by_model}"
    background = model.manifest.background
    actions = {"only": zone.decide.only, "ignore": zone.decide.ignore}
    usual = for_model(config.decide.model_copy(update=actions), model.labels, background)
    own = for_model(zone.decide, model.labels, background)
    reported = rules(own, model.labels, background).values()
    yield f"reported: {_listed([_reported(rule, model.labels) for rule in reported])}"
    limits, usual_limits = (
        _thresholds(decide, rules(decide, model.labels, background).values()) for decide in (own, usual)
    )
    exceptions = [limits] if limits != usual_limits else []
    exceptions += [words(own) for key, words in FURTHER_LIMITS.items() if getattr(own, key) != getattr(usual, key)]
    if exceptions:
        yield "; ".join(exceptions)


def _every(zone: ResolvedZone, networks: OpenedNetworks) -> str:
    return f"a clip every {zone.hop * networks.of(zone.choice).model.manifest.input.segment_s:.2f} s"


def _shape(zone: ResolvedZone) -> str:
    """Return the part of the picture as the configuration has it."""
    if zone.polygon:
        return f"polygon {' '.join(f'[{x:g}, {y:g}]' for x, y in zone.polygon)}"
    return "whole picture" if zone.region == WHOLE else f"region [{', '.join(f'{share:g}' for share in zone.region)}]"


def _origins(config: Config, origins: Iterable[tuple[Keys, KeyOrigin]]) -> Table:
    """Return a table of the values that do not stand literally in the main file, and where they come from."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("key", "value", "from"):
        table.add_column(column, overflow="fold")
    beside = f"{Path(config.file.name).parent}/"

    def place(origin: KeyOrigin) -> str:
        return origin.place().removeprefix(beside)

    for keys, origin in origins:
        value: Any = config
        for key in keys:
            value = value[key] if isinstance(key, int) else getattr(value, key)
        if not isinstance(value, BaseModel):  # a table without keys
            written = f"{_as_written(origin.written)} in " if origin.written else ""
            hidden = f", instead of {place(origin.hides)}" if origin.hides else ""
            shown = list(value) if isinstance(value, tuple) else value
            table.add_row(key_name(keys), without_password(repr(shown)), f"{written}{place(origin)}{hidden}")
    return table


def _as_written(text: str) -> str:
    """Return a value as it stands in the file, without passwords, but with the variable that holds one."""
    parts = WITH_VARIABLE.split(text)
    return "".join(part if WITH_VARIABLE.fullmatch(part) else without_password(part) for part in parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (" ..." if len(names) > MAX_NAMES else "")


def _reported(rule: Rule, labels: Sequence[str]) -> str:
    members = [labels[member] for member in rule.members]
    return rule.name if members == [rule.name] else f"{rule.name} ({' + '.join(members)})"


def _thresholds(decide: DecideConfig, reported: Iterable[Rule]) -> str:
    usual = decide.enter_threshold, decide.exit_threshold
    exceptions = [
        f"{rule.name} {rule.enter_threshold:g} and {rule.exit_threshold:g}"
        for rule in reported
        if (rule.enter_threshold, rule.exit_threshold) != usual
    ]
    again = f"again {decide.cool_down_s:g} s after its end" if decide.cool_down_s else "again at once"
    listed = [_listed(exceptions)] if exceptions else []
    return "; ".join([f"starts at {usual[0]:g}, ends below {usual[1]:g}", *listed, again])


def _recorded(record: RecordConfig) -> str:
    if not record.enabled:
        return "nothing: snapshot and clip are false"
    what = " and ".join(name for name, on in (("snapshots", record.snapshot), ("clips", record.clip)) if on)
    where = f"{record.folder}, at most {record.max_mb} MB" if record.folder else "published only"
    return f"{what}, {where}; at most {record.memory_mb} MB of memory per camera"
