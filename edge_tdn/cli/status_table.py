"""The last known state of hosts and their cameras, as a table and as JSON."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, get_args

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from edge_tdn.cli.status_host import Host, HostState, runtime_reason
from edge_tdn.cli.status_versions import NEWEST, Expected, Outdated, models_of, outdated
from edge_tdn.cli.terminal import LOGS_HINT, STATE_STYLE, age, plain
from edge_tdn.messages import AvailabilityState
from edge_tdn.status_messages import CameraStatus, DaemonStatus, ZoneStatus

TABLE_WIDTH = 100  # characters, unless a terminal has another width
COLUMNS = ("camera", "state", "since", "fps", "size", "every", "latency", "clips", "shed", "gaps", "action now")
WIDE_ONLY = {"size", "latency", "gaps"}  # columns that a narrower terminal does not show
RIGHT = {"since", "fps", "size", "every", "latency", "clips", "shed", "gaps"}
OUTBOX_STYLE = {"ok": "dim", "off": "dim"}
AWAY = {
    "stopped": "stopped on request, and not connected since",
    "offline": "failed, or disappeared without signing off: killed, without power, or disconnected",
}
FORGET_HINT = "It can be started again, or removed from the broker with `edge-tdn forget {}`"
EXIT_STATUS: dict[HostState, int] = {"well": 0, "stopped": 3, "failed": 1}
HOST_STYLE: dict[HostState, str] = {"well": "green", "stopped": "yellow", "failed": "bold red"}
OUTDATED = 4  # exit status
PREFIX = "edge-tdn/"  # of a host's topics, unless broker.base is set; left out


class Overview:
    """All hosts below the topic prefix `base`, in which + stands for any one level. Drawn by rich.

    `brief`: one line for each host. `expected`: the version and the model that they are expected to run.
    """

    def __init__(self, base: str, expected: Expected = NEWEST, brief: bool = False) -> None:
        self.base, self.expected, self.brief = base, expected, brief
        self.hosts: dict[str, Host] = {}  # by their <base>
        self.trouble = ""  # why there is no connection to the broker

    @property
    def complete(self) -> bool:
        """True if every host has sent its availability, its status, and the status of every camera that it names."""
        return bool(self.hosts) and all(
            host.availability and host.daemon and host.cameras.keys() >= {*host.names} for host in self.hosts.values()
        )

    @property
    def state(self) -> HostState:
        """The worst state of a host."""
        states = {host.state for host in self.hosts.values()}
        if not self.hosts or self.trouble or "failed" in states:
            return "failed"
        return "stopped" if "stopped" in states else "well"

    @property
    def outdated(self) -> dict[str, list[Outdated]]:
        """The old versions and models by host; hosts that are up to date are left out."""
        return outdated({base: host.daemon for base, host in self.hosts.items() if host.daemon}, self.expected)

    @property
    def exit_status(self) -> int:
        """The exit status of `edge-tdn status`. What is old counts only if the user has named what is expected."""
        if self.state != "failed" and any(self.expected) and self.outdated:
            return OUTDATED
        return EXIT_STATUS[self.state]

    def document(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        old = self.outdated
        hosts = {base: host.document(old.get(base, [])) for base, host in sorted(self.hosts.items(), key=_natural)}
        broker = self.trouble or "connected"
        return {"well": self.state == "well", "state": self.state, "broker": broker, "hosts": hosts}

    def take(self, topic: str, payload: bytes) -> None:
        """Update the state with one message, retained or not. An empty payload deletes what was retained."""
        levels, depth = topic.split("/"), len(self.base.split("/"))
        base, below = "/".join(levels[:depth]), levels[depth:]
        host = self.hosts.setdefault(base, Host())
        host.invalid = [other for other in host.invalid if other != topic]
        try:
            match below:
                case ["availability"]:
                    host.availability = _one_of(payload, get_args(AvailabilityState))
                case ["status"]:
                    host.daemon = DaemonStatus.model_validate_json(payload) if payload else None
                case [camera, "status"] if payload:
                    host.cameras[camera] = CameraStatus.model_validate_json(payload)
                case [camera, "action"] if payload:
                    host.actions[camera] = payload.decode()
                case [camera, "status"]:
                    host.cameras.pop(camera, None)
                case [camera, "action"]:
                    host.actions.pop(camera, None)
        except ValueError:  # includes ValidationError and UnicodeDecodeError
            host.invalid.append(topic)
        if host == Host():
            del self.hosts[base]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        hidden = WIDE_ONLY if options.max_width < TABLE_WIDTH else set()
        old = self.outdated
        if self.brief and self.hosts:
            yield _brief(self.hosts, old)
            yield from _failures(self.hosts)
        for number, (base, host) in enumerate(sorted(self.hosts.items(), key=_natural) if not self.brief else ()):
            if number:
                yield Text()
            yield from _drawn(base, host, hidden, old.get(base, []))
        if len(self.hosts) > 1:
            yield Text(f"\n{_counted(self.hosts)}", "dim")
        yield from _outdated_lines(old if len(self.hosts) > 1 or self.brief else {})
        if not self.hosts:
            yield Text(f"no host has published anything below {plain(self.base)}", "yellow")
            if "+" not in self.base:
                yield Text("--base edge-tdn/+ shows all hosts at this broker", "dim")
            yield Text(
                "a host publishes below its topic prefix (edge-tdn/HOST) as soon as it is connected to a broker", "dim"
            )
        elif any(host.availability not in ("online", "stopped") for host in self.hosts.values()):
            yield Text(f"\n{LOGS_HINT}", "dim")
        if self.trouble:
            yield Text(f"broker: {self.trouble}", "bold red")


def _brief(hosts: Mapping[str, Host], old: Mapping[str, Sequence[Outdated]]) -> Table:
    """Return a table with one line for each host; what is old is marked."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column, at_right in (("host", 0), ("state", 0), ("version", 0), ("model", 0), ("cameras", 1), ("waiting", 1)):
        table.add_column(column, overflow="fold", justify="right" if at_right else "left")
    for base, host in sorted(hosts.items(), key=_natural):
        daemon = host.daemon
        state = host.availability or "unknown"
        if host.availability == "online" and not host.well:
            state = "failing"
        cells = [Text(plain(base.removeprefix(PREFIX)), "bold"), Text(state, HOST_STYLE[host.state])]
        if daemon:
            marks: dict[str, str] = {one.what: f" {one.mark}" for one in old.get(base, ())}
            models = " + ".join(dict.fromkeys(model.id for model in models_of(daemon)))
            for what, text in (("version", daemon.version), ("model", models)):
                cells.append(Text(plain(text) + marks.get(what, ""), "yellow" if what in marks else ""))
            here = [host.cameras[name] for name in host.names if name in host.cameras]
            streaming = sum(one.state == "streaming" for one in here if host.availability == "online")
            disabled = sum(one.state == "disabled" for one in here)
            style = "" if streaming + disabled == len(host.names) else "bold red"
            cells.append(Text(f"{streaming} of {len(host.names)}{f', {disabled} off' if disabled else ''}", style))
            cells.append(Text(str(daemon.outbox.waiting)))
        table.add_row(*cells)
    return table


def _failures(hosts: Mapping[str, Host]) -> Iterator[Text]:
    """Yield a line with the reasons for each host that has failed."""
    for base, host in sorted(hosts.items(), key=_natural):
        if host.state == "failed":
            yield Text(f"{plain(base.removeprefix(PREFIX))}: {plain('; '.join(host.faults))}", "bold red")


def _natural(item: tuple[str, Any]) -> list[tuple[int, str]]:
    """Return the key by which hosts are ordered: barn-2 < barn-10."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.findall(r"\d+|\D+", item[0])]


def _counted(hosts: Mapping[str, Host]) -> str:
    """Return the number of hosts in each state: `50 hosts: 47 well, 1 stopped, 2 failed`."""
    counts = Counter(host.state for host in hosts.values())
    return (
        f"{len(hosts)} hosts: {', '.join(f'{counts[state]} {state}' for state in get_args(HostState) if counts[state])}"
    )


def _outdated_lines(old: Mapping[str, Sequence[Outdated]]) -> Iterator[Text]:
    """Yield a line that names the hosts for each version or model that is old."""
    hosts: dict[Outdated, list[str]] = {}
    for base, remarks in sorted(old.items(), key=_natural):
        for one in remarks:
            hosts.setdefault(one, []).append(base.removeprefix(PREFIX))
    for one, names in sorted(hosts.items()):
        yield Text(plain(f"{one}: {', '.join(names)}"), "yellow")


def _drawn(base: str, host: Host, hidden: AbstractSet[str], old: Sequence[Outdated]) -> Iterator[RenderableType]:
    """Yield the lines of a host: its name, broker and disk, its cameras, and what is wrong with them."""
    daemon, online = host.daemon, host.availability == "online"
    state = host.availability or "availability unknown"
    style = "green" if online else "yellow" if host.state == "stopped" else "bold red"
    head = Text.assemble((plain(base), "bold"), "  ", (state, style))
    if daemon:
        up = f", up {age(daemon.started_at)}" if online else ""
        models = " + ".join(f"{model.id} {model.precision}" for model in models_of(daemon))
        head.append(plain(f"  edge-tdn {daemon.version}, {models} on {daemon.device}{up}"))
    yield head
    if host.silence:
        yield Text(host.silence, "bold red")
    yield from (Text(plain(str(one)), "yellow") for one in old)
    if host.availability in AWAY:
        newest = max((host.cameras[name].since for name in host.names if name in host.cameras), default="")
        changed = f"; last change {age(newest)} ago" if newest else ""
        cameras = plain(", ".join(host.names)) or "none"
        yield Text(f"{AWAY[host.availability]}{changed}; its cameras: {cameras}", "dim")
        if host.state == "stopped":
            yield Text(FORGET_HINT.format(plain(daemon.host if daemon else base)), "dim")
    else:
        if daemon:
            yield _delivery_line(daemon)
        yield from _cameras(host, hidden)
    invalid = "is not a message that this version understands: from another version, or not from edge-tdn"
    yield from (Text(f"the payload of {plain(topic)} {invalid}", "yellow") for topic in host.invalid)


def _delivery_line(daemon: DaemonStatus) -> Text:
    delivery, outbox = daemon.delivery, daemon.outbox
    text = Text("delivery ", "dim")
    state = delivery.state if delivery.state == "connected" else f"{delivery.state} for {age(delivery.since)}"
    text.append(plain(": ".join(filter(None, (state, delivery.reason)))), STATE_STYLE.get(delivery.state, "bold red"))
    text.append("   outbox ")
    text.append(plain(": ".join(filter(None, (outbox.state, outbox.reason)))), OUTBOX_STYLE.get(outbox.state, "red"))
    text.append(f", waiting {outbox.waiting}")
    for name, count in (("dropped", outbox.dropped), ("lost", outbox.lost)):
        text.append(f", {name} {count}", "yellow" if count else "dim")
    if daemon.config and daemon.config.reason:
        text.append(plain(f"   configuration {daemon.config.state}: {daemon.config.reason}"), "yellow")
    if reason := runtime_reason(daemon):
        text.append(plain(f"   {reason}"), "bold red")
    if daemon.metrics_fault:
        text.append(plain(f"   metrics: {daemon.metrics_fault}"), "bold red")
    if daemon.page_fault:
        text.append(plain(f"   page: {daemon.page_fault}"), "bold red")
    return text


def _cameras(host: Host, hidden: AbstractSet[str]) -> Iterator[RenderableType]:
    """Yield the table, the decoders, and the reasons that do not fit into a cell."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    columns = [column for column in COLUMNS if column not in hidden]
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in RIGHT else "left"
        table.add_column(column, no_wrap=column != "action now", overflow="fold", justify=justify)
    reasons = []
    for name in host.names:
        one = host.cameras.get(name)
        if one is None:
            table.add_row(Text(plain(name), "bold"), Text("unknown", "bold red"))
            continue
        cells = _cells(one, host.actions.get(name, ""), _segment_s(host.daemon))
        table.add_row(*(cells[column] for column in columns))
        for zone in one.zones:
            cells = _zone_cells(zone, one.state == "streaming")
            table.add_row(*(cells.get(column, Text()) for column in columns))
        style = "yellow" if one.state == "streaming" else STATE_STYLE.get(one.state, "bold red")
        reasons += [Text(plain(f"{name}: {reason}"), style) for reason in _reasons(one)]
    yield table
    yield from _models(host)
    yield from _decoders(host)
    yield from reasons


def _reasons(one: CameraStatus) -> list[str]:
    """Return what is wrong with a camera, and with each of its zones."""
    of_zones = [f"zone {zone.zone}: {zone.reason}" for zone in one.zones if zone.reason]
    return list(dict.fromkeys([*filter(None, [one.reason]), *of_zones]))


def _segment_s(daemon: DaemonStatus | None) -> float:
    """Return the seconds from one segment of a camera without zones to the next; 0: not known."""
    return daemon.segment_s if daemon and len(daemon.models) < 2 else 0.0


def _cells(one: CameraStatus, action: str, segment_s: float) -> dict[str, Text]:
    """Return the cells by column. Measurements of a camera that no longer streams are left out."""
    every = f"{one.hop * segment_s:.2f} s" if segment_s else f"{one.hop} segments"
    every = "" if one.zones else every  # each has its own
    running = one.state == "streaming"
    return {
        "camera": Text(plain(one.camera), "bold"),
        "state": Text(one.state, STATE_STYLE.get(one.state, "bold red")),
        "since": Text(" ".join(age(one.since).split()[:2])),
        "fps": Text(f"{one.fps:.1f}" if running else ""),
        "size": Text(f"{one.width}x{one.height}" if one.width else ""),
        "every": Text(every if running and one.hop else ""),
        "latency": Text(f"{one.latency_ms:.0f} ms" if running and one.latency_ms else ""),
        "clips": Text(_count(one.clips)),
        "shed": Text(_count(one.shed), "yellow" if one.shed else ""),
        "gaps": Text(_count(one.gaps), "yellow" if one.gaps else ""),
        "action now": Text(plain(action), "dim" if action == "none" else "bold"),
    }


def _zone_cells(zone: ZoneStatus, running: bool) -> dict[str, Text]:
    """Return the cells of a zone by column, for a row below its camera's."""
    action = zone.action or "none"
    return {
        "camera": Text(f"  {plain(zone.zone)}"),
        "size": Text(f"{zone.width}x{zone.height}" if zone.width else ""),
        "every": Text(f"{zone.hop * zone.segment_s:.2f} s" if running and zone.hop else ""),
        "latency": Text(f"{zone.latency_ms:.0f} ms" if running and zone.latency_ms else ""),
        "clips": Text(_count(zone.clips)),
        "shed": Text(_count(zone.shed), "yellow" if zone.shed else ""),
        "action now": Text(plain(action), "dim" if action == "none" else "bold"),
    }


def _models(host: Host) -> list[Text]:
    """Return a line that names the models and their zones, if there are several."""
    if host.daemon is None or len(host.daemon.models) < 2:
        return []
    places: dict[str, list[str]] = {}
    for name in host.names:
        for zone in host.cameras[name].zones if name in host.cameras else ():
            places.setdefault(f"{zone.model.id} {zone.model.precision}", []).append(f"{name}/{zone.zone}")
    used = "; ".join(f"{model} ({', '.join(zones)})" for model, zones in places.items())
    return [Text(f"computed by {plain(used)}", "dim")] if used else []


def _decoders(host: Host) -> list[Text]:
    """Return a line that names the decoders and their cameras, if there are any."""
    names: dict[str, list[str]] = {}
    for name in host.names:
        if name in host.cameras and host.cameras[name].decoder:
            names.setdefault(host.cameras[name].decoder, []).append(name)
    used = "; ".join(f"{decoder} ({', '.join(cameras)})" for decoder, cameras in names.items())
    return [Text(f"decoded by {plain(used)}", "dim")] if used else []


def _count(number: int) -> str:
    """Format a number to fit into a cell: `99999`, `1.2 M`."""
    return str(number) if number < 100_000 else f"{min(number, 10**15) / 1e6:.1f} M"


def _one_of(payload: bytes, allowed: tuple[str, ...]) -> str:
    """Return the payload as text. Raises ValueError unless it is allowed or empty."""
    text = payload.decode()
    if text and text not in allowed:
        raise ValueError(text)
    return text
