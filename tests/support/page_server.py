"""A page on a free port with a daemon that answers as a test has it, and its clients on raw sockets."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_tdn.config.load import parse
from edge_tdn.config.tables import Config
from edge_tdn.hub.hub import Hub
from edge_tdn.web.limits import DEFAULT_HTTP_LIMITS, HttpLimits
from edge_tdn.web.open_page import open_page
from edge_tdn.web.page_thread import PageThread, PageTiming
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S

TOKEN = "a token of the tests, not-a-secret".replace(" ", "-")
UNKNOWN = "/api/unknown"  # an address that needs a session; with one, it is 404
HOST = "127.0.0.1"
LAST_CHUNK = b"\r\n0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # before an answer, if the request asks for it


@dataclass
class CommandCounter:
    """The daemon of these tests: it counts commands, up to a limit, and carries out none."""

    left: int = 1_000_000

    def admits(self) -> bool:
        """Count a command."""
        self.left -= 1
        return self.left >= 0


@dataclass(frozen=True)
class PageAnswer:
    """An answer as it came; header names are in lower case. `status` 0: the server closed without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def error(self) -> str:
        """The text of a refusal."""
        return str(json.loads(self.body)["error"])

    @property
    def content(self) -> Any:
        """The JSON of an answer."""
        return json.loads(self.body)


@dataclass(frozen=True)
class PageServer:
    """A running page."""

    thread: PageThread
    config: Config
    hub: Hub

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self.config.web.port

    @property
    def origin(self) -> str:
        """The origin of the page on this host."""
        return f"http://{HOST}:{self.port}"

    def cookie(self) -> str:
        """Return the header of a session, made by the page's own key."""
        return f"edge_tdn_{self.port}={self.thread.access.sessions.cookie(time.time())}"

    def connect(self, local: str = HOST) -> socket.socket:
        """Return a connection. `local`: the client's address."""
        return socket.create_connection((HOST, self.port), PATIENCE_S, (local, 0))

    def send(self, raw: bytes, local: str = HOST) -> PageAnswer:
        """Return the answer to a request as it goes over the wire."""
        with self.connect(local) as connection:
            connection.sendall(raw)
            return read_answer(connection, is_head=raw.startswith(b"HEAD"))

    def ask(
        self,
        target: str = UNKNOWN,
        method: str = "GET",
        body: bytes = b"",
        session: bool = True,
        local: str = HOST,
        **headers: str | None,
    ) -> PageAnswer:
        """Return the answer to a request of the page itself; `headers` change its headers, None leaves one out."""
        sent: dict[str, str | None] = {"Host": f"{HOST}:{self.port}"}
        if session:
            sent["Cookie"] = self.cookie()
        if method == "POST":
            sent |= {"Origin": self.origin, "Content-Type": "application/json", "Content-Length": str(len(body))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in sent.items() if value is not None]
        head = "\r\n".join((f"{method} {target} HTTP/1.1", *lines, "", ""))
        return self.send(head.encode("latin-1") + body, local)

    def post(self, target: str, content: object, session: bool = True, **headers: str | None) -> PageAnswer:
        """Return the answer to a POST of JSON."""
        return self.ask(target, "POST", json.dumps(content).encode(), session, **headers)


@contextmanager
def page_server(
    folder: Path,
    limits: HttpLimits = DEFAULT_HTTP_LIMITS,
    timing: PageTiming | None = None,
    daemon: CommandCounter | None = None,
    port: int = 0,
    **web: Any,
) -> Iterator[PageServer]:
    """Run a page until the block ends. `web`: further keys of [web]; `port`: 0: a free one."""
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    table = {"port": port or free_port(), "token_file": str(token), **web}
    config = parse({"host": "test", "camera": [{"name": "yard", "source": "demo:people"}], "web": table}, "test")
    hub = Hub("boot")
    hub.host = daemon or CommandCounter()  # type: ignore[assignment]
    thread = open_page(config, folder, hub, limits=limits, timing=timing or PageTiming())
    thread.start()
    try:
        yield PageServer(thread, config, hub)
    finally:
        thread.stop()
        thread.join(PATIENCE_S)


def read_answer(connection: socket.socket, is_head: bool = False, max_body: int = 1 << 40) -> PageAnswer:
    """Read one answer, of an endless one `max_body` bytes.

    Its status is 0 if the server closes or resets the connection without one.
    """
    received = b""
    try:
        while b"\r\n\r\n" not in received.removeprefix(CONTINUE):
            if not (more := connection.recv(65_536)):
                return PageAnswer(0)
            received += more
        head, _, body = received.removeprefix(CONTINUE).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        length = 0 if is_head or status in (204, 304) else min(max_body, int(headers.get("content-length", max_body)))
        in_chunks = headers.get("transfer-encoding") == "chunked"  # of unknown length: the last chunk is empty
        while len(body) < length and not (in_chunks and body.endswith(LAST_CHUNK)):
            if not (more := connection.recv(65_536)):
                break
            body += more
    except ConnectionResetError:
        return PageAnswer(0)
    return PageAnswer(status, headers, body)


def is_closed(connection: socket.socket) -> bool:
    """Wait for the server to end a connection; False: it sends something instead."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def wrapped(connection: socket.socket, authority: Path) -> ssl.SSLSocket:
    """Return a connection by TLS."""
    return ssl.create_default_context(cafile=authority).wrap_socket(connection, server_hostname=HOST)


def with_limits(**changed: float) -> HttpLimits:
    """Return the limits with some changed."""
    change: Callable[..., HttpLimits] = replace
    return change(DEFAULT_HTTP_LIMITS, **changed)
