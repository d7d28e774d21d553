"""The page of the demo: its port, and the link to it."""

import socket
import time

from edge_tdn.hub.page import Page

MAX_PORTS = 100  # that are tried
RENEW_S = 600.0  # a link logs in once, within 15 minutes


class PageTitle:
    """The title of the view: a link to the page, renewed before it expires. Belongs to one thread."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._made_s = time.monotonic()
        self.link = page.link()

    def text(self) -> str:
        """Return the title as it is now."""
        if time.monotonic() - self._made_s > RENEW_S:
            self._made_s, self.link = time.monotonic(), self._page.link()
        return f"{self.link}   (Ctrl-C ends)"


def free_port(first: int) -> int:
    """Return the first port from `first` on that is free on the loopback address; `first` if none is."""
    for port in range(first, first + MAX_PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the page does
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return first
