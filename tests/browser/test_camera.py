"""The Camera view: the plot of scores, thresholds that are tried and applied, and a zone that is drawn."""

import re
import tomllib
from pathlib import Path

import pytest

from edge_tdn.config.load import load
from tests.browser.conftest import OpenTab
from tests.support.browser import NARROW, WIDE, Tab
from tests.support.mqtt import HostRecorder
from tests.support.page_daemon import PageDaemon

pytestmark = pytest.mark.slow
PLOT = ".plot canvas"
LATE_STATUS = """async (camera) => {
    const { cameraOf, emit } = await import('/static/js/store.js');
    const before = structuredClone(cameraOf(camera).status);
    const watch = new MutationObserver(() => {
        if (!document.querySelector('.lines code')) return;
        watch.disconnect();
        emit('camera', before);
        window.late = true;
    });
    watch.observe(document.body, { childList: true, subtree: true });
}"""
PIXELS = "(selector) => document.querySelector(selector)?.toDataURL() ?? ''"


def open_plot(open_tab: OpenTab, fragment: str = "#/camera/door", **options: object) -> Tab:
    tab = open_tab(fragment, **options)
    tab.until(tab.picture_of)
    tab.until(lambda: tab.run(PIXELS, PLOT))
    return tab


def set_slider(tab: Tab, name: str, value: float) -> None:
    """Move a slider as a person with a keyboard, or a reader, does."""
    number = tab.page.get_by_label(f"{name}, as a number")
    number.fill(f"{value:g}")
    number.press("Tab")


def test_picture_and_plot_move(open_tab: OpenTab) -> None:
    tab = open_plot(open_tab)
    picture, plot = tab.picture_of(), tab.run(PIXELS, PLOT)
    tab.until(lambda: tab.picture_of() != picture)
    tab.until(lambda: tab.run(PIXELS, PLOT) != plot)
    tab.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["360", "1440"])
def test_the_view_is_usable_and_does_not_jump(open_tab: OpenTab, size: dict[str, int], scheme: str) -> None:
    tab = open_plot(open_tab, size=size, scheme=scheme)
    tab.assert_usable()
    assert tab.run("() => window.shifts") < 0.05
    tab.page.get_by_text("Draw a zone").click()
    tab.until(lambda: "[[camera.zone]]" in tab.text(".lines-of-zone"))
    tab.assert_usable()
    tab.assert_quiet()


def test_a_threshold_is_tried_then_applied_and_mqtt_reports_it(
    open_tab: OpenTab, raw: HostRecorder, site: Path
) -> None:
    """Nothing changes before the button is pressed; then the lines to keep it are ones that `check` accepts."""
    tab = open_plot(open_tab)
    tab.until(lambda: tab.run("() => document.querySelectorAll('.score-table tr').length") > 1)
    before = raw.wait_for(lambda: raw.of("door", "status"))[-1]["thresholds"]
    assert before["enter"] != 0.91
    set_slider(tab, "An action starts at", 0.91)
    tab.until(lambda: re.search(r"In the last .+: \d+ actions?\. With these thresholds: \d+\.", tab.text(".what-if")))
    raw.synchronize()
    assert raw.of("door", "status")[-1]["thresholds"] == before
    tab.page.get_by_role("button", name="Apply until restart").click()
    raw.wait_for(lambda: raw.of("door", "status")[-1]["thresholds"]["enter"] == 0.91)
    tab.until(lambda: "enter_threshold = 0.91" in tab.text(".lines"))
    lines = tomllib.loads(tab.text(".lines code"))
    assert lines["decide"]["enter_threshold"] == 0.91
    kept = site / "kept.toml"
    text = (site / "site.toml").read_text().replace("[decide]\n", "[unused]\n")
    kept.write_text(re.sub(r"\[unused\]\n(?:\w+ = \S+\n)+", "", text) + "\n" + tab.text(".lines code") + "\n")
    assert load(kept).decide.enter_threshold == 0.91
    tab.assert_quiet()


def test_a_status_of_before_does_not_take_the_lines_away(open_tab: OpenTab) -> None:
    """It may be on its way while the thresholds are applied."""
    tab = open_plot(open_tab)
    tab.run(LATE_STATUS, "door")
    set_slider(tab, "An action starts at", 0.92)
    tab.page.get_by_role("button", name="Apply until restart").click()
    tab.until(lambda: tab.run("() => window.late"))
    assert "enter_threshold = 0.92" in tab.text(".lines")
    assert tab.page.get_by_label("An action starts at, as a number").input_value() == "0.92"
    tab.assert_quiet()


def test_a_threshold_that_mqtt_sets_moves_the_slider(open_tab: OpenTab, raw: HostRecorder) -> None:
    tab = open_plot(open_tab, "#/camera/hall")
    raw.publish("edge-tdn/test/cmd/hall/set/threshold", {"enter": 0.83, "exit": 0.42})
    number = tab.page.get_by_label("An action starts at, as a number")
    tab.until(lambda: number.input_value() == "0.83")
    assert tab.page.get_by_label("and ends below, as a number").input_value() == "0.42"


def test_a_rectangle_is_drawn_with_the_mouse_and_its_lines_pass_check(
    open_tab: OpenTab, daemon: PageDaemon, site: Path
) -> None:
    tab = open_plot(open_tab, "#/camera/hall")
    tab.page.get_by_text("Draw a zone").click()
    tab.until(lambda: "region = " in tab.text(".lines-of-zone"))
    first = tab.text(".lines-of-zone code")
    box = tab.page.locator("svg.drawing").bounding_box()
    assert box
    shape = tab.page.locator("svg.drawing > polygon").bounding_box()
    assert shape
    left, top = shape["x"] - 0.4 * shape["width"], shape["y"] - 0.4 * shape["height"]
    tab.page.mouse.move(left, top)
    tab.page.mouse.down()
    tab.page.mouse.move(left + shape["width"], top + shape["height"], steps=5)
    tab.page.mouse.up()
    tab.until(lambda: tab.text(".lines-of-zone code") not in ("", first))
    tab.page.get_by_label("Name").fill("desk")
    tab.until(lambda: 'name = "desk"' in tab.text(".lines-of-zone code"))
    drawn = site / "drawn.toml"
    drawn.write_text(f"{(site / 'site.toml').read_text()}\n{tab.text('.lines-of-zone code')}\n")
    (zone,) = load(drawn).camera[-1].zone
    assert zone.name == "desk"
    assert zone.region
    left_share, top_share, width, height = zone.region
    assert (left_share, top_share) == (pytest.approx(0.14, abs=0.03), pytest.approx(0.14, abs=0.03))
    assert (width, height) == (pytest.approx(0.4, abs=0.03), pytest.approx(0.4, abs=0.03))
    tab.assert_quiet()


def test_a_polygon_is_drawn_by_the_keyboard_alone(open_tab: OpenTab, site: Path) -> None:
    tab = open_plot(open_tab, "#/camera/hall")
    summary = tab.page.locator("summary", has_text="Draw a zone")
    summary.focus()
    tab.page.keyboard.press("Enter")
    tab.page.get_by_label("Rectangle").focus()
    tab.page.keyboard.press("ArrowRight")
    tab.until(lambda: "polygon = " in tab.text(".lines-of-zone"))
    corner = tab.page.locator("svg.drawing [data-corner='0']")
    corner.focus()
    for _ in range(3):
        tab.page.keyboard.press("ArrowLeft")

    def first_corner() -> list[float]:
        """Return the corner that the lines have; they may be asked for after each key."""
        (zone,) = tomllib.loads(f"[[camera]]\n{tab.text('.lines-of-zone code')}")["camera"][0].get("zone", [{}])
        return list(zone.get("polygon", [[]])[0])

    tab.until(lambda: first_corner() == [pytest.approx(0.27), pytest.approx(0.3)])
    assert tab.run("() => document.activeElement.dataset.corner") == "0", "the corner keeps the focus"


def test_a_name_that_check_refuses_is_refused_with_its_words(open_tab: OpenTab) -> None:
    tab = open_plot(open_tab, "#/camera/hall")
    tab.page.get_by_text("Draw a zone").click()
    tab.until(lambda: "region = " in tab.text(".lines-of-zone"))
    tab.page.get_by_label("Name").fill("a/b")
    tab.until(lambda: "name" in tab.text(".lines-of-zone [role=alert]"))


def test_an_unknown_camera_is_named_with_a_way_back(open_tab: OpenTab) -> None:
    tab = open_tab("#/camera/attic")
    tab.shows("attic")
    tab.page.get_by_role("link", name="All cameras").click()
    tab.shows("Cameras", "h1")
    tab.assert_quiet()
