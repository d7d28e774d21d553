"""Messages that were sent to the broker and not yet acknowledged."""

from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.outbox.outbox import Entry

MAX_IN_FLIGHT = 100  # messages; fewer where the broker allows fewer


class InFlight:
    """The messages in flight on the current connection, by packet id. Owned by the publisher's thread.

    An event is kept as its outbox entry, anything else as the message.
    """

    def __init__(self) -> None:
        self._sent: dict[int, Entry | Message] = {}
        self._window = 0  # messages that may be in flight; 0 without a connection

    def open(self, window: int) -> None:
        """Start with an empty window of a new connection. `window`: how many messages its broker allows."""
        self._sent.clear()
        self._window = min(MAX_IN_FLIGHT, window)

    def close(self) -> None:
        """Forget everything: the connection has ended."""
        self._sent.clear()
        self._window = 0

    @property
    def room(self) -> int:
        """Return how many more messages may be sent now."""
        return max(0, self._window - len(self._sent))

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

    def add(self, packet_id: int, item: Entry | Message) -> None:
        self._sent[packet_id] = item

    def remove(self, packet_id: int) -> Entry | Message | None:
        """Remove and return what the broker answered to; None if it is not in flight (QoS 0)."""
        return self._sent.pop(packet_id, None)
