"""The application: every route of the page, behind the Gate."""

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from edge_tdn.web import api_camera, api_commands, api_events, api_session, api_state, api_teach, static_files, stream
from edge_tdn.web.gate import Gate
from edge_tdn.web.page_context import PageContext

# modules with `routes(page)`
PARTS = (static_files, api_session, api_state, stream, api_camera, api_commands, api_events, api_teach)


def create_app(page: PageContext) -> ASGIApp:
    """Return the application. Each part adds its routes by `routes(page) -> list[Route]`."""
    routes: list[Route] = [route for part in PARTS for route in part.routes(page)]
    return Gate(Router(routes, redirect_slashes=False), page)
