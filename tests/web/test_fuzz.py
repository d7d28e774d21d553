"""A thousand odd requests to every route: each is answered, none with a fault of the daemon."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_tdn.web.gate import HEADERS
from tests.support.decisions import LEFT, STILL, scores
from tests.support.fuzzed_requests import FuzzedRequest, RequestFuzzer
from tests.support.page_rig import PageRig, ScriptedDaemon, action, noise, page_rig
from tests.support.page_routes import page_routes
from tests.support.page_server import HOST, PageAnswer, read_answer, with_limits

REQUESTS = 1000  # to each route
UNKNOWN = ("/{anything}", "/api/{anything}")
REFUSED = ("/api/session", *UNKNOWN)  # by the answers to requests that are as they should be
STREAM = "/api/stream"  # has no end
MAX_BODY = 1_000_000
FEW = 40  # in the fast test
STATUSES = {200, 202, 204, 206, 304, 400, 401, 403, 404, 405, 409, 413, 414, 415, 416, 421, 422, 429, 503}
QUICK = with_limits(picture_wait_s=0.01, event_queries=100_000, logins=10_000)


ROUTES = [*(route.path for route in page_routes()), *UNKNOWN]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[PageRig]:
    """A page with a frame, scores, events, a recording, and a clip to learn from."""
    daemon = ScriptedDaemon(folder=tmp_path / "recordings")
    (tmp_path / "recordings" / "door").mkdir(parents=True)
    (tmp_path / "recordings" / "door" / "20260301T120000.000Z_left_1.jpg").write_bytes(b"\xff\xd8\xff\xd9" * 1000)
    daemon.put(*action(1, "start", "end"), *action(2, "start", first_seq=3))
    with page_rig(tmp_path, daemon, QUICK) as running:
        running.teaching.put("door open")
        kept = running.kept()
        for number, clip in enumerate((STILL, LEFT, LEFT, STILL)):
            kept.scored(scores(number, clip))
        yield running


def answered(rig: PageRig, request: FuzzedRequest, max_body: int) -> PageAnswer:
    """Return the answer to a request. Status 0: the connection has ended without one."""
    with rig.page.connect() as connection:
        with suppress(OSError):  # refused before it was sent whole
            connection.sendall(request.raw)
            if not request.is_whole:
                connection.shutdown(socket.SHUT_WR)
        return read_answer(connection, request.is_head, max_body)


def check(rig: PageRig, route: str, count: int, log: pytest.LogCaptureFixture) -> None:
    """Send requests; check every answer, and what the log has of them."""
    headers = [f"Host: {HOST}:{rig.page.port}", f"Cookie: {rig.page.cookie()}", f"Origin: {rig.page.origin}"]
    fuzzer = RequestFuzzer(route, headers)
    seen: Counter[int] = Counter()  # answers by status
    for number in range(count):
        rig.frame(noise(48, 64), number)
        request = fuzzer.request()
        answer = answered(rig, request, max_body=1 if route == STREAM else MAX_BODY)
        assert answer.status in STATUSES or not (answer.status or request.is_whole), request.raw
        if answer.status and "content-security-policy" not in answer.headers:
            assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8"), request.raw
        elif answer.status:
            assert {name.lower(): value for name, value in HEADERS.items()}.items() <= answer.headers.items(), (
                request.raw
            )
        seen[answer.status] += 1
    assert seen[400]
    assert seen[405]
    assert seen[200] + seen[202] + seen[204] or route in REFUSED
    assert rig.page.ask("/api/state").status == 200
    assert "Traceback" not in log.text
    assert not [record for record in log.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("route", ROUTES)
def test_odd_requests_are_answered(route: str, rig: PageRig, caplog: pytest.LogCaptureFixture) -> None:
    check(rig, route, FEW, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_a_thousand_odd_requests_are_answered(route: str, rig: PageRig, caplog: pytest.LogCaptureFixture) -> None:
    check(rig, route, REQUESTS, caplog)
