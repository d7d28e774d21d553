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
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config import Access, BrokerConfig, OutboxConfig
from edge_tdn.messages import DeliveryState
from edge_tdn.mqtt import Connection
from edge_tdn.outbox import Outbox
from edge_tdn.publish import Publisher
from tests.authority import LOOPBACK, Authority, self_signed
from tests.conftest import Mosquitto
from tests.proxy import Proxy
from tests.test_publish import BASE, Listener, event, fail

NAMED_S = 5.0  # in which a refusal has its name
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
WELCOME = b"\x20\x03\x00\x00\x00"


def closes_on_publish(client: socket.socket, first: int, packet: bytes) -> bool:
    if first & 0xF0 == CONNECT:
        client.sendall(WELCOME)
    return first & 0xF0 != PUBLISH


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
    "never answers": Case(
        answers_never, "unreachable", "no answer in 3 s; is this an MQTT broker", mended=ANYBODY, scheme="mqtt"
    ),
    "never answers TLS": Case(answers_never, "unreachable", "handshake .*timed out"),
    "knows no MQTT 5": Case(
        knows_no_mqtt_5, "unreachable", r'set broker\.protocol = "3\.1\.1"', mended=ANYBODY, scheme="mqtt"
    ),
    "certificate of another host": Case(
        tls("server", MUTUAL), "degraded", rf"{BASE}/\w+/events was refused: Not authorized",
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
    wire = Proxy(puppet.port if puppet else broker.guarded_port)
    outbox = Outbox(own / "outbox", OutboxConfig())
    publisher = _publisher(case, case.broken_cert, wire.port, folder, outbox)
    began = time.monotonic()
    try:
        with _logged(wire.port) as lines:
            _say(publisher, range(1, 6))
            _until(lambda: publisher.delivery.state == case.state, NAMED_S, lambda: str(publisher.delivery))
            assert re.search(case.said, publisher.delivery.reason), publisher.delivery
            if case.state == "connected":
                _until(lambda: publisher.outbox_status.waiting == 0, 10)
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
                outbox = Outbox(own / "outbox", OutboxConfig())
                publisher = _publisher(case, case.cert, wire.port, folder, outbox)
            listener = Listener(broker)
            wire.mend()
            _say(publisher, [6])
            seqs = [6] if case.state == "connected" else [1, 2, 3, 4, 5, 6]
            listener.until(lambda: publisher.outbox_status.waiting == 0 and len(listener.events()) >= 2 * len(seqs), 30)
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
    return subprocess.Popen([*command, *files], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def _logged(port: int) -> Iterator[list[float]]:
    """Seconds of the log's lines about a broker."""
    lines: list[float] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if f":{port}" in record.getMessage():
                lines.append(time.monotonic())

    handler, logger = Handler(), logging.getLogger("edge_tdn")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def _until(condition: Callable[[], bool], seconds: float, told: Callable[[], str] = lambda: "") -> None:
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
    listener.until(lambda: publisher.outbox_status.waiting == 0 and publisher.delivery.state == "connected", 20)
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
    monkeypatch.setattr("edge_tdn.publish.AGAIN_S", (1.0, 2.0))
    topics = tmp_path / "topics"
    topics.write_text(f"topic read #\ntopic write {BASE}/+/events\n")
    broker = guarded(TOPICS)
    listener = Listener(broker)
    publisher = speak(broker.guarded_port)
    publisher.action("door", "left")
    _until(lambda: publisher.delivery.state == "degraded", NAMED_S, lambda: str(publisher.delivery))
    assert f"{BASE}/availability was refused: Not authorized" in publisher.delivery.reason
    topics.write_text("topic readwrite #\n")
    broker.process.send_signal(signal.SIGHUP)
    listener.until(lambda: listener.last("availability") == b"online" and listener.last("door/action") == b"left")
    _until(lambda: publisher.delivery.state == "connected", NAMED_S, lambda: str(publisher.delivery))
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
    _until(lambda: publisher.delivery.state == "degraded", NAMED_S)
    later_s = 200 * 3600  # older than [outbox] max_age_h
    _until(lambda: publisher.delivery.state == "connected", 10, lambda: str(publisher.delivery))
    assert publisher.outbox_status.dropped == 3
    began = time.process_time()
    time.sleep(1)
    assert time.process_time() - began < 0.5  # it does not spin


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
    _until(lambda: answered >= 20 and publisher.outbox_status.waiting == 0, 15)
    publisher.stop()
    assert not too_many
    puppet.close()
