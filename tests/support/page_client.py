"""Requests to the page of a daemon, without a browser."""

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

from tests.support.waiting import PATIENCE_S


class PageClient:
    """A client of the page at a port of this host."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"

    def session(self, token: str) -> str:
        """Log in with the access token, and return the value of the header Cookie."""
        status, _, headers = self.post("/api/session", {"token": token})
        assert status == 204
        return headers["set-cookie"].partition(";")[0]

    def get(self, target: str, cookie: str) -> object:
        """Return the JSON of an answer."""
        status, body, _ = self.request("GET", target, {"Cookie": cookie})
        assert status == 200, body
        return json.loads(body)

    def post(
        self, target: str, content: object, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send JSON as the page does; return status, body and headers of the answer."""
        usual = {"Content-Type": "application/json", "Origin": self.url.rstrip("/")}
        return self.request("POST", target, usual | dict(headers or {}), json.dumps(content))

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: str | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Return status, body and headers of the answer to one request."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, target, body, dict(headers))
            answer: HTTPResponse = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}

    def stream(self, cookie: str, until: str) -> bytes:
        """Return what the page is sent without asking, up to the first note of a kind."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", "/api/stream", headers={"Cookie": cookie})
            with connection.getresponse() as answer:
                lines = [answer.readline()]
                while lines[-1] and f"event: {until}\n".encode() not in lines:
                    lines.append(answer.readline())
                return b"".join([*lines, answer.readline()])
