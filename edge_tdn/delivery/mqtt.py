"""Connections to an MQTT broker, one after the other. The only file that imports paho.

Every connection is a paho client of its own, so that nothing of one outlives it: no message that paho would send again,
no packet id, no network thread that died unseen. Our thread opens one, waits until it has ended, whatever ended it, and
opens the next after a while. paho calls back on its network thread, where an exception or a lock would kill or block
it: callbacks only put a note into `notes`, and the owner's thread reads them.
"""

import logging
import queue
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_tdn.config.credentials import Access
from edge_tdn.config.tables import BrokerConfig
from edge_tdn.errors import ConfigError, last_line

log = logging.getLogger(__name__)

RETRY_S = (1.0, 20.0)  # between two connects: the wait doubles within these
JITTER = 0.5  # of a wait, at random on top, so that a site's hosts do not all come at once
SHORT_MOST = 3  # connections in a row may end soon for another reason than a twin, which not all brokers tell
STEADY_S = 5.0  # a connection that lasted so long was one: the next wait is short again
CONNECT_S = 1.5  # how long TCP and TLS may take, each
ANSWER_S = 3.0  # and then the broker's CONNACK
CLOSE_S = 0.5  # how long a goodbye may take
UNSPECIFIED, TAKEN_OVER = 0x80, 0x8E  # the first is what paho says of a connection that just ended
UNAUTHORIZED = {0x86, 0x87, 0x8A, 0x8C}  # bad user name or password, not authorized, banned, bad authentication
OLD_BROKER = 0x84
WHO_SIGNED = "broker.ca_file must hold who signed it"
CERTIFICATE_HINTS = {  # by OpenSSL's number of what is wrong with the broker's
    9: "is this host's clock right?", 10: "it must be renewed, unless this host's clock is wrong",
    18: WHO_SIGNED, 19: WHO_SIGNED, 20: WHO_SIGNED, 62: "broker.url must name a host that stands in it",
    64: "broker.url must name a host that stands in it",
}  # fmt: skip

Trouble = Literal["unreachable", "unauthorized", "tls", "taken_over"]


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    content_type: str = ""  # this and what follows: MQTT 5 alone
    expiry_s: int = 0  # the broker forgets it after so long; 0: never
    user: tuple[tuple[str, str], ...] = ()  # properties


@dataclass(frozen=True)
class Connected:
    link: "Link"


@dataclass(frozen=True)
class Lost:
    """Not connected any more, or still not; it is tried again."""

    trouble: Trouble
    reason: str


@dataclass(frozen=True)
class Acknowledged:
    """PUBACK; `refused` is the broker's reason where it said no (MQTT 5 only: 3.1.1 cannot say it)."""

    mid: int
    refused: str | None


@dataclass(frozen=True)
class Unheard:
    """The broker does not let us read there."""

    topic: str
    reason: str


@dataclass(frozen=True)
class Received:
    topic: str
    payload: bytes
    retained: bool


Note = Connected | Lost | Acknowledged | Unheard | Received


class Inbox(Protocol):
    def put(self, note: Note, /) -> None: ...


class Link:
    """One connection, while it lasts. After that its methods do nothing."""

    def __init__(self, client: "_Client", session: int, window: int, largest: int) -> None:
        self._client = client
        self.session = session  # number of the connection, from 1 on
        self.window = window  # messages that the broker takes before it has acknowledged the first
        self.largest = largest  # bytes of a packet that the broker takes

    def publish(self, message: Message) -> int:
        """Hands a message over; never blocks. Its id, which the PUBACK will have."""
        properties = None
        if self._client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = _properties(PacketTypes.PUBLISH, message)
        self._client.spoken = True
        return self._client.publish(message.topic, message.payload, message.qos, message.retain, properties).mid

    def subscribe(self, topic: str) -> None:
        _, mid = self._client.subscribe(topic, 1)
        if mid is not None:
            self._client.asked[mid] = topic


class Connection:
    """Connects in the background, and again, from the moment it is opened until it is closed.

    `will`: the last will of a session, by its number. `notes`: where notes go, among what else the owner waits for.
    ConfigError: the TLS files cannot be used.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        client_id: str,
        access: Access | None = None,
        will: Callable[[int], Message] | None = None,
        notes: Inbox | None = None,
        largest: int = 16 << 20,
    ) -> None:
        self.address = "{}:{}".format(*broker.address)
        self.notes: queue.SimpleQueue[Any] = queue.SimpleQueue()  # empty where the owner has another place for them
        self._inbox: Inbox = self.notes if notes is None else notes
        self._broker, self._client_id, self._access, self._will = broker, client_id, access or Access(), will
        self._largest = largest
        if broker.tls:
            tls_context(self._access)  # now, while somebody can be told
        self._closing = threading.Event()
        self._client: _Client | None = None
        self._session = 0
        self._welcomed_s = float("inf")  # monotonic seconds: when the broker let us in
        self._short = 0  # connections in a row that ended soon after that
        self._thread = threading.Thread(
            target=self._run, name="mqtt", daemon=True
        )  # a name may take minutes to resolve
        self._thread.start()

    def close(self) -> None:
        """A clean goodbye: the last will is not sent."""
        self._closing.set()
        client = self._client
        if client:
            client.disconnect()
            if not client.ended.wait(CLOSE_S):
                client.cut()
        self._thread.join(CLOSE_S / 2)  # not for ever: it may be resolving a name

    def _run(self) -> None:
        wait_s = RETRY_S[0]
        while not self._closing.is_set():
            self._welcomed_s = float("inf")
            try:
                lost = self._live()
            except Exception as error:  # nothing may end this thread: the next try may do better
                log.exception("broker=%s connection failed", self.address)
                lost = Lost("unreachable", last_line(error))
            steady = time.monotonic() - self._welcomed_s >= STEADY_S and lost.trouble != "taken_over"
            self._short = 0 if steady else self._short + (self._welcomed_s < float("inf"))
            if self._short >= SHORT_MOST and lost.trouble == "unreachable":
                lost = Lost("unreachable", f"{lost.reason}; again and again: has a second edge-tdn this `host`?")
            self._inbox.put(lost)
            wait_s = RETRY_S[0] if steady else wait_s
            self._closing.wait(wait_s * random.uniform(1, 1 + JITTER))
            wait_s = min(2 * wait_s, RETRY_S[1])

    def _live(self) -> Lost:
        """One connection, from beginning to end; why it ended."""
        self._session += 1
        client = _Client(self._broker, self._client_id, self._session, self._inbox, self._closing)
        client.connect_timeout = CONNECT_S
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._access.password)
        if self._broker.tls:
            try:
                client.tls_set_context(tls_context(self._access))  # anew: certificates are renewed
            except ConfigError as error:
                return Lost("tls", str(error))
        if self._will:
            will = self._will(self._session)
            properties = _properties(PacketTypes.WILLMESSAGE, will) if self._broker.protocol == "5" else None
            client.will_set(will.topic, will.payload, will.qos, will.retain, properties)
        try:
            told = None
            if self._broker.protocol == "5":
                told = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                told.MaximumPacketSize = self._largest
            client.connect(*self._broker.address, keepalive=self._broker.keepalive_s, properties=told)
        except ssl.SSLCertVerificationError as error:
            hint = CERTIFICATE_HINTS.get(error.verify_code)
            return Lost("tls", f"its certificate is refused: {error.verify_message}{f'; {hint}' if hint else ''}")
        except ssl.SSLError as error:
            return Lost("tls", _no_tls(error.reason or str(error)))
        except (OSError, ValueError) as error:
            if self._broker.tls and isinstance(error, ConnectionResetError):  # TCP alone is refused, never reset
                return Lost("tls", _no_tls("connection reset"))
            return Lost("unreachable", getattr(error, "strerror", "") or str(error) or type(error).__name__)
        self._client = client
        client.loop_start()
        try:
            if not client.answered.wait(ANSWER_S):
                client.cut()
                client.why = Lost("unreachable", f"no answer in {ANSWER_S:g} s; is this an MQTT broker?")
            elif client.welcome:
                self._welcomed_s = time.monotonic()
            if self._closing.is_set():  # close() may not have seen this client
                client.disconnect()
            client.ended.wait()
        finally:
            client.cut()
            client.loop_stop()
        return client.why or self._silent(client)

    def _silent(self, client: "_Client") -> Lost:
        """It ended before the broker said anything."""
        if client.welcome:
            return Lost("unreachable", "connection lost")
        if self._broker.tls:
            return Lost("tls", "ended after the TLS handshake: does the broker want another broker.cert_file?")
        return Lost(
            "unreachable", "closed before it answered; does it want TLS (mqtts://), or another broker.protocol?"
        )


class _Client(Client):
    """A paho client for one connection, which says when its network thread has ended, and why."""

    def __init__(
        self, broker: BrokerConfig, client_id: str, session: int, notes: Inbox, closing: threading.Event
    ) -> None:
        version = MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        super().__init__(CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False)
        self.answered, self.ended = threading.Event(), threading.Event()
        self.welcome = self.spoken = self.acknowledged = False
        self.why: Lost | None = None
        self._session_number, self._notes, self._closing = session, notes, closing
        self.max_inflight_messages = 0xFFFF  # the owner keeps to the broker's window; paho does not know it
        self.on_connect = self._connected
        self.on_disconnect = self._disconnected
        self.on_publish = self._published
        self.on_message = self._received
        self.on_subscribe = self._subscribed
        self.asked: dict[int, str] = {}  # packet id of a subscription -> topic
        self.on_socket_open = self._opened
        if log.isEnabledFor(logging.DEBUG):
            address = "{}:{}".format(*broker.address)
            self.on_log = lambda client, data, level, text: log.debug("broker=%s %s", address, text)

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # of paho, over a packet that it does not understand: the connection's end
            self.why = self.why or Lost("unreachable", f"{type(error).__name__}: {last_line(error)}")
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            self.answered.set()
            self.ended.set()

    def cut(self) -> None:
        """Ends the connection without a word; the network thread ends over it."""
        connected = self.socket()
        if connected:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]

    def _opened(self, client: Client, data: Any, connected: Any) -> None:
        """Before the first packet. OSError: nobody wants it any more; a session now would take over our next one's."""
        if self._closing.is_set():
            self.cut()
            raise ConnectionAbortedError("closed before it was open")
        # small packets go at once; Nagle's algorithm would hold an event back until the last is acknowledged
        with suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _connected(self, client: Client, data: Any, flags: Any, reason: ReasonCode, told: Properties | None) -> None:
        if reason.is_failure:
            self.why = _refused(reason)
        else:
            self.welcome = True
            window = min(getattr(told, "ReceiveMaximum", 0xFFFF), 0xFFFF)
            largest = getattr(told, "MaximumPacketSize", 268_435_455)
            self._notes.put(Connected(Link(self, self._session_number, window, largest)))
        self.answered.set()

    def _disconnected(self, client: Client, data: Any, flags: Any, reason: Any, told: Properties | None) -> None:
        if self.why or not reason.is_failure or not self.welcome:
            return
        if reason.value != UNSPECIFIED:
            self.why = _refused(reason)
        elif self.spoken and not self.acknowledged:
            self.why = Lost(
                "unreachable", "closed over our first messages; may we publish on these topics, of this size?"
            )
        else:
            self.why = Lost("unreachable", "connection lost")

    def _published(self, client: Client, data: Any, mid: int, reason: ReasonCode, told: Properties) -> None:
        self.acknowledged = True
        self._notes.put(Acknowledged(mid, str(reason) if reason.is_failure else None))

    def _subscribed(self, client: Client, data: Any, mid: int, reasons: list[ReasonCode], told: Properties) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._notes.put(Unheard(self.asked.get(mid, "a topic"), str(reason)))

    def _received(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self._notes.put(Received(message.topic, bytes(message.payload), message.retain))


def _refused(reason: ReasonCode) -> Lost:
    """What the broker says in CONNACK or DISCONNECT."""
    if reason.value == TAKEN_OVER:
        return Lost("taken_over", "another client has the same id: is a second edge-tdn of this name running?")
    if reason.value in UNAUTHORIZED:
        return Lost("unauthorized", f"{reason}; are broker.username and broker.password_file right?")
    hint = '; set broker.protocol = "3.1.1"' if reason.value == OLD_BROKER else ""
    return Lost("unreachable", f"{reason}{hint}")


def _no_tls(why: str) -> str:
    """`why`: as OpenSSL calls it."""
    if "VERSION" in why and "ALERT" in why:
        return f"the broker has no TLS 1.2 or newer: {why}"
    if "ALERT" in why:
        return f"the broker refuses the handshake: {why}; does it want another broker.cert_file?"
    return f"no TLS: {why}; is this the broker's TLS port?"


def _properties(kind: int, message: Message) -> Properties:
    properties = Properties(kind)  # type: ignore[no-untyped-call]
    if message.content_type:
        properties.ContentType = message.content_type
        properties.PayloadFormatIndicator = int(message.content_type == "application/json")
    if message.expiry_s:
        properties.MessageExpiryInterval = message.expiry_s
    if message.user:
        properties.UserProperty = list(message.user)
    return properties


def tls_context(access: Access) -> ssl.SSLContext:
    """TLS 1.2 or newer; the broker's certificate and name are verified. ConfigError: a file is no PEM."""
    try:
        context = ssl.create_default_context(cafile=access.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{access.ca}: broker.ca_file holds no certificates in PEM: {last_line(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if access.cert:
        try:
            context.load_cert_chain(access.cert, access.key, password=lambda: b"")  # asks nobody
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"{access.cert}, {access.key or 'with its key'}: broker.cert_file and broker.key_file are no "
                f"certificate in PEM and its key, without a pass phrase: {last_line(error)}"
            ) from error
    return context
