"""The thread of the page: it waits for the first connection, and loads the server then."""

import logging
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError, with_type
from edge_tdn.hub.hub import Hub
from edge_tdn.hub.port import open_port
from edge_tdn.web.access import Admission
from edge_tdn.web.limits import DEFAULT_HTTP_LIMITS, HttpLimits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageTiming:
    """Seconds."""

    retry_s: float = 10.0  # between two attempts to open a port that is in use


DEFAULT_PAGE_TIMING = PageTiming()


class PageThread:
    """Serves the page on a thread of its own. A port that is in use is tried again by that thread.

    Until someone connects, nothing is imported and nothing runs. `_listener` belongs to the thread between `start` and
    `join`, `_stop_server` is set by it; `fault` is read by any thread; all else is fixed.
    """

    def __init__(
        self,
        config: Config,
        hub: Hub,
        access: Admission,
        limits: HttpLimits = DEFAULT_HTTP_LIMITS,
        timing: PageTiming = DEFAULT_PAGE_TIMING,
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        """Open the port. `renew`: reads the certificate again. ConfigError: the address is not available."""
        self._config, self._hub, self.access = config, hub, access
        self._limits, self._timing, self._renew = limits, timing, renew
        self._closing = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._stop_server: Callable[[], None] = lambda: None
        self._listener = open_port(self._config, "web")
        self.fault = "" if self._listener else in_use(self._config)  # why it is not served; empty: it is
        if self.fault:
            log.warning("page: %s; tried again every %g s", self.fault, timing.retry_s)
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    @property
    def address(self) -> str:
        """The URL of the page in a browser."""
        return self._config.web.url

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def announce(self) -> None:
        """Log a link with a new code for one login. The code is in the fragment, which no server and no proxy sees."""
        if not self.fault:
            log.info("page: %s", self.link())

    def link(self) -> str:
        """Return the URL with a new code for one login."""
        return f"{self.address}#code={self.access.codes.new()}"

    def renew(self) -> None:
        """Read the certificate again, for the connections to come."""
        try:
            self._renew()
        except ConfigError as error:
            log.warning("page: the certificate before stays in use: %s", error)

    def stop(self) -> None:
        """Ask the thread to end. Returns at once."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake_writer.send(b"\0")
        self._stop_server()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            for one in (self._listener, self._wake_reader, self._wake_writer):
                if one:
                    one.close()

    def _run(self) -> None:
        """Wait for the port, then for a connection, and serve until `stop`. On the thread."""
        while self._listener is None:
            if self._closing.wait(self._timing.retry_s):
                return
            self._listener = self._reopened()
            if self._listener:
                self.announce()
        while not self._closing.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._wake_reader, selectors.EVENT_READ)
                selector.select()
            try:
                self._serve(self._listener)
            except Exception as error:  # a daemon without its page still does its work
                self.fault = f"the server has failed: {with_type(error)}"
                log.exception("page: the server has failed; tried again in %g s", self._timing.retry_s)
                self._closing.wait(self._timing.retry_s)

    def _serve(self, listener: socket.socket) -> None:
        if self._closing.is_set():
            return
        from edge_tdn.web.app import create_app
        from edge_tdn.web.http_server import serve
        from edge_tdn.web.page_context import PageContext

        page = PageContext(self._config, self._hub, self.access, self._limits)
        try:
            serve(create_app(page), listener, self.access.tls, self._limits, page.closing, self._running)
        finally:
            for worker in (page.work, page.teaching):
                worker.shutdown(wait=False, cancel_futures=True)

    def _running(self, stop: Callable[[], None]) -> None:
        self._stop_server, self.fault = stop, ""
        if self._closing.is_set():  # `stop` was called before there was a server to stop
            stop()

    def _reopened(self) -> socket.socket | None:
        """Try the port again. Return its socket, or None if it cannot be opened yet."""
        try:
            listener = open_port(self._config, "web")
            fault = "" if listener else in_use(self._config)
        except ConfigError as error:  # the address has left this host meanwhile
            listener, fault = None, str(error)
        if fault and fault != self.fault:
            log.warning("page: %s", fault)
        self.fault = fault
        return listener


def in_use(config: Config) -> str:
    """Return the fault of a port that another program uses."""
    return f"port {config.web.port} is in use by another program, so that no browser can open the page"
