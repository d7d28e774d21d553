"""The Events view: new events at once, with snapshot and clip, filtered, and older ones on request."""

import time
from statistics import median

import pytest

from tests.browser.conftest import OpenTab
from tests.support.browser import NARROW, WIDE
from tests.support.mqtt import HostRecorder

pytestmark = pytest.mark.slow
LATE_S = 1.0  # at most, after MQTT
EVENTS = 5  # that are compared
SHOWN_AT = """() => {
    window.shownAt = {};
    const note = () => {
        for (const node of document.querySelectorAll('.event')) window.shownAt[node.dataset.id] ??= Date.now();
    };
    note();
    new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
}"""


def test_an_event_is_shown_within_a_second_of_mqtt(open_tab: OpenTab, raw: HostRecorder) -> None:
    """Both are timed by the clock of this machine. The median, since a busy machine may stop any one process."""
    tab = open_tab("#/events")
    tab.run(SHOWN_AT)
    began_s = time.time()

    def started() -> dict[str, float]:
        """Return when MQTT had the start of each action that began after the view was open."""
        messages = [one for camera in ("door", "hall") for one in raw.on(f"edge-tdn/test/{camera}/events")]
        starts = [one for one in messages if one.received_s > began_s and one.json()["type"] == "start"]
        return {one.json()["id"]: one.received_s for one in starts}

    def shown() -> dict[str, float]:
        return {id_: at / 1000 for id_, at in tab.run("() => window.shownAt").items() if id_ in started()}

    tab.until(lambda: len(shown()) >= EVENTS)
    received = started()
    late = [at - received[id_] for id_, at in shown().items()]
    assert median(late) < LATE_S, late
    tab.assert_quiet()


def test_an_event_has_a_snapshot_and_a_clip_that_plays(open_tab: OpenTab) -> None:
    tab = open_tab("#/events")
    play = tab.page.get_by_role("button", name="Play").first
    tab.until(play.count)
    picture = "() => [...document.querySelectorAll('.event img')].some((one) => one.complete && one.naturalWidth > 100)"
    tab.until(lambda: tab.run(picture))
    play.click()
    tab.until(lambda: tab.run("() => document.querySelector('dialog[open] video')?.currentTime > 0.2"))
    assert tab.run("() => document.querySelector('dialog[open]').contains(document.activeElement)")
    length = tab.run("() => document.querySelector('dialog video').duration")
    tab.run("(to) => { document.querySelector('dialog video').currentTime = to; }", length / 2)
    at_half = f"() => document.querySelector('dialog video').currentTime > {length / 2 - 0.001}"  # counts microseconds
    tab.until(lambda: tab.run(at_half))
    tab.page.keyboard.press("Escape")
    tab.until(lambda: not tab.page.locator("dialog[open]").count())
    tab.assert_quiet()


def test_a_filter_is_part_of_the_address(open_tab: OpenTab) -> None:
    tab = open_tab("#/events")
    tab.until(lambda: tab.page.locator(".event").count())
    tab.page.get_by_label("Camera", exact=True).select_option("door")
    tab.until(lambda: "camera=door" in tab.page.url)
    tab.until(lambda: tab.page.locator(".event").count())
    assert "hall" not in tab.text(".event-days")
    tab.page.reload()
    tab.until(lambda: tab.page.locator(".event").count())
    assert tab.page.get_by_label("Camera", exact=True).input_value() == "door"
    assert "hall" not in tab.text(".event-days")
    tab.page.get_by_label("Action", exact=True).select_option("approach")
    tab.until(lambda: "label=approach" in tab.page.url)
    tab.until(
        lambda: (
            {*tab.run("() => [...document.querySelectorAll('.event h3')].map((one) => one.textContent)")}
            <= {"approach"}
        )
    )
    tab.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1440"])
def test_the_list_is_usable(open_tab: OpenTab, size: dict[str, int], scheme: str) -> None:
    tab = open_tab("#/events", size, scheme)
    tab.until(lambda: tab.page.locator(".event").count())
    tab.assert_usable()
    tab.assert_quiet()


def test_what_is_read_does_not_move_when_an_event_comes(open_tab: OpenTab, raw: HostRecorder) -> None:
    """Someone who has scrolled gets a button with the number of new events instead."""
    tab = open_tab("#/events", NARROW)
    tab.until(lambda: tab.page.locator(".event").count() >= 4)
    tab.page.mouse.wheel(0, 900)
    tab.until(lambda: tab.run("() => scrollY") > 200)
    first = tab.run("() => document.querySelector('.event').dataset.id")
    button = tab.page.get_by_role("button", name=" new")
    tab.until(button.is_visible)
    assert tab.run("() => document.querySelector('.event').dataset.id") == first
    button.click()
    tab.until(lambda: tab.run("() => document.querySelector('.event').dataset.id") != first)
    assert tab.run("() => scrollY") == 0
