"""Finds out what answers at the broker's port, after a connection that ended without an answer that we understand.

A few short connections of their own ask for a WebSocket, then for an MQTT connection, in plain text and with TLS. They
carry neither user name nor password, and no last will. Where the URL asks for TLS, no MQTT is sent without it.
"""

import re
import secrets
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.refusals import RETAIN_HINT

Kind = Literal["mqtt", "websocket", "http", "other", "unknown"]

WEBSOCKET_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)
WEBSOCKET_PATHS = ("/mqtt", "/")  # that brokers serve, for a URL without a path
LEVELS = {"3.1.1": 4, "5": 5}  # protocol level in CONNECT
CLEAN_START, KEEPALIVE_S = 0x02, 10
CONNACK, ACCEPTED = 0x20, 0
SCHEMES = {("mqtt", False): "mqtt", ("mqtt", True): "mqtts", ("websocket", False): "ws", ("websocket", True): "wss"}
SPOKEN = {"mqtt": "MQTT", "mqtts": "MQTT with TLS", "ws": "WebSocket", "wss": "WebSocket with TLS"}  # by scheme
MAX_BANNER_CHARS = 60


@dataclass(frozen=True)
class _Service:
    """The service at a port. `shown`: the beginning of its answer; `protocol`: the MQTT version that it accepts."""

    kind: Kind
    tls: bool
    shown: str = ""
    protocol: str = ""


def diagnose(broker: BrokerConfig, timeout_s: float) -> str:
    """Return why `broker` cannot be used, and what to change; empty if that is not known.

    `timeout_s`: for each answer, of which there are a few.
    """
    tls_first = (True, False) if broker.tls else (False, True)
    services = (_service(broker, tls, timeout_s) for tls in tls_first)
    service = next((found for found in services if found), None)
    return _explanation(broker, service) if service else ""


def _explanation(broker: BrokerConfig, service: _Service) -> str:
    ours, scheme = urlsplit(broker.url).scheme, SCHEMES.get((service.kind, service.tls))
    if scheme and scheme != ours:
        other = ", or the broker's port for TLS" if broker.tls and not service.tls else ""
        return f"the port speaks {SPOKEN[scheme]}, not {SPOKEN[ours]}; use {scheme}:// in broker.url{other}"
    if service.kind == "unknown" and not broker.tls:
        return f"the port expects TLS; use {ours}s:// in broker.url"
    if service.kind == "http" and broker.websocket_path:
        refused = f"no WebSocket at the path {broker.websocket_path}: {service.shown}"
        return f"{refused}; broker.url needs the path that the broker serves, such as {ours}://HOST:PORT/mqtt"
    if service.kind in ("http", "other"):
        what = "an HTTP server" if service.kind == "http" else "another service"
        return f"{what} answers at this port: {service.shown}; broker.url needs the MQTT broker's, often 1883 or 8883"
    if service.kind == "mqtt" and service.protocol != broker.protocol:
        return f'the broker does not support MQTT {broker.protocol}; set broker.protocol = "{service.protocol}"'
    if service.kind == "mqtt" and not broker.username:
        return f"the broker closes connections that have a retained last will; {RETAIN_HINT}"
    return ""


def _service(broker: BrokerConfig, tls: bool, timeout_s: float) -> _Service | None:
    """Return the service that answers with or without TLS, or None if none does."""
    paths = (broker.websocket_path,) if broker.websocket_path else WEBSOCKET_PATHS
    found, answer = None, b""
    for path in paths:
        request = WEBSOCKET_REQUEST.format(path=path, host="{}:{}".format(*broker.address)).encode()
        reply = _ask(broker.address, tls, request, timeout_s)
        if reply is None:
            return None
        answer = reply
        if answer.startswith(b"HTTP/1.1 101"):
            return _Service("websocket", tls)
        if not answer.startswith(b"HTTP/"):
            break
        if re.match(rb"HTTP/\S+ 400\b.*(https|ssl|tls)", answer, re.IGNORECASE | re.DOTALL) and not tls:
            return None  # a web server's explanation
        found = found or _Service("http", tls, _shown(answer))
    if found:
        return found
    if text := _shown(answer):
        return _Service("other", tls, text)
    if broker.tls and not tls:  # who asks for TLS sends no MQTT in plain text
        return None
    for protocol in sorted(LEVELS, key=lambda one: one != broker.protocol):
        reply = _ask(broker.address, tls, _connect_packet(protocol), timeout_s)
        if reply and reply[0] == CONNACK and reply[3:4] == bytes([ACCEPTED]):
            return _Service("mqtt", tls, protocol=protocol)
        if reply and reply[0] == CONNACK:
            found = found or _Service("mqtt", tls, protocol=broker.protocol)
    return found or (_Service("unknown", tls) if tls else None)


def _ask(address: tuple[str, int], tls: bool, request: bytes, timeout_s: float) -> bytes | None:
    """Send a request, and return the beginning of the answer, if there is one. None: no connection, or no TLS."""
    try:
        with socket.create_connection(address, timeout_s) as plain:
            if not tls:
                return _exchange(plain, request)
            with _unverified().wrap_socket(plain, server_hostname=address[0]) as secured:
                return _exchange(secured, request)
    except (OSError, ValueError):
        return None


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    with suppress(OSError):
        connection.sendall(request)
        return connection.recv(1024)
    return b""


def _unverified() -> ssl.SSLContext:
    """Return a context that accepts any certificate: nothing secret is sent, and nothing received is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connect_packet(protocol: str) -> bytes:
    client_id = f"edge-tdn-probe-{secrets.token_hex(4)}".encode()
    body = b"\x00\x04MQTT" + bytes([LEVELS[protocol], CLEAN_START]) + KEEPALIVE_S.to_bytes(2, "big")
    body += b"\x00" if protocol == "5" else b""  # no properties
    body += len(client_id).to_bytes(2, "big") + client_id
    return bytes([0x10, len(body)]) + body


def _shown(answer: bytes) -> str:
    """Return the first line of an answer if it is text, short and printable; empty otherwise."""
    line = answer.split(b"\n", 1)[0].strip()
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        return ""
    return repr(text[:MAX_BANNER_CHARS]) if text and text.isprintable() else ""
