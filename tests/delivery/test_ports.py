"""MQTT over WebSocket, and ports at which something else answers than the URL says: the reason names the cause."""

import http.server
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_tdn.config.credentials import Access
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.mqtt import Connection, Lost, Message
from edge_tdn.delivery.refusals import RETAIN_HINT
from edge_tdn.delivery.timing import ConnectionTiming
from tests.support.authority import Authority
from tests.support.broker import Mosquitto
from tests.support.delivery import DeliveryRecorder, StartPublisher, action_event
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, eventually

EVENTS = 500


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ca")


class Listeners:
    """A mosquitto with a port of each kind, and one that keeps no retained messages."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        server = authority.issue("server")
        certificate = f"certfile {server.cert}\nkeyfile {server.key}"
        self.port = {kind: free_port() for kind in ("mqtt", "mqtts", "ws", "wss")}
        lines = {"mqtt": "", "mqtts": certificate, "ws": "protocol websockets"}
        lines["wss"] = f"protocol websockets\n{certificate}"
        text = "".join(f"listener {self.port[kind]} 127.0.0.1\n{more}\n" for kind, more in lines.items())
        self.broker = Mosquitto(folder)
        self.broker.stop()
        settings = folder / "mosquitto.conf"
        settings.write_text(f"{settings.read_text()}user root\n{text}")
        self.broker.start()
        eventually(lambda: all(map(_is_open, self.port.values())))


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Listeners]:
    one = Listeners(tmp_path_factory.mktemp("listeners"), authority)
    yield one
    one.broker.stop()


def reason(url: str, protocol: str = "5", ca: Path | None = None) -> str:
    """Return why a connection with a retained last will fails."""
    config = BrokerConfig.model_validate({"url": url, "protocol": protocol})
    will = Message("reason/will", b"offline", retain=True)
    timing = ConnectionTiming(probe_s=5)  # a busy machine answers late
    connection = Connection(config, f"reason-{os.urandom(4).hex()}", Access(ca=ca), lambda session: will, timing=timing)
    try:
        note = connection.notes.get(timeout=PATIENCE_S)
        assert isinstance(note, Lost), note
        return note.reason
    finally:
        connection.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("scheme", ["ws", "WSS"])
def test_websockets_carry_events_commands_and_large_pictures(
    scheme: str, protocol: str, listeners: Listeners, authority: Authority, start_publisher: StartPublisher
) -> None:
    url = f"{scheme}://127.0.0.1:{listeners.port[scheme.lower()]}/mqtt"
    commands: list[str] = []
    recorder = DeliveryRecorder(listeners.broker.port)
    config = BrokerConfig.model_validate({"url": url, "protocol": protocol})
    access = Access(ca=authority.certificate.cert)
    publisher = start_publisher(config, access, commanded=lambda topic, payload: commands.append(topic))
    picture = os.urandom(2_000_000)
    publisher.snapshot("door", picture)
    for seq in range(1, EVENTS + 1):
        publisher.event(action_event(seq))
    recorder.wait_for(lambda: len(recorder.events()) >= EVENTS and recorder.last("door/snapshot") == picture)
    assert recorder.seqs() == list(range(1, EVENTS + 1))
    recorder.publish_below("cmd/replay", b"{}")
    eventually(lambda: commands == ["replay"])
    publisher.stop()
    recorder.wait_for(lambda: recorder.last("availability") == b"stopped")
    recorder.close()


@pytest.mark.parametrize(
    ("scheme", "kind", "expected"),
    [
        ("mqtt", "ws", "the port speaks WebSocket, not MQTT; use ws:// in broker.url"),
        ("mqtt", "wss", "the port speaks WebSocket with TLS, not MQTT; use wss:// in broker.url"),
        ("mqtt", "mqtts", "the port speaks MQTT with TLS, not MQTT; use mqtts:// in broker.url"),
        ("mqtts", "wss", "the port speaks WebSocket with TLS, not MQTT with TLS; use wss:// in broker.url"),
        ("mqtts", "ws", "the port speaks WebSocket, not MQTT with TLS; use ws:// in broker.url, or the broker's port"),
        ("mqtts", "mqtt", "; is this the broker's TLS port, often 8883? Without TLS use mqtt:// or ws://"),
        ("ws", "mqtt", "the port speaks MQTT, not WebSocket; use mqtt:// in broker.url"),
        ("ws", "wss", "the port speaks WebSocket with TLS, not WebSocket; use wss:// in broker.url"),
        ("wss", "mqtts", "the port speaks MQTT with TLS, not WebSocket with TLS; use mqtts:// in broker.url"),
        ("wss", "ws", "the port speaks WebSocket, not WebSocket with TLS; use ws:// in broker.url"),
    ],
)
def test_a_port_of_another_kind_is_named(
    scheme: str, kind: str, expected: str, listeners: Listeners, authority: Authority
) -> None:
    assert expected in reason(f"{scheme}://127.0.0.1:{listeners.port[kind]}", ca=authority.certificate.cert)


@contextmanager
def http_server(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve an empty folder over HTTP. Yield the port."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_an_http_server_is_named(authority: Authority) -> None:
    here = "an HTTP server answers at this port: 'HTTP/1.0 404 File not found'; broker.url needs the MQTT broker's"
    with http_server() as port:
        assert here in reason(f"mqtt://127.0.0.1:{port}")
        assert here in reason(f"mqtts://127.0.0.1:{port}", ca=authority.certificate.cert)
        path = "no WebSocket at the path /x: 'HTTP/1.0 404 File not found'; broker.url needs the path"
        assert path in reason(f"ws://127.0.0.1:{port}/x")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = authority.issue("web")
    context.load_cert_chain(server.cert, server.key)
    with http_server(context) as port:
        assert here in reason(f"mqtts://127.0.0.1:{port}", ca=authority.certificate.cert)
        assert here in reason(f"mqtt://127.0.0.1:{port}")


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"220 mail.example ESMTP Postfix\r\n"])
def test_a_service_that_speaks_first_is_named(banner: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                client.sendall(banner)

        threading.Thread(target=greet, daemon=True).start()
        name = banner.decode().strip()
        expected = f"another service answers at this port: {name!r}; broker.url needs the MQTT broker's"
        for scheme in ("mqtt", "ws", "mqtts"):
            assert reason(f"{scheme}://127.0.0.1:{server.getsockname()[1]}").startswith(expected)
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_that_keeps_no_retained_messages_is_named(protocol: str, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, "allow_anonymous true")
    broker.stop()
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"retain_available false\n{settings.read_text()}")
    broker.start()
    try:
        assert reason(broker.url, protocol).endswith(RETAIN_HINT)
    finally:
        broker.stop()


def test_a_port_is_examined_once_and_not_at_every_attempt() -> None:
    """A broker may count failed connections of an address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[bytes] = []

        def close_all() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    accepted.append(client.recv(1000))

        threading.Thread(target=close_all, daemon=True).start()
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        connection = Connection(config, "daemon", timing=ConnectionTiming(min_retry_s=0.05, max_retry_s=0.05))
        for _ in range(5):
            assert "closed before CONNACK" in connection.notes.get(timeout=PATIENCE_S).reason
        connection.close()
        server.shutdown(socket.SHUT_RDWR)
    assert sum(b"daemon" in packet for packet in accepted) >= 5
    assert sum(b"daemon" not in packet for packet in accepted) <= 5


@pytest.mark.parametrize(
    "url", ["ws://h/pa th", "ws://h/ä", "ws://h/mqtt?x=1", "ws://u:p@h", "mqtt://h/mqtt", "ws:///x"]
)
def test_a_url_that_no_broker_has_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"allowed: mqtt://HOST|have a path; remove '/mqtt'"):
        BrokerConfig(url=url)


def test_default_ports_and_paths() -> None:
    urls = ("mqtt://h", "MQTTS://h", "ws://h", "WSS://h:8084/", "ws://h/a/b")
    configs = [BrokerConfig(url=url) for url in urls]
    assert [config.address[1] for config in configs] == [1883, 8883, 80, 8084, 80]
    assert [config.websocket_path for config in configs] == ["", "", "/mqtt", "/", "/a/b"]
    assert [config.tls for config in configs] == [False, True, False, True, False]
