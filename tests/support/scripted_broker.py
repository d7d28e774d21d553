"""A server that speaks just enough MQTT to misbehave."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

CONNECT, PUBLISH = 0x10, 0x30  # packet types, in the upper half of the first byte
CONNACK_5 = b"\x20\x03\x00\x00\x00"
CONNACK_5_ONE_IN_FLIGHT = b"\x20\x06\x00\x00\x03\x21\x00\x01"  # receive maximum 1
CONNACK_3_UNSUPPORTED_PROTOCOL = b"\x20\x02\x00\x01"
DISCONNECT_TAKEN_OVER = b"\xe0\x02\x8e\x00"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"

# What the server does about a packet, given its first byte and its body; False ends the connection.
Behaviour = Callable[[socket.socket, int, bytes], bool]


class ScriptedBroker:
    """Listens on `port`; every connection has a thread that calls `behaviour` for each packet."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
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
            open_ = True
            while open_:
                first, size, shift, more = stream.read(1)[0], 0, 0, True
                while more:
                    byte = stream.read(1)[0]
                    size, shift, more = size | (byte & 127) << shift, shift + 7, byte > 127
                open_ = self._behaviour(client, first, stream.read(size))


def is_connect(first: int) -> bool:
    return first & 0xF0 == CONNECT


def is_publish(first: int) -> bool:
    return first & 0xF0 == PUBLISH


def topic_of(body: bytes) -> str:
    """Return the topic of a PUBLISH."""
    size = int.from_bytes(body[:2], "big")
    return body[2 : 2 + size].decode()


def puback(body: bytes) -> bytes:
    """Return the PUBACK for a PUBLISH with QoS 1."""
    size = int.from_bytes(body[:2], "big")
    return b"\x40\x02" + body[2 + size : 4 + size]


def publish_qos_0(topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH of MQTT 5; topic and payload must be short."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + b"\x00" + payload
    return bytes([PUBLISH, len(body)]) + body


# --------------------------------------------------------------------------------------------------------- behaviours


def closes_on_publish(client: socket.socket, first: int, body: bytes) -> bool:
    if is_connect(first):
        client.sendall(CONNACK_5)
    return not is_publish(first)


def is_taken_over(client: socket.socket, first: int, body: bytes) -> bool:
    """Accept the connection, then end it because another client has the same id."""
    client.sendall(CONNACK_5 if is_connect(first) else DISCONNECT_TAKEN_OVER)
    return is_connect(first)


def never_answers(client: socket.socket, first: int, body: bytes) -> bool:
    return True


def does_not_support_mqtt_5(client: socket.socket, first: int, body: bytes) -> bool:
    client.sendall(CONNACK_3_UNSUPPORTED_PROTOCOL)
    return False
