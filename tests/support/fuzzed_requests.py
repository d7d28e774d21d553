"""Requests to the page that no browser would send, the same ones every time."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

WORDS = (
    "", "0", "-1", "1", "0.5", "640", "1e309", "nan", "inf", "-0", "9" * 30, "0x10", "١", "true", "null", "[]", "{}",
    "door", "yard", "left", "background", "n1", "s1", "n" + "9" * 18, "n" + "9" * 19, "n-1", "x1",
    "2026-03-01T12:00:00.250Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "Z",
    "0.1,0.2,0.5,0.5", "0,0,1,1", "1,1,1,1", "0,0;1,0;1,1", "0,0;1,1;1,0;0,1", ";", ",", "0,0;" * 100, "nan,0,1,1",
    "..", "../../etc/passwd", "/etc/passwd", "C:\\", "a/b", "%2e%2e", "\x00", "\r\nX: y", "\x7f", "é", "\u202e", "𝛑",
    "\ud800", "' OR 1=1 --", "<script>alert(1)</script>", "${7*7}", "rtsp://admin:secret@camera/", "a" * 300,
    "20260301T120000.000Z_left_1.jpg", "20260301T120000.000Z_left_1.mp4", "index.html", "js/main.js",
)  # fmt: off
KEYS = (
    "w", "zone", "since", "enter", "exit", "label", "name", "region", "polygon", "before", "camera", "limit", "id",
    "enabled", "token", "code", "count", "seconds", "pause", "seq", "model", "x", "",
)  # fmt: off
METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW")
HEADERS = (
    (
        "Range",
        ("bytes=0-", "bytes=-1", "bytes=5-2", "bytes=0-0,2-2", "bytes=" + "0-1," * 200, "bytes=a", "lines=1", ""),
    ),
    ("If-None-Match", ("*", 'W/"x"', '"' * 9, ",,,")),
    ("If-Range", ("x", '"x"', "Thu, 01 Jan 1970 00:00:00 GMT")),
    ("If-Modified-Since", ("x", "Thu, 01 Jan 2970 00:00:00 GMT")),
    ("Last-Event-ID", ("boot-1", "boot-", "boot-" + "9" * 40, "-", "x", "boot--1")),
    ("Accept-Encoding", ("gzip", "gzip;q=0", "*", ",;,")),
    ("Content-Type", ("text/plain", "application/json; charset=utf-8", "application/json;", "")),
    ("Sec-Fetch-Site", ("same-origin", "cross-site", "none")),
    ("Origin", ("null", "http://evil.test", "x")),
    ("Connection", ("close", "Upgrade", "keep-alive")),
    ("Upgrade", ("websocket", "h2c")),
    ("Expect", ("100-continue", "x")),
    ("Transfer-Encoding", ("chunked", "gzip")),
    ("X-Forwarded-Proto", ("https", "gopher")),
    ("Cookie", ("", "=", ";;;", "a=b; a", "edge_tdn_1=" + "A" * 75)),
    ("X-Long", ("x" * 5000,)),
)
VALID_QUERIES = {  # by the end of the route
    "/picture": {"w": "160"},
    "/scores": {"since": "2026-03-01T12:00:00.250Z"},
    "/what-if": {"enter": "0.7", "exit": "0.4", "label": "left"},
    "/zone-lines": {"name": "gate", "region": "0.1,0.2,0.5,0.5"},
    "/events": {"camera": "door", "limit": "5"},
    "/clips": {"label": "door%20open"},
}
VALID_BODIES: dict[str, dict[str, object]] = {
    "/thresholds": {"enter": 0.7, "exit": 0.4},
    "/enabled": {"enabled": True},
    "/session": {"token": "not-the-token-of-the-tests"},
    "/end": {},
    "/code": {},
    "/record": {"label": "door open", "count": 10, "seconds": 2, "pause": 3.5},
    "/label": {"seq": 2, "label": "door open"},
    "/move": {"label": "background"},
    "/finetune": {"id": "door-open"},
    "/trial": {"model": "door-open", "camera": "door"},
    "/takeover": {"model": "door-open"},
    "/stop": {},
}
VALID_PARTS = {
    "camera": "door", "name": "20260301T120000.000Z_left_1.jpg", "name:path": "js/main.js", "label": "door%20open",
}  # fmt: off
VALID_CLIP = "20260301T120000Z-1.mp4"
MAX_HEADERS, MAX_PAIRS = 3, 4


@dataclass(frozen=True)
class FuzzedRequest:
    """A request as it goes over the wire."""

    raw: bytes
    is_whole: bool  # False: the server may wait for more

    @property
    def is_head(self) -> bool:
        """True if the answer has no body."""
        return self.raw.startswith(b"HEAD")


class RequestFuzzer:
    """Makes requests to one route, such as `/api/events`: what a browser would send, slightly changed."""

    def __init__(self, route: str, headers: Sequence[str]) -> None:
        """`headers`: lines that every request has: Host, session and origin."""
        self._route, self._headers = route, headers
        self._random = random.Random(route)
        end = route[route.rfind("/") :]
        self._method = "POST" if end in VALID_BODIES else "GET"
        self._query, self._content = VALID_QUERIES.get(end, {}), VALID_BODIES.get(end, {})

    def request(self) -> FuzzedRequest:
        """Return the next request."""
        method = self._random.choice(METHODS) if self._seldom(0.2) else self._method
        target = re.sub(r"\{([^}]*)\}", lambda part: self._part(part[1]), self._route)
        pairs = [f"{key}={self._quoted() if self._seldom(0.2) else value}" for key, value in self._query.items()]
        pairs += [f"{self._random.choice(KEYS)}={self._quoted()}" for _ in range(MAX_PAIRS) if self._seldom(0.1)]
        if pairs:
            target += f"?{'&'.join(pairs)}"
        body = self._body() if method == "POST" or self._seldom(0.05) else b""
        lines = [*self._headers]
        for name, values in self._random.sample(HEADERS, self._random.randrange(MAX_HEADERS)):
            lines.append(f"{name}: {self._random.choice(values)}")
        if method == "POST" and not self._seldom(0.1):
            lines.append("Content-Type: application/json")
        length = len(body) + self._random.choice((0,) * 18 + (-1, 1))
        if body:
            lines.append(f"Content-Length: {max(0, length)}")
        raw = "\r\n".join((f"{method} {target} HTTP/1.1", *lines, "", "")).encode("latin-1") + body
        return FuzzedRequest(raw, length <= len(body) and b"Transfer-Encoding" not in raw)

    def _seldom(self, share: float) -> bool:
        return self._random.random() < share

    def _part(self, name: str) -> str:
        """Return a part of the path."""
        if name not in VALID_PARTS or self._seldom(0.3):
            return self._quoted()
        return VALID_CLIP if name == "name" and self._route.startswith("/api/clip/") else VALID_PARTS[name]

    def _quoted(self) -> str:
        """Return a value as an address may have it, seldom as it may not."""
        word = self._random.choice(WORDS)
        if self._seldom(0.02):
            return "%zz%"
        return quote(word.encode("utf-8", "surrogatepass"), safe="/;,:" if self._seldom(0.5) else "")

    def _body(self) -> bytes:
        """Return JSON with keys that mean something, or a damaged one."""
        content = {key: self._value() if self._seldom(0.2) else value for key, value in self._content.items()}
        content |= {self._random.choice(KEYS): self._value() for _ in range(MAX_PAIRS) if self._seldom(0.1)}
        whole = json.dumps(content)
        raw = whole.encode()
        kind = self._random.randrange(12)
        if kind == 0:
            return raw[: self._random.randrange(len(raw) + 1)]
        if kind == 1:
            return self._random.randbytes(self._random.randrange(50))
        if kind == 2:
            return self._random.choice((b"[" * 4000, b'{"a":' * 800, b"1e999", b"NaN", b'"\\ud800"', b" " * 5000))
        return raw

    def _value(self) -> object:
        values = (None, True, 0, -1, 0.5, 10**30, 1e300, [], {}, [[]], {"enter": 0.5})
        return self._random.choice((self._random.choice(WORDS), self._random.choice(values)))
