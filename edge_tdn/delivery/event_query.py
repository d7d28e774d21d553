"""A question for events that the outbox still has. The publisher's thread answers it: it owns the outbox."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from edge_tdn.delivery.outbox.outbox import Entry, Outbox


@dataclass(frozen=True, eq=False)
class EventQuery:
    """At most `limit` events before a place, newest first; `answer` will have them.

    `camera`: only its events, and then `before` is a `seq`; None for those of all cameras, and then `before` is an
    entry's number. `before`: None for the newest.
    """

    before: int | None
    camera: str | None
    limit: int
    answer: "Future[list[Entry]]" = field(default_factory=Future)

    def run(self, outbox: Outbox) -> None:
        """Answer it, unless it was given up. On the outbox's thread."""
        if not self.answer.set_running_or_notify_cancel():
            return
        if self.camera is None:
            self.answer.set_result(outbox.newest(self.before, self.limit))
        else:
            self.answer.set_result(outbox.newest_of(self.camera, self.before, self.limit))
