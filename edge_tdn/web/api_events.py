"""Recent actions, from the events that the outbox keeps, and their snapshots and clips."""

import asyncio
import json
from collections import deque
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from edge_tdn.hub.host_access import EventCursor, EventPage
from edge_tdn.messages import ActionEvent
from edge_tdn.web.answers import Refused, answer
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.queries import MAX_EVENTS, EventsQuery, read_query
from edge_tdn.web.recordings_files import RecordedFile, has_recording, may_come, recorded_file

MAX_READS = 5  # of events for one answer
WINDOW_S = 1.0  # within which the number of reads is limited
WRITTEN_S, POLL_S = 10.0, 0.1  # for a recording that is being written: a clip is complete after its post-roll


def routes(page: PageContext) -> list[Route]:
    """Return the routes of this file."""
    events = EventPages(page)
    return [
        Route("/api/events", events.events, methods=["GET"]),
        Route("/api/recording/{camera}/{name}", events.recording, methods=["GET"]),
    ]


class EventPages:
    """The handlers of requests for events. Belongs to the page's thread."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._work, self._limits = page.hub, page.work, page.limits
        self._turns: deque[float] = deque(maxlen=page.limits.event_queries)  # seconds, of the last reads

    async def events(self, request: Request) -> Response:
        """Return the newest actions, each with its newest event. One that began long ago may come again later."""
        query = read_query(EventsQuery, request.query_params)
        actions: dict[str, ActionEvent] = {}
        cursor = query.before
        for _ in range(MAX_READS):
            rows = query.limit - len(actions) if query.label is None else MAX_EVENTS
            page = await self._read(cursor, query.camera, rows)
            for event in await self._parsed(page):
                if query.label in (None, event.label):
                    actions.setdefault(event.id, event)
            cursor = page.next
            if cursor is None or len(actions) >= query.limit:
                break
        folder, cameras = self._hub.host.recordings(), self._cameras()
        loop = asyncio.get_running_loop()
        shown = await loop.run_in_executor(self._work, _shown, actions.values(), folder, cameras)
        return answer({"actions": shown, "next": cursor and str(cursor)})

    async def recording(self, request: Request) -> Response:
        """Return a snapshot or a clip, or a part of it. One that is just being written is waited for."""
        file = await self._recorded(request.path_params["camera"], request.path_params["name"])
        if file is None:
            raise Refused(404, "this recording is not there; the oldest are deleted to make room")
        return FileResponse(file.path, media_type=file.media_type, stat_result=file.status)

    async def _recorded(self, camera: str, name: str) -> RecordedFile | None:
        folder, cameras = self._hub.host.recordings(), self._cameras()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + WRITTEN_S
        while True:
            coming = may_come(folder, cameras, camera, name, datetime.now(UTC))  # first: it may come in between
            file = recorded_file(folder, cameras, camera, name)
            if file or not coming or loop.time() >= until_s:
                return file
            await asyncio.sleep(POLL_S)

    async def _read(self, cursor: EventCursor | None, camera: str | None, rows: int) -> EventPage:
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

    async def _turn(self) -> None:
        """Wait until one more read is allowed. Refused: 503, that takes too long."""
        now_s = asyncio.get_running_loop().time()
        full = len(self._turns) == self._turns.maxlen
        at_s = max(now_s, self._turns[0] + WINDOW_S) if full else now_s
        if at_s - now_s > self._limits.reply_s:
            raise Refused(503, "too many ask for events; try again", Retry_After="3")
        self._turns.append(at_s)
        await asyncio.sleep(at_s - now_s)

    async def _parsed(self, page: EventPage) -> list[ActionEvent]:
        return await asyncio.get_running_loop().run_in_executor(self._work, lambda: list(page.events()))

    def _cameras(self) -> set[str]:
        return {place.name for place in self._hub.host.places()}


def _shown(events: Iterable[ActionEvent], folder: Path | None, cameras: Collection[str]) -> list[dict[str, object]]:
    """Return the actions as the page has them, with what can be looked at."""
    return [
        {
            "event": json.loads(event.json_bytes()),
            "playable": has_recording(folder, cameras, event.clip),
            "picture": has_recording(folder, cameras, event.snapshot),
        }
        for event in events
    ]
