"""The Events view: new events at once, with snapshot and clip, filtered, and older ones on request."""

from datetime import datetime
from statistics import median

import pytest

from edge_tdn.web.stream import BATCH_S
from tests.browser.conftest import OpenTab
from tests.support.browser import NARROW, WIDE
from tests.support.mqtt import HostRecorder

pytestmark = pytest.mark.slow
LATE_S = 1.0  # at most, by the times of the clips that the page has scores of
EVENTS = 5  # that are compared
NOTE_CARDS = """async () => {
    const { on } = await import('/static/js/store.js');
    const first = {}, newest = {};  // by camera, the time of a clip whose scores have come
    on('scores', ({ camera, at }) => { first[camera] ??= newest[camera] = at; newest[camera] = at; });
    window.cards = {};  // by id, what had come when the card was shown
    const note = () => {
        for (const node of document.querySelectorAll('.event')) window.cards[node.dataset.id] ??= { ...newest };
    };
    note();
    new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
    window.first = first;
}"""


def test_an_event_is_shown_within_a_second_of_mqtt(open_tab: OpenTab, raw: HostRecorder) -> None:
    """MQTT has it before the scores of its clip, and so has the page: it shows no scores of a second later yet.

    Machine time is not measured: the notes of both have the times at which the camera took the pictures.
    """
    tab = open_tab("#/events")
    tab.run(NOTE_CARDS)

    def late_s() -> list[float]:
        """Return how much newer the scores of the page were, for each action that began while it had some."""
        first, cards = tab.run("() => [window.first, window.cards]")
        events = [event for camera in first for event in raw.of(camera, "events") if event["type"] == "start"]
        return [
            seconds(event["window"]["to"], cards[event["id"]][event["camera"]])
            for event in events
            if event["id"] in cards and seconds(first[event["camera"]], event["window"]["to"]) > 0
        ]

    tab.until(lambda: len(late_s()) >= EVENTS)
    assert median(late_s()) < LATE_S, late_s()
    assert BATCH_S < LATE_S, "for which a note waits for others at most"
    tab.assert_quiet()


def seconds(before: str, after: str) -> float:
    """Return the time between two moments."""
    one, other = map(datetime.fromisoformat, (before, after))
    return (other - one).total_seconds()


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
