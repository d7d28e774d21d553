"""The server of the page: HTTP/1.1 by uvicorn and h11, with limits on connections and time that they lack.

The only file that imports them; loaded at the first connection to the page.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from edge_tdn.errors import with_type
from edge_tdn.process.log import RateLimitedLog
from edge_tdn.web.limits import HttpLimits

log = logging.getLogger(__name__)

ACCEPTS_AT_ONCE = 4  # so that a new connection is read before others take its place
NO_DESCRIPTORS_S = 1.0  # pause after the process has run out of file descriptors
LINGER_S = 0.5  # for a client that is turned away to read why
MAX_LINGERING = 16
FILE_THREADS = 4  # that read recordings
LOG_EVERY_S, LOG_BURST = 60.0, 3
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\nCache-Control: no-store\r\n"
    b"Content-Type: application/json\r\nContent-Length: 43\r\n\r\n"
    b'{"error":"too many connections; try again"}'
)


def serve(
    app: ASGIApp,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    limits: HttpLimits,
    closing: asyncio.Event,
    running: Callable[[Callable[[], None]], None],
) -> None:
    """Serve until stopped; then set `closing`, at which streams must end. The listening socket stays open.

    `running` is called once with a function that stops the server, which any thread may call.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        server = PageServer(app, listener, tls, limits)
        anyio.to_thread.current_default_thread_limiter().total_tokens = FILE_THREADS

        def stop() -> None:
            try:
                loop.call_soon_threadsafe(stopped.set)
            except RuntimeError:  # the loop has ended already
                log.debug("page: stopped twice")

        server.start()
        running(stop)
        await stopped.wait()
        closing.set()
        await server.close()

    asyncio.run(main())


class PageServer:
    """Accepts connections, at most so many at once: for a new one, the oldest that asks for nothing has to end.

    Belongs to the thread `page`.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None, limits: HttpLimits) -> None:
        self._listener, self._tls, self._limits = listener, tls, limits
        self._loop = asyncio.get_running_loop()
        self._config = uvicorn.Config(
            app,
            loop="asyncio",
            http=PageProtocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=limits.keep_alive_s,  # type: ignore[arg-type]  # only handed to call_later
            h11_max_incomplete_event_size=limits.head_bytes,
        )
        self._config.load()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it has a traceback for each fault of a client
        self._state = ServerState()
        self._connections: dict[PageProtocol, asyncio.Task[None]] = {}  # oldest first, with what opens them
        self._lingering: set[socket.socket] = set()  # turned away, open until they have read why
        self._log = RateLimitedLog(log, LOG_EVERY_S, LOG_BURST)

    def start(self) -> None:
        """Start accepting connections."""
        self._loop.set_exception_handler(self._failed)
        self._listener.setblocking(False)
        self._listen()

    async def close(self) -> None:
        """Accept none any more; end the others, which get a moment for answers that have begun."""
        self._loop.remove_reader(self._listener)
        for protocol in list(self._connections):
            protocol.finish()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=self._limits.stop_s)
        for protocol in list(self._connections):
            self._end(protocol)
        for one in self._lingering:
            one.close()
        for task in self._state.tasks:
            task.cancel()
        await asyncio.sleep(0)  # aborted transports close their sockets

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._log.log(logging.ERROR, "page: connections cannot be accepted: %s", error.strerror)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(NO_DESCRIPTORS_S, self._listen)
                return
            accepted.setblocking(False)
            if self._has_room():
                protocol = PageProtocol(self._config, self._state, self._loop, self._limits, self._gone)
                self._connections[protocol] = task = self._loop.create_task(self._open(protocol, accepted))
                task.add_done_callback(partial(self._opened, protocol, accepted))
            else:
                self._turn_away(accepted)

    def _has_room(self) -> bool:
        """Return whether one more connection may be opened; the oldest that asks for nothing is ended for it."""
        if len(self._connections) < self._limits.connections:
            return True
        idle = next((one for one in self._connections if not one.is_answering), None)
        if idle:
            self._end(idle)
        return idle is not None

    async def _open(self, protocol: "PageProtocol", accepted: socket.socket) -> None:
        handshake_s = self._limits.handshake_s if self._tls else None
        await self._loop.connect_accepted_socket(
            lambda: protocol,
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=handshake_s,
            ssl_shutdown_timeout=handshake_s,
        )

    def _opened(self, protocol: "PageProtocol", accepted: socket.socket, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception():  # a handshake that failed, or took too long, or had to end
            accepted.close()
            self._gone(protocol)

    def _end(self, protocol: "PageProtocol") -> None:
        """End a connection at once."""
        task = self._connections.pop(protocol)
        if not protocol.abort():
            task.cancel()

    def _gone(self, protocol: "PageProtocol") -> None:
        self._connections.pop(protocol, None)

    def _turn_away(self, accepted: socket.socket) -> None:
        """Answer 503, and close; with TLS only close, because no answer can be sent before the handshake."""
        if self._tls or len(self._lingering) >= MAX_LINGERING:
            accepted.close()
            return
        try:
            accepted.send(BUSY)
            accepted.shutdown(socket.SHUT_WR)
        except OSError:
            accepted.close()
            return
        self._lingering.add(accepted)
        self._loop.call_later(LINGER_S, self._forget, accepted)  # closed at once, what it sends would reset it

    def _forget(self, turned_away: socket.socket) -> None:
        self._lingering.discard(turned_away)
        turned_away.close()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what a callback of the loop has raised: such as h11 for a client that leaves at a bad moment."""
        error = context.get("exception")
        cause = with_type(error) if error else context["message"]
        self._log.log(logging.WARNING, "page: a connection has failed: %s", cause)


class PageProtocol(H11Protocol):
    """One connection: a request must come whole within a time, and its answer must be taken."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        loop: asyncio.AbstractEventLoop,
        limits: HttpLimits,
        gone: Callable[["PageProtocol"], None],
    ) -> None:
        """`gone`: called when the connection has ended."""
        super().__init__(config, state, {}, loop)
        self._limits, self._on_gone = limits, gone
        self._deadline: asyncio.TimerHandle | None = None  # for the rest of a request
        self._stalled: asyncio.TimerHandle | None = None  # for a client that reads nothing

    @property
    def is_answering(self) -> bool:
        """True from the end of a request to the end of its answer."""
        return self.cycle is not None and not (self.cycle.response_complete or self.cycle.more_body)

    def abort(self) -> bool:
        """End the connection at once. False: it is not open yet."""
        if self.transport is None:
            return False
        self.transport.abort()
        return True

    def finish(self) -> None:
        """End the connection after the answer that has begun."""
        if self.is_answering:
            self.cycle.keep_alive = False
        else:
            self.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.resume_writing()
        self._unset_keepalive_if_required()
        self._on_gone(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._arm()
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._disarm()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self._limits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled:
            self._stalled.cancel()
            self._stalled = None

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._limits.request_s, self._expire)

    def _disarm(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        """End a connection whose request has not come whole in time."""
        self._deadline = None
        if not self.is_answering:
            self.transport.abort()
