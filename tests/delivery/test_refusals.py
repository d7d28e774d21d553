"""Brokers that refuse: named within seconds, told once a second at most, never answered in plain text, nothing lost."""

import logging
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config.tables import Access, BrokerConfig, OutboxConfig, broker_access
from edge_tdn.delivery.mqtt import Connection, Message, _Client, tls_context
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.errors import ConfigError
from edge_tdn.messages import ActionEvent, ConfigStatus, DaemonStatus, Delivery, DeliveryState
from tests.delivery.test_publisher import BASE, MOMENT, REF, Listener, event, fail
from tests.support.authority import LOOPBACK, Authority, self_signed
from tests.support.broker import Mosquitto
from tests.support.wire import Wire

WAIT_S = 60.0  # at most, for what must come
OLD = ""  # not mosquitto
ANYBODY = "allow_anonymous true"
PASSWORD = "allow_anonymous false\npassword_file {folder}/passwords"
MUTUAL = "cafile {folder}/ca.pem\nrequire_certificate true\nuse_identity_as_username true\nacl_file {folder}/own-topics"
LARGE = ", ".join([LOOPBACK, *(f"DNS:camera-{n}.of-a-site-with-long-names.example" for n in range(500))])  # > 16 KB


def tls(server: str, more: str = ANYBODY) -> str:
    return f"certfile {{folder}}/{server}.pem\nkeyfile {{folder}}/{server}.key\n{more}"


class Puppet:
    """A server that speaks just enough MQTT. `behave`: what it does about a packet; False ends the connection."""

    def __init__(self, behave: "Behaviour") -> None:
        self._behave = behave
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._server.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream, suppress(OSError, IndexError):
            going_on = True
            while going_on:
                first, size, shift, more = stream.read(1)[0], 0, 0, True
                while more:
                    byte = stream.read(1)[0]
                    size, shift, more = size | (byte & 127) << shift, shift + 7, byte > 127
                going_on = self._behave(client, first, stream.read(size))


Behaviour = Callable[[socket.socket, int, bytes], bool]
CONNECT, PUBLISH = 0x10, 0x30
PING = b"\xc0\x00"
WELCOME = b"\x20\x03\x00\x00\x00"


def closes_on_publish(client: socket.socket, first: int, packet: bytes) -> bool:
    if first & 0xF0 == CONNECT:
        client.sendall(WELCOME)
    return first & 0xF0 != PUBLISH


def lets_a_twin_in(client: socket.socket, first: int, packet: bytes) -> bool:
    client.sendall(WELCOME if first & 0xF0 == CONNECT else b"\xe0\x02\x8e\x00")
    return first & 0xF0 == CONNECT


def answers_never(client: socket.socket, first: int, packet: bytes) -> bool:
    return True


def knows_no_mqtt_5(client: socket.socket, first: int, packet: bytes) -> bool:
    client.sendall(b"\x20\x02\x00\x01")
    return False


@dataclass(frozen=True)
class Case:
    """What a broker is set to, and what the publisher says to it; then what the broker is mended to."""

    broken: str | Behaviour
    state: DeliveryState
    said: str  # regular expression
    mended: str = tls("server")
    scheme: str = "mqtts"
    cert: str = ""  # our own, when it is mended too
    broken_cert: str = ""
    password: str = ""
    protocol: str = "5"


REFUSED_CERTIFICATE = r"its certificate is refused: .*"
OUR_CERTIFICATE = r"does the broker want another broker\.cert_file\?"
CASES = {
    "unknown authority": Case(
        tls("foreign"), "tls", REFUSED_CERTIFICATE + "issuer certificate; broker.ca_file must hold who signed it"
    ),
    "self-signed": Case(
        tls("lonely"), "tls", REFUSED_CERTIFICATE + "self-signed certificate; broker.ca_file must hold who signed it"
    ),
    "wrong name": Case(
        tls("elsewhere"), "tls", REFUSED_CERTIFICATE + r"not valid for '127\.0\.0\.1'.*; broker.url must name a host"
    ),
    "expired": Case(tls("expired"), "tls", REFUSED_CERTIFICATE + "has expired; it must be renewed"),
    "not yet valid": Case(tls("early"), "tls", REFUSED_CERTIFICATE + "not yet valid; is this host's clock right?"),
    "TLS 1.1 only": Case(OLD, "tls", "the broker has no TLS 1.2 or newer"),
    "plain port": Case(ANYBODY, "tls", "no TLS: .*; is this the broker's TLS port?"),
    "TLS port in plain text": Case(
        tls("server"), "unreachable", r"does it want TLS \(mqtts://\)", mended=ANYBODY, scheme="mqtt"
    ),
    "no client certificate": Case(tls("server", MUTUAL), "tls", OUR_CERTIFICATE),
    "expired client certificate": Case(
        tls("server", MUTUAL), "tls", OUR_CERTIFICATE, tls("server", MUTUAL), broken_cert="expired-here", cert="here"
    ),
    "client certificate of another authority": Case(
        tls("server", MUTUAL), "tls", OUR_CERTIFICATE, tls("server", MUTUAL), broken_cert="foreign-here", cert="here"
    ),
    **{
        f"wrong password, MQTT {protocol}": Case(
            PASSWORD, "unauthorized", "are broker.username and broker.password_file right?", mended=ANYBODY,
            scheme="mqtt", password="wrong", protocol=protocol,
        )
        for protocol in ("5", "3.1.1")
    },
    **{
        f"anonymous refused, MQTT {protocol}": Case(
            PASSWORD, "unauthorized", "Not authorized; are broker.username", mended=ANYBODY, scheme="mqtt",
            protocol=protocol,
        )
        for protocol in ("5", "3.1.1")
    },
    "closes on publish": Case(
        closes_on_publish, "unreachable", "closed over our first messages; may we publish", ANYBODY, scheme="mqtt"
    ),
    "twin": Case(lets_a_twin_in, "taken_over", "is a second edge-tdn of this name running", ANYBODY, scheme="mqtt"),
    "never answers": Case(
        answers_never, "unreachable", "no answer in 3 s; is this an MQTT broker", mended=ANYBODY, scheme="mqtt"
    ),
    "never answers TLS": Case(answers_never, "unreachable", "handshake .*timed out"),
    "knows no MQTT 5": Case(
        knows_no_mqtt_5, "unreachable", r'set broker\.protocol = "3\.1\.1"', mended=ANYBODY, scheme="mqtt"
    ),
    "certificate of another host": Case(
        tls("server", MUTUAL), "degraded", rf"{BASE}/\S+ was refused: Not authorized",
        mended=tls("server", MUTUAL), broken_cert="barn", cert="here",
    ),
    "all is well": Case(tls("server"), "connected", "^$"),
    "all is well, mutual": Case(tls("server", MUTUAL), "connected", "^$", cert="here", broken_cert="here"),
    "all is well, a large chain": Case(tls("large"), "connected", "^$"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates by name, passwords, topics."""
    folder = tmp_path_factory.mktemp("authority")
    ca, other = Authority(folder, "ca"), Authority(folder, "other")
    between = Authority(folder, "between", ca)
    for name in ("server", "here", "barn"):
        ca.issue(name)
    ca.issue("elsewhere", "DNS:elsewhere.example, IP:127.0.0.2")
    for name in ("expired", "expired-here"):
        ca.issue(name, from_days=-3, to_days=-1)
    ca.issue("early", from_days=1, to_days=2)
    for name in ("foreign", "foreign-here"):
        other.issue(name)
    self_signed(folder, "lonely")
    between.issue("large", LARGE)
    (folder / "passwords").touch()
    subprocess.run(["mosquitto_passwd", "-b", folder / "passwords", "here", "right"], check=True)
    (folder / "own-topics").write_text("pattern write edge-tdn/%u/#\n")
    return folder


@pytest.fixture(scope="module")
def passed(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[
    dict[str, "Future[None]"]
]:  # fmt: skip
    """The cases that were asked for, all at once: each waits most of the time."""
    logging.getLogger("edge_tdn").setLevel(logging.INFO)
    selected = [item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec")]
    names = [name for name in CASES if name in selected]
    with ThreadPoolExecutor(len(names)) as pool:
        yield {name: pool.submit(_pass, CASES[name], folder, tmp_path_factory.mktemp("broker")) for name in names}
    logging.getLogger("edge_tdn").setLevel(logging.NOTSET)


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_has_a_name_and_costs_nothing(case: str, passed: dict[str, "Future[None]"]) -> None:
    passed[case].result()


def _pass(case: Case, folder: Path, own: Path) -> None:
    broker = Mosquitto(own, case.broken.format(folder=folder) if isinstance(case.broken, str) else "")
    old = _old_server(broker.guarded_port, folder) if case.broken == OLD else None
    puppet = None if isinstance(case.broken, str) else Puppet(case.broken)
    wire = Wire(puppet.port if puppet else broker.guarded_port)
    outbox = Outbox(own / "outbox", OutboxConfig())
    publisher = _publisher(case, case.broken_cert, wire.port, folder, outbox)
    began = time.monotonic()
    try:
        with _logged(wire.port) as lines:
            _say(publisher, range(1, 6))
            _until(lambda: _is(publisher.delivery, case), WAIT_S, lambda: str(publisher.delivery))
            if case.state == "connected":
                _until(lambda: publisher.outbox_status.waiting == 0)
            else:
                time.sleep(max(0.0, began + 3 - time.monotonic()))
                assert publisher.outbox_status.waiting == 10
            if case.scheme == "mqtts":
                for word in (b"MQTT", b"daemon", BASE.encode(), b"left"):
                    assert word not in wire.said, word
            wire.cut()
            if puppet:
                puppet.close()
            if old:
                old.terminate()
                old.wait()
            broker.stop()
            broker.guard(case.mended.format(folder=folder))
            broker.start()
            wire.target = broker.guarded_port
            if case.cert != case.broken_cert:  # another start of the daemon, which finds the same outbox
                publisher.stop()
                publisher = _publisher(case, case.cert, wire.port, folder, _opened_again(own / "outbox"))
            listener = Listener(broker)
            wire.mend()
            _say(publisher, [6])
            seqs = [6] if case.state == "connected" else [1, 2, 3, 4, 5, 6]
            listener.until(
                lambda: publisher.outbox_status.waiting == 0 and len(listener.events()) >= 2 * len(seqs), WAIT_S
            )
            for camera in ("door", "gate"):
                assert [e.seq for e in listener.events() if e.camera == camera] == seqs
            assert (publisher.delivery.state, publisher.delivery.reason) == ("connected", "")
            listener.close()
            assert 1 <= len(lines) <= 1 + time.monotonic() - began
            if case.scheme == "mqtts":
                assert b"MQTT" not in wire.said
    finally:
        publisher.stop()
        wire.close()
        broker.stop()


def _is(delivery: Delivery, case: Case) -> bool:
    """On a busy host a handshake may time out before a later one is refused."""
    return delivery.state == case.state and bool(re.search(case.said, delivery.reason))


def _opened_again(folder: Path) -> Outbox:
    """A broker that another case is just starting still holds the lock: for the moment between fork and exec."""
    for _ in range(300):
        with suppress(ConfigError):
            return Outbox(folder, OutboxConfig())
        time.sleep(0.1)
    return Outbox(folder, OutboxConfig())


def _say(publisher: Publisher, seqs: Iterable[int]) -> None:
    for seq in seqs:
        for camera in ("door", "gate"):
            publisher.event(event(seq).model_copy(update={"camera": camera}))


def _publisher(case: Case, cert: str, port: int, folder: Path, outbox: Outbox) -> Publisher:
    files = {"cert": folder / f"{cert}.pem", "key": folder / f"{cert}.key"} if cert else {}
    access = Access(password=case.password or None, ca=folder / "ca.pem", **files)
    config = BrokerConfig.model_validate(
        {"url": f"{case.scheme}://127.0.0.1:{port}", "protocol": case.protocol,
         "username": "here" if case.password else ""}
    )  # fmt: skip
    publisher = Publisher(
        BASE, "b007", outbox, lambda will, inbox: Connection(config, "daemon", access, will, inbox), fail
    )
    publisher.start()
    return publisher


def _old_server(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """TLS 1.1, which mosquitto cannot be held to."""
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]
    files = ["-cert", folder / "server.pem", "-key", folder / "server.key", "-quiet"]
    server = subprocess.Popen([*command, *files], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
    return server


@contextmanager
def _logged(port: int) -> Iterator[list[str]]:
    """The log's lines about a broker."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if f":{port}" in record.getMessage():
                lines.append(record.getMessage())

    handler, logger = Handler(), logging.getLogger("edge_tdn")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def _until(condition: Callable[[], bool], seconds: float = WAIT_S, told: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.01)


Guarded = Callable[[str], Mosquitto]


@pytest.fixture
def guarded(folder: Path, tmp_path: Path) -> Iterator[Guarded]:
    """guarded(lines) -> a broker whose guarded port has these settings."""
    started: list[Mosquitto] = []

    def start(lines: str) -> Mosquitto:
        started.append(Mosquitto(tmp_path, lines.format(folder=tmp_path)))
        return started[-1]

    yield start
    for broker in started:
        broker.stop()


Speak = Callable[..., Publisher]


@pytest.fixture
def speak() -> Iterator[Speak]:
    """speak(port, ...) -> a started publisher, stopped when the test is over."""
    started: list[Publisher] = []

    def start(
        port: int, outbox: Outbox | None = None, boot: str = "b007", client: str = "daemon", **more: Any
    ) -> Publisher:
        config = BrokerConfig.model_validate({"url": f"mqtt://127.0.0.1:{port}", **more})
        publisher = Publisher(
            BASE, boot, outbox or Outbox(None, OutboxConfig()),
            lambda will, inbox: Connection(config, client, None, will, inbox), fail,
        )  # fmt: skip
        publisher.start()
        started.append(publisher)
        return publisher

    yield start
    for publisher in started:
        publisher.stop()


DENIED = f"topic read #\ntopic write {BASE}/gate/#\n"
TOPICS = ANYBODY + "\nacl_file {folder}/topics"


def test_a_denied_topic_waits_while_others_go_on(guarded: Guarded, speak: Speak, tmp_path: Path) -> None:
    topics = tmp_path / "topics"
    topics.write_text(DENIED)
    broker = guarded(TOPICS)
    listener = Listener(broker)
    publisher = speak(broker.guarded_port)
    _say(publisher, range(1, 300))
    listener.until(lambda: len(listener.events()) == 299)
    assert {e.camera for e in listener.events()} == {"gate"}
    assert publisher.delivery.state == "degraded"
    assert re.search(rf"{BASE}/door/events was refused: Not authorized", publisher.delivery.reason)
    listener.until(lambda: publisher.outbox_status.waiting == 299)
    topics.write_text("topic readwrite #\n")
    broker.process.send_signal(signal.SIGHUP)
    listener.until(lambda: publisher.outbox_status.waiting == 0 and publisher.delivery.state == "connected", WAIT_S)
    listener.until(lambda: len(listener.events()) == 2 * 299)
    for camera in ("door", "gate"):
        assert [e.seq for e in listener.events() if e.camera == camera] == list(range(1, 300))
    listener.close()


def test_mqtt_3_cannot_say_that_a_topic_is_denied(guarded: Guarded, speak: Speak, tmp_path: Path) -> None:
    """Which is why MQTT 5 is the default: here the broker acknowledges what it throws away."""
    (tmp_path / "topics").write_text(DENIED)
    broker = guarded(TOPICS)
    listener = Listener(broker)
    publisher = speak(broker.guarded_port, protocol="3.1.1")
    _say(publisher, [1])
    listener.until(lambda: publisher.outbox_status.waiting == 0 and bool(listener.events()))
    assert [e.camera for e in listener.events()] == ["gate"]
    assert publisher.delivery.state == "connected"
    listener.close()


def test_a_denied_status_is_told_and_sent_when_it_is_allowed(
    guarded: Guarded, speak: Speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_tdn.delivery.publisher.AGAIN_S", (1.0, 2.0))
    topics = tmp_path / "topics"
    topics.write_text(f"topic read #\ntopic write {BASE}/+/events\n")
    broker = guarded(TOPICS)
    listener = Listener(broker)
    publisher = speak(broker.guarded_port)
    publisher.action("door", "left")
    _until(lambda: publisher.delivery.state == "degraded", told=lambda: str(publisher.delivery))
    assert f"{BASE}/availability was refused: Not authorized" in publisher.delivery.reason
    topics.write_text("topic readwrite #\n")
    broker.process.send_signal(signal.SIGHUP)
    listener.until(lambda: listener.last("availability") == b"online" and listener.last("door/action") == b"left")
    _until(lambda: publisher.delivery.state == "connected", told=lambda: str(publisher.delivery))
    listener.close()


def test_a_refused_camera_that_has_nothing_left_to_say_is_forgotten(
    guarded: Guarded, speak: Speak, tmp_path: Path
) -> None:
    (tmp_path / "topics").write_text(f"topic read #\ntopic write {BASE}/gate/#\ntopic write {BASE}/availability\n")
    broker = guarded(TOPICS)
    later_s = 0.0
    outbox = Outbox(None, OutboxConfig(), lambda: time.monotonic() + later_s)
    publisher = speak(broker.guarded_port, outbox=outbox)
    _say(publisher, range(1, 4))
    _until(lambda: publisher.delivery.state == "degraded")
    _until(lambda: publisher.outbox_status.waiting == 3)
    later_s = 200 * 3600  # older than [outbox] max_age_h
    _until(lambda: publisher.delivery.state == "connected", told=lambda: str(publisher.delivery))
    assert publisher.outbox_status.dropped == 3
    clock = time.pthread_getcpuclockid(publisher._thread.ident or 0)
    began = time.clock_gettime(clock)
    time.sleep(1)
    assert time.clock_gettime(clock) - began < 0.5  # it does not spin


def test_an_event_that_is_too_large_for_the_broker_does_not_stop_the_others(guarded: Guarded, speak: Speak) -> None:
    broker = guarded(ANYBODY + "\nmax_packet_size 2000")
    listener = Listener(broker)
    publisher = speak(broker.guarded_port)
    publisher.event(event(1).model_copy(update={"label": "x" * 2000}))
    _say(publisher, [2, 3])
    listener.until(lambda: [e.seq for e in listener.events() if e.camera == "gate"] == [2, 3])
    assert publisher.delivery.state == "degraded"
    assert re.search(rf"{BASE}/door/events was refused: .* bytes", publisher.delivery.reason)
    listener.until(lambda: publisher.outbox_status.waiting == 3)
    listener.close()


def test_a_broker_that_closes_over_one_camera_delivers_the_others(speak: Speak) -> None:
    """As some do with a topic that their rules forbid."""
    delivered = []

    def closes_over_the_door(client: socket.socket, first: int, packet: bytes) -> bool:
        if first & 0xF0 == CONNECT:
            client.sendall(WELCOME)
        if first & 0xF0 == PUBLISH:
            size = int.from_bytes(packet[:2], "big")
            topic = packet[2 : 2 + size].decode()
            if "/door/" in topic:
                return False
            delivered.append(topic)
            client.sendall(b"\x40\x02" + packet[2 + size : 4 + size])
        return True

    puppet = Puppet(closes_over_the_door)
    publisher = speak(puppet.port)
    _say(publisher, range(1, 11))
    _until(lambda: delivered.count(f"{BASE}/gate/events") >= 10, told=lambda: publisher.delivery.reason)
    _until(lambda: publisher.outbox_status.waiting == 10)
    _until(lambda: "door/events was refused: the connection ended over it" in publisher.delivery.reason)
    publisher.stop()
    puppet.close()


def test_no_more_is_on_its_way_than_the_broker_takes(speak: Speak) -> None:
    unanswered: list[bytes] = []
    too_many = []
    answered = 0

    def takes_one(client: socket.socket, first: int, packet: bytes) -> bool:
        if first & 0xF0 == CONNECT:
            client.sendall(b"\x20\x06\x00\x00\x03\x21\x00\x01")  # receive maximum 1
        if first & 0xF0 == PUBLISH:
            unanswered.append(packet)
            if len(unanswered) > 1:
                too_many.append(list(unanswered))
            threading.Timer(0.05, answer, (client,)).start()
        return True

    def answer(client: socket.socket) -> None:
        nonlocal answered
        answered += 1
        packet = unanswered.pop(0)
        size = int.from_bytes(packet[:2], "big")
        topic = f"{BASE}/availability".encode()
        offline = len(topic).to_bytes(2, "big") + topic + b"\x00offline"
        with suppress(OSError):
            client.sendall(b"\x40\x02" + packet[2 + size : 4 + size] + b"\x30" + bytes([len(offline)]) + offline)

    puppet = Puppet(takes_one)
    publisher = speak(puppet.port)
    _say(publisher, range(1, 11))
    _until(lambda: answered >= 20 and publisher.outbox_status.waiting == 0)
    publisher.stop()
    assert not too_many
    puppet.close()


def test_a_frozen_broker_is_noticed_within_two_keepalives(broker: Mosquitto, speak: Speak) -> None:
    """After the second, by one ping that nobody answers."""
    listener, wire = Listener(broker), Wire(broker.port)
    publisher = speak(wire.port, keepalive_s=2)
    _say(publisher, [1])
    _until(lambda: publisher.outbox_status.waiting == 0 and publisher.connected)
    listener.until(lambda: len(listener.events()) == 2)
    before = wire.said.count(PING)
    broker.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    _say(publisher, [2, 3])
    _until(lambda: not publisher.connected, 15, lambda: str(publisher.delivery))  # 20 s, were it the usual 10 s
    assert time.monotonic() - began > 1
    assert wire.said.count(PING) == before + 1
    assert publisher.delivery.state == "unreachable"
    _say(publisher, [4])
    broker.process.send_signal(signal.SIGCONT)
    listener.until(
        lambda: {e.seq for e in listener.events()} == {1, 2, 3, 4} and publisher.outbox_status.waiting == 0, WAIT_S
    )
    seqs = list(dict.fromkeys(e.seq for e in listener.events() if e.camera == "door"))
    assert seqs == [1, 2, 3, 4]  # some of them twice: the broker had read them before it froze
    listener.close()
    wire.close()


@pytest.mark.parametrize("callback", ["_published", "_received", "_connected"])
def test_the_death_of_the_network_thread_costs_nothing(
    callback: str, broker: Mosquitto, speak: Speak, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True])
    original = getattr(_Client, callback)

    def dies_once(self: _Client, *arguments: Any) -> None:
        if next(fails, False):
            raise ZeroDivisionError("injected")
        original(self, *arguments)

    listener = Listener(broker)
    monkeypatch.setattr(_Client, callback, dies_once)
    publisher = speak(broker.port)
    _say(publisher, range(1, 51))
    if callback == "_received":
        _until(lambda: publisher.connected or publisher.session > 0)
        listener.say("cmd/replay", b"{}")
    _until(lambda: publisher.session > 1 or callback == "_connected")
    listener.until(
        lambda: publisher.outbox_status.waiting == 0 and len({e.seq for e in listener.events()}) == 50, WAIT_S
    )
    assert next(fails, None) is None
    for camera in ("door", "gate"):
        assert list(dict.fromkeys(e.seq for e in listener.events() if e.camera == camera)) == list(range(1, 51))
    assert publisher.session > 1 or callback == "_connected"
    listener.close()


def test_nobody_else_can_declare_a_living_daemon_dead(broker: Mosquitto, speak: Speak) -> None:
    publisher = speak(broker.port)
    _until(lambda: publisher.connected)
    listener = Listener(broker)
    listener.until(lambda: listener.last("availability") == b"online")
    for word in (b"offline", b"stopped"):  # an older connection's will; the goodbye of a twin
        listener.heard.clear()
        listener.say("availability", word)
        listener.until(lambda: listener.last("availability") == b"online")
        assert [m.payload for m in listener.heard if m.topic.endswith("availability")] == [word, b"online"]
    publisher.stop()
    listener.say("over", b"")  # it comes behind all that the publisher said
    listener.until(lambda: listener.last("over") is not None)
    assert listener.last("availability") == b"stopped"
    listener.close()


def test_birth_will_and_events_carry_their_properties(broker: Mosquitto, speak: Speak, tmp_path: Path) -> None:
    topics = [f"{BASE}/availability", f"{BASE}/door/events", f"{BASE}/subscribed"]
    connection, link = broker.link()
    link.publish(Message(topics[-1], b"yes", retain=True))
    with (tmp_path / "heard").open("wb") as heard:
        listener = subprocess.Popen(
            ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "5", "-F", "%t|%C|%E|%P|%p",
             *(word for topic in topics for word in ("-t", topic))], stdout=heard,
        )  # fmt: skip
    wire = Wire(broker.port)
    try:
        _until(lambda: "subscribed" in (tmp_path / "heard").read_text())
        publisher = speak(wire.port)
        publisher.event(event(7))
        _until(lambda: '"seq":7' in (tmp_path / "heard").read_text() and publisher.outbox_status.waiting == 0)
        wire.cut()
        _until(lambda: "|offline\n" in (tmp_path / "heard").read_text())
        wire.mend()
        _until(lambda: "session:2|online\n" in (tmp_path / "heard").read_text())
    finally:
        connection.close()
        listener.terminate()
        listener.wait()
        wire.close()
    lines = [line.split("|", 4) for line in (tmp_path / "heard").read_text().splitlines()]
    states = [(line[3], line[4]) for line in lines if line[0] == topics[0]]
    assert ("boot:b007 session:1", "online") in states
    assert ("boot:b007 session:1", "offline") in states
    assert states[-1] == ("boot:b007 session:2", "online")
    (told,) = (line for line in lines if line[0] == topics[1])
    assert told[1] == "application/json"
    assert 167 * 3600 < int(told[2]) <= 168 * 3600
    assert told[3] == "camera:door seq:7"
    assert ActionEvent.model_validate_json(told[4]) == event(7)


def test_twins_both_say_so_and_do_not_fight(
    speak: Speak, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one client id, they throw each other out; mosquitto 2.0 does not say why, other brokers do: see "twin"."""
    monkeypatch.setattr("edge_tdn.delivery.mqtt.RETRY_S", (0.25, 30.0))
    pairs = []
    for protocol, client in (("5", "daemon"), ("3.1.1", "daemon"), ("5", "another")):
        folder = tmp_path / f"{protocol}-{client}"
        folder.mkdir()
        broker = Mosquitto(folder)
        one = speak(broker.port, boot="b001", protocol=protocol)
        pairs.append((broker, one, speak(broker.port, boot="b002", protocol=protocol, client=client)))
    said: dict[int, set[str]] = {}
    deadline = time.monotonic() + WAIT_S
    try:
        while said != {broker.port: {"b001", "b002"} for broker, _, _ in pairs}:
            assert time.monotonic() < deadline, (said, caplog.text)
            for _, one, two in pairs:
                for publisher, boot in ((one, "b001"), (two, "b002")):
                    publisher.daemon_status(_status(publisher, boot))
            time.sleep(0.2)
            for port, boot in re.findall(
                rf":(\d+) another edge-tdn is {BASE} \(boot '(\w+)'\): `host` must differ", caplog.text
            ):
                said.setdefault(int(port), set()).add(boot)
        for _, one, two in pairs:
            assert one.session + two.session <= 20  # each waits 0.25, 0.5, 1, 2, 4 s
    finally:
        for broker, one, two in pairs:
            one.stop()
            two.stop()
            broker.stop()


def _status(publisher: Publisher, boot: str) -> DaemonStatus:
    return DaemonStatus(
        host="here", version="1", boot=boot, started_at=MOMENT, model=REF, device="CPU", cameras=["door"],
        session=publisher.session, delivery=publisher.delivery, outbox=publisher.outbox_status,
        config=ConfigStatus(state="in_force", reason="", since=MOMENT),
    )  # fmt: skip


def test_a_clock_that_jumps_by_a_day_moves_no_event(
    broker: Mosquitto, speak: Speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, wire, jump_s = Listener(broker), Wire(broker.port), 0
    wall, wall_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: wall() + jump_s)
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() + jump_s * 10**9)
    wire.cut()
    publisher = speak(wire.port, Outbox(tmp_path / "outbox", OutboxConfig(max_age_h=1)))
    for number, jump_s in enumerate((0, 86_400, -86_400, 400 * 86_400)):  # noqa: B007  (the clock reads it)
        _say(publisher, range(10 * number + 1, 10 * number + 11))
        _until(lambda count=20 * (number + 1): publisher.outbox_status.waiting == count)  # type: ignore[misc]
    wire.mend()
    listener.until(lambda: publisher.outbox_status.waiting == 0 and len(listener.events()) == 80, WAIT_S)
    assert [e.seq for e in listener.events() if e.camera == "door"] == list(range(1, 41))
    assert publisher.outbox_status.dropped == 0
    listener.close()
    wire.close()


def test_the_password_of_a_credential_lets_in_and_is_never_told(
    folder: Path, guarded: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mqtt").write_text("right\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    broker = guarded(PASSWORD.format(folder=folder))
    for password, state in (("credential:mqtt", "connected"), ("wrong", "unauthorized")):
        (tmp_path / "wrong").write_text("secret-but-wrong")
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{broker.guarded_port}", username="here", password_file=password)
        access = broker_access(config, tmp_path)
        assert "right" not in repr(access)
        assert "secret" not in repr(access)
        connect = partial(Connection, config, "daemon", access)
        publisher = Publisher(BASE, "b007", Outbox(None, OutboxConfig()), connect, fail)
        publisher.start()
        deadline = time.monotonic() + WAIT_S
        while publisher.delivery.state != state and time.monotonic() < deadline:
            time.sleep(0.01)
        publisher.stop()
        assert publisher.delivery.state == state
    assert "secret" not in caplog.text


def test_files_that_are_no_certificates_are_refused_at_once(folder: Path) -> None:
    (folder / "junk.pem").write_text("not a certificate\n")
    command = ["openssl", "pkey", "-in", folder / "here.key", "-aes128", "-passout", "pass:secret", "-out"]
    subprocess.run([*command, folder / "locked.key"], check=True)
    ours = {"ca_file": "ca.pem", "cert_file": "here.pem", "key_file": "here.key"}
    tls_context(broker_access(BrokerConfig.model_validate({"url": "mqtts://x"} | ours), folder))
    for change, said in (
        ({"ca_file": "junk.pem"}, r"junk\.pem: broker\.ca_file holds no certificates in PEM"),
        ({"ca_file": "here.key"}, r"here\.key: broker\.ca_file holds no certificates in PEM"),
        ({"cert_file": "junk.pem"}, r"junk\.pem, .*here\.key: .*no certificate in PEM and its key"),
        ({"key_file": "barn.key"}, r"barn\.key: .*no certificate in PEM and its key.*MISMATCH|mismatch"),
        ({"key_file": "locked.key"}, r"locked\.key: .*without a pass phrase"),
        ({"key_file": ""}, r"here\.pem, with its key: .*no certificate in PEM and its key"),
        ({"ca_file": "absent.pem"}, r"broker\.ca_file = 'absent\.pem': .*absent\.pem cannot be read: no such file"),
        ({"cert_file": "."}, r"broker\.cert_file = '\.': .* is no regular file"),
        ({"key_file": "credential:key"}, r"broker\.key_file = 'credential:key': no \$CREDENTIALS_DIRECTORY"),
    ):
        config = BrokerConfig.model_validate({"url": "mqtts://x"} | ours | change)
        with pytest.raises(ConfigError, match=said) as told:
            tls_context(broker_access(config, folder))
        assert told.value.exit_status == 78
        assert "\n" not in str(told.value)
    for wrong in ({"url": "mqtts://x", "key_file": "here.key"}, {"url": "mqtt://x", "ca_file": "ca.pem"}):
        with pytest.raises(ValueError, match=r"key_file needs a cert_file|sends in plain text"):
            BrokerConfig.model_validate(wrong)
