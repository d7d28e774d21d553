"""Recent actions, from the events that the outbox keeps, and their snapshots and clips."""

import asyncio
import json
from collections.abc import Collection, Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from edge_tdn.messages import ActionEvent
from edge_tdn.web.answers import Refused, answer
from edge_tdn.web.event_reader import EventReader
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.queries import MAX_EVENTS, EventsQuery, read_query
from edge_tdn.web.recordings_files import awaited_file, has_recording

MAX_READS = 5  # of events for one answer


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
        self._hub, self._work = page.hub, page.work
        self._reader = EventReader(page)

    async def events(self, request: Request) -> Response:
        """Return the newest actions, each with its newest event. One that began long ago may come again later."""
        query = read_query(EventsQuery, request.query_params)
        actions: dict[str, ActionEvent] = {}
        cursor = query.before
        for _ in range(MAX_READS):
            rows = query.limit - len(actions) if query.label is None else MAX_EVENTS
            page = await self._reader.read(cursor, query.camera, rows)
            for event in await self._reader.parsed(page):
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
        camera, name = request.path_params["camera"], request.path_params["name"]
        file = await awaited_file(self._hub.host.recordings(), self._cameras(), camera, name)
        if file is None:
            raise Refused(404, "this recording is not there; the oldest are deleted to make room")
        return FileResponse(file.path, media_type=file.media_type, stat_result=file.status)

    def _cameras(self) -> set[str]:
        return {place.name for place in self._hub.host.places()}


def _shown(events: Iterable[ActionEvent], folder: Path | None, cameras: Collection[str]) -> list[dict[str, object]]:
    """Return the actions as the page has them, with what can be looked at, and learned from."""
    return [_one(event, folder, cameras) for event in events]


def _one(event: ActionEvent, folder: Path | None, cameras: Collection[str]) -> dict[str, object]:
    playable = has_recording(folder, cameras, event.clip)
    return {
        "event": json.loads(event.json_bytes()),
        "playable": playable,
        "labelable": playable and event.type == "end",
        "picture": has_recording(folder, cameras, event.snapshot),
    }
