"""The host's way to the broker: the current connection, its number, and what is in flight on it."""

import queue
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import Connection, Inbox, Link, Message, Note
from edge_tdn.delivery.outbox.outbox import Entry
from edge_tdn.delivery.stopwatch import Stopwatch
from edge_tdn.delivery.topics import Topics

Connect = Callable[[Callable[[int], Message], Inbox], Connection]


@dataclass(frozen=True)
class ConnectionNote:
    """A note, and the connection that it is from."""

    source: "NoteInbox"
    note: Note


@dataclass(frozen=True)
class NoteInbox:
    """Puts the notes of one connection into the publisher's inbox, so that late notes of an earlier one are known."""

    inbox: "queue.SimpleQueue[Any]"

    def put(self, note: Note, /) -> None:
        self.inbox.put(ConnectionNote(self, note))


class Uplink:
    """One connection after the other, to the same broker or to another. Owned by the publisher's thread.

    `connected`, `session` and `connects` may be read by any thread. `boot`: new with every start of the daemon.
    """

    def __init__(
        self,
        topics: Topics,
        boot: str,
        inbox: "queue.SimpleQueue[Any]",
        in_flight: InFlight,
        stopwatch: Stopwatch,
        connect: Connect,
    ) -> None:
        self._topics, self._boot, self._inbox = topics, boot, inbox
        self._in_flight, self._stopwatch = in_flight, stopwatch
        self._link: Link | None = None
        self._earlier_sessions = 0  # of the connections before the current `Connection`
        self.session = self.connects = 0
        self._notes = NoteInbox(inbox)
        self._connection = connect(self._will(), self._notes)

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def connected(self) -> bool:
        return self._link is not None

    def replace(self, connect: Connect) -> None:
        """Continue with another `Connection`; this one must be closed. ConfigError: its TLS files cannot be used."""
        self._earlier_sessions = self.session
        self._notes = NoteInbox(self._inbox)
        self._connection = connect(self._will(), self._notes)

    def is_current(self, note: ConnectionNote) -> bool:
        """Return False for a note from a connection that was replaced."""
        return note.source is self._notes

    def connection_made(self, link: Link) -> None:
        self._link, self.session = link, self._earlier_sessions + link.session
        self.connects += 1
        self._in_flight.open(link.window)

    def connection_lost(self) -> None:
        self._link = None
        self._in_flight.close()
        self._stopwatch.disconnected()

    def close(self) -> None:
        """Close the connection: the broker does not publish the last will."""
        self._connection.close()
        self.connection_lost()

    def availability(self, state: bytes) -> Message:
        """Return the message that says whether the host is there, for the current session."""
        return self._availability(state, self.session)

    def subscribe(self, topics: Iterable[str]) -> None:
        if self._link:
            for topic in topics:
                self._link.subscribe(topic)

    def send(self, message: Message) -> None:
        """Publish a message with QoS 0; without a connection it is dropped."""
        if self._link:
            self._link.publish(message)

    def publish(self, message: Message, alone: bool = False) -> None:
        """Publish a message with QoS 1. `alone`: send nothing else until it is answered."""
        assert self._link
        self._in_flight.add(self._link.publish(message), message, alone)

    def publish_event(self, message: Message, entry: Entry, alone: bool = False) -> None:
        """Publish the message of an event."""
        assert self._link
        packet_id = self._link.publish(message)
        self._in_flight.add(packet_id, entry, alone)
        self._stopwatch.sent(entry.camera, entry.seq, packet_id)

    def answered(self, packet_id: int, rejection: str | None) -> Entry | Message | None:
        """Return what the broker acknowledged or rejected."""
        self._stopwatch.answered(packet_id, rejection)
        return self._in_flight.remove(packet_id)

    def _will(self) -> Callable[[int], Message]:
        """Return the last will by the session's number; it is called on the connection's thread."""
        earlier = self._earlier_sessions
        return lambda session: self._availability(b"offline", earlier + session)

    def _availability(self, state: bytes, session: int) -> Message:
        user = (("boot", self._boot), ("session", str(session)))
        return Message(self._topics.availability, state, retain=True, user=user)
