"""All that is sent to the broker, in its order: small retained messages, events, replies and replays, large pictures.

What a connection may have ended over is sent alone, in turn with everything else: a batch, its acknowledgements, one
suspect, its acknowledgement. The end of a connection then shows its cause, and the others are delivered all the same.
"""

import time
from collections.abc import Callable, Collection
from enum import Enum

from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.delivery_status import DeliveryStatus
from edge_tdn.delivery.event_feed import EventFeed
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import JSON, Acknowledged, Link, Message
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.published_topics import PublishedTopics
from edge_tdn.delivery.replays import Replays
from edge_tdn.delivery.retained_state import RetainedState
from edge_tdn.delivery.score_messages import ScoreMessages
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics
from edge_tdn.delivery.uplink import Uplink


class Turn(Enum):
    """What is sent next, while there are suspects."""

    BATCH = "everything else"
    SUSPECT = "a suspect"
    ONLY_BATCHES = "everything else, because the answer to a batch does not come"


class Outgoing:
    """Chooses what is sent next, and handles the answers. Owned by the publisher's thread."""

    def __init__(
        self,
        topics: Topics,
        outbox: Outbox,
        in_flight: InFlight,
        uplink: Uplink,
        status: DeliveryStatus,
        published: PublishedTopics,
        timing: PublisherTiming,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics, self._outbox, self._in_flight = topics, outbox, in_flight
        self._uplink, self._status, self._timing = uplink, status, timing
        self.published = published
        self._limits = BrokerLimits(timing, clock)
        self.events = EventFeed(topics, outbox, in_flight, self._limits, timing, clock)
        self.retained = RetainedState(in_flight, self._limits, timing, clock)
        self.replays = Replays(topics, outbox, in_flight)
        self._scores = ScoreMessages(self._limits, timing, clock)
        self._turn = Turn.BATCH
        self._retained_is_probed_next = False  # in turn with an event

    @property
    def finished(self) -> bool:
        """Return whether nothing more can be sent before the goodbye."""
        unsent = self.retained.has_unsent or self.events.has_more or self._has_suspects(probes=False)
        return self._in_flight.room > 0 and not unsent

    def due_s(self) -> float:
        """Return the monotonic time at which `send` has something to do although nothing happens; infinity: never."""
        waits = not self._in_flight.empty and self._turn is not Turn.ONLY_BATCHES and self._has_suspects(probes=True)
        return self.events.acknowledgements.due_s if waits else self.events.due_s()

    def configure(self, topics: Collection[str]) -> None:
        """Set the retained topics of the configuration; those that it no longer has are removed."""
        self.retained.drop(self.published.configure(topics))

    def connected(self, link: Link, birth: Message) -> None:
        """Start on a new connection, with the message `birth`."""
        if self._limits.connected(link.max_packet_bytes):
            self._forget()
        self.events.connected()
        self.retained.connected(birth)
        self._turn = Turn.BATCH

    def disconnected(self, blame: bool = True) -> str:
        """Find out what the connection may have ended over; return it in words, empty if nothing was in flight.

        `blame`: False if the broker has named another reason.
        """
        alone = self._in_flight.alone if blame else None
        self._scores.disconnected(blame)
        if self.published.disconnected(blame):
            text = "retained messages of an earlier configuration stay: the broker ends the connection over"
            self._status.warn("removal", f"{text} their removal; `edge-tdn forget` removes them, as a user who may")
        if self._in_flight.empty:  # it did not end over one of our messages; perhaps the broker was restarted
            self._limits.probe_soon()
            self.events.retry_soon()
        others = any(not message.retain for message in self._in_flight.messages)
        lost = self.retained.disconnected(blame)
        if blame:
            self.events.disconnected(only_events=not lost and not others)
        self.replays.clear()
        match alone:
            case Entry():
                return f"over one event of {self._topics.events(alone.camera)} ({len(alone.payload)} bytes)"
            case Message():
                return f"over {alone.topic} ({len(alone.payload)} bytes)"
        return "with messages on their way" if blame and (lost or self._in_flight.events) else ""

    def reconnecting(self, elsewhere: bool) -> None:
        """Prepare for a connection that replaces the current one. `elsewhere`: to another broker."""
        if elsewhere:
            self._forget()
        self.retained.reconnecting(elsewhere)

    def scores(self, message: Message) -> None:
        """Send scores now or never: not beside a suspect, which would be blamed for them."""
        suspects = self._in_flight.alone or self._has_suspects(probes=True)
        if self._uplink.connected and not suspects and self._scores.may_send(message):
            self._uplink.send(message)

    def send(self, probes: bool = True) -> None:
        """Send as much as the window allows. `probes`: also what was left out and is due again."""
        if not self._uplink.connected:
            return
        is_late = self._in_flight.waited_s > self._timing.answer_s
        if self._in_flight.alone:
            if not is_late:
                return
            self._give_up(self._in_flight.alone)
        if not self._has_suspects(probes) or (self._turn is Turn.ONLY_BATCHES and not self._in_flight.empty):
            self._send_batch()
        elif not self._in_flight.empty:  # the batch is answered first
            if is_late:
                self._turn = Turn.ONLY_BATCHES
        else:
            if self._turn is not Turn.SUSPECT:
                self._send_batch()
            if self._in_flight.empty:
                self._send_suspect(probes)
            if self._in_flight.empty and self._turn is Turn.SUSPECT:
                self._send_batch()
            self._turn = Turn.BATCH if self._in_flight.empty or self._in_flight.alone else Turn.SUSPECT

    def answered(self, answer: Acknowledged) -> Entry | Message | None:
        """Handle a PUBACK. Return what it answers to."""
        item = self._uplink.answered(answer.packet_id, answer.rejection)
        self._scores.acknowledged()
        match item:
            case Entry():
                self._event_answered(item, answer)
            case Message(retain=True):
                self._retained_answered(item, answer)
            case Message(topic=topic) if answer.rejection:
                self._status.warn(topic, f"{topic} was rejected: {answer.rejection}")
        return item

    def report(self) -> None:
        """Report the connection, if there is one, and what the broker rejects."""
        if self._uplink.connected:
            events = {self._topics.events(camera): reason for camera, reason in self.events.rejections.items()}
            others = {**self.retained.denials, **self._scores.denials}
            rejections = dict([*sorted(events.items()), *sorted(others.items())])
            self._status.connected(rejections, self._outbox.waiting)

    def _event_answered(self, entry: Entry, answer: Acknowledged) -> None:
        message = self._event(entry)
        if answer.too_large:
            self._limits.refused(message, certain=True)
            self.events.too_large(entry)
        elif answer.rejection:
            self.events.rejected(entry, answer.rejection)
        else:
            self._limits.accepted(message)
            if self.events.acknowledged(entry):
                self.retained.retry_soon()

    def _retained_answered(self, message: Message, answer: Acknowledged) -> None:
        if self.published.answered(message, answer.rejection):
            text = f"{message.topic} stays at the broker, which rejected its removal: {answer.rejection}"
            self._status.warn(message.topic, f"{text}; `edge-tdn forget` removes it, as a user who may")
        elif answer.too_large:
            self._limits.refused(message, certain=True)
            self.retained.too_large(message)
        elif answer.rejection:
            self.retained.rejected(message, answer.rejection)
        else:
            self._limits.accepted(message)
            self.retained.acknowledged(message)

    def _has_suspects(self, probes: bool) -> bool:
        parts = (self.retained, self.events)
        return self.published.has_removals or any(part.has_suspects(probes) for part in parts)

    def _forget(self) -> None:
        """Try everything again: another broker, or the same one with other settings."""
        for part in (self._limits, self.events, self.retained, self._scores):
            part.forget()

    def _give_up(self, unanswered: Entry | Message) -> None:
        """Treat a message that the broker does not answer as rejected, so that the others are sent."""
        self._in_flight.give_up()
        answer = Acknowledged(0, f"not answered within {self._timing.answer_s:g} s")
        if isinstance(unanswered, Entry):
            self._event_answered(unanswered, answer)
        else:
            self._retained_answered(unanswered, answer)

    def _send_batch(self) -> None:
        for message in self.retained.next_small():
            self._uplink.publish(message)
        for entry in self.events.next():
            self._publish_event(entry)
        for message in self.replays.next():
            if self._limits.fits(message):
                self._uplink.publish(message)
            else:
                self._status.warn(message.topic, f"{message.topic}: {self._limits.explain(message)}")
        large = self.retained.next_large()
        if large:
            self._uplink.publish(large)

    def _send_suspect(self, probes: bool) -> None:
        """Send one message alone: the removal of a topic first; what was left out is the last choice, with `probes`."""
        message = self.published.next_removal() or self.retained.next_alone()
        entry = None if message else self.events.next_alone()
        if probes and not message and not entry:
            message = self.retained.next_probe() if self._retained_is_probed_next else None
            entry = None if message else self.events.next_probe()
            message = message or (None if entry else self.retained.next_probe())
            if message or entry:
                self._retained_is_probed_next = bool(entry)
        if message:
            self._uplink.publish(message, alone=True)
        elif entry:
            self._publish_event(entry, alone=True)

    def _publish_event(self, entry: Entry, alone: bool = False) -> None:
        self._uplink.publish_event(self._event(entry), entry, alone)

    def _event(self, entry: Entry) -> Message:
        return Message(
            self._topics.events(entry.camera),
            entry.payload,
            content_type=JSON,
            expiry_s=self._outbox.expiry_s(entry),
            user=(("camera", entry.camera), ("seq", str(entry.seq))),
        )
