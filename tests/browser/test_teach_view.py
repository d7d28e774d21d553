"""The Teach view: clips are recorded, looked through, moved and discarded; events are labelled."""

from typing import Any

import pytest

from tests.browser.conftest import OpenTab
from tests.support.browser import NARROW, WIDE, Tab
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
DOING = ".teach-record .doing"
PLAYS = "() => document.querySelector('dialog[open] video')?.currentTime > 0.1"


def record(tab: Tab, kind: str, label: str, count: int, pause: int) -> None:
    """Record clips of a second by the form, and wait until they are there."""
    page = tab.page
    page.get_by_label("Camera").first.select_option("hall")
    page.get_by_label(kind, exact=True).check()
    if kind == "An action":
        page.get_by_label("Name of the action").fill(label)
    for name, value in (("Number of clips", count), ("Seconds each", 1), ("Pause before each", pause)):
        page.get_by_label(name).fill(str(value))
    tab.watch_text(DOING)
    page.get_by_role("button", name="Start recording").click()
    tab.until(lambda: f"{count} clip" in tab.text(".shutter") and f"of {label} recorded." in tab.text(".shutter"))
    assert f"{label}: clip {count} of {count}" in tab.texts(DOING)


def classes(daemon: PageDaemon) -> dict[str, int]:
    """Return the number of clips of each class."""
    overview: Any = daemon.get("/api/teach", daemon.log_in())
    return {one["label"]: one["clips"] for one in overview["classes"]}


@pytest.mark.parametrize(("size", "scheme"), [(NARROW, "dark"), (WIDE, "light")], ids=["360", "1440"])
def test_the_view_is_usable(open_tab: OpenTab, size: dict[str, int], scheme: str) -> None:
    """Without a model, too: each section says what comes next."""
    tab = open_tab("#/teach", size, scheme)
    tab.shows("No model yet.")
    tab.until(lambda: tab.picture_of(".step canvas"))
    tab.assert_usable()
    assert tab.run("() => window.shifts") < 0.01
    tab.assert_quiet()


def test_clips_are_recorded_looked_through_moved_and_discarded(open_tab: OpenTab, daemon: PageDaemon) -> None:
    tab = open_tab("#/teach")
    page = tab.page
    record(tab, "An action", "wave", 2, pause=1)
    record(tab, "Background", "background", 1, pause=0)
    assert classes(daemon) == {"wave": 2, "background": 1}
    tab.shows("wave has 2 clip(s)")

    page.locator("summary", has_text="wave").click()
    page.get_by_role("button", name="Clip of wave").first.click()
    tab.until(lambda: tab.run(PLAYS))
    tab.assert_usable()
    page.get_by_label("Move this clip to").select_option("background")
    tab.shows("Clip 1 of 1", "dialog[open]")
    assert classes(daemon) == {"wave": 1, "background": 2}

    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog", name="Discard this clip?").get_by_role("button", name="Discard").click()
    tab.until(lambda: not page.locator("dialog[open]").count())
    tab.until(lambda: "wave" not in tab.text(".classes"))
    assert classes(daemon) == {"background": 2}
    tab.assert_quiet()


def test_an_event_becomes_a_clip_of_the_class_that_it_was(open_tab: OpenTab, daemon: PageDaemon) -> None:
    tab = open_tab("#/events")
    page = tab.page
    wrong = page.get_by_role("button", name="was something else")
    tab.until(wrong.count)
    wrong.first.click()
    page.get_by_label("It was", exact=True).fill("a parcel")
    page.keyboard.press("Enter")
    tab.shows("Saved to learn from: a parcel.")
    assert classes(daemon)["a parcel"] == 1
    tab.assert_quiet()
