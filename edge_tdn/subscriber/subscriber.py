"""Receives what hosts publish: events without duplicates, gaps, states, scores and replies."""

import queue
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, get_args

from pydantic import ValidationError

from edge_tdn.delivery.commands import MAX_SEQ
from edge_tdn.delivery.mqtt import Connected, Connection, Link, Lost, Message, Received
from edge_tdn.jpeg_comment import comment_in
from edge_tdn.messages import ActionEvent, AvailabilityState, Payload, Reply, TopScores
from edge_tdn.status_messages import Availability, CameraStatus, DaemonStatus
from edge_tdn.subscriber.gaps import EventCounts, Gap, GapTracker, Recount

REQUEST_CHECK_S = 0.25  # from one check for due replay requests to the next

_CAMERA_PAYLOADS: dict[str, type[Payload]] = {"events": ActionEvent, "status": CameraStatus, "scores": TopScores}
_HOST_PAYLOADS: dict[str, type[Payload]] = {"status": DaemonStatus, "reply": Reply}
_AVAILABILITIES = {state.encode(): Availability(state) for state in get_args(AvailabilityState)}


@dataclass(frozen=True)
class Snapshot:
    """The picture of a camera's newest action. The broker retains it: it may be older than the subscription."""

    jpeg: bytes = field(repr=False)
    id: str  # of the action's events, from the JPEG's comment; empty if it has none


Content = ActionEvent | CameraStatus | DaemonStatus | Availability | TopScores | Reply | Snapshot | Gap | Recount


@dataclass(frozen=True)
class HostMessage:
    """A message that is valid by its schema, or a Gap or Recount that the subscriber has noticed itself."""

    topic: str  # for a Gap or a Recount, the topic of the camera's events
    content: Content
    raw: bytes  # as received: may have keys that this version does not know; empty for a Gap or a Recount


class Subscriber:
    """Subscribes to everything below `base` at every connect. In `base`, `+` stands for any one level.

    Owned by one thread; it has none of its own: what arrives waits in memory for `messages`.

    `since`: the last `seq` that was handled, by camera topic (<base>/<camera>): `complete` of the last run. `replay`:
    whether missing events are requested from their host, or only reported as gaps.

    `messages` keeps `connected` and `connection_error` current: whether there is a connection to the broker, and if
    not, why ("connection lost", a wrong password, ...). Nothing is raised, since a broker may come back at any time: a
    program that should end after a while checks these.
    """

    def __init__(
        self, base: str, connection: Connection, since: Mapping[str, int] | None = None, replay: bool = True
    ) -> None:
        self._base = base
        self._connection = connection
        self._replay = replay
        self._tracker = GapTracker(f"subscriber-{secrets.token_hex(6)}", since)
        self._pending: deque[HostMessage] = deque()  # not yet yielded: kept for the next loop over `messages`
        self._request_check_at_s = 0.0  # monotonic
        self._link: Link | None = None
        self.connected = False
        self.connection_error = ""  # empty while connected, and before the first answer
        self.invalid = 0  # messages that were ignored because they are not valid by their schema

    @property
    def counts(self) -> EventCounts:
        """Counts of events and gaps."""
        return self._tracker.counts

    @property
    def complete(self) -> dict[str, int]:
        """The `seq` up to which nothing is missing, by camera topic: `since` of the next run."""
        return self._tracker.complete()

    def messages(self, timeout_s: float) -> Iterator[HostMessage]:
        """Iterate over what arrives within `timeout_s`. The loop may be left and entered again at any time."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._pending:
                yield self._pending.popleft()
            now = time.monotonic()
            if now >= deadline:
                return
            if self._link and self._replay and now >= self._request_check_at_s:
                self._request_check_at_s = now + REQUEST_CHECK_S
                for request in self._tracker.due_requests(now):
                    self._link.publish(Message(request.topic, request.payload))
            try:
                note = self._connection.notes.get(timeout=min(deadline - now, REQUEST_CHECK_S))
            except queue.Empty:
                continue
            match note:
                case Connected(link):
                    self.connected, self.connection_error = True, ""
                    self._link = link
                    link.subscribe(f"{self._base}/#")
                    self._tracker.reconnected()
                case Lost(reason=reason):
                    self.connected, self._link, self.connection_error = False, None, reason
                case Received(topic, payload, retained):
                    content = self._parse(topic, payload, retained)
                    if content is not None:
                        self._receive(topic, content, payload)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self, topic: str, content: Content, payload: bytes) -> None:
        parent = topic.rpartition("/")[0]  # for events the camera's topic, for replies the host's base
        if isinstance(content, ActionEvent):
            news = self._tracker.receive(parent, content)
            self._pending.extend(HostMessage(topic, one, payload if one is content else b"") for one in news)
            return
        self._pending.append(HostMessage(topic, content, payload))
        if isinstance(content, Reply):
            gaps = self._tracker.answered(parent, content)
            self._pending.extend(HostMessage(f"{gap.topic}/events", gap, b"") for gap in gaps)

    def _parse(self, topic: str, payload: bytes, retained: bool) -> Content | None:
        if not payload:  # what was retained has been removed
            return None
        levels = topic.split("/")[len(self._base.split("/")) :]
        if levels == ["availability"]:
            available = _AVAILABILITIES.get(payload)
            self.invalid += available is None
            return available
        if len(levels) == 2 and levels[1] == "snapshot":
            return Snapshot(payload, comment_in(payload))
        kind = {1: _HOST_PAYLOADS, 2: _CAMERA_PAYLOADS}.get(len(levels), {}).get(levels[-1] if levels else "")
        if kind is None:
            return None
        try:
            content: Content = kind.model_validate_json(payload)  # type: ignore[assignment]
        except ValidationError:
            self.invalid += 1
            return None
        if isinstance(content, ActionEvent) and (retained or content.seq > MAX_SEQ):  # hosts do neither
            self.invalid += 1
            return None
        return content
