"""The retained topics of this host by broker, in memory and in their record on disk.

What the disk refuses is tried again, ever less often: the record only tidies up, and never holds up or ends delivery.
"""

import logging
import time
from collections.abc import Callable, Set

from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.delivery.topic_record import TopicRecord, TopicsByBroker

log = logging.getLogger(__name__)


class RecordedTopics:
    """Owned by the publisher's thread. `record`: None keeps the topics in memory."""

    def __init__(
        self,
        record: TopicRecord | None = None,
        timing: PublisherTiming = PublisherTiming(),  # noqa: B008  (frozen)
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record, self._timing, self._clock = record, timing, clock
        self._topics: TopicsByBroker = {}
        self.is_read = record is None  # until then nothing is written
        self._is_written = True  # the record on disk is up to date
        self._retry_s = timing.min_retry_s  # from the next refusal to the next try
        self._retry_at_s = 0.0  # monotonic time
        self._complaint = ""  # what the disk refused last, logged once

    def at(self, broker: str) -> Set[str]:
        """Return the topics at the broker with this address."""
        return self._topics.get(broker, set())

    def add(self, broker: str, topics: Set[str]) -> None:
        known = self._topics.setdefault(broker, set())
        if not topics <= known:
            known |= topics
            self._is_written = False

    def remove(self, broker: str, topic: str) -> None:
        if topic in self.at(broker):
            self._topics[broker].discard(topic)
            self._is_written = False  # written soon: to remove a topic twice does no harm

    def synchronise(self, broker: str) -> None:
        """Read the record, once, and write what has changed since. `broker`: address of the connected or last one."""
        if not self._record or (self.is_read and self._is_written) or self._clock() < self._retry_at_s:
            return
        try:
            if not self.is_read:
                self._read(self._record, broker)
            self._record.write(self._topics)
        except (OSError, ValueError) as error:
            self._retry_at_s = self._clock() + self._retry_s
            self._retry_s = min(2 * self._retry_s, self._timing.max_retry_s)
            self._complain(getattr(error, "strerror", "") or str(error))
            return
        self._is_written, self._complaint, self._retry_s = True, "", self._timing.min_retry_s

    def _read(self, record: TopicRecord, broker: str) -> None:
        for address, topics in record.read().items():
            self.add(address, topics)
        self.is_read = True
        others = {address for address, topics in self._topics.items() if address != broker and topics}
        for address in sorted(others - record.reported):
            text = "broker=%s may still hold %d retained messages of this host; `edge-tdn forget` removes them"
            log.info(text, address, len(self.at(address)))
        record.reported = others  # not at every start; again, once it was used in between

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            log.warning(
                "retained topics: %s: %s; retried, else `edge-tdn forget` removes them", self._record, complaint
            )
        self._complaint = complaint
