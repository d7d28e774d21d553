"""The routes of the page, without a server."""

from starlette.routing import Route

from edge_tdn.config.load import parse
from edge_tdn.hub.hub import Hub
from edge_tdn.web.access import Admission
from edge_tdn.web.app import PARTS
from edge_tdn.web.page_context import PageContext


def page_routes() -> list[Route]:
    """Return every route."""
    content = {"host": "test", "camera": [{"name": "door", "source": "demo:people"}], "web": {"port": 8765}}
    page = PageContext(parse(content, "test"), Hub("boot"), Admission("a-token-of-the-tests"))
    return [route for part in PARTS for route in part.routes(page)]
