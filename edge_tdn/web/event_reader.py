"""Read the events that the outbox keeps, so many times a second at most."""

import asyncio
from collections import deque

from edge_tdn.hub.host_access import EventCursor, EventPage
from edge_tdn.messages import ActionEvent
from edge_tdn.web.answers import Refused
from edge_tdn.web.page_context import PageContext

WINDOW_S = 1.0  # within which the number of reads is limited


class EventReader:
    """Reads events for handlers. Belongs to the page's thread."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._work, self._limits = page.hub, page.work, page.limits
        self._turns: deque[float] = deque(maxlen=page.limits.event_queries)  # seconds, of the last reads

    async def read(self, cursor: EventCursor | None, camera: str | None, rows: int) -> EventPage:
        """Read events. Refused: 503, the publisher is busy, or ends."""
        await self._turn()
        try:
            async with asyncio.timeout(self._limits.reply_s):
                return await asyncio.wrap_future(self._hub.host.events(cursor, camera, rows))
        except TimeoutError:
            pass
        except asyncio.CancelledError:  # of the future, by a publisher that has stopped; or of this task
            if (task := asyncio.current_task()) and task.cancelling():
                raise
        raise Refused(503, "the events cannot be read now; try again", Retry_After="3")

    async def parsed(self, page: EventPage) -> list[ActionEvent]:
        """Return the events of a page."""
        return await asyncio.get_running_loop().run_in_executor(self._work, lambda: list(page.events()))

    async def one(self, camera: str, seq: int) -> ActionEvent | None:
        """Return an event of a camera by its number; None: it is not kept. Refused as `read`."""
        events = await self.parsed(await self.read(EventCursor("seq", seq + 1), camera, 1))
        return events[0] if events and events[0].seq == seq else None

    async def _turn(self) -> None:
        """Wait until one more read is allowed. Refused: 503, that takes too long."""
        now_s = asyncio.get_running_loop().time()
        full = len(self._turns) == self._turns.maxlen
        at_s = max(now_s, self._turns[0] + WINDOW_S) if full else now_s
        if at_s - now_s > self._limits.reply_s:
            raise Refused(503, "too many ask for events; try again", Retry_After="3")
        self._turns.append(at_s)
        await asyncio.sleep(at_s - now_s)
