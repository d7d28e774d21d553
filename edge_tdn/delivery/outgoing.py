"""All that is sent to the broker, in its order: small retained messages, events, replies and replays, large pictures.

What a connection may have ended over is sent alone, in turn with everything else: a batch, its acknowledgements, one
suspect, its acknowledgement. The end of a connection then shows its cause, and the others are delivered all the same.
"""

import time
from collections.abc import Callable

from edge_tdn.delivery.broker_limits import BrokerLimits
from edge_tdn.delivery.delivery_status import DeliveryStatus
from edge_tdn.delivery.event_feed import EventFeed
from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import JSON, Acknowledged, Link, Message
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.replays import Replays
from edge_tdn.delivery.retained_state import RetainedState
from edge_tdn.delivery.score_messages import ScoreMessages
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topics import Topics
from edge_tdn.delivery.uplink import Uplink


class Outgoing:
    """Chooses what is sent next, and handles the answers. Owned by the publisher's thread."""

    def __init__(
        self,
        topics: Topics,
        outbox: Outbox,
        in_flight: InFlight,
        uplink: Uplink,
        status: DeliveryStatus,
        timing: PublisherTiming,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics, self._outbox, self._in_flight = topics, outbox, in_flight
        self._uplink, self._status = uplink, status
        self._limits = BrokerLimits(timing, clock)
        self.events = EventFeed(topics, outbox, in_flight, self._limits, timing, clock)
        self.retained = RetainedState(in_flight, self._limits, timing, clock)
        self.replays = Replays(topics, outbox, in_flight)
        self._scores = ScoreMessages(self._limits, timing, clock)
        self._batch_is_next = True  # or a suspect

    @property
    def finished(self) -> bool:
        """Return whether nothing more can be sent before the goodbye."""
        return self._in_flight.room > 0 and not self.retained.has_unsent and not self.events.has_more

    def connected(self, link: Link, birth: Message) -> None:
        """Start on a new connection, with the message `birth`."""
        if self._limits.connected(link.max_packet_bytes):
            self.retained.retry_soon()
        self.events.connected()
        self.retained.connected(birth)
        self._batch_is_next = True

    def disconnected(self) -> str:
        """Find out what the connection may have ended over; return it in words, empty if nothing was in flight."""
        alone = self._in_flight.alone
        self._scores.disconnected()
        if self._in_flight.empty:  # it did not end over one of our messages; perhaps the broker was restarted
            for part in (self._limits, self.events, self.retained):
                part.retry_soon()
        others = any(not message.retain for message in self._in_flight.messages)
        suspected = self.retained.disconnected()
        self.events.disconnected(only_events=not suspected and not others)
        self.replays.clear()
        match alone:
            case Entry():
                return f"over one event of {self._topics.events(alone.camera)} ({len(alone.payload)} bytes)"
            case Message():
                return f"over {alone.topic} ({len(alone.payload)} bytes)"
        return "with messages on their way" if suspected or self._in_flight.events else ""

    def reconnecting(self, elsewhere: bool) -> None:
        """Prepare for a connection that replaces the current one. `elsewhere`: to another broker."""
        if elsewhere:
            self._limits.forget()
        self.retained.reconnecting(elsewhere)

    def scores(self, message: Message) -> None:
        """Send scores now or never."""
        suspects = self._in_flight.alone or self.retained.has_suspects or self.events.has_suspects
        if self._uplink.connected and not suspects and self._scores.may_send(message):
            self._uplink.send(message)

    def send(self) -> None:
        """Send as much as the window allows."""
        if not self._uplink.connected or self._in_flight.alone:
            return
        if not (self.retained.has_suspects or self.events.has_suspects):
            self._send_batch()
        elif self._in_flight.empty:  # else the batch is answered first
            if self._batch_is_next:
                self._send_batch()
            if self._in_flight.empty:
                self._send_suspect()
            if self._in_flight.empty and not self._batch_is_next:
                self._send_batch()
            self._batch_is_next = self._in_flight.empty or self._in_flight.alone is not None
        self.report()

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
        self.report()
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
        if answer.too_large and self._limits.refused(message):
            self.events.too_large(entry)
        elif answer.rejection:
            self.events.rejected(entry, answer.rejection)
        else:
            self._limits.accepted(message)
            if self.events.acknowledged(entry):
                self.retained.retry_soon()

    def _retained_answered(self, message: Message, answer: Acknowledged) -> None:
        if answer.too_large and self._limits.refused(message):
            self.retained.too_large(message)
        elif answer.rejection:
            self.retained.rejected(message, answer.rejection)
        else:
            self._limits.accepted(message)
            self.retained.acknowledged(message)

    def _send_batch(self) -> None:
        for message in self.retained.next_small():
            self._uplink.publish(message)
        for entry in self.events.next():
            self._uplink.publish_event(self._event(entry), entry)
        for message in self.replays.next():
            if self._limits.fits(message):
                self._uplink.publish(message)
            else:
                self._status.warn(message.topic, f"{message.topic}: {self._limits.explain(message)}")
        large = self.retained.next_large()
        if large:
            self._uplink.publish(large)

    def _send_suspect(self) -> None:
        """Send one message alone: a probe of what was left out is the last choice."""
        message = self.retained.next_alone(probes=False)
        entry = None if message else self.events.next_alone()
        if entry:
            self._uplink.publish_event(self._event(entry), entry, alone=True)
            return
        message = message or self.retained.next_alone(probes=True)
        if message:
            self._uplink.publish(message, alone=True)

    def _event(self, entry: Entry) -> Message:
        return Message(
            self._topics.events(entry.camera),
            entry.payload,
            content_type=JSON,
            expiry_s=self._outbox.expiry_s(entry),
            user=(("camera", entry.camera), ("seq", str(entry.seq))),
        )
