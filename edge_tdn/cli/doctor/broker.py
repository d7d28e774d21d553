"""Examination of the broker: can it be reached, does it let us in, may we publish and subscribe to our topics?

The client id differs from the daemon's: with the same one, the broker would disconnect the other. Nothing that is
published disturbs a subscriber: a reply to no command, and scores without a label. Events cannot be tried in this way;
if a daemon is running, its status says whether they are delivered.
"""

import queue
import secrets
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress

from pydantic import ValidationError

from edge_tdn.cli.doctor.finding import MIN_CERTIFICATE_DAYS, Finding, days_until, is_loopback, start
from edge_tdn.cli.doctor.host import PAGE_REMEDY
from edge_tdn.cli.terminal import age
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.credentials import Access
from edge_tdn.config.tables import BrokerConfig, Config
from edge_tdn.delivery.mqtt import (
    Acknowledged,
    Connected,
    Connection,
    Link,
    Lost,
    Message,
    Note,
    Received,
    SubscriptionRejected,
)
from edge_tdn.delivery.tls import tls_context
from edge_tdn.errors import BrokerError
from edge_tdn.messages import Reply, TopScores, iso
from edge_tdn.service.metrics_port import PORT_REMEDY
from edge_tdn.status_messages import DaemonStatus

ACCESS_RULE = "the broker's access rules must let {user} {verb} {base}/#"
FAILED = BrokerError.exit_status
TESTED_BRIDGE = "edge-tdn-bridge/"  # in configs/mosquitto/edge.conf
BRIDGES = ("$SYS/broker/connection/", TESTED_BRIDGE)  # prefixes of the topics with the state of a mosquitto's bridge
DROPPED = "$SYS/broker/publish/messages/dropped"
OF_BRIDGES = (*(f"{prefix}#" for prefix in BRIDGES), DROPPED)
BRIDGE_DOWN = "its messages wait at the broker; is the other broker reachable from there?"
BRIDGE_REMEDY = "max_queued_messages 0 in mosquitto.conf on both sides: see `edge-tdn docs bridge` for tested settings"


def examine(config: Config, access: Access | None, holder: int | None, timing: DoctorTiming) -> Iterator[Finding]:
    """`access`: None if it cannot be read. `holder`: process id of this configuration's daemon, if one runs here."""
    reached = yield from _reach(config.broker, timing)
    if not reached:
        return
    if access is None:
        yield Finding("login", "note", "not tried: the credentials cannot be read, see above")
        return
    began = time.monotonic()
    connection = Connection(config.broker, f"edge-tdn-doctor-{time.time_ns()}", access)
    try:
        note = _next(connection, began + timing.login_s)
        if config.broker.tls:
            yield _tls(config.broker, access, note, timing)
        if isinstance(note, Connected):
            yield _login(config.broker, time.monotonic() - began)
            yield from _topics(config, connection, note.link, holder, timing)
        elif not (isinstance(note, Lost) and note.trouble == "tls"):
            yield _login_failed(note, timing)
    finally:
        connection.close()


def _reach(broker: BrokerConfig, timing: DoctorTiming) -> Generator[Finding, None, bool]:
    """Yield findings, and return whether a TCP connection can be made."""
    name, port = broker.address
    try:
        resolved = start(lambda: socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)).result(timing.resolve_s)
    except (OSError, UnicodeError, TooLate) as error:
        why = getattr(error, "strerror", "") or f"no answer in {timing.resolve_s:g} s"
        yield Finding(
            "broker", "failed", f"{name}: {why}", "is broker.url right? Does this machine have a name server?", FAILED
        )
        return False
    addresses = ", ".join(dict.fromkeys(str(one[4][0]) for one in resolved))
    target = f"{name} port {port}" + (f" ({addresses})" if addresses != name else "")
    began = time.monotonic()
    try:
        socket.create_connection((name, port), timing.connect_s).close()
    except OSError as error:
        remedy = f"is a broker running there? Does a firewall let port {port} through? Try it from this machine"
        yield Finding("broker", "failed", f"{target}: {error.strerror or error}", remedy, FAILED)
        return False
    yield Finding("broker", "ok", f"{target}: connected in {(time.monotonic() - began) * 1e3:.1f} ms")
    return True


def _next(connection: Connection, deadline: float) -> Note | None:
    try:
        note: Note = connection.notes.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        return None
    return note


def _tls(broker: BrokerConfig, access: Access, note: Note | None, timing: DoctorTiming) -> Finding:
    if isinstance(note, Lost) and note.trouble == "tls":
        message, _, remedy = note.reason.partition("; ")
        return Finding("TLS", "failed", message, remedy, FAILED)
    name, port = broker.address
    try:
        with (
            socket.create_connection((name, port), timing.connect_s) as plain,
            tls_context(access).wrap_socket(plain, server_hostname=name) as secured,
        ):
            version, certificate = secured.version(), secured.getpeercert() or {}
    except OSError as error:
        return Finding("TLS", "failed", str(error), "", FAILED)
    days = days_until(ssl.cert_time_to_seconds(str(certificate["notAfter"])))
    message = f"{version}, the broker's certificate is valid for {days:.0f} days"
    if days < MIN_CERTIFICATE_DAYS:
        return Finding("TLS", "warning", message, "have it renewed: when it expires, nothing is delivered")
    return Finding("TLS", "ok", message)


def _login(broker: BrokerConfig, seconds: float) -> Finding:
    who = f"as {broker.username}" if broker.username else "anonymously"
    message = f"MQTT {broker.protocol}, {who}, in {seconds * 1e3:.0f} ms"
    if broker.username and not broker.tls and not is_loopback(broker.address[0]):
        return Finding(
            "login", "warning", f"{message}; the password is sent in plain text", "mqtts:// or wss:// in broker.url"
        )
    return Finding("login", "ok", message)


def _login_failed(note: Note | None, timing: DoctorTiming) -> Finding:
    if not isinstance(note, Lost):
        return Finding("login", "failed", f"no answer in {timing.login_s:g} s", "is this an MQTT broker?", FAILED)
    message, _, remedy = note.reason.partition("; ")
    return Finding("login", "failed", message, remedy, FAILED)


def _topics(
    config: Config, connection: Connection, link: Link, holder: int | None, timing: DoctorTiming
) -> Iterator[Finding]:
    base = config.base_topic
    trial = _Trial(connection, link, timing)
    for topic in (*(f"{base}/{below}" for below in ("cmd/#", "availability", "status")), *OF_BRIDGES):
        link.subscribe(topic)
    reply = Reply(command="doctor", id=f"doctor-{secrets.token_hex(6)}", ok=True, error="", result={})
    trial.publish(f"{base}/reply", reply.json_bytes())
    trial.collect()
    daemon = _settled_daemon(trial, f"{base}/status", timing)
    online = trial.retained.get(f"{base}/availability") == b"online"
    if not (online and daemon):
        for camera in config.camera:
            empty = TopScores(camera=camera.name, at=iso(time.time_ns()), scores={}, latency_ms=0)
            trial.publish(f"{base}/{camera.name}/scores", empty.json_bytes())
        trial.collect()
    yield from _permissions(config, trial, timing)
    yield from _bridges(trial)
    if online and daemon:
        yield _delivery(config, daemon)
        yield _running(config, daemon, holder)
        if daemon.metrics_fault:
            yield Finding("metrics", "warning", f"{daemon.metrics_fault}, according to the daemon", PORT_REMEDY)
        if daemon.page_fault:
            yield Finding("page", "warning", f"{daemon.page_fault}, according to the daemon", PAGE_REMEDY)
    elif holder is not None:
        message = f"a daemon of this configuration runs here (process {holder or 'elsewhere'}), unknown to the broker"
        yield Finding("daemon", "warning", message, "its log says why: `journalctl -u 'edge-tdn*'`")
    else:
        yield Finding("daemon", "note", f"no host named {config.host} is online")


def _permissions(config: Config, trial: "_Trial", timing: DoctorTiming) -> Iterator[Finding]:
    base, user = config.base_topic, config.broker.username or "anonymous clients"
    read_rule = ACCESS_RULE.format(user=user, verb="read", base=base)
    write_rule = ACCESS_RULE.format(user=user, verb="write", base=base)
    unreadable = {topic: why for topic, why in trial.unreadable.items() if topic not in OF_BRIDGES}
    for topic, why in unreadable.items():
        yield Finding("commands", "warning", f"{topic} may not be read: {why}", read_rule)
    if not unreadable:
        yield Finding("commands", "ok", f"{base}/cmd/# may be read")
    if trial.lost:
        yield Finding("topics", "failed", trial.lost, write_rule, FAILED)
        return
    for topic, why in trial.rejected.items():
        if topic.endswith("/scores") and not config.broker.scores:
            message = f"{topic} is rejected: {why}; the camera's other topics were not tried, to disturb no subscriber"
            yield Finding("topics", "warning", message, write_rule)
        else:
            yield Finding("topics", "failed", f"{topic} is rejected: {why}", write_rule, FAILED)
    if trial.unacknowledged:
        topics = ", ".join(trial.unacknowledged)
        message = f"no acknowledgement in {timing.answers_s:g} s: {topics}"
        yield Finding("topics", "failed", message, write_rule, FAILED)
    elif config.broker.protocol == "3.1.1":
        message = "unknown whether the broker accepts our topics: with MQTT 3.1.1 it acknowledges what it rejects, too"
        yield Finding("topics", "note", message, 'broker.protocol = "5", if the broker supports it')
    elif not trial.rejected:
        yield Finding("topics", "ok", f"{', '.join(trial.accepted)} may be written")


def _bridges(trial: "_Trial") -> Iterator[Finding]:
    """Report the bridges of a mosquitto: what it has acknowledged may be lost on the way behind it."""
    states = {topic: payload for topic, payload in sorted(trial.retained.items()) if topic.startswith(BRIDGES)}
    for topic, payload in states.items():
        connected = payload == b"1"
        message = f"the broker forwards to another one: {topic} is {'connected' if connected else 'not connected'}"
        if topic.startswith(TESTED_BRIDGE):  # named as in the shipped settings, with which nothing is dropped
            yield Finding("bridge", "ok" if connected else "warning", message, "" if connected else BRIDGE_DOWN)
        else:
            message += "; with mosquitto's default settings it keeps 1000 messages while it is cut, and drops the rest"
            yield Finding("bridge", "note" if connected else "warning", message, BRIDGE_REMEDY)
    dropped = trial.retained.get(DROPPED, b"0")
    if states and dropped.isdigit() and int(dropped):
        message = f"the broker has dropped {int(dropped)} messages since its start, for a bridge or another subscriber"
        yield Finding("bridge", "warning", message, BRIDGE_REMEDY)


def _delivery(config: Config, daemon: DaemonStatus) -> Finding:
    """Report the delivery state of the daemon, which publishes to the real topics."""
    delivery, outbox = daemon.delivery, daemon.outbox
    if delivery.state == "connecting":  # a status that it could not publish without a connection
        message = f"the daemon has just connected, and not reported its state yet; {outbox.waiting} events wait"
        return Finding("delivery", "note", message, "run `edge-tdn doctor` again in a minute")
    message = f"{delivery.state}{f': {delivery.reason}' if delivery.reason else ''}, {outbox.waiting} events wait"
    if delivery.state == "connected":
        return Finding("delivery", "ok", f"{message}, according to the daemon")
    user = config.broker.username or "anonymous clients"
    remedy = ACCESS_RULE.format(user=user, verb="write", base=config.base_topic)
    return Finding("delivery", "failed", f"{message}, according to the daemon", remedy, FAILED)


def _running(config: Config, daemon: DaemonStatus, holder: int | None) -> Finding:
    message = f"{config.host} is online, edge-tdn {daemon.version}, up {age(daemon.started_at)}"
    if holder is not None:
        return Finding("daemon", "ok", f"{message}; it is process {holder or 'of another container'} here")
    doubt = "it is not a service of this machine with this configuration, and not a process of this user"
    remedy = "if it runs on another machine, one of the two needs another `host`: each disconnects the other"
    return Finding("daemon", "note", f"{message}; {doubt}", remedy)


def _settled_daemon(trial: "_Trial", topic: str, timing: DoctorTiming) -> DaemonStatus | None:
    """Return the status of the daemon; wait for the next one if it has only just connected."""
    deadline = time.monotonic() + timing.settle_s
    while True:
        daemon = _daemon(trial.retained.get(topic))
        settled = daemon is None or daemon.delivery.state != "connecting"
        if settled or trial.lost or time.monotonic() > deadline:
            return daemon
        trial.collect()


def _daemon(payload: bytes | None) -> DaemonStatus | None:
    with suppress(ValidationError):
        return DaemonStatus.model_validate_json(payload) if payload else None
    return None


class _Trial:
    """Messages published as a trial, and the broker's answers."""

    def __init__(self, connection: Connection, link: Link, timing: DoctorTiming) -> None:
        self._connection, self._link, self._timing = connection, link, timing
        self._sent: dict[int, str] = {}  # packet id -> topic, not yet acknowledged
        self.accepted: list[str] = []
        self.rejected: dict[str, str] = {}  # topic -> reason
        self.unreadable: dict[str, str] = {}  # topic filter -> reason
        self.retained: dict[str, bytes] = {}
        self.lost = ""  # why the connection ended

    @property
    def unacknowledged(self) -> list[str]:
        return list(self._sent.values())

    def publish(self, topic: str, payload: bytes) -> None:
        self._sent[self._link.publish(Message(topic, payload))] = topic

    def collect(self) -> None:
        """Wait until everything is acknowledged, and a moment longer for what is retained."""
        deadline = time.monotonic() + self._timing.answers_s
        while not self.lost:
            if not self._sent:
                deadline = min(deadline, time.monotonic() + self._timing.quiet_s)
            match _next(self._connection, deadline):
                case None:
                    return
                case Acknowledged(packet_id, rejection):
                    topic = self._sent.pop(packet_id, "")
                    if rejection:
                        self.rejected[topic] = rejection
                    else:
                        self.accepted.append(topic)
                case SubscriptionRejected(topic, reason):
                    self.unreadable[topic] = reason
                case Received(topic, payload, _):
                    self.retained[topic] = payload
                case Lost(reason=reason):
                    self.lost = reason
