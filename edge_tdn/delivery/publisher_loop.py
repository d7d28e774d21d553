"""The publisher's thread: takes from the inbox, and sends what the window allows.

The order of sending is: small retained messages, events, replies and replays, large retained messages.
"""

import logging
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from edge_tdn.delivery.delivery_status import DeliveryStatus
from edge_tdn.delivery.event_feed import EventFeed
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.incoming import (
    ONLINE,
    AvailabilityOverwritten,
    CommandReceived,
    DashboardStarted,
    IncomingMessages,
    SecondDaemon,
)
from edge_tdn.delivery.mqtt import JSON, Acknowledged, Connected, Lost, Message, Note, Received, SubscriptionRejected
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.replays import ReplayRequest, Replays
from edge_tdn.delivery.retained_state import RetainedState
from edge_tdn.delivery.stopwatch import Stopwatch
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics
from edge_tdn.delivery.uplink import Connect, ConnectionNote, Uplink
from edge_tdn.errors import ConfigError
from edge_tdn.messages import ActionEvent, Reply
from edge_tdn.process import heartbeat

MAX_BATCH = 500  # items of the inbox that are handled together: their events are stored in one transaction
GOODBYE_POLL_S = 0.05
STOPPED, OFFLINE = b"stopped", b"offline"


class Phase(Enum):
    SERVING = "serving"
    LEAVING = "leaving"  # the connection: the goodbye is being sent


@dataclass(frozen=True)
class Announcement:
    """Documents for a dashboard, and the topic on which it publishes `online` when it has started."""

    documents: Mapping[str, bytes]
    birth_topic: str


@dataclass(frozen=True)
class ReconnectRequest:
    """Another connection takes the place of the current one. `elsewhere`: to another broker."""

    connect: Connect
    elsewhere: bool


@dataclass(frozen=True)
class StopRequest:
    """Send what waits, disconnect, and end the thread. `failed`: with the goodbye of a crash, not of a stop."""

    failed: bool = False


Item = ActionEvent | Message | Reply | ReplayRequest | Announcement | ConnectionNote | ReconnectRequest | StopRequest


class PublisherLoop:
    """The body of the publisher's thread, which owns it; `uplink` and `status` say what other threads may read.

    `commanded`: called with the topic below <base>/cmd/ and the payload of every command, on this thread.
    """

    def __init__(
        self,
        topics: Topics,
        boot: str,
        outbox: Outbox,
        inbox: "queue.SimpleQueue[Item]",
        connect: Connect,
        commanded: Callable[[str, bytes], None],
        stopwatch: Stopwatch,
        timing: PublisherTiming,
    ) -> None:
        self._topics, self._outbox, self._inbox = topics, outbox, inbox
        self._commanded, self._timing = commanded, timing
        self._in_flight = InFlight()
        self._feed = EventFeed(outbox, self._in_flight, timing)
        self._retained = RetainedState(self._in_flight, timing)
        self._replays = Replays(topics, outbox, self._in_flight)
        self._incoming = IncomingMessages(topics, boot)
        self._request: ReconnectRequest | StopRequest | None = None  # the next thing to do; a stop comes last
        self._phase = Phase.SERVING
        self.uplink = Uplink(topics, boot, inbox, self._in_flight, stopwatch, connect)
        self.status = DeliveryStatus(self.uplink.address, timing)

    def run(self) -> None:
        """Serve until a StopRequest comes."""
        while not isinstance(self._request, StopRequest):
            heartbeat.beat()
            self._receive(self._idle_s())
            if isinstance(self._request, ReconnectRequest):
                self._reconnect(self._request)
            with heartbeat.patience(self._timing.disk_s):
                self._outbox.tick()
            self._send()
            self.status.flush()
        self._leave(OFFLINE if self._request.failed else STOPPED)

    # ------------------------------------------------------------------------------------------------------ the inbox

    def _idle_s(self) -> float:
        """Return how long to wait for the inbox."""
        return min(self._timing.tick_s, max(0.0, self._feed.due_s() - time.monotonic()))

    def _receive(self, timeout_s: float) -> None:
        """Handle what is in the inbox, or what comes within the timeout."""
        try:
            items = [self._inbox.get(timeout=timeout_s)]
        except queue.Empty:
            items = []
        while items and not isinstance(items[-1], StopRequest) and len(items) < MAX_BATCH and not self._inbox.empty():
            items.append(self._inbox.get())
        events = [item for item in items if isinstance(item, ActionEvent)]
        if events:
            with heartbeat.patience(self._timing.disk_s):
                self._outbox.put([(event.camera, event.seq, event.json_bytes()) for event in events])
        for item in items:
            self._handle(item)
        self._feed.store_acknowledged(more_to_come=bool(items))

    def _handle(self, item: Item) -> None:
        match item:
            case Message(qos=0):
                self.uplink.send(item)
            case Message(retain=True):
                self._retained.set(item)
            case Reply():
                self._replays.reply(item)
            case ReplayRequest():
                self._replays.replay(item)
            case Announcement(documents, birth_topic):
                self._retained.announce(documents)
                if self._incoming.follow_dashboard(birth_topic):
                    self.uplink.subscribe(self._incoming.subscriptions)
            case ConnectionNote(note=note):
                if self.uplink.is_current(item):
                    self._handle_note(note)
            case StopRequest():
                self._request = item
            case ReconnectRequest():
                if not isinstance(self._request, StopRequest):
                    self._request = item

    def _handle_note(self, note: Note) -> None:
        match note:
            case Connected(link):
                self.uplink.connection_made(link)
                self._feed.connected()
                self._retained.connected(self.uplink.availability(ONLINE))
                self.uplink.subscribe(self._incoming.subscriptions)
                self._report_connected()
            case Lost(trouble, reason):
                self._connection_lost()
                self.status.change(trouble, reason, self._outbox.waiting)
            case Acknowledged(packet_id, rejection):
                self._answered(packet_id, rejection)
            case SubscriptionRejected(topic, reason):
                self.status.warn(topic, f"subscribing to {topic} was rejected: {reason}; its messages are not received")
            case Received():
                if self._phase is Phase.SERVING:  # not the echo of our own goodbye
                    self._interpret(note)

    def _answered(self, packet_id: int, rejection: str | None) -> None:
        """Handle a PUBACK."""
        match self.uplink.answered(packet_id, rejection):
            case Entry() as entry:
                if rejection:
                    self._feed.rejected(entry, rejection)
                elif self._feed.acknowledged(entry):
                    self._retained.retry_soon()
            case Message(retain=True) as message:
                if rejection:
                    self._retained.rejected(message, rejection)
                else:
                    self._retained.acknowledged(message)
                    self._incoming.acknowledged(message.topic)
            case Message(topic=topic):
                if rejection:
                    self.status.warn(topic, f"{topic} was rejected: {rejection}")
        self._report_connected()

    def _interpret(self, received: Received) -> None:
        match self._incoming.interpret(received):
            case CommandReceived(topic, payload):
                self._commanded(topic, payload)
            case AvailabilityOverwritten():
                if self.uplink.connected:
                    self._retained.send_once(self.uplink.availability(ONLINE))
            case SecondDaemon(boot):
                text = f"another edge-tdn publishes below {self._topics.base} (boot {boot!r}): `host` must differ"
                self.status.warn("second daemon", text, logging.ERROR)
            case DashboardStarted():
                self._retained.send_all(large=True)

    # ---------------------------------------------------------------------------------------------------- connections

    def _connection_lost(self) -> None:
        """Find out what the connection may have ended over, and forget what was in flight."""
        if self.uplink.connected:
            self._feed.disconnected()
            self._report_connected()
            for message in self._retained.disconnected():
                text = "given up: the line is too slow for it, or broker.keepalive_s too short"
                self.status.warn(message.topic, f"{message.topic}: {len(message.payload)} bytes, {text}")
        self.uplink.connection_lost()
        self._replays.clear()

    def _reconnect(self, request: ReconnectRequest) -> None:
        """Replace the connection; what the old one leaves unacknowledged is sent again on the new one.

        In between the host is `offline`: if the new broker settings turn out to be wrong, nothing could report it.
        """
        self._request = None
        self._leave(STOPPED if request.elsewhere else OFFLINE)
        self._retained.reconnecting(request.elsewhere)
        self.uplink.close()
        self._phase = Phase.SERVING
        try:
            self.uplink.replace(request.connect)
        except ConfigError as error:  # its files were valid a moment ago, and may be so again
            self._request = self._request or request
            self.status.change("tls", str(error), self._outbox.waiting)
            return
        self.status.address = self.uplink.address
        self.status.change("connecting", "", self._outbox.waiting)

    def _leave(self, goodbye: bytes) -> None:
        """Send what waits, then `goodbye`; for a limited time."""
        self._phase = Phase.LEAVING
        deadline = time.monotonic() + self._timing.goodbye_s
        sent = False
        while self.uplink.connected and time.monotonic() < deadline:
            if not sent:
                self._send()
            if not sent and self._in_flight.room > 0 and not self._retained.has_unsent and not self._feed.has_more:
                self._publish(self.uplink.availability(goodbye))
                sent = True
            if sent and self._in_flight.empty:
                break
            self._receive(GOODBYE_POLL_S)
        if self.uplink.connected and not sent:
            self._publish(self.uplink.availability(goodbye))
        self._feed.store_acknowledged(more_to_come=False)

    # -------------------------------------------------------------------------------------------------------- sending

    def _send(self) -> None:
        """Send as much as the window allows."""
        if not self.uplink.connected:
            return
        for message in self._retained.next_small():
            self._publish(message)
        for entry in self._feed.next():
            self._publish_event(entry)
        for message in self._replays.next():
            self._publish(message)
        large = self._retained.next_large()
        if large:
            self._publish(large)
        self._report_connected()

    def _publish(self, message: Message) -> None:
        if self.uplink.fits(message):
            self.uplink.publish(message)
        else:
            text = f"{message.topic}: {len(message.payload)} bytes, too large for this broker"
            self.status.warn(message.topic, text)

    def _publish_event(self, entry: Entry) -> None:
        message = Message(
            self._topics.events(entry.camera),
            entry.payload,
            content_type=JSON,
            expiry_s=self._outbox.expiry_s(entry),
            user=(("camera", entry.camera), ("seq", str(entry.seq))),
        )
        if self.uplink.fits(message):
            self.uplink.publish_event(message, entry)
        else:
            self._feed.rejected(entry, f"{len(entry.payload)} bytes, too large for this broker")

    def _report_connected(self) -> None:
        """Report the connection, if there is one, and what the broker rejects."""
        if not self.uplink.connected:
            return
        events = {self._topics.events(camera): reason for camera, reason in self._feed.rejections.items()}
        self.status.connected({**events, **self._retained.denials}, self._outbox.waiting)
