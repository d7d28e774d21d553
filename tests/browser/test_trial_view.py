"""The Teach view while a model is tried: what it shows of the trial, and that nothing jumps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import CAMERAS, OpenTab
from tests.support.broker import Mosquitto
from tests.support.browser import NARROW, WIDE, Tab
from tests.support.model_folders import renamed_copy
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
MODEL = "door-open"
TRY = f"Try {MODEL} for ten minutes"
SHIFTS = "() => window.shifts"
SCORED = "() => Number(document.querySelector('.trial .muted')?.textContent.match(/(\\d+) clips? scored/)?.[1] ?? 0)"


@pytest.fixture(scope="module")
def daemon(module_broker: Mosquitto, site: Path) -> Iterator[PageDaemon]:
    """A daemon with a model that was trained by the page."""
    with PageDaemon(site, module_broker.url, *(f"{camera}\nhop = 4" for camera in CAMERAS)) as daemon:
        daemon.link()
        (page,) = site.glob("state/*/page")
        renamed_copy(page / "models" / MODEL, MODEL, {"left": "door open"})
        yield daemon
        assert daemon.is_alive, daemon.log()
        daemon.log()


def show_models(open_tab: OpenTab, size: dict[str, int]) -> Tab:
    """Open the view, scrolled to the models."""
    tab = open_tab("#/teach", size)
    button = tab.page.get_by_role("button", name=TRY)
    tab.until(button.count)
    tab.until(lambda: tab.picture_of(".step canvas"))
    button.scroll_into_view_if_needed()
    return tab


def begin(tab: Tab, daemon: PageDaemon, camera: str) -> None:
    """Begin a trial as another tab would: after a click, a browser does not count what moves."""
    headers = {"Cookie": daemon.log_in()}
    content = {"model": MODEL, "camera": camera}
    tab.until(lambda: daemon.post("/api/trial", content, headers)[0] == 202)  # refused while the host is too slow
    tab.until(lambda: tab.run(SCORED))


def end(tab: Tab) -> None:
    """End the trial by its button."""
    tab.page.get_by_role("button", name="End the trial").click()
    tab.shows("The trial has ended: stopped.")


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1440"])
def test_a_trial_that_begins_moves_nothing(open_tab: OpenTab, daemon: PageDaemon, size: dict[str, int]) -> None:
    tab = show_models(open_tab, size)
    before = tab.run(SHIFTS)
    begin(tab, daemon, "door")
    tab.assert_usable()
    assert tab.run(SHIFTS) - before < 0.01
    end(tab)
    tab.assert_quiet()


def test_the_picture_is_that_of_the_camera_on_which_a_model_is_tried(open_tab: OpenTab, daemon: PageDaemon) -> None:
    """It is the one of Record, where another camera was chosen."""
    tab = show_models(open_tab, WIDE)
    picture = tab.page.locator(".teach-record canvas")
    assert picture.get_attribute("aria-label") == "Live picture of door"
    begin(tab, daemon, "hall")
    assert picture.get_attribute("aria-label") == "Live picture of hall"
    tab.until(lambda: tab.picture_of(".teach-record canvas"))
    end(tab)
    tab.assert_quiet()
