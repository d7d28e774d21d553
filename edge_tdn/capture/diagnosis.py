"""Why a camera's URL does not play: its name, its port, its certificate, and its answer to one request.

The libraries that play it report some of these as a "Generic error". The request is sent without credentials.
"""

import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPException, parse_headers
from io import BytesIO
from urllib.parse import urlsplit
from urllib.request import parse_http_list

from edge_tdn.capture.address import PORTS, URLS, Address
from edge_tdn.capture.content import HEAD_BYTES, not_stream
from edge_tdn.config.checks import TLS_URLS
from edge_tdn.config.tls import CAMERA, OTHER_NAME, trust
from edge_tdn.errors import ConfigError, ExplainedError, SourceError
from edge_tdn.process import heartbeat

TIMEOUT_S = 1.0  # of the connection, of the handshake, and of the whole answer
RESOLVE_TIMEOUT_S = 60.0  # name servers that do not answer may take this long
MAX_HEAD_BYTES = 65_536
MAX_SCHEMES = 8  # of authentication that are read
SCHEME = re.compile(
    r"([A-Za-z][\w.-]{0,31})(?:\s+(.*))?", re.S
)  # the first item of a challenge: its scheme and a parameter
ALGORITHM = re.compile(r'algorithm\s*=\s*"?([\w-]{1,32})', re.I)
PEM = re.compile(f"{ssl.PEM_HEADER}.+?{ssl.PEM_FOOTER}", re.S)
SUPPORTED = {"basic", "digest", "digest (md5)", "digest (md5-sess)"}
OK, UNAUTHORIZED, REDIRECTS = 200, 401, (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Answer:
    """A camera's answer to a request without credentials."""

    status: int = 0  # 0: none that is understood
    location: str = ""  # where it redirects to
    schemes: tuple[str, ...] = ()  # of authentication that it offers, such as "Digest (SHA-256)"
    body: bytes = b""  # the first bytes, of HTTP
    expires_s: float = 0.0  # when its certificate expires, seconds since 1970; 0: it has none


def diagnose(address: Address) -> None:
    """Connect to a URL and send it one request. Raises SourceError if that shows why it does not play."""
    if address.location.startswith(URLS):
        check_answer(address, ask(address))


def check_answer(address: Address, answer: Answer) -> None:
    """Raise ExplainedError for a redirect to nowhere, an unknown kind of password, and a body that is not a video."""
    if answer.status in REDIRECTS and not answer.location:
        cause = address.message("the camera redirects without an address")
        raise ExplainedError(cause, "set `source` to the address that plays")
    if answer.status == UNAUTHORIZED and answer.schemes and not SUPPORTED & {one.lower() for one in answer.schemes}:
        offered = " or ".join(answer.schemes)
        cause = address.message(f"the camera asks for authentication by {offered}, which is not supported")
        raise ExplainedError(cause, "allow Digest with MD5, or Basic, in its own settings", "unauthorized")
    cause, remedy = not_stream(answer.body)
    if answer.status == OK and cause:
        raise ExplainedError(address.message(cause), remedy)


def ask(address: Address) -> Answer:
    """Send DESCRIBE or GET to a URL, without credentials. Raises SourceError if there is no connection."""
    with asking(address) as answer:
        return answer


@contextmanager
def asking(address: Address) -> Iterator[Answer]:
    """Do the same, and keep the connection until the end: a server may take a while to end one with a stream."""
    with ExitStack() as connections:
        with _reporting(address):
            connection = connections.enter_context(_connect(address))
            expires_s = 0.0
            if isinstance(connection, ssl.SSLSocket):  # now: it is forgotten when the camera closes the connection
                certificate = connection.getpeercert() or {}
                expires_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
            answer = replace(_answer(connection, _request(address)), expires_s=expires_s)
        yield answer


def _request(address: Address) -> str:
    parts = urlsplit(address.location)
    if parts.scheme.startswith("rtsp"):
        return f"DESCRIBE {address.location} RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n"


@contextmanager
def _reporting(address: Address) -> Iterator[None]:
    """Raise SourceError, with the reason, where a connection fails."""
    host, port = _place(address)
    try:
        yield
    except TimeoutError as error:
        raise SourceError(address.message(f"{host} port {port} does not answer")) from error
    except ssl.SSLCertVerificationError as error:
        cause, remedy = CAMERA.certificate_problem(error)
        raise ExplainedError(address.message(cause), remedy) from error
    except ssl.SSLError as error:
        cause = f"{host} port {port}: the TLS handshake failed: {error.reason or error}"
        raise ExplainedError(address.message(cause), "is this the camera's TLS port?") from error
    except ConfigError as error:  # the file of the authorities has just been damaged
        raise SourceError(address.message(str(error))) from error
    except (socket.gaierror, ValueError) as error:  # not even a possible name
        raise SourceError(address.message(f"the name {host} does not resolve")) from error
    except OSError as error:
        raise SourceError(address.message(f"{host} port {port}: {error.strerror or error}")) from error


def _place(address: Address) -> tuple[str, int]:
    parts = urlsplit(address.location)
    return parts.hostname or "", parts.port or PORTS[parts.scheme]


def _connect(address: Address) -> socket.socket:
    host, port = _place(address)
    heartbeat.beat(RESOLVE_TIMEOUT_S)
    plain = socket.create_connection((host, port), TIMEOUT_S)
    if not address.location.startswith(TLS_URLS):
        return plain
    context = trust(address.ca, CAMERA)
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        if address.ca is None or error.verify_code not in OTHER_NAME:
            raise
        context.check_hostname = False  # the camera's own certificate may have any name
        secured = context.wrap_socket(socket.create_connection((host, port), TIMEOUT_S), server_hostname=host)
        own = PEM.findall(address.ca.read_text(encoding="utf-8", errors="replace"))
        if secured.getpeercert(binary_form=True) in [ssl.PEM_cert_to_DER_cert(pem) for pem in own]:
            return secured
        secured.close()
        raise


def _answer(connection: socket.socket, request: str) -> Answer:
    """Return the answer to a request; an empty one if none comes that is understood."""
    head, deadline_s = b"", time.monotonic() + TIMEOUT_S
    with suppress(OSError):  # that it connects is all that is known
        connection.sendall(request.encode(errors="replace"))
        while not _is_enough(head) and time.monotonic() < deadline_s:
            if not (more := connection.recv(4096)):
                break
            head += more
    return parse_answer(head)


def _is_enough(head: bytes) -> bool:
    before, found, body = head.partition(b"\r\n\r\n")
    return len(head) >= MAX_HEAD_BYTES or (found != b"" and (len(body) >= HEAD_BYTES or before.startswith(b"RTSP")))


def parse_answer(head: bytes) -> Answer:
    """Parse the first bytes of an RTSP or HTTP answer; an empty one if they are none."""
    status_line, _, rest = head.partition(b"\r\n")
    found = re.match(rb"(RTSP|HTTP)/\d\.\d (\d{3})\b", status_line)
    if not found:
        return Answer()
    fields, _, body = rest.partition(b"\r\n\r\n")
    try:
        headers = parse_headers(BytesIO(fields + b"\r\n\r\n"))
    except HTTPException:  # too many or too long
        return Answer(int(found[2]))
    schemes = [scheme for value in headers.get_all("WWW-Authenticate", []) for scheme in _schemes(str(value))]
    location = str(headers.get("Location", "")) if int(found[2]) in REDIRECTS else ""
    body = body[:HEAD_BYTES] if found[1] == b"HTTP" else b""
    return Answer(int(found[2]), location.strip(), tuple(dict.fromkeys(schemes))[:MAX_SCHEMES], body)


def _schemes(header: str) -> list[str]:
    """Return the schemes of a WWW-Authenticate header, which may offer several."""
    schemes: list[str] = []
    for item in parse_http_list(header):
        begins = SCHEME.fullmatch(item.strip())
        if begins and not (begins[2] or "").startswith("="):
            schemes.append(begins[1])
        if schemes and (algorithm := ALGORITHM.search(item)) and "(" not in schemes[-1]:
            schemes[-1] += f" ({algorithm[1]})"
    return schemes
