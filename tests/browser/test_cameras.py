"""The Cameras view: live pictures, the action now, and the state of each camera."""

import pytest

from tests.browser.conftest import OpenTab
from tests.support.browser import NARROW, WIDE
from tests.support.mqtt import HostRecorder
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
CARD = ".camera-card:has-text('{}')"


def test_the_pictures_change_and_the_actions_are_those_of_mqtt(open_tab: OpenTab, raw: HostRecorder) -> None:
    tab = open_tab()
    for name in ("door", "hall"):
        canvas = f".camera-card canvas[aria-label='Live picture of {name}']"
        first = tab.until(lambda canvas=canvas: tab.picture_of(canvas))  # type: ignore[misc]
        tab.until(lambda canvas=canvas, first=first: tab.picture_of(canvas) != first)  # type: ignore[misc]
    shown: set[str] = set()

    def several_actions() -> bool:
        shown.add(tab.text(f"{CARD.format('door')} .pill"))
        shown.difference_update({"No action", ""})  # empty: no picture comes at this moment
        return len(shown) >= 3

    tab.until(several_actions)
    assert raw.wait_for(lambda: shown <= {*raw.labels("door")}), "the page may have one before the broker"
    tab.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1440"])
def test_the_grid_is_usable_and_does_not_jump(open_tab: OpenTab, size: dict[str, int], scheme: str) -> None:
    tab = open_tab("#/cameras", size, scheme)
    tab.until(tab.picture_of)
    tab.assert_usable()
    assert tab.run("() => window.shifts") < 0.01
    tab.assert_quiet()


def test_a_camera_is_reached_by_the_keyboard(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.until(tab.picture_of)

    def camera_has_focus() -> bool:
        tab.page.keyboard.press("Tab")
        return bool(tab.run("() => document.activeElement.hash === '#/camera/door'"))

    tab.until(camera_has_focus)
    tab.page.keyboard.press("Enter")
    tab.shows("door", "h1")
    assert tab.run("() => document.activeElement.tagName") == "H1", "a screen reader begins there"


def test_a_camera_that_is_switched_off_is_switched_on_again_here(
    open_tab: OpenTab, raw: HostRecorder, daemon: PageDaemon
) -> None:
    tab = open_tab()
    raw.publish("edge-tdn/test/cmd/hall/set/enabled", {"enabled": False})
    button = tab.page.get_by_role("button", name="Switch hall on")
    tab.until(button.count)
    assert raw.wait_for(lambda: raw.state("hall") == "disabled")
    button.click()
    raw.wait_for(lambda: raw.state("hall") == "streaming")
    tab.until(lambda: not button.count())
    tab.assert_quiet()


def test_a_hidden_tab_asks_for_no_pictures(open_tab: OpenTab) -> None:
    """A tab in the background costs the host nothing but its stream, which it closes after 10 s."""
    tab = open_tab()
    tab.until(tab.picture_of)
    tab.run("""() => {
        Object.defineProperty(document, 'hidden', { value: true, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    before = len(tab.requests)  # one may be under way still
    tab.page.wait_for_timeout(12_000)
    assert tab.requests[before:] == []
    tab.run("""() => {
        Object.defineProperty(document, 'hidden', { value: false, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }""")
    tab.until(lambda: len(tab.requests) > before + 3)
