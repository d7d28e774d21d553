"""The commands of the page: those of MQTT, with the same payloads."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_tdn.hub.config_lines import thresholds_toml
from edge_tdn.hub.hub import Hub
from edge_tdn.messages import Reply
from edge_tdn.web.answers import Refused, answer
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.queries import find_camera


def routes(page: PageContext) -> list[Route]:
    """Return the routes of this file."""

    async def thresholds(request: Request) -> Response:
        reply = await _carried_out(page.hub, request, "set/threshold")
        zone, label = (None if (of := reply.result.get(key)) is None else str(of) for key in ("zone", "label"))
        enter, leave = (float(reply.result[key] or 0) for key in ("enter", "exit"))
        toml = thresholds_toml(zone, label, enter, leave)
        return answer({"ok": True, "result": reply.result, "toml": toml})

    async def enabled(request: Request) -> Response:
        reply = await _carried_out(page.hub, request, "set/enabled")
        return answer({"ok": True, "result": reply.result})

    return [
        Route("/api/camera/{camera}/thresholds", thresholds, methods=["POST"]),
        Route("/api/camera/{camera}/enabled", enabled, methods=["POST"]),
    ]


async def _carried_out(hub: Hub, request: Request, verb: str) -> Reply:
    """Carry out a camera's command; return its reply. Refused: 422, with the text that MQTT would have."""
    camera = find_camera(hub, request.path_params["camera"])
    reply = hub.host.command(f"{camera.name}/{verb}", await request.body())
    if not reply.ok:
        raise Refused(422, reply.error)
    return reply
