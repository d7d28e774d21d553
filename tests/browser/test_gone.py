"""The daemon ends, and comes back: the page notices both without a click."""

import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import CAMERAS
from tests.support.broker import Mosquitto
from tests.support.browser import Tab, new_context
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
GONE = "The daemon does not answer"
NOTICED_S = 6.0


def test_a_killed_daemon_is_noticed_within_six_seconds_and_its_return_heals_the_page(
    browser: Browser, broker: Mosquitto, tmp_path: Path
) -> None:
    context = new_context(browser)
    tab = Tab(context)
    with PageDaemon(tmp_path, broker.url, *CAMERAS) as daemon:
        tab.page.goto(daemon.link())
        tab.until(tab.picture_of)
        daemon.process.kill()
        killed_s = time.monotonic()
        tab.until(lambda: GONE in tab.text("#banner"))
        assert time.monotonic() - killed_s < NOTICED_S
        assert tab.picture_of(), "the last picture stays"
    with PageDaemon(tmp_path, broker.url, *CAMERAS, port=daemon.port) as again:
        again.link()
        tab.until(lambda: not tab.text("#banner"))
        before = tab.picture_of()
        tab.until(lambda: tab.picture_of() != before)
        assert tab.text("h1") == "Cameras", "the session outlives the daemon"
        assert again.terminate() == 0
        tab.until(lambda: GONE in tab.text("#banner"))
    context.close()


def test_a_daemon_that_hangs_is_noticed_too(browser: Browser, broker: Mosquitto, tmp_path: Path) -> None:
    """Its connections stay open, and nothing comes."""
    context = new_context(browser)
    tab = Tab(context)
    with PageDaemon(tmp_path, broker.url, CAMERAS[0]) as daemon:
        tab.page.goto(daemon.link())
        tab.until(tab.picture_of)
        daemon.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        tab.until(lambda: GONE in tab.text("#banner"))
        assert time.monotonic() - stopped_s < NOTICED_S + 1.0  # the last note may be on its way
        daemon.process.send_signal(signal.SIGCONT)
        tab.until(lambda: not tab.text("#banner"))
    context.close()
