"""The broker: is it there, does it let us in, may we say and hear what we must?

The client id is our own: with the daemon's, each would throw the other out. What is published disturbs nobody: an
answer to no command, and scores without a label. Events cannot be tried so; where a daemon runs, it knows of them.
"""

import queue
import secrets
import socket
import ssl
import time
from collections.abc import Generator, Iterator
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from ipaddress import ip_address

from pydantic import ValidationError

from edge_tdn.cli.doctor.finding import Finding, start
from edge_tdn.cli.terminal import age
from edge_tdn.config.tables import Access, BrokerConfig, Config
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
from edge_tdn.messages import DaemonStatus, Reply, TopScores, iso

RESOLVE_S = 5.0
CONNECT_S = 3.0
LOGIN_S = 8.0
ANSWERS_S = 3.0  # for the broker to acknowledge all
QUIET_S = 0.3  # and for what is retained to come
EXPIRING_DAYS = 21
DAY_S = 86_400
RULES = "the broker's access rules must let {user} {verb} {base}/#"
WRONG = BrokerError.exit_status


def examine(config: Config, access: Access | None, holder: int | None) -> Iterator[Finding]:
    """`access`: None where it cannot be had. `holder`: process of this configuration's daemon here, where one runs."""
    found = yield from _reached(config.broker)
    if not found:
        return
    if access is None:
        yield Finding("login", "note", "not tried: what it takes cannot be read, see above")
        return
    began = time.monotonic()
    connection = Connection(config.broker, f"edge-tdn-doctor-{time.time_ns()}", access)
    try:
        note = _next(connection, began + LOGIN_S)
        if config.broker.tls:
            yield _tls(config.broker, access, note)
        if isinstance(note, Connected):
            yield _welcome(config.broker, time.monotonic() - began)
            yield from _topics(config, connection, note.link, holder)
        elif not (isinstance(note, Lost) and note.trouble == "tls"):
            yield _not_let_in(note)
    finally:
        connection.close()


def _reached(broker: BrokerConfig) -> Generator[Finding, None, bool]:
    """Generates what was found; returns whether a connection stands."""
    name, port = broker.address
    try:
        resolved = start(lambda: socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)).result(RESOLVE_S)
    except (OSError, UnicodeError, TooLate) as error:
        why = getattr(error, "strerror", "") or f"no answer in {RESOLVE_S:g} s"
        yield Finding(
            "broker", "failed", f"{name}: {why}", "is broker.url right? Does this machine have a name server?", WRONG
        )
        return False
    addresses = ", ".join(dict.fromkeys(str(one[4][0]) for one in resolved))
    told = f"{name} port {port}" + (f" ({addresses})" if addresses != name else "")
    began = time.monotonic()
    try:
        socket.create_connection((name, port), CONNECT_S).close()
    except OSError as error:
        remedy = f"is a broker running there? Does a firewall let port {port} through? Try it from this machine"
        yield Finding("broker", "failed", f"{told}: {error.strerror or error}", remedy, WRONG)
        return False
    yield Finding("broker", "ok", f"{told}: connected in {(time.monotonic() - began) * 1e3:.1f} ms")
    return True


def _next(connection: Connection, deadline: float) -> Note | None:
    try:
        note: Note = connection.notes.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        return None
    return note


def _tls(broker: BrokerConfig, access: Access, note: Note | None) -> Finding:
    if isinstance(note, Lost) and note.trouble == "tls":
        said, _, remedy = note.reason.partition("; ")
        return Finding("TLS", "failed", said, remedy, WRONG)
    name, port = broker.address
    try:
        with (
            socket.create_connection((name, port), CONNECT_S) as plain,
            tls_context(access).wrap_socket(plain, server_hostname=name) as secured,
        ):
            version, certificate = secured.version(), secured.getpeercert() or {}
    except OSError as error:
        return Finding("TLS", "failed", str(error), "", WRONG)
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / DAY_S
    said = f"{version}, the broker's certificate is valid for {days:.0f} days"
    if days < EXPIRING_DAYS:
        return Finding("TLS", "warning", said, "have it renewed: when it expires, nothing is delivered")
    return Finding("TLS", "ok", said)


def _welcome(broker: BrokerConfig, seconds: float) -> Finding:
    who = f"as {broker.username}" if broker.username else "anonymously"
    said = f"MQTT {broker.protocol}, {who}, in {seconds * 1e3:.0f} ms"
    if broker.username and not broker.tls and not _is_loopback(broker.address[0]):
        return Finding("login", "warning", f"{said}; the password travels in plain text", "mqtts:// in broker.url")
    return Finding("login", "ok", said)


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _not_let_in(note: Note | None) -> Finding:
    if not isinstance(note, Lost):
        return Finding("login", "failed", f"no answer in {LOGIN_S:g} s", "is this an MQTT broker?", WRONG)
    said, _, remedy = note.reason.partition("; ")
    return Finding("login", "failed", said, remedy, WRONG)


def _topics(config: Config, connection: Connection, link: Link, holder: int | None) -> Iterator[Finding]:
    base, user = config.base_topic, config.broker.username or "anybody"
    talk = _Talk(connection, link)
    for below in ("cmd/#", "availability", "status"):
        link.subscribe(f"{base}/{below}")
    answer = Reply(command="doctor", id=f"doctor-{secrets.token_hex(6)}", ok=True, error="", result={})
    talk.publish(f"{base}/reply", answer.json_bytes())
    talk.listen()
    daemon = _daemon(talk.retained.get(f"{base}/status"))
    online = talk.retained.get(f"{base}/availability") == b"online"
    if not (online and daemon):
        for camera in config.camera:
            empty = TopScores(camera=camera.name, at=iso(time.time_ns()), scores={}, latency_ms=0)
            talk.publish(f"{base}/{camera.name}/scores", empty.json_bytes())
        talk.listen()
    yield from _allowed(config, talk, user)
    if online and daemon:
        yield _delivered(config, daemon)
        yield _running(config, daemon, holder)
    elif holder is not None:
        said = f"a daemon of this configuration runs here (process {holder or 'elsewhere'}), unknown to the broker"
        yield Finding("daemon", "warning", said, "it logs why: `journalctl -u 'edge-tdn*'`")
    else:
        yield Finding("daemon", "note", f"none of the name {config.host} is online")


def _allowed(config: Config, talk: "_Talk", user: str) -> Iterator[Finding]:
    base = config.base_topic
    hear = RULES.format(user=user, verb="read", base=base)
    say = RULES.format(user=user, verb="write", base=base)
    for topic, why in talk.unheard.items():
        yield Finding("commands", "warning", f"{topic} may not be read: {why}", hear)
    if not talk.unheard:
        yield Finding("commands", "ok", f"{base}/cmd/# may be read")
    if talk.lost:
        yield Finding("topics", "failed", talk.lost, say, WRONG)
        return
    for topic, why in talk.refused.items():
        if topic.endswith("/scores") and not config.broker.scores:
            said = f"{topic} is refused: {why}; what else the camera says was not tried, as it would disturb"
            yield Finding("topics", "warning", said, say)
        else:
            yield Finding("topics", "failed", f"{topic} is refused: {why}", say, WRONG)
    if talk.unanswered:
        topics = ", ".join(talk.unanswered)
        yield Finding("topics", "failed", f"no acknowledgement in {ANSWERS_S:g} s: {topics}", say, WRONG)
    elif config.broker.protocol == "3.1.1":
        said = "whether the broker takes our topics, MQTT 3.1.1 cannot say: it acknowledges also what it refuses"
        yield Finding("topics", "note", said, 'broker.protocol = "5", where the broker speaks it')
    elif not talk.refused:
        yield Finding("topics", "ok", f"{', '.join(talk.taken)} may be written")


def _delivered(config: Config, daemon: DaemonStatus) -> Finding:
    """What the daemon itself knows: it sends the real topics."""
    delivery, outbox = daemon.delivery, daemon.outbox
    said = f"{delivery.state}{f': {delivery.reason}' if delivery.reason else ''}, {outbox.waiting} events wait"
    if delivery.state == "connected":
        return Finding("delivery", "ok", f"{said}, as the daemon says")
    remedy = RULES.format(user=config.broker.username or "anybody", verb="write", base=config.base_topic)
    return Finding("delivery", "failed", f"{said}, as the daemon says", remedy, WRONG)


def _running(config: Config, daemon: DaemonStatus, holder: int | None) -> Finding:
    said = f"{config.host} is online, edge-tdn {daemon.version}, up {age(daemon.started_at)}"
    if holder is not None:
        return Finding("daemon", "ok", f"{said}; it is process {holder or 'of another container'} here")
    doubt = "its outbox is not the one of this configuration and user: a service of this machine, or another machine"
    remedy = "two machines need two names: with one `host` each throws the other out"
    return Finding("daemon", "note", f"{said}; {doubt}", remedy)


def _daemon(payload: bytes | None) -> DaemonStatus | None:
    with suppress(ValidationError):
        return DaemonStatus.model_validate_json(payload) if payload else None
    return None


class _Talk:
    """What is said, and what the broker makes of it."""

    def __init__(self, connection: Connection, link: Link) -> None:
        self._connection, self._link = connection, link
        self._sent: dict[int, str] = {}  # packet id -> topic, not yet acknowledged
        self.taken: list[str] = []
        self.refused: dict[str, str] = {}  # topic -> why
        self.unheard: dict[str, str] = {}
        self.retained: dict[str, bytes] = {}
        self.lost = ""  # why the connection ended

    @property
    def unanswered(self) -> list[str]:
        return list(self._sent.values())

    def publish(self, topic: str, payload: bytes) -> None:
        self._sent[self._link.publish(Message(topic, payload))] = topic

    def listen(self) -> None:
        """Until all is acknowledged, and a moment longer."""
        deadline = time.monotonic() + ANSWERS_S
        while not self.lost:
            if not self._sent:
                deadline = min(deadline, time.monotonic() + QUIET_S)
            match _next(self._connection, deadline):
                case None:
                    return
                case Acknowledged(mid, refused):
                    topic = self._sent.pop(mid, "")
                    if refused:
                        self.refused[topic] = refused
                    else:
                        self.taken.append(topic)
                case SubscriptionRejected(topic, reason):
                    self.unheard[topic] = reason
                case Received(topic, payload, _):
                    self.retained[topic] = payload
                case Lost(reason=reason):
                    self.lost = reason
