"""Events from the outbox in the order of sending, without those that the broker refuses at the moment.

A broker rejects the events of a camera by its access rules. They stay in the outbox, and the other cameras' events are
sent; from time to time one event of the camera is sent as a probe. An event that is too large for the broker stays too,
but the camera's smaller ones are sent.

Some brokers end the connection instead of rejecting a message. After a connection that ended with nothing but events in
flight and none acknowledged, events are sent alone, which shows the one that the connection ends over.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from edge_tdn.delivery.acknowledged_events import AcknowledgedEvents
from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import Message
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics

MAX_ENDINGS = 3  # connections that ended over an event, before its size is taken for the reason


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
        topics: Topics,
        outbox: Outbox,
        in_flight: InFlight,
        limits: BrokerLimits,
        timing: PublisherTiming,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics, self._outbox, self._in_flight, self._limits = topics, outbox, in_flight, limits
        self._timing, self._clock = timing, clock
        self._cursor = 0  # number of the last event that was sent or left out on this connection
        self._generations = 0, 0  # the outbox's and the limits', at that time
        self._rejections: dict[str, Rejection] = {}  # by camera
        self._too_large: dict[str, Entry] = {}  # by camera, the smallest event that was left out
        self._endings: Counter[int] = Counter()  # connections that ended over an event, by its number
        self._accepted = False  # the broker has acknowledged an event on this connection
        self._suspects_until = 0  # number of the last event in flight on a connection that acknowledged none
        self.acknowledgements = AcknowledgedEvents(outbox, timing, clock)

    @property
    def rejections(self) -> Mapping[str, str]:
        """Return the cameras whose events the broker refuses, all or only large ones, with the reason."""
        too_large = {camera: self._limits.explain(self._message(entry)) for camera, entry in self._too_large.items()}
        return {**too_large, **{camera: rejection.reason for camera, rejection in self._rejections.items()}}

    @property
    def has_more(self) -> bool:
        """Return whether an event waits that was not sent on this connection, and is not rejected."""
        return bool(self._outbox.after(self._cursor, 1, self._rejections.keys()))

    @property
    def _one_at_a_time(self) -> bool:
        return self._cursor < self._suspects_until

    def has_suspects(self, probes: bool) -> bool:
        """Return whether `next_alone` has an event to send now; with `probes`, or `next_probe`."""
        if self._one_at_a_time and self.has_more:
            return True
        return probes and (bool(self._due(ends_connection=True)) or self._size_probe() is not None)

    def due_s(self) -> float:
        """Return the monotonic time of the next probe or write to the outbox; infinity if there is none."""
        answering = {entry.camera for entry in self._in_flight.events}
        room, empty = self._in_flight.room > 0, self._in_flight.empty
        due = [
            rejection.retry_at_s
            for camera, rejection in self._rejections.items()
            if room and camera not in answering and (empty or not rejection.ends_connection)
        ]
        if room and empty:
            due += [self._limits.probe_due_s(self._message(entry)) for entry in self._too_large.values()]
        return min([*due, self.acknowledgements.due_s])

    def next(self) -> Iterator[Entry]:
        """Yield the events to send now, the probes first, while there is room in flight.

        The caller adds each event to `in_flight` before it takes the next.
        """
        for camera in self._due(ends_connection=False):
            if self._in_flight.room > 0:
                yield from self._probe(camera)
        if not self._one_at_a_time:
            yield from self._waiting()

    def next_alone(self) -> Entry | None:
        """Return an event over which the broker may end the connection; None if there is none.

        The caller adds it to `in_flight` as the only message.
        """
        return next(self._waiting(), None) if self._one_at_a_time else None

    def next_probe(self) -> Entry | None:
        """Return an event that was left out, if it is time to see what happens. The caller sends it alone."""
        for camera in self._due(ends_connection=True):
            for entry in self._probe(camera):
                return entry
        return self._size_probe()

    def connected(self) -> None:
        """Start again with the first event that waits: what a lost connection left unanswered is sent again.

        A camera that ended the connection stays rejected until its next probe, so that the others come first.
        """
        self._rejections = {name: one for name, one in self._rejections.items() if one.ends_connection}
        for rejection in self._rejections.values():
            rejection.probing = False
            rejection.retry_at_s = max(rejection.retry_at_s, self._clock() + self._timing.min_retry_s)
        self._accepted = False
        self._start_again()

    def acknowledged(self, entry: Entry) -> bool:
        """Record that the broker has the event.

        Return whether it rejected the camera before: its access rules have changed.
        """
        self._accepted = True
        if entry.number >= self._suspects_until:
            self._suspects_until = 0
        self.acknowledgements.add(entry)
        self._endings.pop(entry.number, None)
        if self._too_large.get(entry.camera) == entry:
            del self._too_large[entry.camera]
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
        max_wait_s = self._timing.max_probe_s if ends_connection else self._timing.max_retry_s
        wait_s = min(2 * before.wait_s, max_wait_s) if before else self._timing.min_retry_s
        retry_at_s = self._clock() + wait_s
        self._rejections[entry.camera] = Rejection(reason, wait_s, retry_at_s, ends_connection=ends_connection)

    def too_large(self, entry: Entry) -> None:
        """Leave the event out until the limits change."""
        self._rejections.pop(entry.camera, None)
        self._leave_out(entry)
        self._cursor = 0

    def disconnected(self, only_events: bool) -> None:
        """Find out what the connection ended over. `only_events`: nothing else was in flight."""
        if isinstance(self._in_flight.alone, Entry):
            self._ended_over(self._in_flight.alone)
        elif only_events and self._in_flight.events and not self._accepted:
            self._suspects_until = max(entry.number for entry in self._in_flight.events)

    def retry_soon(self) -> None:
        """Probe the cameras over which connections ended soon: the broker may have been restarted."""
        for rejection in self._rejections.values():
            rejection.wait_s, rejection.retry_at_s = self._timing.min_retry_s, self._clock()

    def forget(self) -> None:
        """Suspect nothing any more: another broker, or the same one with other settings."""
        self._rejections.clear()
        self._endings.clear()
        self._suspects_until = 0
        self._start_again()

    def _ended_over(self, entry: Entry) -> None:
        self._endings[entry.number] += 1
        message = self._message(entry)
        is_size_probe = not self._limits.fits(message)
        if (is_size_probe or self._endings[entry.number] >= MAX_ENDINGS) and self._limits.refused(message):
            del self._endings[entry.number]
            self.too_large(entry)
        else:
            reason = f"the connection ended over it ({len(entry.payload)} bytes); do the broker's rules allow it?"
            self.rejected(entry, reason, ends_connection=True)

    def _due(self, ends_connection: bool) -> list[str]:
        """Return the rejected cameras of which an event is to be sent now as a probe."""
        now = self._clock()
        answering = {entry.camera for entry in self._in_flight.events}  # an earlier answer is not the probe's
        longest_wait_first = sorted(self._rejections.items(), key=lambda item: item[1].retry_at_s)
        return [
            camera
            for camera, rejection in longest_wait_first
            if rejection.ends_connection == ends_connection and camera not in answering and now >= rejection.retry_at_s
        ]

    def _probe(self, camera: str) -> Iterator[Entry]:
        """Yield the camera's first event, if it has one that fits."""
        self.acknowledgements.store(more_to_come=False)  # else the first event may be one that the broker has
        first = self._outbox.first(camera)
        if first and self._limits.fits(self._message(first)):
            self._rejections[camera].probing = True
            yield first
        else:  # dropped from the outbox, as too old or too many; or known to be too large, which was the reason
            del self._rejections[camera]
            self._cursor = 0

    def _size_probe(self) -> Entry | None:
        """Return the smallest event that was left out and may be sent now, to see whether the limit still holds."""
        due = [entry for entry in self._too_large.values() if self._limits.may_probe(self._message(entry))]
        for entry in sorted(due, key=lambda entry: len(entry.payload)):
            if self._outbox.after(entry.number - 1, 1)[:1] == [entry]:
                return entry
            del self._too_large[entry.camera]  # dropped from the outbox
        return None

    def _waiting(self) -> Iterator[Entry]:
        if (self._outbox.generation, self._limits.generation) != self._generations:
            self._start_again()
        while self._in_flight.room > 0:
            answered_or_sent = {*self._in_flight.events, *self.acknowledgements}
            limit = self._in_flight.room + len(answered_or_sent)
            entries = self._outbox.after(self._cursor, limit, without=self._rejections.keys())
            for entry in entries:
                if self._in_flight.room <= 0:
                    return
                self._cursor = entry.number
                if entry in answered_or_sent or entry.camera in self._rejections:
                    continue
                if self._limits.fits(self._message(entry)):
                    yield entry
                else:
                    self._leave_out(entry)
            if len(entries) < limit:
                return

    def _leave_out(self, entry: Entry) -> None:
        """Keep the smallest of the camera's events that do not fit."""
        smallest = self._too_large.get(entry.camera, entry)
        self._too_large[entry.camera] = min(smallest, entry, key=lambda one: len(one.payload))

    def _start_again(self) -> None:
        """Begin with the first event that waits: events may have come back, or fit now."""
        self._generations, self._cursor = (self._outbox.generation, self._limits.generation), 0
        self._too_large.clear()

    def _message(self, entry: Entry) -> Message:
        return Message(self._topics.events(entry.camera), entry.payload)
