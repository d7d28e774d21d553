"""The state of everything that the page shows, in one answer."""

import json
import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_tdn.hub.host_access import CameraPlace, ZonePlace
from edge_tdn.messages import Part, iso
from edge_tdn.web.answers import answer
from edge_tdn.web.page_context import PageContext


def routes(page: PageContext) -> list[Route]:
    """Return the routes of this file."""

    async def state(request: Request) -> Response:
        return answer(_state(page))

    return [Route("/api/state", state, methods=["GET"])]


def _state(page: PageContext) -> dict[str, object]:
    host = page.hub.host
    places, statuses = host.places(), {status.camera: status for status in host.camera_statuses()}
    return {
        "boot": page.hub.boot,
        "now": iso(time.time_ns()),
        "host": _json(host.daemon_status()),
        "cameras": [
            _camera(place) | {"status": _json(statuses[place.name])} for place in places if place.name in statuses
        ],
        "record": {
            "folder": host.recordings() is not None,
            "snapshot": any(place.snapshots for place in places),
            "clip": any(place.clips for place in places),
        },
        "teach": page.hub.teaches,
    }


def _camera(place: CameraPlace) -> dict[str, object]:
    return {
        "name": place.name,
        "enabled": place.enabled,
        "clips": place.clips,
        "zones": [_zone(zone) for zone in place.zones],
    }


def _zone(zone: ZonePlace) -> dict[str, object]:
    return {
        "zone": zone.name,
        "region": zone.region,
        "polygon": zone.polygon,
        "labels": zone.labels,
        "actions": zone.actions,
        "background": zone.background,
        "action": zone.action,
        "thresholds": _json(zone.thresholds),
        "segment_s": zone.spec.segment_s,
        "hop": zone.hop,
        "clip_s": zone.spec.needed_s(),
        "model": _json(zone.model),
        "decide": zone.decide.model_dump(mode="json"),
    }


def _json(part: Part) -> object:
    """Return a message as MQTT has it."""
    return json.loads(part.json_bytes())
