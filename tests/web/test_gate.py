"""Every check of the Gate, in its order, over raw sockets; each with what the checks before it let pass."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.web.gate import HEADERS
from tests.support.page_server import HOST, TOKEN, UNKNOWN, CommandCounter, PageServer, page_server

CODES = "/api/session/code"
LOGIN = "/api/session"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    with page_server(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    folder = tmp_path_factory.mktemp("proxied")
    with page_server(folder, address="0.0.0.0", hosts=["cams.lan"], trusted_proxy="127.0.0.2") as running:
        yield running


def test_a_request_of_the_page_passes(page: PageServer) -> None:
    """The address is unknown, which only a handler can find out."""
    assert page.ask().status == 404
    assert page.post(CODES, {}).status == 200


def test_what_is_not_http_is_refused(page: PageServer) -> None:
    answer = page.send(b"\x16\x03\x01 this is TLS\r\n\r\n")
    assert answer.status == 400
    assert answer.headers["connection"] == "close"


def test_a_websocket_is_not_opened(page: PageServer) -> None:
    """It is an ordinary request here, which is refused or unknown as any other."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Key": "AAAA",
        "Sec_WebSocket_Version": "13",
    }
    assert page.ask("/", session=False, **upgrade).status in (200, 404)
    assert page.ask(session=False, **upgrade).status == 401


@pytest.mark.parametrize("spread", [1, 20])
def test_a_long_head_is_refused(page: PageServer, spread: int) -> None:
    """As one header or as many, in one packet or in several."""
    lines = "".join(f"X-{number}: {'x' * (17_000 // spread)}\r\n" for number in range(spread))
    assert page.send(f"GET / HTTP/1.1\r\nHost: {HOST}:{page.port}\r\n{lines}\r\n".encode()).status == 400


def test_a_long_address_is_refused(page: PageServer) -> None:
    assert page.ask(f"{UNKNOWN}?{'x' * (2048 - len(UNKNOWN) - 1)}").status == 404
    assert page.ask(f"{UNKNOWN}?{'x' * (2048 - len(UNKNOWN))}").status == 414


@pytest.mark.parametrize(
    "target",
    [
        "/api//state",
        "//evil.test/",
        "/static/../gate.py",
        "/static/%2e%2e/gate.py",
        "/static/..%2fgate.py",
        "/static/a%00.js",
        "/static/a%0d%0aSet-Cookie:x",
        "/static\\gate.py",
        "/static/%5cgate.py",
        "http://evil.test/api/state",
        "*",
    ],
)
def test_a_path_that_is_not_plain_is_refused(page: PageServer, target: str) -> None:
    assert page.ask(target).status == 400


@pytest.mark.parametrize(
    "name", ["evil.test", "evil.test:{port}", "127.0.0.1", "127.0.0.1:1", "localhost:{port}.evil", ""]
)
def test_another_host_name_is_refused_also_for_the_shell(page: PageServer, name: str) -> None:
    """A name that someone has pointed to this host: DNS rebinding."""
    answer = page.ask("/", session=False, Host=name.format(port=page.port))
    assert answer.status == 421
    assert "web.hosts" in answer.error


@pytest.mark.parametrize("name", ["127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "[::1]:{port}"])
def test_names_of_this_host_are_allowed(page: PageServer, name: str) -> None:
    assert page.ask(Host=name.format(port=page.port)).status == 404


def test_a_request_without_a_host_is_refused(page: PageServer) -> None:
    assert page.send(b"GET / HTTP/1.0\r\n\r\n").status == 421


def test_the_host_counts_before_everything_that_follows(page: PageServer) -> None:
    assert page.ask("/", "DELETE", session=False, Host="evil.test", Origin="http://evil.test").status == 421


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get"])
def test_other_methods_are_refused(page: PageServer, method: str) -> None:
    answer = page.ask(UNKNOWN, method, Origin="http://evil.test")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_a_preflight_request_is_refused_without_a_header_of_cors(page: PageServer) -> None:
    answer = page.ask(
        CODES, "OPTIONS", Origin="http://evil.test", Access_Control_Request_Method="POST", Sec_Fetch_Site="cross-site"
    )
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none ", "nonsense", ""])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_requests_from_other_sites_are_refused(page: PageServer, site: str, method: str) -> None:
    """`same-site` is another port of this host. `none` is an address that a person has typed."""
    expected = 404 if site == "none " and method != "POST" else 403
    target = CODES if method == "POST" else UNKNOWN
    assert page.ask(target, method, b"{}" if method == "POST" else b"", Sec_Fetch_Site=site).status == expected


def test_a_link_from_elsewhere_may_open_the_shell_alone(page: PageServer) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert page.ask("/", **link).status == 200
    assert page.ask(UNKNOWN, **link).status == 403
    assert page.ask("/static/js/main.js", **link).status == 403
    assert page.ask("/", "POST", b"{}", **link).status == 403
    assert page.ask("/", **{**link, "Sec_Fetch_Dest": "iframe"}).status == 403
    assert page.ask("/", **{**link, "Sec_Fetch_Mode": "no-cors"}).status == 403


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", ""])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_from_other_origins_are_refused(page: PageServer, origin: str, method: str) -> None:
    answer = page.ask(CODES, method, b"{}" if method == "POST" else b"", Origin=origin.format(port=page.port))
    assert answer.status == 403


def test_an_origin_is_that_of_the_host_name_in_use(page: PageServer) -> None:
    """Both names are allowed, but one is another origin than the other."""
    other = f"localhost:{page.port}"
    assert page.post(CODES, {}, Host=other).status == 403
    assert page.post(CODES, {}, Host=other, Origin=f"http://{other}").status == 200


def test_a_post_states_where_it_comes_from(page: PageServer) -> None:
    assert page.post(CODES, {}, Origin=None).status == 403
    assert page.post(CODES, {}, Origin=None, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize("header", ["Host", "Origin", "Content-Type", "Sec-Fetch-Site"])
def test_a_header_that_decides_is_there_once(page: PageServer, header: str) -> None:
    """A proxy and this server may differ in which one of two they take."""
    values = {"Host": f"{HOST}:{page.port}", "Origin": page.origin, "Content-Type": "application/json"}
    lines = [*values.items(), ("Content-Length", "2"), ("Cookie", page.cookie()), ("Sec-Fetch-Site", "same-origin")]
    lines.append((header, "x"))
    text = "".join(f"{name}: {value}\r\n" for name, value in lines)
    assert page.send(f"POST {CODES} HTTP/1.1\r\n{text}\r\n{{}}".encode()).status == 400


def test_a_get_has_no_body(page: PageServer) -> None:
    assert page.ask(UNKNOWN, Content_Length="0").status == 404
    assert page.ask(UNKNOWN, body=b"{}", Content_Length="2").status == 400
    assert page.ask(UNKNOWN, body=b"0\r\n\r\n", Transfer_Encoding="chunked").status == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ('application/json; charset="utf-8"', 200),
        (None, 415),
        ("", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain; application/json", 415),
        ("application/json; charset=utf-16", 415),
        ("application/json, text/plain", 415),
    ],
)
def test_a_post_is_json(page: PageServer, content_type: str | None, status: int) -> None:
    assert page.post(CODES, {}, Content_Type=content_type).status == status


def test_a_body_is_small(page: PageServer) -> None:
    """It is refused by its announced length; by what comes if there is none."""
    padded = b"{}" + b" " * 4094
    assert page.ask(CODES, "POST", padded).status == 200
    assert page.ask(CODES, "POST", padded + b" ").status == 413
    for body, status in ((padded, 200), (padded + b" ", 413)):
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:3000], body[3000:])) + b"0\r\n\r\n"
        assert page.ask(CODES, "POST", chunks, Content_Length=None, Transfer_Encoding="chunked").status == status


def test_a_large_body_is_not_awaited(page: PageServer) -> None:
    answer = page.ask(CODES, "POST", b"{}", Content_Length="1000000000")
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


def test_two_lengths_of_a_body_are_refused(page: PageServer) -> None:
    body = b"2\r\n{}\r\n0\r\n\r\n"
    answer = page.ask(CODES, "POST", body, Transfer_Encoding="chunked")
    assert answer.status == 400


@pytest.mark.parametrize(
    "target", ["/api/state", "/api/stream", "/api/events", "/api/recording/yard/a.mp4", UNKNOWN, "/x"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_all_but_the_shell_needs_a_session(page: PageServer, target: str, method: str) -> None:
    assert page.ask(target, method, session=False).status == 401


@pytest.mark.parametrize(
    "target", [CODES, "/api/session/end", "/api/camera/yard/thresholds", "/", "/static/js/main.js"]
)
def test_every_post_but_the_login_needs_a_session(page: PageServer, target: str) -> None:
    assert page.post(target, {}, session=False).status == 401


@pytest.mark.parametrize("target", ["/", "/favicon.svg", "/static/js/main.js"])
def test_the_shell_is_public(page: PageServer, target: str) -> None:
    answer = page.ask(target, session=False)
    assert answer.status == 200
    assert TOKEN.encode() not in answer.body


def test_a_cookie_counts_under_the_name_of_this_port_alone(page: PageServer) -> None:
    name, _, value = page.cookie().partition("=")
    assert page.ask(session=False, Cookie=f"edge_tdn_1={value}").status == 401
    assert page.ask(session=False, Cookie=f"{name}={value[:-1]}").status == 401
    assert page.ask(session=False, Cookie=f"{name}=").status == 401
    assert page.ask(session=False, Cookie=f"a=b; {name}={value}; c=d").status == 404


def test_a_cookie_that_another_program_has_set_ends_no_session(page: PageServer) -> None:
    """A page on another port of this host may set a cookie of that name; it comes first if its path is longer."""
    name, _, value = page.cookie().partition("=")
    assert page.ask(session=False, Cookie=f"{name}=forged; {name}={value}").status == 404
    assert page.ask(session=False, Cookie=f"{name}=forged; " * 8 + f"{name}={value}").status == 401


def test_commands_are_counted_once_and_logins_never(tmp_path: Path) -> None:
    with page_server(tmp_path, daemon=CommandCounter(2)) as page:
        assert page.post(CODES, {}).status == 200
        assert page.post(LOGIN, {"token": TOKEN}, session=False).status == 204
        assert page.post("/api/session/end", {}).status == 204
        assert page.post(UNKNOWN, {}).status == 404
        answer = page.post(CODES, {})
        assert answer.status == 429
        assert answer.headers["retry-after"] == "10"
        assert page.ask().status == 404  # reading is not counted


def test_a_refused_post_is_not_counted(tmp_path: Path) -> None:
    """Requests without a session cannot use up the commands of those who have one."""
    with page_server(tmp_path, daemon=CommandCounter(1)) as page:
        assert page.post(CODES, {}, session=False).status == 401
        assert page.post(CODES, {}, Origin="http://evil.test").status == 403
        assert page.post(CODES, {}).status == 200


def test_a_known_address_with_another_method_is_refused(page: PageServer) -> None:
    answer = page.ask(CODES)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_every_answer_has_the_headers_and_none_of_cors(page: PageServer) -> None:
    answers = [
        page.ask("/"),
        page.ask("/static/js/main.js"),
        page.ask(),
        page.ask(session=False),
        page.ask(Host="evil.test"),
        page.ask(CODES, "POST", b"{", Origin="http://evil.test"),
        page.post(CODES, {}),
    ]
    assert [answer.status for answer in answers] == [200, 200, 404, 401, 421, 403, 200]
    for answer in answers:
        assert {name.lower(): value for name, value in HEADERS.items()}.items() <= answer.headers.items()
        assert "cache-control" in answer.headers
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answers[2].headers["cache-control"] == "no-store"


def test_an_error_in_a_handler_is_one_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns that it failed, not why."""
    with page_server(tmp_path) as page:
        page.hub.host = None  # type: ignore[assignment]
        answer = page.post("/api/camera/yard/thresholds", {"enter": 0.5})
    assert answer.status == 500
    assert "NoneType" not in answer.error
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("page: POST '/api/camera/yard/thresholds' failed: AttributeError")
    assert "gate.py:" in line
    assert "Traceback" not in caplog.text


def test_a_password_in_an_address_is_not_repeated(page: PageServer) -> None:
    answer = page.ask(Host="rtsp://admin:secret1@camera")
    assert "secret1" not in answer.error


def test_several_requests_share_a_connection(page: PageServer) -> None:
    request = f"GET {UNKNOWN} HTTP/1.1\r\nHost: {HOST}:{page.port}\r\nCookie: {page.cookie()}\r\n\r\n".encode()
    with page.connect() as connection:
        connection.sendall(request * 3)
        received = b""
        while received.count(b"HTTP/1.1 404") < 3:
            more = connection.recv(65_536)
            assert more
            received += more


def test_a_client_that_leaves_within_a_body_harms_none(page: PageServer, caplog: pytest.LogCaptureFixture) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: {HOST}:{page.port}\r\nOrigin: {page.origin}\r\n"
    with page.connect() as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        connection.shutdown(socket.SHUT_WR)
    assert page.ask().status == 404
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


class TestBehindAProxy:
    """The proxy connects from 127.0.0.2; browsers know the name cams.lan."""

    def test_only_the_proxy_may_connect(self, proxied: PageServer) -> None:
        """Not even a program of this host, whatever it forwards."""
        assert proxied.ask(Host="cams.lan", local="127.0.0.2").status == 404
        for local in ("127.0.0.1", "127.0.0.3"):
            answer = proxied.ask("/", session=False, Host="cams.lan", local=local, X_Forwarded_For="127.0.0.2")
            assert answer.status == 403
            assert "trusted proxy" in answer.error

    @pytest.mark.parametrize(
        ("origin", "forwarded", "status"),
        [
            ("https://cams.lan", "https", 200),
            ("http://cams.lan", "http", 200),
            ("http://cams.lan", None, 200),
            ("http://cams.lan", "https", 403),
            ("https://cams.lan", None, 403),
            ("https://cams.lan", "https, http", 403),
            ("https://evil.test", "https", 403),
        ],
    )
    def test_the_proxy_states_the_scheme(
        self, proxied: PageServer, origin: str, forwarded: str | None, status: int
    ) -> None:
        answer = proxied.ask(
            CODES, "POST", b"{}", local="127.0.0.2", Host="cams.lan", Origin=origin, X_Forwarded_Proto=forwarded
        )
        assert answer.status == status
        if status == 403:
            assert "X-Forwarded-Proto" in answer.error

    def test_the_cookie_is_secure_if_the_proxy_is(self, proxied: PageServer) -> None:
        for scheme in ("http", "https"):
            answer = proxied.ask(
                LOGIN,
                "POST",
                b'{"token": "%s"}' % TOKEN.encode(),
                session=False,
                local="127.0.0.2",
                Host="cams.lan",
                Origin=f"{scheme}://cams.lan",
                X_Forwarded_Proto=scheme,
            )
            assert answer.status == 204
            assert ("; Secure" in answer.headers["set-cookie"]) == (scheme == "https")


def test_a_forwarded_scheme_counts_without_a_proxy_never(page: PageServer) -> None:
    assert page.post(CODES, {}, X_Forwarded_Proto="https").status == 200
    assert page.post(CODES, {}, X_Forwarded_Proto="https", Origin=f"https://{HOST}:{page.port}").status == 403
