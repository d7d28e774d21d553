"""Replies to commands, and the events that a `replay` command asks for."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge_tdn.delivery.in_flight import InFlight
from edge_tdn.delivery.mqtt import JSON, Message, json_message
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.topics import Topics
from edge_tdn.messages import Reply

MAX_REPLAYS = 8  # that wait to be sent


@dataclass
class ReplayRequest:
    """A camera's events to send again, both ends included, and the reply that follows them."""

    camera: str
    from_seq: int
    to_seq: int
    reply: Reply
    next_seq: int = field(init=False)
    sent: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.next_seq = self.from_seq


class Replays:
    """A queue of replies and replays, in the order of the commands. Owned by the publisher's thread."""

    def __init__(self, topics: Topics, outbox: Outbox, in_flight: InFlight) -> None:
        self._topics, self._outbox, self._in_flight = topics, outbox, in_flight
        self._queue: deque[Reply | ReplayRequest] = deque()

    def reply(self, reply: Reply) -> None:
        """Send a reply."""
        self._queue.append(reply)

    def replay(self, request: ReplayRequest) -> None:
        """Send events again, then the reply; reject the request if too many wait."""
        if sum(isinstance(item, ReplayRequest) for item in self._queue) < MAX_REPLAYS:
            self._queue.append(request)
        else:
            busy = {"ok": False, "error": f"busy: {MAX_REPLAYS} replays are waiting", "result": {}}
            self._queue.append(request.reply.model_copy(update=busy))

    def clear(self) -> None:
        """Forget everything: the connection has ended, the clients may ask again."""
        self._queue.clear()

    def next(self) -> Iterator[Message]:
        """Yield the messages to send now, while there is room in flight."""
        while self._in_flight.room > 0 and self._queue:
            match self._queue[0]:
                case ReplayRequest() as request:
                    yield from self._events(request)
                case Reply() as reply:
                    self._queue.popleft()
                    yield json_message(self._topics.reply, reply)

    def _events(self, request: ReplayRequest) -> Iterator[Message]:
        """Yield as many events as there is room for; after the last, replace the request by its reply."""
        room = self._in_flight.room
        entries = self._outbox.replay(request.camera, request.next_seq, request.to_seq, room)
        for entry in entries:
            content = json.loads(entry.payload) | {"replayed": True}
            payload = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
            request.next_seq = entry.seq + 1
            yield Message(self._topics.events(request.camera), payload, content_type=JSON)
        request.sent += len(entries)
        if len(entries) < room:
            last = min(request.to_seq, self._outbox.last_seq(request.camera))
            missing = max(0, last - request.from_seq + 1 - request.sent)
            result = request.reply.result | {"sent": request.sent, "missing": missing}
            self._queue[0] = request.reply.model_copy(update={"result": result})
