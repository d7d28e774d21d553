"""`edge-tdn status`: how the hosts and their cameras are, as their retained messages at the broker say it."""

import json
import queue
import secrets
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edge_tdn.config import Access, BrokerConfig
from edge_tdn.errors import BrokerError, ConfigError
from edge_tdn.messages import AvailabilityState, CameraStatus, DaemonStatus, Payload
from edge_tdn.mqtt import Acknowledged, Connected, Connection, Link, Lost, Message, Note, Received, Unheard
from edge_tdn.terminal import STATE_STYLE, age, plain

WIDTH = 100  # characters, where no terminal says how many it has
CONNECT_S = 10.0  # how long a broker may take to answer
MARKER_S = 3.0  # how long our own message may take to come back, behind all that is retained
QUIET_S = 0.5  # where it may not be sent: nothing for so long, and all has come
DRAW_EVERY_S = 0.5
TOLD = ("availability", "status", "+/status", "+/action")  # topics below <base>
COLUMNS = ("camera", "state", "since", "fps", "size", "every", "latency", "clips", "shed", "gaps", "action now")
RIGHT = {"since", "fps", "size", "every", "latency", "clips", "shed", "gaps"}
OUTBOX_STYLE = {"ok": "dim", "off": "dim"}
AWAY = {"stopped": "was stopped, as asked", "offline": "is gone without a goodbye: killed, without power, or cut off"}
LOOK_THERE = "On the camera host, `systemctl status 'edge-tdn*'` and `journalctl -u 'edge-tdn*'` say how the daemon is"


def status(console: Console, broker: BrokerConfig, access: Access, base: str, as_json: bool, watched: bool) -> int:
    """Prints how all hosts under `base` are, in which `+` stands for any one level. 0: all is well, 1: not all is.

    `watched`: until Ctrl-C, the table in its place, or with `as_json` a line whenever something has changed.
    BrokerError: the broker does not answer, or does not let us read.
    """
    if watched and not as_json and not console.is_terminal:
        raise ConfigError("--watch draws on a terminal; into a pipe write `--watch --json` and `edge-tdn watch`")
    overview = Overview(base)
    connection = Connection(broker, f"edge-tdn-status-{time.time_ns()}", access)
    try:
        listener = _Listener(connection, overview)
        listener.collect()
        if watched:
            _follow(console, listener, overview, as_json)
        elif as_json:
            print(json.dumps(overview.document(), indent=1))  # noqa: T201  (plain, for pipes)
        else:
            console.print(overview)
    finally:
        connection.close()
    return 0 if overview.well else 1


@dataclass
class Host:
    """What one host said last."""

    availability: str = ""  # online, stopped, offline; empty: nothing
    daemon: DaemonStatus | None = None
    cameras: dict[str, CameraStatus] = field(default_factory=dict)
    actions: dict[str, str] = field(default_factory=dict)  # by camera
    invalid: list[str] = field(default_factory=list)  # topics on which something stands that is no message of ours

    @property
    def names(self) -> list[str]:
        """The cameras that it has; of others an old status may still stand at the broker."""
        return self.daemon.cameras if self.daemon else sorted(self.cameras)

    @property
    def well(self) -> bool:
        """It is there, delivers, stores, and every camera streams."""
        if self.availability != "online" or self.daemon is None or self.invalid:
            return False
        states = [self.cameras[name].state if name in self.cameras else "" for name in self.names]
        stored = self.daemon.outbox.state in ("ok", "off")
        return stored and self.daemon.delivery.state == "connected" and all(state == "streaming" for state in states)

    def document(self) -> dict[str, Any]:
        cameras = {
            name: {"status": _json(self.cameras.get(name)), "action": self.actions.get(name)} for name in self.names
        }
        return {
            "well": self.well, "availability": self.availability or None, "status": _json(self.daemon),
            "cameras": cameras, "invalid": self.invalid,
        }  # fmt: skip


class Overview:
    """Feeds on messages; rich draws it. `base`: a topic in which `+` stands for any one level."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.hosts: dict[str, Host] = {}  # by their <base>
        self.trouble = ""  # why nothing arrives

    @property
    def complete(self) -> bool:
        """All that the hosts' own messages let expect is there."""
        return bool(self.hosts) and all(
            host.availability and host.daemon and host.cameras.keys() >= {*host.names} for host in self.hosts.values()
        )

    @property
    def well(self) -> bool:
        return bool(self.hosts) and not self.trouble and all(host.well for host in self.hosts.values())

    def document(self) -> dict[str, Any]:
        """What `--json` prints."""
        hosts = {base: host.document() for base, host in sorted(self.hosts.items())}
        return {"well": self.well, "broker": self.trouble or "connected", "hosts": hosts}

    def take(self, topic: str, payload: bytes) -> None:
        """One message, retained or not. An empty one means that what stood there was deleted."""
        levels, depth = topic.split("/"), len(self.base.split("/"))
        base, below = "/".join(levels[:depth]), levels[depth:]
        host = self.hosts.setdefault(base, Host())
        host.invalid = [one for one in host.invalid if one != topic]
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
        except ValueError:  # ValidationError and UnicodeDecodeError are some
            host.invalid.append(topic)
        if host == Host():
            del self.hosts[base]

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = []
        for base, host in sorted(self.hosts.items()):
            parts += [*_drawn(base, host), Text()]
        if not self.hosts:
            parts.append(Text(f"no host has said anything under {plain(self.base)}", "yellow"))
            parts.append(Text("a host speaks under its base_topic (edge-tdn/HOST) as soon as it has a broker", "dim"))
        elif any(host.availability != "online" for host in self.hosts.values()):
            parts.append(Text(LOOK_THERE, "dim"))
        if self.trouble:
            parts.append(Text(f"broker: {self.trouble}", "bold red"))
        return Group(*(parts[:-1] if isinstance(parts[-1], Text) and not parts[-1].plain else parts))


class _Listener:
    """Subscribes, and hands on what comes."""

    def __init__(self, connection: Connection, overview: Overview) -> None:
        self._connection, self._overview = connection, overview
        mine = f"status-{secrets.token_hex(6)}"
        self._topics = [f"{overview.base}/{told}" for told in TOLD]
        self._marker = f"{overview.base.replace('+', mine)}/{mine}/marker"  # where nobody listens but we
        self._refused: dict[str, str] = {}  # what we may not read, and why

    def collect(self) -> None:
        """Until all that is retained has come: a message of our own comes back behind it. BrokerError: as `status`.

        Where the broker refuses that message, or keeps another order, until nothing has come for a while.
        """
        deadline, connected, quiet = time.monotonic() + CONNECT_S, False, False
        while note := self.next(max(0.0, deadline - time.monotonic())):
            match note:
                case Lost(reason=reason):
                    raise BrokerError(f"{self._connection.address}: {reason}; is a broker running there? {LOOK_THERE}")
                case Connected():
                    deadline, connected = time.monotonic() + MARKER_S, True
                case Received(topic=topic) if topic == self._marker and self._overview.complete:
                    break
                case Acknowledged(refused=None):
                    pass
                case Received(topic=topic) | Unheard(topic=topic) if topic == self._marker:
                    deadline, quiet = time.monotonic() + QUIET_S, True
                case Acknowledged():
                    deadline, quiet = time.monotonic() + QUIET_S, True
                case Received(retained=True) if quiet:
                    deadline = time.monotonic() + QUIET_S
        if not connected:
            raise BrokerError(f"{self._connection.address}: no answer; is a broker running there? {LOOK_THERE}")
        if len(self._refused) == len(self._topics):
            topic, reason = next(iter(self._refused.items()))
            raise BrokerError(f"{self._connection.address}: this user may not read {topic}: {reason}")

    def next(self, timeout_s: float) -> Note | None:
        """What the connection says within this time; the overview has it already."""
        try:
            note: Note = self._connection.notes.get(timeout=timeout_s)
        except queue.Empty:
            return None
        match note:
            case Connected(link):
                self._overview.trouble = ""
                self._ask(link)
            case Lost(reason=reason):
                self._overview.trouble = reason
            case Unheard(topic, reason) if topic in self._topics:
                self._refused[topic] = reason
            case Received(topic, payload) if topic != self._marker:
                self._overview.take(topic, payload)
        return note

    def _ask(self, link: Link) -> None:
        for topic in (*self._topics, self._marker):
            link.subscribe(topic)
        link.publish(Message(self._marker, b"edge-tdn status"))


def _follow(console: Console, listener: _Listener, overview: Overview, as_json: bool) -> None:
    """The table in its place, or a line of JSON for every change, until Ctrl-C."""
    said = ""
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        live = None if as_json else stack.enter_context(Live(overview, console=console, auto_refresh=False))
        while True:
            if live:
                live.refresh()
            elif (now := json.dumps(overview.document())) != said:
                said = now
                print(said, flush=True)  # noqa: T201  (plain, for pipes)
            draw_s = time.monotonic() + DRAW_EVERY_S
            while (left_s := draw_s - time.monotonic()) > 0:
                listener.next(left_s)


def _drawn(base: str, host: Host) -> list[RenderableType]:
    """A host: who it is, how it stands with broker and disk, its cameras, and what is wrong with them."""
    daemon = host.daemon
    state = host.availability or "nothing said on availability"
    head = Text.assemble((plain(base), "bold"), "  ", (state, "green" if host.availability == "online" else "bold red"))
    if daemon:
        model = f"{daemon.model.id} {daemon.model.precision} on {daemon.device}"
        head.append(plain(f"  edge-tdn {daemon.version}, {model}"))
    parts: list[RenderableType] = [head]
    if host.availability == "online" and daemon:
        head.append(f", up {age(daemon.started_at)}")
        parts += [_sent(daemon), *_cameras(host)]
    elif host.availability in AWAY:
        newest = max((host.cameras[name].since for name in host.names if name in host.cameras), default="")
        changed = f"; the last that changed there was {age(newest)} ago" if newest else ""
        cameras = plain(", ".join(host.names)) or "none"
        parts.append(Text(f"{AWAY[host.availability]}{changed}; its cameras: {cameras}", "dim"))
    else:
        parts += _cameras(host)
    said = "is no message that this version understands: another version of edge-tdn, or not edge-tdn at all"
    parts += [Text(f"what stands on {plain(topic)} {said}", "yellow") for topic in host.invalid]
    return parts


def _sent(daemon: DaemonStatus) -> Text:
    delivery, outbox = daemon.delivery, daemon.outbox
    text = Text("delivery ", "dim")
    told = delivery.state if delivery.state == "connected" else f"{delivery.state} for {age(delivery.since)}"
    text.append(plain(": ".join(filter(None, (told, delivery.reason)))), STATE_STYLE.get(delivery.state, "bold red"))
    text.append("   outbox ")
    text.append(plain(": ".join(filter(None, (outbox.state, outbox.reason)))), OUTBOX_STYLE.get(outbox.state, "red"))
    text.append(f", waiting {outbox.waiting}")
    for name, count in (("dropped", outbox.dropped), ("lost", outbox.lost)):
        text.append(f", {name} {count}", "yellow" if count else "dim")
    return text


def _cameras(host: Host) -> list[RenderableType]:
    """The table, and below it, where there is more to say than a cell holds, a line for each camera."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in COLUMNS:
        justify: Literal["left", "right"] = "right" if column in RIGHT else "left"
        table.add_column(column, no_wrap=column != COLUMNS[-1], overflow="fold", justify=justify)
    segment_s = host.daemon.segment_s if host.daemon else 0.0
    reasons = []
    for name in host.names:
        one = host.cameras.get(name)
        action = plain(host.actions.get(name, ""))
        if one is None:
            table.add_row(plain(name), Text("nothing said", "bold red"))
            continue
        style = STATE_STYLE.get(one.state, "bold red")
        running = one.state == "streaming"
        table.add_row(
            Text(plain(name), "bold"),
            Text(one.state, style),
            " ".join(age(one.since).split()[:2]),
            f"{one.fps:.1f}" if running else "",
            f"{one.width}x{one.height}" if one.width else "",
            _every(one.hop, segment_s) if running else "",
            f"{one.latency_ms:.0f} ms" if one.latency_ms else "",
            _count(one.clips),
            Text(str(one.shed), "yellow" if one.shed else ""),
            Text(str(one.gaps), "yellow" if one.gaps else ""),
            Text(action, "dim" if action == "none" else "bold"),
        )
        if one.reason:
            reasons.append(Text(plain(f"{name}: {one.reason}"), style if not running else "yellow"))
    return [table, *_decoders(host), *reasons]


def _decoders(host: Host) -> list[Text]:
    """What decodes, and whose pictures."""
    names: dict[str, list[str]] = {}
    for name in host.names:
        if name in host.cameras and host.cameras[name].decoder:
            names.setdefault(host.cameras[name].decoder, []).append(name)
    told = "; ".join(f"{decoder} ({', '.join(cameras)})" for decoder, cameras in names.items())
    return [Text(f"decoded by {plain(told)}", "dim")] if told else []


def _every(hop: int, segment_s: float) -> str:
    if not hop:
        return ""
    return f"{hop * segment_s:.2f} s" if segment_s else f"{hop} segments"


def _count(number: int) -> str:
    """Short enough for a cell: `99999`, `1.2 M`."""
    return str(number) if number < 100_000 else f"{min(number, 10**15) / 1e6:.1f} M"


def _one_of(payload: bytes, allowed: tuple[str, ...]) -> str:
    """ValueError: it is none of them; an empty payload is."""
    text = payload.decode()
    if text and text not in allowed:
        raise ValueError(text)
    return text


def _json(payload: Payload | None) -> Any:
    return None if payload is None else json.loads(payload.json_bytes())
