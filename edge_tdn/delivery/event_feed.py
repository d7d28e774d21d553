"""Events from the outbox in the order of sending, without those that the broker rejects at the moment.

A broker rejects the events of a camera by its access rules or its message size limit. They stay in the outbox, and the
other cameras' events are sent; from time to time one event of the camera is sent as a probe. Some brokers end the
connection instead of rejecting a message. After a connection that ended with events in flight and none acknowledged,
events are sent one at a time, which shows the camera that the connection ends over.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT, InFlight
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.process import heartbeat


@dataclass
class Rejection:
    """The reason why the broker rejects a camera's events, and the time of the next probe."""

    reason: str
    wait_s: float
    retry_at_s: float  # monotonic
    probing: bool = False  # one event of the camera is in flight
    ends_connection: bool = False  # the broker ends the connection over the camera's events


class EventFeed:
    """The next events to send. Owned by the publisher's thread."""

    def __init__(
        self,
        outbox: Outbox,
        in_flight: InFlight,
        timing: PublisherTiming,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox, self._in_flight, self._timing, self._clock = outbox, in_flight, timing, clock
        self._cursor = 0  # number of the last event that was sent on this connection
        self._generation = 0  # the outbox's, at that time
        self._rejections: dict[str, Rejection] = {}  # by camera
        self._accepted = False  # the broker has acknowledged an event on this connection
        self._one_at_a_time = False  # it acknowledged none on the last one
        self._acknowledged: list[Entry] = []  # not yet stored in the outbox
        self._stored_at_s = 0.0  # monotonic

    @property
    def rejections(self) -> Mapping[str, str]:
        """Return the cameras whose events the broker rejects, with the reason."""
        return {camera: rejection.reason for camera, rejection in self._rejections.items()}

    @property
    def has_more(self) -> bool:
        """Return whether an event waits that was not sent on this connection, and is not rejected."""
        return bool(self._outbox.after(self._cursor, 1, self._rejections.keys()))

    def due_s(self) -> float:
        """Return the monotonic time of the next probe or write to the outbox; infinity if there is none."""
        answering = {entry.camera for entry in self._in_flight.events}
        room = self._in_flight.room > 0
        due = [one.retry_at_s for name, one in self._rejections.items() if room and name not in answering]
        if self._acknowledged:
            due.append(self._stored_at_s + self._timing.store_s)
        return min(due, default=float("inf"))

    def next(self) -> Iterator[Entry]:
        """Yield the events to send now, the probes first, while there is room in flight.

        The caller adds each event to `in_flight`, or calls `rejected`, before it takes the next.
        """
        yield from self._probes()
        yield from self._waiting()

    def connected(self) -> None:
        """Start again with the first event that waits: what a lost connection left unanswered is sent again.

        A camera that ended the connection stays rejected until its next probe, so that the others come first.
        """
        self._rejections = {name: one for name, one in self._rejections.items() if one.ends_connection}
        for rejection in self._rejections.values():
            rejection.retry_at_s, rejection.probing = self._clock() + rejection.wait_s, False
        self._accepted = False
        self._cursor = 0

    def acknowledged(self, entry: Entry) -> bool:
        """Record that the broker has the event.

        Return whether it rejected the camera before: its access rules have changed.
        """
        self._accepted, self._one_at_a_time = True, False
        self._acknowledged.append(entry)
        if entry.camera not in self._rejections:
            return False
        del self._rejections[entry.camera]
        self._cursor = 0  # all events of the camera, from the first
        return True

    def rejected(self, entry: Entry, reason: str, ends_connection: bool = False) -> None:
        """Stop sending the camera's events until the next probe."""
        before = self._rejections.get(entry.camera)
        if before and not before.probing:
            return  # sent together with the event that was rejected first
        wait_s = min(2 * before.wait_s, self._timing.max_retry_s) if before else self._timing.min_retry_s
        retry_at_s = self._clock() + wait_s
        self._rejections[entry.camera] = Rejection(reason, wait_s, retry_at_s, ends_connection=ends_connection)

    def disconnected(self) -> None:
        """Reject the camera that the connection seems to have ended over, from the events still in flight."""
        sent = self._in_flight.events
        probes = [entry for entry in sent if entry.camera in self._rejections]
        unanswered = bool(sent) and not self._accepted
        if probes or (unanswered and self._one_at_a_time):
            self.rejected((probes or sent)[0], "the connection ended over it", ends_connection=True)
        self._one_at_a_time = unanswered

    def store_acknowledged(self, more_to_come: bool) -> None:
        """Store acknowledgements in the outbox, together: each time costs a write to the disk.

        `more_to_come`: others may follow soon, so wait for them a moment.
        """
        waited = self._clock() - self._stored_at_s >= self._timing.store_s
        if self._acknowledged and (waited or not more_to_come or len(self._acknowledged) >= MAX_IN_FLIGHT // 2):
            with heartbeat.patience(self._timing.disk_s):
                self._outbox.acknowledge(self._acknowledged)
            self._acknowledged.clear()
            self._stored_at_s = self._clock()

    def _probes(self) -> Iterator[Entry]:
        now = self._clock()
        answering = {entry.camera for entry in self._in_flight.events}  # an earlier answer is not the probe's
        for camera, rejection in list(self._rejections.items()):
            if camera in answering or now < rejection.retry_at_s or self._in_flight.room <= 0:
                continue
            self.store_acknowledged(more_to_come=False)  # else the first event may be one that the broker has
            first = self._outbox.first(camera)
            if first is None:  # dropped from the outbox: too old, or too many
                del self._rejections[camera]
            else:
                rejection.probing = True
                yield first

    def _waiting(self) -> Iterator[Entry]:
        if self._in_flight.room <= 0:
            return
        if self._generation != self._outbox.generation:  # events may have come back behind the cursor
            self._generation, self._cursor = self._outbox.generation, 0
        answered_or_sent = {*self._in_flight.events, *self._acknowledged}
        limit = self._in_flight.room + len(answered_or_sent)
        for entry in self._outbox.after(self._cursor, limit, without=self._rejections.keys()):
            if self._in_flight.room <= 0 or (self._one_at_a_time and self._in_flight.events):
                return
            self._cursor = entry.number
            if entry not in answered_or_sent and entry.camera not in self._rejections:
                yield entry
