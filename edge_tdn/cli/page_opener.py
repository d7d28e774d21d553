"""What opens the page of a configuration: it is imported only where the configuration asks for the page."""

from functools import partial

from edge_tdn.config.tables import Config
from edge_tdn.hub.page import OpenPage


def page_opener(config: Config, keep_token: bool = True) -> OpenPage | None:
    """Return the function that opens the page; None if the page is off.

    `keep_token`: False: a new token every time, which no file has.
    """
    if not config.web.port:
        return None
    from edge_tdn.web.open_page import open_page

    return partial(open_page, keep_token=keep_token)
