"""The publisher's thread: takes from the inbox, keeps the connection, and sends what the window allows."""

import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from edge_tdn.delivery.delivery_status import DeliveryStatus
from edge_tdn.delivery.event_query import EventQuery
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.incoming import (
    ONLINE,
    AvailabilityOverwritten,
    CommandReceived,
    DashboardStarted,
    IncomingMessages,
    SecondDaemon,
    StateRemoved,
)
from edge_tdn.delivery.mqtt import Acknowledged, Connected, Lost, Message, Note, Received, SubscriptionRejected
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.outgoing import Outgoing
from edge_tdn.delivery.published_topics import PublishedTopics
from edge_tdn.delivery.replays import ReplayRequest
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
    """Documents for a dashboard, and the topic on which it publishes `online` when it has started.

    `topics`: of all other retained messages of the configuration.
    """

    documents: Mapping[str, bytes]
    birth_topic: str
    topics: Collection[str] = ()


@dataclass(frozen=True)
class ReconnectRequest:
    """Another connection takes the place of the current one. `elsewhere`: to another broker."""

    connect: Connect
    elsewhere: bool


@dataclass(frozen=True)
class StopRequest:
    """Send what waits and the goodbye, disconnect, and end the thread. `remove`: leave nothing at the broker."""

    goodbye: bytes = STOPPED
    remove: bool = False


Item = (
    ActionEvent
    | Message
    | Reply
    | ReplayRequest
    | EventQuery
    | Announcement
    | ConnectionNote
    | ReconnectRequest
    | StopRequest
)


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
        published: PublishedTopics,
    ) -> None:
        self._topics, self._outbox, self._inbox = topics, outbox, inbox
        self._commanded, self._timing = commanded, timing
        self._incoming = IncomingMessages(topics, boot)
        self._request: ReconnectRequest | StopRequest | None = None  # the next thing to do; a stop comes last
        self._phase = Phase.SERVING
        self._in_flight = InFlight()
        self.uplink = Uplink(topics, boot, inbox, self._in_flight, stopwatch, connect)
        self.status = DeliveryStatus(self.uplink.address, timing)
        self._outgoing = Outgoing(topics, outbox, self._in_flight, self.uplink, self.status, published, timing)

    def run(self) -> None:
        """Serve until a StopRequest comes."""
        while not isinstance(self._request, StopRequest):
            heartbeat.beat()
            self._receive(self._idle_s())
            if isinstance(self._request, ReconnectRequest):
                self._reconnect(self._request)
            with heartbeat.patience(self._timing.disk_s):
                self._outbox.tick()
                self._outgoing.published.tick()
            self._outgoing.send()
            self._outgoing.report()
            self.status.flush()
        goodbye = self.uplink.availability(self._request.goodbye)
        if self._request.remove:
            removals = self._outgoing.published.leave(keep=goodbye.topic)
            self._leave([*removals, goodbye, Message(goodbye.topic, b"", retain=True)])
        else:
            self._leave([goodbye])

    # ------------------------------------------------------------------------------------------------------ the inbox

    def _idle_s(self) -> float:
        """Return how long to wait for the inbox."""
        return min(self._timing.tick_s, max(0.0, self._outgoing.due_s() - time.monotonic()))

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
        self._outgoing.events.acknowledgements.store(more_to_come=bool(items))

    def _handle(self, item: Item) -> None:
        match item:
            case Message(qos=0):
                self._outgoing.scores(item)
            case Message(retain=True):
                self._outgoing.retained.set(item)
            case Reply():
                self._outgoing.replays.reply(item)
            case ReplayRequest():
                self._outgoing.replays.replay(item)
            case EventQuery():
                with heartbeat.patience(self._timing.disk_s):
                    item.run(self._outbox)
            case Announcement(documents, birth_topic, topics):
                with heartbeat.patience(self._timing.disk_s):
                    self._outgoing.configure({*topics, *documents})
                self._outgoing.retained.announce(documents)
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
                with heartbeat.patience(self._timing.disk_s):
                    self._outgoing.published.connected(self.uplink.address)
                self._outgoing.connected(link, self.uplink.availability(ONLINE))
                self.uplink.subscribe(self._incoming.subscriptions)
                self._outgoing.report()
            case Lost():
                self._connection_lost(note)
            case Acknowledged(rejection=rejection):
                item = self._outgoing.answered(note)
                if isinstance(item, Message) and not rejection:
                    self._incoming.acknowledged(item.topic)
            case SubscriptionRejected(topic, reason):
                self.status.warn(topic, f"subscribing to {topic} was rejected: {reason}; its messages are not received")
            case Received():
                if self._phase is Phase.SERVING:  # not the echo of our own goodbye
                    self._interpret(note)

    def _interpret(self, received: Received) -> None:
        match self._incoming.interpret(received):
            case CommandReceived(topic, payload):
                self._commanded(topic, payload)
            case AvailabilityOverwritten():
                if self.uplink.connected:
                    self._outgoing.retained.send_once(self.uplink.availability(ONLINE))
            case SecondDaemon(boot):
                text = f"another edge-tdn publishes below {self._topics.base} (boot {boot!r}): `host` must differ"
                self.status.warn("second daemon", text, logging.ERROR)
            case DashboardStarted() | StateRemoved():
                self._outgoing.retained.send_all(large=True)

    # ---------------------------------------------------------------------------------------------------- connections

    def _connection_lost(self, lost: Lost) -> None:
        """Find out what the connection may have ended over, and report it."""
        reason, over = lost.reason, ""
        if self.uplink.connected:
            over = self._outgoing.disconnected(lost.blames_message)
            self._outgoing.report()
        self.uplink.connection_lost()
        if over:
            reason = f"{reason}; {over}"
        elif lost.repeatedly:
            reason = f"{reason}; repeatedly: does a second edge-tdn have this `host`?"
        self.status.change(lost.trouble, reason, self._outbox.waiting)

    def _reconnect(self, request: ReconnectRequest) -> None:
        """Replace the connection; what the old one leaves unacknowledged is sent again on the new one.

        In between the host is `offline`: if the new broker settings turn out to be wrong, nothing could report it.
        """
        self._request = None
        goodbye = self.uplink.availability(STOPPED if request.elsewhere else OFFLINE)
        removals = self._outgoing.published.leave(keep=goodbye.topic) if request.elsewhere else []
        self._leave([*removals, goodbye])
        self._outgoing.reconnecting(request.elsewhere)
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

    def _leave(self, last: Iterable[Message]) -> None:
        """Send what waits, then the `last` messages; for a limited time, after which only the very last is sent."""
        self._phase = Phase.LEAVING
        deadline = time.monotonic() + self._timing.goodbye_s
        unsent, begun = deque(last), False
        while self.uplink.connected and time.monotonic() < deadline:
            if not begun:
                self._outgoing.send(probes=False)
                begun = self._outgoing.finished
            while begun and unsent and self._in_flight.room > 0:
                self.uplink.publish(unsent.popleft())
            if not unsent and self._in_flight.empty:
                break
            self._receive(GOODBYE_POLL_S)
            self._outgoing.report()
        if self.uplink.connected and unsent:
            self.uplink.publish(unsent.pop())
        self._outgoing.events.acknowledgements.store(more_to_come=False)
