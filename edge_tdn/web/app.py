"""The application: every route of the page, behind the Gate."""

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from edge_tdn.web import api_session, static_files
from edge_tdn.web.gate import Gate
from edge_tdn.web.page_context import PageContext

PARTS = (static_files, api_session)  # modules with `routes(page)`


def create_app(page: PageContext) -> ASGIApp:
    """Return the application. Each part adds its routes by `routes(page) -> list[Route]`."""
    routes: list[Route] = [route for part in PARTS for route in part.routes(page)]
    return Gate(Router(routes, redirect_slashes=False), page)
