"""Connections to an MQTT broker, one after the other. The only file that imports paho.

Every connection has a paho client of its own, so that nothing of one outlives it: no message that paho would send
again, no packet id, no network thread that died unnoticed. Our thread opens a connection, waits until it has ended,
whatever ended it, and opens the next after a while. paho calls back on its network thread, where an exception or a lock
would kill or block it: callbacks only put a note into `notes`, which the owner's thread reads.
"""

import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Protocol

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_tdn.config.credentials import Access
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.backoff import Backoff
from edge_tdn.delivery.port_diagnosis import diagnose
from edge_tdn.delivery.refusals import TOO_LARGE, UNSPECIFIED, Trouble, connect_failure, explain, unexplained_end
from edge_tdn.delivery.timing import ConnectionTiming
from edge_tdn.delivery.tls import tls_context
from edge_tdn.errors import ConfigError, last_line
from edge_tdn.messages import Part

log = logging.getLogger(__name__)

JSON = "application/json"
MAX_PACKET_BYTES = 16 << 20  # that we accept from the broker
PROTOCOL_MAX_PACKET_BYTES, PROTOCOL_MAX_IN_FLIGHT = 268_435_455, 0xFFFF  # where the broker names no limits


@dataclass(frozen=True)
class Message:
    """A message to publish. `content_type`, `expiry_s` and `user`: MQTT 5 only."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    content_type: str = ""
    expiry_s: int = 0  # after which the broker drops it; 0: never
    user: tuple[tuple[str, str], ...] = ()  # user properties


def json_message(topic: str, part: Part, retain: bool = False) -> Message:
    """Return a message whose payload is JSON."""
    return Message(topic, part.json_bytes(), retain=retain, content_type=JSON)


@dataclass(frozen=True)
class Connected:
    link: "Link"


@dataclass(frozen=True)
class Lost:
    """The end of a connection, perhaps over a message (`blames_message`), as soon as the last ones (`repeatedly`)."""

    trouble: Trouble
    reason: str
    blames_message: bool = True
    repeatedly: bool = False


@dataclass(frozen=True)
class Acknowledged:
    """A PUBACK. `rejection`: the broker's reason if it rejected the message, else None; MQTT 3.1.1 has no reasons."""

    packet_id: int
    rejection: str | None
    too_large: bool = False  # the reason is the size


@dataclass(frozen=True)
class SubscriptionRejected:
    """The broker does not allow us to read `topic`."""

    topic: str
    reason: str


@dataclass(frozen=True)
class Received:
    topic: str
    payload: bytes
    retained: bool


Note = Connected | Lost | Acknowledged | SubscriptionRejected | Received


class Inbox(Protocol):
    def put(self, note: Note, /) -> None: ...


class Link:
    """An open connection. After its end the methods do nothing."""

    def __init__(self, attempt: "_Attempt", window: int, max_packet_bytes: int) -> None:
        self._attempt = attempt
        self.session = attempt.number  # number of the connection, from 1
        self.window = window  # messages that the broker allows in flight
        self.max_packet_bytes = max_packet_bytes  # that the broker accepts

    def publish(self, message: Message) -> int:
        """Hand a message to the network thread, without blocking. Return the packet id, which its PUBACK will have."""
        return self._attempt.publish(message)

    def subscribe(self, topic: str) -> None:
        self._attempt.subscribe(topic)


class Connection:
    """Connects in the background, and again after each end, from the moment it is created until it is closed.

    `will`: returns the last will of a session, by its number. `notes`: where notes are put, if not into the attribute.
    `max_packet_bytes`: that we accept from the broker. ConfigError: the TLS files cannot be used.
    The attributes belong to its own thread; the owner calls `close`.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        client_id: str,
        access: Access | None = None,
        will: Callable[[int], Message] | None = None,
        notes: Inbox | None = None,
        max_packet_bytes: int = MAX_PACKET_BYTES,
        timing: ConnectionTiming = ConnectionTiming(),  # noqa: B008  (frozen)
    ) -> None:
        self.address = "{}:{}".format(*broker.address)
        self.notes: queue.SimpleQueue[Any] = queue.SimpleQueue()  # stays empty if the owner passed its own
        self._inbox: Inbox = self.notes if notes is None else notes
        self._broker, self._client_id, self._access, self._will = broker, client_id, access or Access(), will
        self._max_packet_bytes, self._timing = max_packet_bytes, timing
        if broker.tls:
            tls_context(self._access)  # now, while the caller can report what is wrong
        self._closing = threading.Event()
        self._attempt: _Attempt | None = None  # the current one, once it has been opened
        self._diagnosis: tuple[str, str] = ("", "")  # of a reason that explains nothing, since the last connection
        # a daemon thread, because resolving a name may take minutes
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def close(self, cleanly: bool = True) -> None:
        """Disconnect. `cleanly`: the broker does not publish the last will."""
        self._closing.set()
        attempt = self._attempt
        if attempt:
            (attempt.disconnect if cleanly else attempt.cut)()
            if not attempt.ended.wait(self._timing.close_s):
                attempt.cut()
        self._thread.join(self._timing.close_s / 2)  # not forever: it may be resolving a name

    def _run(self) -> None:
        backoff, number = Backoff(self._timing), 0
        while not self._closing.is_set():
            number += 1
            attempt = None
            try:
                attempt = _Attempt(self._broker, self._client_id, number, self._inbox, self._closing)
                lost = self._run_once(attempt)
            except Exception as error:  # nothing may end this thread: the next attempt may succeed
                log.exception("broker=%s connection failed", self.address)
                lost = Lost("unreachable", last_line(error))
            backoff.ended(attempt.connected_s() if attempt else None, taken_over=lost.trouble == "taken_over")
            lost = replace(lost, repeatedly=backoff.keeps_ending and lost.trouble == "unreachable")
            self._inbox.put(lost)
            self._closing.wait(backoff.next_wait_s())

    def _run_once(self, attempt: "_Attempt") -> Lost:
        """Run one connection from its beginning to its end. Return why it ended."""
        will = self._will(attempt.number) if self._will else None
        try:
            attempt.connect(self._access, will, self._timing.connect_s, self._max_packet_bytes)
        except (ConfigError, OSError, ValueError) as error:
            failure = connect_failure(error, self._broker)
            lost = Lost(failure.trouble, failure.reason)
            return self._diagnosed(lost) if failure.unexplained else lost
        self._attempt = attempt
        lost = attempt.wait_until_ended(self._timing.connack_s)
        if attempt.connected_s() is not None:
            self._diagnosis = ("", "")
        return self._diagnosed(lost) if attempt.unanswered else lost

    def _diagnosed(self, lost: Lost) -> Lost:
        """Replace the reason by what the port itself shows; the port is examined once for each reason."""
        if self._closing.is_set():
            return lost
        if self._diagnosis[0] != lost.reason:
            self._diagnosis = (lost.reason, diagnose(self._broker, self._timing.probe_s))
        return replace(lost, reason=self._diagnosis[1] or lost.reason)


class _Stage(IntEnum):
    """The progress of a connection."""

    OPENING = 0
    CONNECTED = 1  # the broker accepted it
    PUBLISHED = 2  # we sent a message
    ACKNOWLEDGED = 3  # the broker acknowledged one


class _PahoClient(Client):
    """A paho client that reports the end of its network thread, whatever ended it."""

    def __init__(self, ended: Callable[[Exception | None], None], **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, reconnect_on_failure=False, **options)
        self._ended = ended

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        failure = None
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # of paho, over a packet that it does not understand: ends the connection
            failure = error
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            self._ended(failure)


class _Attempt:
    """One connection, from before its CONNECT until its end.

    `publish` and `subscribe` belong to the owner's thread, the callbacks to paho's network thread, everything else to
    the thread of `Connection`. `_stage` only grows: paho's thread sets CONNECTED and ACKNOWLEDGED, and the owner sets
    PUBLISHED in between, before the first message is sent.
    """

    def __init__(
        self, broker: BrokerConfig, client_id: str, number: int, notes: Inbox, closing: threading.Event
    ) -> None:
        self.number = number
        self.ended = threading.Event()
        self.unanswered = True  # there was no CONNACK
        self._broker, self._notes, self._closing = broker, notes, closing
        self._answered = threading.Event()  # by CONNACK, or by the end
        self._stage = _Stage.OPENING
        self._connected_at_s: float | None = None  # monotonic
        self._failure: Lost | None = None  # why the connection ended, where it is known
        self._subscribed: dict[int, str] = {}  # packet id -> topic
        self._subscribing = ""  # the topic whose answer may come before its packet id is known
        self._tcp: socket.socket | None = None  # another handle of the open connection
        protocol = MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        transport = "websockets" if broker.websocket_path else "tcp"
        options = {"client_id": client_id, "protocol": protocol, "transport": transport}
        self._client = client = _PahoClient(self._network_thread_ended, **options)
        if broker.websocket_path:
            client.ws_set_options(broker.websocket_path)
        client.max_inflight_messages = PROTOCOL_MAX_IN_FLIGHT  # the owner keeps to the broker's window, not paho
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_socket_open = self._on_socket_open
        if log.isEnabledFor(logging.DEBUG):
            address = "{}:{}".format(*broker.address)
            client.on_log = lambda client, data, level, text: log.debug("broker=%s %s", address, text)

    def connected_s(self) -> float | None:
        """Return the seconds since the broker accepted the connection; None if it never did."""
        return None if self._connected_at_s is None else time.monotonic() - self._connected_at_s

    def connect(self, access: Access, will: Message | None, connect_s: float, max_packet_bytes: int) -> None:
        """Open TCP and TLS. ConfigError: the TLS files cannot be used. OSError, ValueError, SSLError: as paho."""
        client, broker = self._client, self._broker
        client.connect_timeout = connect_s
        if broker.username:
            client.username_pw_set(broker.username, access.password)
        if broker.tls:
            client.tls_set_context(tls_context(access))  # read again each time: certificates are renewed
        if will:
            properties = self._properties(PacketTypes.WILLMESSAGE, will)
            client.will_set(will.topic, will.payload, will.qos, will.retain, properties)
        limits = None
        if broker.protocol == "5":
            limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            limits.MaximumPacketSize = max_packet_bytes
        client.connect(*broker.address, keepalive=broker.keepalive_s, properties=limits)

    def wait_until_ended(self, connack_s: float) -> Lost:
        """Start the network thread, and wait for the end of the connection. Return why it ended."""
        self._client.loop_start()
        try:
            if not self._answered.wait(connack_s):
                self.cut()
                self._failure = Lost("unreachable", f"no answer in {connack_s:g} s; is this an MQTT broker?")
            if self._closing.is_set():  # `Connection.close` may not have seen this attempt
                self.disconnect()
            self.ended.wait()
        finally:
            self.cut()
            self._client.loop_stop()
            if self._tcp:
                self._tcp.close()
        return self._failure or Lost(*unexplained_end(self._stage >= _Stage.CONNECTED, self._broker.tls))

    def disconnect(self) -> None:
        """Send DISCONNECT."""
        self._client.disconnect()

    def cut(self) -> None:
        """End the connection without a DISCONNECT; this also ends the network thread."""
        if self._tcp:
            with suppress(OSError):
                self._tcp.shutdown(socket.SHUT_RDWR)

    # ------------------------------------------------------------------------------------ called by the owner's thread

    def publish(self, message: Message) -> int:
        if self._stage is _Stage.CONNECTED:
            self._stage = _Stage.PUBLISHED
        properties = self._properties(PacketTypes.PUBLISH, message)
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties).mid

    def subscribe(self, topic: str) -> None:
        self._subscribing = topic
        _, packet_id = self._client.subscribe(topic, 1)
        if packet_id is not None:
            self._subscribed[packet_id] = topic

    def _properties(self, kind: int, message: Message) -> Properties | None:
        if self._broker.protocol != "5":
            return None
        properties = Properties(kind)  # type: ignore[no-untyped-call]
        if message.content_type:
            properties.ContentType = message.content_type
            properties.PayloadFormatIndicator = int(message.content_type == JSON)
        if message.expiry_s:
            properties.MessageExpiryInterval = message.expiry_s
        if message.user:
            properties.UserProperty = list(message.user)
        return properties

    # ----------------------------------------------------------------------------------------- paho's network thread

    def _network_thread_ended(self, error: Exception | None) -> None:
        if error:
            self._failure = self._failure or Lost("unreachable", f"{type(error).__name__}: {last_line(error)}")
        self._answered.set()
        self.ended.set()

    def _on_socket_open(self, client: Client, data: Any, connected: Any) -> None:
        """Set up the socket before the first packet is sent.

        OSError: the connection was closed meanwhile; a session now would take over the one that has replaced it.
        """
        self._tcp = tcp = socket.socket(fileno=os.dup(connected.fileno()))  # a WebSocket hides its own
        if self._closing.is_set():
            self.cut()
            tcp.close()
            raise ConnectionAbortedError("closed before it was open")
        # small packets are sent at once; Nagle's algorithm would hold an event back until the last is acknowledged
        with suppress(OSError):
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: ReasonCode, limits: Properties | None) -> None:
        self.unanswered = False
        if reason.is_failure:
            self._failure = Lost(*explain(reason.value, str(reason)))
        else:
            self._stage, self._connected_at_s = _Stage.CONNECTED, time.monotonic()
            window = min(getattr(limits, "ReceiveMaximum", PROTOCOL_MAX_IN_FLIGHT), PROTOCOL_MAX_IN_FLIGHT)
            max_packet_bytes = getattr(limits, "MaximumPacketSize", PROTOCOL_MAX_PACKET_BYTES)
            self._notes.put(Connected(Link(self, window, max_packet_bytes)))
        self._answered.set()

    def _on_disconnect(self, client: Client, data: Any, flags: Any, reason: Any, more: Properties | None) -> None:
        if self._failure or not reason.is_failure or self._stage is _Stage.OPENING:
            return
        text = "connection lost"
        if self._stage is _Stage.PUBLISHED:
            text = "closed after our first messages; does it allow these topics, and messages of this size?"
        ended = reason.value == UNSPECIFIED
        self._failure = Lost("unreachable", text) if ended else Lost(*explain(reason.value, str(reason)))

    def _on_publish(self, client: Client, data: Any, packet_id: int, reason: ReasonCode, more: Properties) -> None:
        self._stage = _Stage.ACKNOWLEDGED
        self._notes.put(Acknowledged(packet_id, str(reason) if reason.is_failure else None, reason.value == TOO_LARGE))

    def _on_subscribe(self, client: Client, data: Any, packet_id: int, reasons: list[ReasonCode], more: Any) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._notes.put(SubscriptionRejected(self._subscribed.get(packet_id, self._subscribing), str(reason)))

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self._notes.put(Received(message.topic, bytes(message.payload), message.retain))
