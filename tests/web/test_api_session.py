"""Log in, log out, let another device in."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_tdn.web.access import SESSION_S
from tests.support.page_server import TOKEN, UNKNOWN, PageServer, page_server

LOGIN, LOGOUT, CODES = "/api/session", "/api/session/end", "/api/session/code"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PageServer]:
    with page_server(tmp_path) as running:
        yield running


def test_a_token_opens_a_session(page: PageServer) -> None:
    answer = page.post(LOGIN, {"token": TOKEN}, session=False)
    assert (answer.status, answer.body) == (204, b"")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert attributes == ["Path=/", f"Max-Age={SESSION_S}", "HttpOnly", "SameSite=Strict"]
    assert cookie.startswith(f"edge_tdn_{page.port}=")
    assert page.ask(UNKNOWN, session=False, Cookie=cookie).status == 404


def test_a_wrong_token_opens_none_and_is_reported(page: PageServer, caplog: pytest.LogCaptureFixture) -> None:
    answer = page.post(LOGIN, {"token": TOKEN + "x"}, session=False)
    assert (answer.status, answer.error) == (401, "the token is wrong")
    assert "set-cookie" not in answer.headers
    assert "link" in page.post(LOGIN, {"code": "x" * 22}, session=False).error
    assert "page: a wrong token from 127.0.0.1" in caplog.text
    assert TOKEN not in caplog.text


def test_after_five_wrong_ones_all_have_to_wait(page: PageServer) -> None:
    statuses = [page.post(LOGIN, {"token": "wrong"}, session=False).status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = page.post(LOGIN, {"token": TOKEN}, session=False)
    assert answer.status == 429
    assert answer.headers["retry-after"] == "60"
    assert page.ask().status == 404  # who is in stays in
    assert page.post(LOGIN, {"code": page.thread.access.codes.new()}, session=False).status == 204


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"token": ""}',
        b'{"token": 5}',
        b'{"token": null, "code": "x"}',
        b'{"token": "x", "code": "x"}',
        b'{"token": "x", "more": 1}',
        b'{"token": "%s"}' % (b"x" * 201),
        b'{"token": "\xff"}',
        b'{"token": "\\ud800"}',
        b"[" * 4000,
        b'{"token":' * 400,
    ],
)
def test_a_body_of_another_form_is_refused(page: PageServer, body: bytes) -> None:
    answer = page.ask(LOGIN, "POST", body, session=False)
    assert answer.status == 422
    assert 0 < len(answer.error) < 300


def test_a_logout_removes_the_cookie(page: PageServer) -> None:
    answer = page.post(LOGOUT, {})
    assert answer.status == 204
    assert answer.headers["set-cookie"].startswith(f"edge_tdn_{page.port}=; Path=/; Max-Age=0;")


def test_another_device_is_let_in_by_a_link(page: PageServer) -> None:
    """The link has the name under which this device has reached the page."""
    name = f"localhost:{page.port}"
    content = page.post(CODES, {}, Host=name, Origin=f"http://{name}").content
    assert content["seconds"] == 900
    assert content["address"] == f"http://{name}/#code={content['code']}"
    assert re.fullmatch(r"[\w-]{22}", content["code"])
    assert page.post(LOGIN, {"code": content["code"]}, session=False).status == 204


@pytest.mark.parametrize("target", [LOGOUT, CODES])
def test_what_has_no_content_is_sent_none(page: PageServer, target: str) -> None:
    assert page.post(target, {"x": 1}).status == 422
