"""A feed of events with the test in place of the broker."""

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.event_feed import EventFeed
from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT, InFlight
from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics

TIMING = PublisherTiming(min_retry_s=1, max_retry_s=4, store_s=0.2)


class FeedHarness:
    """A feed with an outbox in memory, a clock that stands still, and the test in place of the broker."""

    def __init__(self, window: int = MAX_IN_FLIGHT) -> None:
        self.now_s = 100.0
        self.outbox = Outbox(None, OutboxConfig(), lambda: self.now_s)
        self.in_flight = InFlight()
        self.limits = BrokerLimits(TIMING, lambda: self.now_s)
        self.feed = EventFeed(Topics("here"), self.outbox, self.in_flight, self.limits, TIMING, lambda: self.now_s)
        self.seqs: dict[str, int] = {}
        self._packet_id = 1000
        self.connect(window)

    def put(self, *cameras: str) -> None:
        for camera in cameras:
            self.seqs[camera] = self.seqs.get(camera, 0) + 1
            self.outbox.put([(camera, self.seqs[camera], b"{}")])

    def connect(self, window: int = MAX_IN_FLIGHT) -> None:
        self.in_flight.open(window)
        self.feed.connected()

    def disconnect(self, only_events: bool = True) -> None:
        self.feed.disconnected(only_events)
        self.in_flight.close()

    def send(self) -> list[str]:
        """Send what the feed yields; return it as camera and seq."""
        sent = []
        for entry in self.feed.next():
            self._send(entry)
            sent.append(name(entry))
        alone = self.feed.next_alone() if self.in_flight.empty else None
        if alone:
            self._send(alone, alone=True)
            sent.append(name(alone))
        return sent

    def _send(self, entry: Entry, alone: bool = False) -> None:
        self._packet_id += 1
        self.in_flight.add(self._packet_id, entry, alone)

    def answer(self, event: str, rejection: str = "") -> None:
        """Acknowledge or reject an event in flight."""
        packet_id = next(id_ for id_, entry in self.in_flight._sent.items() if name(entry) == event)
        entry = self.in_flight.remove(packet_id)
        assert isinstance(entry, Entry)
        if rejection:
            self.feed.rejected(entry, rejection)
        else:
            self.limits.accepted(Message("", entry.payload))
            self.feed.acknowledged(entry)


def name(entry: object) -> str:
    assert isinstance(entry, Entry)
    return f"{entry.camera}{entry.seq}"
