"""The daemon ends, and comes back: the page notices both without a click."""

import signal
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Error as BrowserError

from tests.browser.conftest import CAMERAS
from tests.support.broker import Mosquitto
from tests.support.browser import Tab, new_context
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
GONE = "The daemon does not answer"
NOTICED_S = 6.0  # by the clock of the page, which stands still while a busy machine does something else
STEP_MS = 250
KINDS = ["hello", "resync", "ping", "scores", "action", "event", "camera", "host", "record", "finetune", "trial"]
NOTE_TIMES = f"""
window.EventSource = class extends EventSource {{
    constructor(...given) {{
        super(...given);
        for (const kind of {KINDS}) this.addEventListener(kind, () => {{ window.lastNote = performance.now(); }});
    }}
}};
"""


def open_tab(browser: Browser) -> Tab:
    """Return a tab whose clock the test can stop."""
    context = new_context(browser)
    context.clock.install()
    context.add_init_script(NOTE_TIMES)
    return Tab(context)


def stop_clock(tab: Tab) -> None:
    """Let the page's time stand still, and wait until it has a note of this moment."""
    with suppress(BrowserError):  # it stands still also where the moment that is given has passed
        tab.page.clock.pause_at(tab.run("() => Date.now() / 1000") + 0.5)
    stopped = tab.run("() => performance.now()")
    tab.until(lambda: tab.run("() => window.lastNote") == stopped)


def noticed_after_s(tab: Tab) -> float:
    """Let the page's time pass until it shows that the daemon is gone. Return how long after its last note that is."""

    def shows_it() -> bool:
        tab.page.clock.run_for(STEP_MS)
        return GONE in tab.text("#banner")

    tab.until(shows_it)
    return float(tab.run("() => performance.now() - window.lastNote")) / 1000


def test_a_killed_daemon_is_noticed_within_six_seconds_and_its_return_heals_the_page(
    browser: Browser, broker: Mosquitto, tmp_path: Path
) -> None:
    tab = open_tab(browser)
    with PageDaemon(tmp_path, broker.url, *CAMERAS) as daemon:
        tab.page.goto(daemon.link())
        tab.until(tab.picture_of)
        stop_clock(tab)
        daemon.process.kill()
        assert noticed_after_s(tab) < NOTICED_S
        assert tab.picture_of(), "the last picture stays"
    tab.page.clock.resume()
    with PageDaemon(tmp_path, broker.url, *CAMERAS, port=daemon.port) as again:
        again.link()
        tab.until(lambda: not tab.text("#banner"))
        before = tab.picture_of()
        tab.until(lambda: tab.picture_of() != before)
        assert tab.text("h1") == "Cameras", "the session outlives the daemon"
        assert again.terminate() == 0
        tab.until(lambda: GONE in tab.text("#banner"))
    tab.page.context.close()


def test_a_daemon_that_hangs_is_noticed_too(browser: Browser, broker: Mosquitto, tmp_path: Path) -> None:
    """Its connections stay open, and nothing comes."""
    tab = open_tab(browser)
    with PageDaemon(tmp_path, broker.url, CAMERAS[0]) as daemon:
        tab.page.goto(daemon.link())
        tab.until(tab.picture_of)
        stop_clock(tab)
        daemon.process.send_signal(signal.SIGSTOP)
        assert noticed_after_s(tab) < NOTICED_S
        tab.page.clock.resume()
        daemon.process.send_signal(signal.SIGCONT)
        tab.until(lambda: not tab.text("#banner"))
    tab.page.context.close()
