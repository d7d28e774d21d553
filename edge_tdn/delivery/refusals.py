"""The meaning of failures to connect to a broker, and of the reason codes with which it ends a connection."""

import ssl
from dataclasses import dataclass
from typing import Literal

from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.tls import certificate_problem, handshake_problem
from edge_tdn.errors import ConfigError

Trouble = Literal["unreachable", "unauthorized", "tls", "taken_over"]

UNSPECIFIED = 0x80  # paho reports it for a connection that just ended
UNSUPPORTED_PROTOCOL, TAKEN_OVER, TOO_LARGE, RETAIN_UNSUPPORTED = 0x84, 0x8E, 0x95, 0x9A
UNAUTHORIZED = {0x86, 0x87, 0x8A, 0x8C}  # bad user name or password, not authorized, banned, bad authentication
OF_THE_BROKER = {0x89, 0x8B, 0x98, 0x9C, 0x9D, 0x9F, 0xA0}  # busy, shutting down, moved ...
RETAIN_HINT = "it must keep retained messages (mosquitto: retain_available true)"


@dataclass(frozen=True)
class ConnectFailure:
    """The failure to open a connection. `unexplained`: only the port itself can show why."""

    trouble: Trouble
    reason: str
    unexplained: bool = False


def connect_failure(error: Exception, broker: BrokerConfig) -> ConnectFailure:
    """Explain an error of TCP, TLS or WebSocket, or of the TLS files."""
    if isinstance(error, ConfigError):
        return ConnectFailure("tls", str(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectFailure("tls", certificate_problem(error))
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        return ConnectFailure("tls", handshake_problem(reason), "ALERT" not in reason)
    if broker.tls and isinstance(error, ConnectionResetError):  # a closed port refuses, it never resets
        return ConnectFailure("tls", handshake_problem("connection reset"), True)
    if broker.websocket_path and isinstance(error, TimeoutError):
        return ConnectFailure("unreachable", "the connection or its WebSocket handshake timed out", True)
    reason = getattr(error, "strerror", "") or str(error) or type(error).__name__
    return ConnectFailure("unreachable", reason, "handshake" in reason)  # of WebSocket, or the one of TLS timed out


def unexplained_end(connected: bool, tls: bool) -> tuple[Trouble, str]:
    """Return what is known about a connection that just ended. `connected`: the broker had accepted it."""
    if connected:
        return "unreachable", "connection lost"
    if tls:
        return "tls", "closed after the TLS handshake; does the broker require another broker.cert_file?"
    return "unreachable", "closed before CONNACK; does it require TLS (mqtts://), or another broker.protocol?"


def explain(code: int, text: str) -> tuple[Trouble, str, bool]:
    """Return the trouble, its explanation, and whether one of our messages may be the reason. `text`: of the code."""
    if code == TAKEN_OVER:
        return "taken_over", "another client has the same id; is a second edge-tdn with this `host` running?", False
    if code in UNAUTHORIZED:
        return "unauthorized", f"{text}; are broker.username and broker.password_file right?", False
    hints = {UNSUPPORTED_PROTOCOL: 'set broker.protocol = "3.1.1"', RETAIN_UNSUPPORTED: RETAIN_HINT}
    return "unreachable", f"{text}; {hints[code]}" if code in hints else text, code not in OF_THE_BROKER
