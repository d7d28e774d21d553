"""Messages that were sent to the broker and not yet acknowledged."""

from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.outbox.outbox import Entry

MAX_IN_FLIGHT = 100  # messages; fewer where the broker allows fewer


class InFlight:
    """The messages in flight on the current connection, by packet id. Owned by the publisher's thread.

    An event is kept as its outbox entry, anything else as the message. `alone`: what was sent alone, with nothing
    beside it until it is answered, so that the end of the connection shows that it ended over this message.
    """

    def __init__(self) -> None:
        self._sent: dict[int, Entry | Message] = {}
        self._window = 0  # messages that may be in flight; 0 without a connection
        self.alone: Entry | Message | None = None

    def open(self, window: int) -> None:
        """Start with an empty window of a new connection. `window`: how many messages its broker allows."""
        self.close()
        self._window = min(MAX_IN_FLIGHT, window)

    def close(self) -> None:
        """Forget everything: the connection has ended."""
        self._sent.clear()
        self._window, self.alone = 0, None

    @property
    def room(self) -> int:
        """Return how many more messages may be sent now."""
        return 0 if self.alone else max(0, self._window - len(self._sent))

    @property
    def empty(self) -> bool:
        return not self._sent

    @property
    def events(self) -> list[Entry]:
        """Return the events in flight, in the order of sending."""
        return [item for item in self._sent.values() if isinstance(item, Entry)]

    @property
    def messages(self) -> list[Message]:
        """Return everything else in flight, in the order of sending."""
        return [item for item in self._sent.values() if isinstance(item, Message)]

    def add(self, packet_id: int, item: Entry | Message, alone: bool = False) -> None:
        """Record what was sent. `alone`: send nothing else until it is answered."""
        self._sent[packet_id] = item
        if alone:
            assert len(self._sent) == 1
            self.alone = item

    def remove(self, packet_id: int) -> Entry | Message | None:
        """Remove and return what the broker answered to; None if it is not in flight (QoS 0)."""
        item = self._sent.pop(packet_id, None)
        if not self._sent:
            self.alone = None
        return item
