"""HTTP servers that receive notifications: of any form, and as ntfy documents its own.

https://docs.ntfy.sh/publish: PUT or POST to /TOPIC; with the header Filename the body is an attachment and the text is
in the header Message, otherwise the body is the text; headers may be encoded as RFC 2047 has it.
"""

import email.header
import email.parser
import email.policy
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

TOPIC = re.compile(r"/[-_A-Za-z0-9]{1,64}")


@dataclass(frozen=True)
class HttpRequest:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    def form(self) -> dict[str, bytes]:
        """Return the fields of a multipart form."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        fields = {}
        for part in message.walk():
            if not part.is_multipart():
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                fields[str(part.get_param("name", header="content-disposition"))] = content
        return fields

    def ntfy(self) -> dict[str, object]:
        """Return the message that ntfy makes of it."""
        assert self.method in ("PUT", "POST")
        assert TOPIC.fullmatch(self.path), "a topic has letters, digits, - and _"

        def header(name: str) -> str:
            parts = email.header.decode_header(self.headers.get(name, ""))
            return "".join(text if isinstance(text, str) else text.decode(kind or "latin-1") for text, kind in parts)

        attached = "filename" in self.headers
        return {
            "topic": self.path[1:],
            "title": header("title"),
            "message": header("message") if attached else self.body.decode(),
            "attachment": self.body if attached else None,
        }


class WebhookServer:
    """Records requests. `answers`: statuses of the next ones, and the header Retry-After; then 200."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[HttpRequest] = []
        self.answers: list[tuple[int, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append(HttpRequest(self.command, self.path, names, body))
                status, retry_after = outer.answers.pop(0) if outer.answers else (200, "")
                self.send_response(status)
                if retry_after:
                    self.send_header("Retry-After", retry_after)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_POST = do_PUT  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
