"""A browser, a broker and a daemon with the page, for all tests of a file; a tab for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.broker import Mosquitto
from tests.support.browser import WIDE, Tab, new_context, open_browser
from tests.support.mqtt import HostRecorder
from tests.support.page_daemon import PageDaemon

BASE = "edge-tdn/test"
CAMERAS = (  # a drawn object, and people
    'name = "door"\nsource = "demo:"\nloop = true',
    'name = "hall"\nsource = "demo:people"\nloop = true',
)
OpenTab = Callable[..., Tab]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def module_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path_factory.mktemp("broker"))
    yield mosquitto
    mosquitto.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the daemon's configuration, state and recordings."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def daemon(module_broker: Mosquitto, site: Path) -> Iterator[PageDaemon]:
    """A daemon that serves the page."""
    with PageDaemon(site, module_broker.url, *CAMERAS) as daemon:
        daemon.link()
        yield daemon
        assert daemon.is_alive, daemon.log()
        daemon.log()


@pytest.fixture
def raw(module_broker: Mosquitto) -> Iterator[HostRecorder]:
    """What the daemon publishes over MQTT."""
    recorder = HostRecorder(module_broker.port, BASE)
    yield recorder
    recorder.close()


@pytest.fixture
def open_tab(browser: Browser, daemon: PageDaemon) -> Iterator[OpenTab]:
    """Return a function that opens the page at a fragment, logged in, in a browser profile of its own."""
    contexts = []

    def opened(fragment: str = "#/cameras", size: dict[str, int] = WIDE, scheme: str = "light") -> Tab:
        context = new_context(browser, size, scheme)
        contexts.append(context)
        tab = Tab(context)
        name, _, value = daemon.log_in().partition("=")
        context.add_cookies([{"name": name, "value": value, "url": daemon.url, "httpOnly": True, "sameSite": "Strict"}])
        context.add_init_script("localStorage.setItem('edge-tdn-session', '1')")
        tab.page.goto(f"{daemon.url}{fragment}")
        tab.until(lambda: tab.page.locator("h1").count())
        return tab

    yield opened
    for context in contexts:
        context.close()
