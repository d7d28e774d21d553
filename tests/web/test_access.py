"""The token, codes for one login, and sessions."""

import stat
from pathlib import Path

import pytest

from edge_tdn.web.access import CODE_S, MAX_CODES, SESSION_S, Admission, OneTimeCodes, Sessions, kept_token
from edge_tdn.web.session_cookie import session_cookies
from tests.support.page_server import with_limits

NOW_S = 1_800_000_000.0
TOKEN = "a-token-of-these-tests"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_session_ends_after_thirty_days() -> None:
    sessions = Sessions(TOKEN)
    cookie = sessions.cookie(NOW_S)
    assert sessions.valid(cookie, NOW_S + SESSION_S - 1)
    assert not sessions.valid(cookie, NOW_S + SESSION_S)


def test_a_restart_ends_no_session_and_a_new_token_all() -> None:
    cookie = Sessions(TOKEN).cookie(NOW_S)
    assert Sessions(TOKEN).valid(cookie, NOW_S)
    assert not Sessions(f"{TOKEN}2").valid(cookie, NOW_S)


def test_two_sessions_differ() -> None:
    sessions = Sessions(TOKEN)
    assert sessions.cookie(NOW_S) != sessions.cookie(NOW_S)


@pytest.mark.parametrize("position", range(0, 75, 3))
def test_a_changed_cookie_is_refused(position: int) -> None:
    sessions = Sessions(TOKEN)
    cookie = sessions.cookie(NOW_S)
    changed = "A" if cookie[position] != "A" else "B"
    assert not sessions.valid(cookie[:position] + changed + cookie[position + 1 :], NOW_S)


@pytest.mark.parametrize("value", ["", "=", "AAAA", "ä", "a b", "*", "A" * 10_000, "\ud800"])
def test_what_is_not_a_cookie_is_refused(value: str) -> None:
    assert not Sessions(TOKEN).valid(value, NOW_S)


def test_a_code_is_good_once() -> None:
    codes = OneTimeCodes()
    code = codes.new()
    assert len(code) == 22
    assert not codes.redeem(code[:-1])
    assert codes.redeem(code)
    assert not codes.redeem(code)


def test_a_code_is_good_for_fifteen_minutes() -> None:
    clock = Clock()
    codes = OneTimeCodes(clock)
    first, second = codes.new(), codes.new()
    clock.now_s = CODE_S - 1
    assert codes.redeem(first)
    clock.now_s = CODE_S
    assert not codes.redeem(second)


def test_few_codes_are_good_at_once() -> None:
    codes = OneTimeCodes()
    given = [codes.new() for _ in range(MAX_CODES + 1)]
    assert [codes.redeem(code) for code in given] == [False] + [True] * MAX_CODES


@pytest.mark.parametrize("text", ["", "ä", "\ud800"])
def test_what_is_not_a_code_is_refused(text: str) -> None:
    assert not OneTimeCodes().redeem(text)
    assert Admission(TOKEN).log_in(text) == "wrong"


def test_wrong_tokens_have_a_limit() -> None:
    """The right one has to wait, too, until the first wrong one is a minute old."""
    clock = Clock()
    access = Admission(TOKEN, limits=with_limits(logins=3, logins_s=60.0), clock=clock)
    assert [access.log_in(token) for token in ("x", "y", TOKEN)] == ["wrong", "wrong", "right"]
    clock.now_s = 10.0
    assert [access.log_in(token) for token in ("x", TOKEN)] == ["wrong", "later"]
    clock.now_s = 60.0
    assert access.log_in(TOKEN) == "right"


def test_a_token_is_made_once_and_only_this_user_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "host" / "page"
    token = kept_token(folder)
    assert kept_token(folder) == token
    assert len(token) >= 32
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["token"]


def test_a_token_that_others_may_read_is_closed(tmp_path: Path) -> None:
    token = kept_token(tmp_path)
    (tmp_path / "token").chmod(0o644)
    assert kept_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "short", "a" * 201, "with spaces in the token", "\xff" * 20])
def test_a_damaged_token_is_made_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content, "latin-1")
    token = kept_token(tmp_path)
    assert token != content
    assert kept_token(tmp_path) == token


def test_a_link_is_not_followed_to_a_token(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("a-file-of-someone-else\n")
    (tmp_path / "token").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic link"):
        kept_token(tmp_path)
    assert elsewhere.read_text() == "a-file-of-someone-else\n"


def test_cookies_of_one_name_are_found_among_others() -> None:
    assert list(session_cookies("a=1; b=2;b=3 ;bb=4; b", "b")) == ["2", "3"]
    assert list(session_cookies("", "b")) == []
