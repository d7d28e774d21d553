"""Debian's Chromium, driven by Playwright, and what a tab of it has reported."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright
from playwright.sync_api import Error as BrowserError

from tests.support.waiting import PATIENCE_S, eventually

T = TypeVar("T")
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1440, "height": 900}
EVIL = "evil.test"  # a name that resolves to this machine, in this browser alone
WATCH_SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts += one.value;
}).observe({ type: "layout-shift", buffered: true });
"""
WATCH_TEXTS = """(selector) => {
    const texts = (window.texts ??= {})[selector] = [];
    const note = () => {
        const text = document.querySelector(selector)?.textContent ?? '';
        if (text !== texts.at(-1)) texts.push(text);
    };
    note();
    new MutationObserver(note).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""
CHECKS = (Path(__file__).parent / "accessibility.js").read_text()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Run Chromium without a screen. The test is skipped where it is missing."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: make browser")
    options = ["--disable-dev-shm-usage", f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options, timeout=1000 * PATIENCE_S)
        yield browser
        browser.close()


class Tab:
    """A tab, and everything that it has reported: console messages, errors, requests that were refused or failed."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.messages: list[str] = []
        self.requests: list[str] = []  # target of every request
        self.statuses: list[tuple[str, int]] = []  # target and status of every answer
        self._targets: dict[str, str] = {}  # by the number of the request
        self._answered: list[tuple[str, int]] = []  # number of the request, and status
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("response", self._on_response)
        self._watch_network()

    def _watch_network(self) -> None:
        """Record every answer of the network, by the protocol of Chromium's own tools."""
        network = self.page.context.new_cdp_session(self.page)
        network.on(
            "Network.requestWillBeSent",
            lambda sent: self._targets.update({sent["requestId"]: sent["request"]["url"]}),
        )
        network.on(
            "Network.responseReceivedExtraInfo",
            lambda got: self._answered.append((got["requestId"], got["statusCode"])),
        )
        network.send("Network.enable")

    @property
    def answers(self) -> list[tuple[str, int]]:
        """Target and status of every answer, also of those that the browser keeps from the page.

        Two processes report them: an answer may be reported before its request.
        """
        return [(self._targets.get(number, ""), status) for number, status in self._answered]

    def _on_console(self, message: ConsoleMessage) -> None:
        self.messages.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _on_response(self, response: Response) -> None:
        self.statuses.append((response.url, response.status))

    def until(self, condition: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
        """Return the first truthy value of `condition`, which asks the page."""

        def asked() -> T:
            self.page.wait_for_timeout(20)  # handles what the browser has reported
            return condition()

        return eventually(asked, timeout_s, lambda: (self.page.url, self.text("body"), self.messages))

    def text(self, selector: str) -> str:
        """Return the text of the first such element as it is shown; empty: there is none at this moment."""
        try:
            texts = self.page.locator(selector).all_inner_texts()  # waits for none, which may leave at any time
        except BrowserError as error:
            if "context was destroyed" not in str(error):
                raise
            return ""  # another page takes the place of this one
        return texts[0] if texts else ""

    def watch_text(self, selector: str) -> None:
        """Record each text of the first such element from now on, also one that is replaced a moment later."""
        self.run(WATCH_TEXTS, selector)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of an element that `watch_text` has recorded."""
        return list(self.run("(selector) => window.texts[selector]", selector))

    def shows(self, text: str, selector: str = "main") -> None:
        """Wait until a text is shown."""
        self.until(lambda: text in self.text(selector))

    def run(self, script: str, argument: Any = None) -> Any:
        """Return the value of a JavaScript expression or function in the page."""
        return self.page.evaluate(script, argument)

    def assert_quiet(self) -> None:
        """Assert that nothing was written to the console and every request was answered."""
        assert not self.messages, self.messages
        refused = [one for one in self.statuses if one[1] >= 400]
        assert not refused, refused

    def assert_usable(self) -> None:
        """Assert names, labels, contrast and headings, and that the page has no horizontal scroll and did not jump."""
        faults = self.run(CHECKS)
        assert not faults, faults
        width, shown = self.run("() => [document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= shown, f"{width} pixels are wider than the window of {shown}"

    def picture_of(self, selector: str = "canvas.live-picture") -> str:
        """Return a canvas as a data URL; empty: it is not there, or has no picture yet."""
        drawn = "(s) => { const c = document.querySelector(s); return c?.dataset.taken ? c.toDataURL() : ''; }"
        return str(self.run(drawn, selector))


def new_context(browser: Browser, size: dict[str, int] = WIDE, scheme: str = "light") -> BrowserContext:
    """Return a browser profile of its own, with the time zone and language of a fixed place."""
    context = browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if scheme == "dark" else "light",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    context.set_default_timeout(1000 * PATIENCE_S)
    context.add_init_script(WATCH_SHIFTS)
    return context
