"""The other side: hears what hosts say. For programs of your own, for `edge-tdn watch` and for the demo's view.

    from edge_tdn.config.tables import BrokerConfig
    from edge_tdn.subscriber.gaps import Gap
    from edge_tdn.messages import ActionEvent
    from edge_tdn.delivery.mqtt import Connection
    from edge_tdn.subscriber.subscriber import Subscriber

    connection = Connection(BrokerConfig(url="mqtt://localhost:1883"), "my-program")
    with Subscriber("edge-tdn/+", connection) as subscriber:
        for heard in subscriber.messages(timeout_s=3600):
            match heard.said:
                case ActionEvent() as event:
                    print(heard.topic, event.seq, event.type, event.label)
                case Gap() as gap:
                    print(gap.topic, gap.from_seq, gap.to_seq, gap.state, gap.reason)

Every event comes once. Those that were missed are asked for, and come when the host sends them again: after younger
ones, with `replayed` set. To go on after a restart of your program, keep `subscriber.complete` and hand it in as
`since`; then an event may come once more. What counts as missed: ledger.py. Whether a host is there says Availability:
what a camera's status said stands on the broker also when its host is dead.

While the broker is away, nothing comes and nothing is raised: the connection tries again by itself, and `connected` and
`trouble` tell. A `timeout_s` after which to look at them is short. The client id, here `my-program`, must be unique on
the broker: of two clients with one id, each throws the other out.
"""

import queue
import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self, get_args

from pydantic import ValidationError

from edge_tdn.delivery.commands import MAX_SEQ
from edge_tdn.delivery.mqtt import Connected, Connection, Link, Lost, Message, Received
from edge_tdn.messages import (
    ActionEvent,
    Availability,
    AvailabilityState,
    CameraStatus,
    DaemonStatus,
    Payload,
    Reply,
    TopScores,
)
from edge_tdn.subscriber.gaps import Gap, Ledger, Recount, Tally

Said = ActionEvent | CameraStatus | DaemonStatus | Availability | TopScores | Reply | Gap | Recount

ASK_EVERY_S = 0.25  # how often it is looked whether a replay is to be asked for


@dataclass(frozen=True)
class Heard:
    """A message that fits its schema, or what the subscriber noticed itself."""

    topic: str  # of a Gap or a Recount: that of the events
    said: Said
    raw: bytes  # as received: it may have keys that this version does not know; empty if noticed


_KINDS: dict[str, type[Payload]] = {"events": ActionEvent, "status": CameraStatus, "scores": TopScores}
_HOST_KINDS: dict[str, type[Payload]] = {"status": DaemonStatus, "reply": Reply}
_AVAILABILITIES = {state.encode(): Availability(state) for state in get_args(AvailabilityState)}


class Subscriber:
    """Subscribes to everything under `base`, in which `+` stands for any one level, at every connect.

    `since`: by camera topic (<base>/<camera>) the last `seq` that was dealt with. Without `replay`, gaps are told and
    not asked for. It has no thread of its own: what arrives waits in memory for `messages`, which keeps `connected` and
    `trouble` current: whether the broker is there, and else why not ("connection lost", a wrong password, ...). Nothing
    is raised, for a broker may come back at any time: who wants to end after a while looks at these.
    """

    def __init__(
        self, base: str, connection: Connection, since: Mapping[str, int] | None = None, replay: bool = True
    ) -> None:
        self._base = base
        self._connection = connection
        self._replay = replay
        self._ledger = Ledger(f"subscriber-{secrets.token_hex(6)}", since)
        self._heard: deque[Heard] = deque()  # not yet told: who leaves the loop of `messages` finds it in the next
        self._ask_at_s = 0.0  # monotonic
        self._link: Link | None = None
        self.connected = False
        self.trouble = ""  # why there is no connection; empty while there is one, and before the first answer
        self.invalid = 0  # messages that did not fit their schema

    @property
    def tally(self) -> Tally:
        """What was received, doubled, missed."""
        return self._ledger.tally

    @property
    def complete(self) -> dict[str, int]:
        """By camera topic the `seq` up to which nothing is waited for: `since` of the next run."""
        return self._ledger.complete()

    def messages(self, timeout_s: float) -> Iterator[Heard]:
        """What arrives within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._heard:
                yield self._heard.popleft()
            now = time.monotonic()
            if now >= deadline:
                return
            if self._link and self._replay and now >= self._ask_at_s:
                self._ask_at_s = now + ASK_EVERY_S
                for ask in self._ledger.due(now):
                    self._link.publish(Message(ask.topic, ask.payload))
            try:
                note = self._connection.notes.get(timeout=min(deadline - now, ASK_EVERY_S))
            except queue.Empty:
                continue
            match note:
                case Connected(link):
                    self.connected, self.trouble = True, ""
                    self._link = link
                    link.subscribe(f"{self._base}/#")
                    self._ledger.reconnected()
                case Lost(reason=reason):
                    self.connected, self._link, self.trouble = False, None, reason
                case Received(topic, payload, retained):
                    said = self._parse(topic, payload, retained)
                    if said is not None:
                        self._hear(topic, said, payload)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hear(self, topic: str, said: Said, payload: bytes) -> None:
        above = topic.rpartition("/")[0]  # of a camera's events its own topic, of a reply the host's base
        if isinstance(said, ActionEvent):
            told = self._ledger.take(above, said)
            self._heard.extend(Heard(topic, one, payload if one is said else b"") for one in told)
            return
        self._heard.append(Heard(topic, said, payload))
        if isinstance(said, Reply):
            gaps = self._ledger.answered(above, said)
            self._heard.extend(Heard(f"{gap.topic}/events", gap, b"") for gap in gaps)

    def _parse(self, topic: str, payload: bytes, retained: bool) -> Said | None:
        below = topic.split("/")[len(self._base.split("/")) :]
        if below == ["availability"]:
            available = _AVAILABILITIES.get(payload)
            self.invalid += available is None
            return available
        kind = {1: _HOST_KINDS, 2: _KINDS}.get(len(below), {}).get(below[-1] if below else "")
        if kind is None:
            return None
        try:
            said: Said = kind.model_validate_json(payload)  # type: ignore[assignment]
        except ValidationError:
            self.invalid += 1
            return None
        if isinstance(said, ActionEvent) and (retained or said.seq > MAX_SEQ):  # no host does either
            self.invalid += 1
            return None
        return said
