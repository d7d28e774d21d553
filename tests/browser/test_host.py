"""The Host view: what the daemon reports, a link for another device, the theme, and the way out."""

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import OpenTab
from tests.support.browser import NARROW, WIDE, Tab, new_context
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow


def test_it_shows_what_status_shows(open_tab: OpenTab, daemon: PageDaemon) -> None:
    tab = open_tab("#/host")
    state = daemon.get("/api/state", daemon.log_in())
    assert isinstance(state, dict)
    for part in (
        "connected",
        "motion, fp32",
        "approach, recede",
        state["host"]["version"],
        state["host"]["model"]["sha256"],
    ):
        tab.shows(part)
    assert str(daemon.config) not in tab.page.content(), "no path"
    assert "mqtt://" not in tab.page.content(), "no address of the broker"
    tab.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1440"])
def test_it_is_usable(open_tab: OpenTab, size: dict[str, int], scheme: str) -> None:
    tab = open_tab("#/host", size, scheme)
    tab.shows("Model")
    tab.assert_usable()
    tab.assert_quiet()


def test_another_device_is_let_in_by_a_link(open_tab: OpenTab, browser: Browser) -> None:
    tab = open_tab("#/host")
    tab.page.get_by_role("button", name="Let another device in").click()
    tab.until(lambda: "#code=" in tab.text(".lines code"))
    other = new_context(browser)
    second = Tab(other)
    second.page.goto(tab.text(".lines code").strip())
    second.shows("Cameras", "h1")
    second.assert_quiet()
    other.close()


def test_the_theme_is_kept(open_tab: OpenTab) -> None:
    tab = open_tab("#/host")
    light = tab.run("() => getComputedStyle(document.body).backgroundColor")
    tab.page.get_by_label("Dark").check()
    tab.until(lambda: tab.run("() => getComputedStyle(document.body).backgroundColor") != light)
    dark = tab.run("() => getComputedStyle(document.body).backgroundColor")
    tab.page.reload()
    tab.shows("Host", "h1")
    assert tab.run("() => getComputedStyle(document.body).backgroundColor") == dark


def test_logging_out_ends_the_session_of_this_browser(open_tab: OpenTab, daemon: PageDaemon) -> None:
    tab = open_tab("#/host")
    tab.page.get_by_role("button", name="Log out").click()
    tab.shows("Log in", "h1")
    assert not tab.page.context.cookies()
    tab.page.goto(f"{daemon.url}#/cameras")
    tab.page.wait_for_timeout(300)
    tab.shows("Log in", "h1")
    assert not [status for target, status in tab.statuses if "/api/camera/" in target and status == 200][1:]
