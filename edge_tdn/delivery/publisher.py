"""Publishes the host's events, states and replies below the topic prefix `base`.

Events go through the outbox: they are on disk before they are sent, and leave it when the broker has acknowledged them.
At most a window of messages is in flight; what a lost connection left unacknowledged is sent again on the next one, in
order. Events that the broker rejects stay in the outbox and are tried again, while those of other cameras are sent.
Retained messages are kept in memory and sent at every connect.
"""

import logging
import queue
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import replace

from edge_tdn.delivery.event_query import EventQuery
from edge_tdn.delivery.mqtt import Message, json_message
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.published_topics import PublishedTopics
from edge_tdn.delivery.publisher_loop import (
    OFFLINE,
    STOPPED,
    Announcement,
    Item,
    PublisherLoop,
    ReconnectRequest,
    StopRequest,
)
from edge_tdn.delivery.recorded_topics import RecordedTopics
from edge_tdn.delivery.replays import ReplayRequest
from edge_tdn.delivery.stopwatch import Observe, Stopwatch
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topic_record import TopicRecord
from edge_tdn.delivery.topics import Topics
from edge_tdn.delivery.uplink import Connect
from edge_tdn.messages import ActionEvent, Reply, TopScores
from edge_tdn.process import heartbeat
from edge_tdn.status_messages import CameraStatus, DaemonStatus, Delivery, OutboxStatus

log = logging.getLogger(__name__)


class Publisher:
    """The host's publisher. All methods may be called by any thread: they only put something into its thread's inbox.

    `boot`: new with every start of the daemon. `connect`: opens a connection with a last will and an inbox for its
    notes. `failed`: called with what ends the publisher's thread too early; its `stop` then leaves the last will.
    `commanded`: called on that thread with the topic below <base>/cmd/ and the payload of every command. `observe`:
    called with the seconds until an event was sent ("publish"), and from then until it was acknowledged ("puback").
    `record`: keeps the retained topics for the next start; None keeps them in memory. ConfigError: the TLS files cannot
    be used.
    """

    def __init__(
        self,
        base: str,
        boot: str,
        outbox: Outbox,
        connect: Connect,
        failed: Callable[[BaseException], None],
        commanded: Callable[[str, bytes], None] = lambda topic, payload: None,
        observe: Observe | None = None,
        timing: PublisherTiming = PublisherTiming(),  # noqa: B008  (frozen)
        record: TopicRecord | None = None,
    ) -> None:
        self._topics, self._outbox, self._failed = Topics(base), outbox, failed
        self._inbox: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._last_seq: dict[str, int] = {}  # of the events put into the inbox; one writer for each camera
        self._stopwatch = Stopwatch(observe)
        published = PublishedTopics(RecordedTopics(record, timing))
        self._loop = PublisherLoop(
            self._topics, boot, outbox, self._inbox, connect, commanded, self._stopwatch, timing, published
        )
        self._crashed = False  # set by the thread, if it fails
        self._thread = threading.Thread(target=self._run, name="publisher")

    def start(self) -> None:
        self._thread.start()

    @property
    def connected(self) -> bool:
        return self._loop.uplink.connected

    @property
    def session(self) -> int:
        """Return the number of the current or last connection."""
        return self._loop.uplink.session

    @property
    def connects(self) -> int:
        """Return how many connections the broker has accepted."""
        return self._loop.uplink.connects

    @property
    def delivery(self) -> Delivery:
        """Return the state of delivery, for the daemon's status."""
        return self._loop.status.current

    @property
    def outbox_status(self) -> OutboxStatus:
        return self._outbox.status()

    def last_seq(self, camera: str) -> int:
        """Return the number of the camera's last event, also before this start; 0 if it never had one."""
        return max(self._outbox.last_seq(camera), self._last_seq.get(camera, 0))

    def event(self, event: ActionEvent) -> None:
        """Publish an event, after it has been stored in the outbox."""
        self._last_seq[event.camera] = event.seq
        self._stopwatch.decided(event.camera, event.seq)
        self._inbox.put(event)

    def action(self, camera: str, label: str | None, zone: str | None = None) -> None:
        """Publish the label of the current action of a camera, or of one of its zones, for dashboards."""
        self._inbox.put(Message(self._topics.action(camera, zone), (label or "none").encode(), retain=True))

    def snapshot(self, camera: str, jpeg: bytes, zone: str | None = None) -> None:
        """Publish the picture of the newest action of a camera, or of one of its zones; an empty one removes it."""
        self._inbox.put(Message(self._topics.snapshot(camera, zone), jpeg, retain=True, content_type="image/jpeg"))

    def scores(self, scores: TopScores) -> None:
        """Publish scores with QoS 0, unless there is no connection."""
        if self.connected:
            self._inbox.put(replace(json_message(self._topics.scores(scores.camera), scores), qos=0))

    def camera_status(self, status: CameraStatus) -> None:
        self._inbox.put(json_message(self._topics.camera_status(status.camera), status, retain=True))

    def daemon_status(self, status: DaemonStatus) -> None:
        self._inbox.put(json_message(self._topics.status, status, retain=True))

    def announce(
        self,
        documents: Mapping[str, bytes],
        birth_topic: str,
        cameras: Collection[str] = (),
        snapshots: bool = False,
        zones: Collection[tuple[str, str]] = (),
    ) -> None:
        """Publish retained JSON documents by topic, at every connect, and when `online` comes on `birth_topic`.

        `cameras`: the configured ones; `zones`: camera and name of each; `snapshots`: their snapshots are published.
        All other retained topics of this host, from now or from earlier starts, are removed from the broker.
        """
        self._inbox.put(Announcement(documents, birth_topic, self._topics.retained(cameras, snapshots, zones)))

    def reconnect(self, connect: Connect, elsewhere: bool) -> None:
        """Replace the connection. `elsewhere`: by one to another broker; this one gets `stopped` as a goodbye."""
        self._inbox.put(ReconnectRequest(connect, elsewhere))

    def reply(self, reply: Reply) -> None:
        """Publish the reply to a command."""
        self._inbox.put(reply)

    def replay(self, camera: str, from_seq: int, to_seq: int, answer: Reply) -> None:
        """Publish events again, marked as replayed; then the answer, with their number."""
        self._inbox.put(ReplayRequest(camera, from_seq, to_seq, answer))

    def recent_events(self, before: int | None, camera: str | None, limit: int) -> "Future[list[Entry]]":
        """Return the future with events that the outbox still has, newest first, acknowledged or not.

        `camera`: only its events; None for those of all cameras. `before`: a `seq` of the camera, or without one an
        entry's number, so that only earlier events are returned; None for the newest. Cancelled once the thread has
        ended.
        """
        query = EventQuery(before, camera, limit)
        self._inbox.put(query)
        if self._thread.ident is not None and not self._thread.is_alive():
            query.answer.cancel()
        return query.answer

    def stop(self, failed: bool = False, remove: bool = False) -> None:
        """Send what waits, publish `stopped` and disconnect; what is not acknowledged in time stays in the outbox.

        `failed`: publish `offline` instead, because the daemon does not end on request. `remove`: then remove all
        retained messages.
        """
        self._inbox.put(StopRequest(OFFLINE if failed else STOPPED, remove))
        has_run = self._thread.ident is not None
        if has_run:
            self._thread.join()
        self._loop.uplink.close(cleanly=has_run and not self._crashed)
        left = [self._inbox.get() for _ in range(self._inbox.qsize())]
        events = [item for item in left if isinstance(item, ActionEvent)]  # if the thread has failed
        for item in left:
            if isinstance(item, EventQuery):
                item.answer.cancel()
        self._outbox.put([(event.camera, event.seq, event.json_bytes()) for event in events])
        if self._outbox.waiting:
            off = self._outbox.status().state == "off"
            fate = "are lost: they were kept in memory only" if off else "stay in the outbox until the next start"
            log.warning("stopping: %d events %s", self._outbox.waiting, fate)
        self._outbox.close()

    @heartbeat.beating()
    def _run(self) -> None:
        try:
            self._loop.run()
        except BaseException as error:  # the thread must not die unnoticed: the daemon stops and reports why
            log.exception("publisher thread failed")
            self._crashed = True
            self._failed(error)
