"""The one check of every request, before any handler; and the headers of every answer."""

import logging
import time
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_tdn.errors import with_type
from edge_tdn.process.log import RateLimitedLog
from edge_tdn.web.answers import JSON, Refused, refusal, shown
from edge_tdn.web.hosts import allowed_hosts, is_trusted, own_origin
from edge_tdn.web.page_context import PageContext
from edge_tdn.web.session_cookie import cookie_name, session_cookies

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST")
SHELL = "/"
LOGIN = "/api/session"
UNCOUNTED = (LOGIN, "/api/session/end")  # POSTs that are not commands
PUBLIC_FOLDER = "/static/"
PUBLIC = (SHELL, "/favicon.svg")
RETRY_COMMAND_S = "10"
SINGLE = ("host", "origin", "content-type", "content-length", "sec-fetch-site", "x-forwarded-proto")
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
LOG_EVERY_S, LOG_BURST = 60.0, 5


class Gate:
    """Answers what may not pass, in a fixed order of checks; hands all else to the application.

    Belongs to the thread `page`.
    """

    def __init__(self, app: ASGIApp, page: PageContext) -> None:
        self._app, self._page, self._web = app, page, page.config.web
        self._hosts = allowed_hosts(self._web)
        self._cookie = cookie_name(self._web)
        self._log = RateLimitedLog(log, LOG_EVERY_S, LOG_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. A scope that is not HTTP is a WebSocket, or the server's own: closed without an answer."""
        if scope["type"] != "http":
            return
        reply = _Reply(send)
        try:
            await self._pass(scope, receive, reply)
        except Refused as refused:
            await reply.refuse(refused, scope, receive)
        except HTTPException as error:  # of the router: no such path, no such method
            headers = {key.replace("-", "_"): value for key, value in (error.headers or {}).items()}
            await reply.refuse(Refused(error.status_code, error.detail, **headers), scope, receive)
        except FileNotFoundError:  # a recording that was deleted meanwhile
            await reply.refuse(Refused(404, "this file has been deleted"), scope, receive)
        except ClientDisconnect:
            pass
        except Exception as error:
            self._log.log(
                logging.ERROR, "page: %s", f"{scope['method']} {shown(scope['path'])} failed: {_where(error)}"
            )
            await reply.refuse(
                Refused(500, "this request failed; the log of the daemon has the reason"), scope, receive
            )

    async def _pass(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        """Check a request, and hand it on. Refused: it fails a check."""
        self._check_target(scope)
        headers = _headers(scope)
        self._check_sender(scope, headers)
        _check_method(scope)
        self._check_origin(scope, headers)
        receive = await self._checked_body(scope, headers, receive)
        reply.is_request_read = True
        if not _is_public(scope):
            self._check_session(headers)
        if scope["method"] == "POST" and scope["path"] not in UNCOUNTED and not self._page.hub.host.admits():
            raise Refused(429, "too many commands within 10 s; try again later", Retry_After=RETRY_COMMAND_S)
        scope["app"] = self._app  # so that the router raises instead of answering by itself
        await self._app(scope, receive, reply)

    def _check_target(self, scope: Scope) -> None:
        limits, path = self._page.limits, scope["path"]
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > limits.head_bytes:
            raise Refused(400, f"the head of a request has {limits.head_bytes} bytes at most")
        if len(scope["raw_path"]) + 1 + len(scope["query_string"]) > limits.target_bytes:
            raise Refused(414, f"an address has {limits.target_bytes} bytes at most")
        if not path.startswith("/") or "//" in path or ".." in path or "\\" in path or not path.isprintable():
            raise Refused(400, "this path is not allowed")

    def _check_sender(self, scope: Scope, headers: Headers) -> None:
        """Check the name under which the page was reached, and the proxy."""
        if headers.get("host", "").lower() not in self._hosts:
            raise Refused(421, f"{shown(headers.get('host', ''))} is not a name of this page; web.hosts lists them")
        if not is_trusted(self._web, (scope.get("client") or ("",))[0]):
            raise Refused(403, "only the trusted proxy may connect")

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Check that the request was made by the page itself, as far as the browser states it."""
        site, origin, method = headers.get("sec-fetch-site"), headers.get("origin"), scope["method"]
        is_reading = method in ("GET", "HEAD")
        if site is not None and site != "same-origin" and not (site == "none" and is_reading):
            mode, dest = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
            if not (method == "GET" and scope["path"] == SHELL and (mode, dest) == ("navigate", "document")):
                raise Refused(403, "requests from other sites are refused")
        if origin is not None and origin != own_origin(self._web, headers):
            hint = "; the proxy must pass on Host, and set X-Forwarded-Proto" if self._web.trusted_proxy else ""
            raise Refused(403, f"requests from other origins are refused{hint}")
        if not is_reading and site is None and origin is None:
            raise Refused(403, "a POST needs the header Origin")

    async def _checked_body(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Check the body. Return a `receive` that has it whole."""
        limit = self._page.limits.body_bytes
        if "content-length" in headers and "transfer-encoding" in headers:  # proxies differ in which one counts
            raise Refused(400, "a body has either Content-Length or Transfer-Encoding")
        length = headers.get("content-length", "0")
        if scope["method"] != "POST":
            if length.strip("0") or "transfer-encoding" in headers:
                raise Refused(400, "a GET has no body")
            return receive
        if not _is_json(headers.get("content-type", "")):
            raise Refused(415, f"the content type of a POST is {JSON}")
        body = b""
        more = int(length) <= limit if length.isdecimal() else False
        while more and len(body) <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if not more and len(body) <= limit:
                return _received(body, receive)
        raise Refused(413, f"a body has {limit} bytes at most")

    def _check_session(self, headers: Headers) -> None:
        now_s = time.time()
        values = session_cookies(headers.get("cookie", ""), self._cookie)
        if not any(self._page.access.sessions.valid(value, now_s) for value in values):
            raise Refused(401, "log in first")


class _Reply:
    """The `send` of one request: adds the headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self.is_request_read = False  # whole; else the rest of it may follow

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self._started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    async def refuse(self, refused: Refused, scope: Scope, receive: Receive) -> None:
        """Send a refusal. An answer that has begun cannot be taken back: the connection ends within it."""
        if self._started:
            raise ConnectionAbortedError
        response = refusal(refused)
        if not self.is_request_read and scope["method"] != "HEAD":
            response.headers["Connection"] = "close"
        await response(scope, receive, self)


def _headers(scope: Scope) -> Headers:
    """Return the headers. Refused: one that decides is there twice."""
    headers = Headers(scope=scope)
    for name in SINGLE:
        if len(headers.getlist(name)) > 1:
            raise Refused(400, f"the header {name} may be there once")
    return headers


def _check_method(scope: Scope) -> None:
    if scope["method"] not in METHODS:
        raise Refused(405, f"methods are {', '.join(METHODS)}", Allow=", ".join(METHODS))


def _is_public(scope: Scope) -> bool:
    """Return whether a request needs no session: it is for the shell, its files, or to log in."""
    method, path = scope["method"], scope["path"]
    if method == "POST":
        return bool(path == LOGIN)
    return bool(path in PUBLIC or path.startswith(PUBLIC_FOLDER))


def _is_json(content_type: str) -> bool:
    kind, semicolon, parameter = content_type.lower().partition(";")
    return kind.strip() == JSON and (not semicolon or parameter.strip().replace('"', "") == "charset=utf-8")


def _received(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that begins with a body that was read already."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_part() -> Message:
        return parts.pop() if parts else await receive()

    return next_part


def _where(error: BaseException) -> str:
    """Return an error with the line of the code that raised it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{with_type(error)} ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""
