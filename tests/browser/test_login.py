"""Logging in: by the link of the log, by the access token, and what a browser without either gets."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import OpenTab
from tests.support.browser import NARROW, WIDE, Tab, new_context
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
ALERT = "[role=alert]"


@pytest.fixture
def tab(browser: Browser, daemon: PageDaemon) -> Iterator[Tab]:
    """A tab of a profile that has never been here."""
    context = new_context(browser)
    yield Tab(context)
    context.close()


def test_the_link_of_the_log_logs_in_and_leaves_no_code_in_the_address_or_the_history(
    tab: Tab, daemon: PageDaemon
) -> None:
    link = daemon.new_link()
    tab.page.goto(link)
    tab.shows("Cameras", "h1")
    assert tab.page.url == f"{daemon.url}#/cameras"
    tab.until(tab.picture_of)
    tab.assert_quiet()
    assert tab.run("() => document.cookie") == "", "the session is hidden from scripts"
    (cookie,) = tab.page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (f"edge_tdn_{daemon.port}", True, "Strict")
    tab.page.reload()
    tab.shows("Cameras", "h1")
    assert tab.run("() => history.length") <= 2, "no way back to the link"


def test_a_link_works_once(browser: Browser, tab: Tab, daemon: PageDaemon) -> None:
    link = daemon.new_link()
    tab.page.goto(link)
    tab.shows("Cameras", "h1")
    other = new_context(browser)
    late = Tab(other)
    late.page.goto(link)
    late.shows("This link was used already", ALERT)
    late.shows("Log in", "h1")
    other.close()


def test_the_access_token_logs_in_and_a_wrong_one_is_answered_in_words(tab: Tab, daemon: PageDaemon) -> None:
    tab.page.goto(daemon.url)
    tab.shows("Log in", "h1")
    tab.assert_quiet()
    assert tab.run("() => document.activeElement.type") == "password"
    tab.page.keyboard.type("not the token of this host")
    tab.page.keyboard.press("Enter")
    tab.shows("This token is not right", ALERT)
    tab.page.keyboard.type(daemon.token())
    tab.page.keyboard.press("Enter")
    tab.shows("Cameras", "h1")
    assert daemon.token() not in tab.page.content()
    assert daemon.token() not in daemon.log()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1440"])
def test_the_login_is_usable(browser: Browser, daemon: PageDaemon, size: dict[str, int], scheme: str) -> None:
    context = new_context(browser, size, scheme)
    tab = Tab(context)
    tab.page.goto(daemon.url)
    tab.shows("Log in", "h1")
    tab.assert_usable()
    tab.assert_quiet()
    context.close()


def test_a_session_that_is_not_valid_any_more_ends_at_the_login(open_tab: OpenTab, daemon: PageDaemon) -> None:
    tab = open_tab()
    tab.until(tab.picture_of)
    tab.page.context.clear_cookies()
    tab.page.goto(f"{daemon.url}#/host")
    tab.page.reload()
    tab.shows("Log in", "h1")
    assert not tab.picture_of()
