"""What the page shows of one camera: its picture, the scores of its zones, and what could be changed there."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_tdn.hub.config_lines import thresholds_toml, zone_toml
from edge_tdn.hub.history import ScoreTable, action_scores
from edge_tdn.hub.host_access import ZonePlace
from edge_tdn.hub.kept_scores import KeptScores
from edge_tdn.hub.what_if import WhatIf, WhatIfRuns, WouldBe
from edge_tdn.media.outline import Outline
from edge_tdn.messages import NS_PER_MS, NS_PER_S, iso
from edge_tdn.web.answers import Refused, answer
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.pictures import LivePictures
from edge_tdn.web.queries import (
    PictureQuery,
    ScoresQuery,
    WhatIfQuery,
    ZoneLinesQuery,
    find_camera,
    find_place,
    read_query,
)

POINTS = 500  # of a plot, about
DECIMALS = 3  # of a score
FORGET_S = 60.0  # after which what thresholds were tried on is no longer kept
WHOLE = (0.0, 0.0, 1.0, 1.0)

Result = TypeVar("Result")


def routes(page: PageContext) -> list[Route]:
    """Return the routes of this file."""
    camera = CameraPages(page)
    return [
        Route("/api/camera/{camera}/picture", camera.picture, methods=["GET"]),
        Route("/api/camera/{camera}/scores", camera.scores, methods=["GET"]),
        Route("/api/camera/{camera}/what-if", camera.what_if, methods=["GET"]),
        Route("/api/camera/{camera}/zone-lines", camera.zone_lines, methods=["GET"]),
    ]


class CameraPages:
    """The handlers of one camera's requests. Belongs to the page's thread; `_runs` to its worker."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._work = page.hub, page.work
        self._pictures = LivePictures(page)
        self._runs = WhatIfRuns()
        self._tries = 0  # of thresholds, so far

    async def picture(self, request: Request) -> Response:
        """Return the newest picture as JPEG; no content if none comes, which a browser must not log as an error."""
        query = read_query(PictureQuery, request.query_params)
        picture = await self._pictures.newest(request.path_params["camera"], query.w)
        if picture is None:
            return Response(status_code=204, headers={"Retry-After": "2"})
        width, height = picture.size
        headers = {"X-Taken": iso(picture.wall_ns), "X-Size": f"{width}x{height}"}
        return Response(picture.jpeg, headers=headers, media_type="image/jpeg")

    async def scores(self, request: Request) -> Response:
        """Return the scores of each action over the last minutes."""
        query = read_query(ScoresQuery, request.query_params)
        camera, zone = find_place(self._hub, request.path_params["camera"], query.zone)
        kept = self._kept(camera.name, zone)
        found = await self._do(lambda: _history(kept, zone, query.since_ns))
        return answer(found)

    async def what_if(self, request: Request) -> Response:
        """Return the actions that other thresholds would have given."""
        query = read_query(WhatIfQuery, request.query_params)
        camera, zone = find_place(self._hub, request.path_params["camera"], query.zone)
        kept = self._kept(camera.name, zone)
        if kept is None or not kept.written:
            raise Refused(409, f"camera {camera.name} has no scores yet: its first clip is not complete")
        runs = self._runs
        self._tries += 1
        asyncio.get_running_loop().call_later(FORGET_S, self._forget, self._tries)
        try:
            found = await self._do(lambda: runs.what_if(kept, zone, camera.name, query.enter, query.exit, query.label))
        except ValueError as error:
            raise Refused(422, str(error)) from error
        toml = thresholds_toml(zone.name, query.label, query.enter, query.exit)
        return answer(_would_be(found) | {"toml": toml})

    async def zone_lines(self, request: Request) -> Response:
        """Return the lines of the configuration for a zone that was drawn."""
        query = read_query(ZoneLinesQuery, request.query_params)
        camera = find_camera(self._hub, request.path_params["camera"])
        try:
            toml = zone_toml(query.name, query.region, query.polygon or ())
        except ValueError as error:
            raise Refused(422, str(error)) from error
        size = self._size(camera.name)
        outline = Outline(query.region or WHOLE, query.polygon or ())
        height, width = outline.pixels(size)
        return answer({"toml": toml, "pixels": [width, height], "too_small": outline.too_small(size)})

    async def _do(self, job: Callable[[], Result]) -> Result:
        """Return what the job returns, which takes some time."""
        return await asyncio.get_running_loop().run_in_executor(self._work, job)

    def _kept(self, camera: str, zone: ZonePlace) -> KeptScores | None:
        """Return the kept scores of a zone; None: there are none, or they are of the model before a reload."""
        view = self._hub.views().get(camera)
        kept = view.kept(zone.name) if view else None
        return kept if kept and kept.labels == zone.labels else None

    def _size(self, camera: str) -> tuple[int, int]:
        """Return the height and width of a camera's pictures. Refused: 409, none has come yet."""
        for status in self._hub.host.camera_statuses():
            if status.camera == camera and status.width and status.height:
                return status.height, status.width
        raise Refused(409, f"camera {camera} has not sent a picture yet")

    def _forget(self, tries: int) -> None:
        if tries == self._tries:
            self._runs = WhatIfRuns()


def _history(kept: KeptScores | None, zone: ZonePlace, since_ns: int) -> dict[str, object]:
    """Return the answer with the scores of a zone. `since_ns`: wall clock."""
    clips = kept.read() if kept else None
    seconds, table = 0.0, None
    if clips and len(clips):
        seconds = clips.seconds
        every_ns = max(1, round(seconds * NS_PER_S / POINTS))
        table = action_scores(clips, zone.decide, zone.background, since_ns, every_ns)
    return {
        "zone": zone.name,
        "seconds": round(seconds, DECIMALS),
        "at_ms": _rising((table.at_ns // NS_PER_MS).tolist()) if table else [],
        "actions": table.actions if table else zone.actions,
        "scores": _rows(table) if table else [[] for _ in zone.actions],
        "thresholds": json.loads(zone.thresholds.json_bytes()),
        "action": zone.action,
    }


def _rising(at_ms: Sequence[int]) -> list[int]:
    """Return moments of which each is later than the one before: the break after a clip has its millisecond."""
    found: list[int] = []
    for moment in at_ms:
        found.append(max(moment, found[-1] + 1) if found else moment)
    return found


def _rows(table: ScoreTable) -> list[list[float | None]]:
    """Return a list of scores for each action; None where the stream broke."""
    return [[None if score != score else round(score, DECIMALS) for score in row] for row in table.scores.tolist()]


def _would_be(found: WhatIf) -> dict[str, object]:
    return {"seconds": round(found.seconds, 1), "now": _actions(found.now), "then": _actions(found.then)}


def _actions(found: Sequence[WouldBe]) -> dict[str, object]:
    actions = [
        {
            "label": one.label,
            "started_at": one.started_at,
            "ended_at": one.ended_at,
            "peak": round(one.peak, DECIMALS),
        }
        for one in found
    ]
    return {"count": len(actions), "actions": actions}
