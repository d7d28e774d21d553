"""`make screenshots`: the pictures of the page in docs, taken in a browser from a daemon that plays the demo's scenes.

make screenshots                                 docs/web-*.png
make screenshots SCREENSHOTS="--out DIR --all"   every page, at 360 and 1440 pixels, light and dark
"""

import argparse
import io
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser

from tests.support.broker import Mosquitto
from tests.support.browser import NARROW, WIDE, Tab, new_context, open_browser
from tests.support.page_daemon import PageDaemon
from tests.support.waiting import eventually

MAX_COLOURS = 256
SCENES_S = 60.0  # that the scores and the events of the pictures cover
ACCEPTED = 202  # status of an answer
TRIES, RETRY_S = 30, 1.0
SETTLE_MS = 2500  # until a view is complete
CAMERAS = (
    'name = "hall"\nsource = "demo:people"\nloop = true\nhop = 2',
    'name = "desk"\nsource = "demo:people"\nloop = true\nhop = 2\n'
    '[[camera.zone]]\nname = "left"\nregion = [0.0, 0.0, 0.5, 1.0]\n'
    '[[camera.zone]]\nname = "right"\nregion = [0.5, 0.0, 0.5, 1.0]',
    'name = "yard"\nsource = "demo:"\nloop = true\nhop = 2',
)
VIEWS = {
    "cameras": "#/cameras",
    "camera": "#/camera/hall",
    "zones": "#/camera/desk",
    "events": "#/events",
    "teach": "#/teach",
}
CLIPS = {"wave": 4, "background": 3}  # to look at on the page Teach, by class
ALL = {**VIEWS, "host": "#/host"}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make screenshots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder for the pictures (default: docs)")
    parser.add_argument("--all", action="store_true", help="every page, both widths, both themes")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        folder = Path(name)
        broker = Mosquitto(folder)
        try:
            with PageDaemon(folder, broker.url, *CAMERAS) as daemon:
                daemon.link()
                for label, count in CLIPS.items():
                    _record(daemon, label, count)
                time.sleep(SCENES_S)
                _take(browser, daemon, options.out, options.all)
        finally:
            broker.stop()


def _take(browser: Browser, daemon: PageDaemon, out: Path, everything: bool) -> None:
    for size in (WIDE, NARROW):
        for scheme in ("light", "dark") if everything else ("light",):
            context = new_context(browser, size, scheme)
            tab = Tab(context)
            tab.page.goto(daemon.url)
            if everything:
                _save(tab, out / f"web-login-{size['width']}-{scheme}.png")
            tab.page.get_by_label("Access token").fill(daemon.token())
            tab.page.keyboard.press("Enter")
            tab.until(tab.picture_of)
            views = ALL if everything else VIEWS if size is WIDE else {"phone": "#/camera/hall"}
            for view, fragment in views.items():
                tab.page.goto(f"{daemon.url}{fragment}")
                kind = f"-{size['width']}-{scheme}" if everything else ""
                if view == "teach":
                    _save_recording(daemon, tab, out / f"web-{view}{kind}.png")
                else:
                    _save(tab, out / f"web-{view}{kind}.png")
            context.close()


def _record(daemon: PageDaemon, label: str, count: int) -> None:
    """Record clips as the page does, and wait for them. A busy machine may lose frames: then it is tried again."""
    cookie = daemon.log_in()
    for _ in range(TRIES):
        if _post(daemon, cookie, "/api/camera/hall/record", _clips(label, count)) == ACCEPTED:
            eventually(lambda: _state(daemon, cookie) in ("done", "failed"))
            if _state(daemon, cookie) == "done":
                return
        time.sleep(RETRY_S)
    raise SystemExit(f"no clips of {label} could be recorded: {daemon.log()}")


def _save_recording(daemon: PageDaemon, tab: Tab, path: Path) -> None:
    """Save the page Teach while a clip is recorded, which is then left."""
    cookie = daemon.log_in()
    tab.shows("wave", ".classes")
    assert _post(daemon, cookie, "/api/camera/hall/record", _clips("wave", 3, 60.0)) == ACCEPTED
    _save(tab, path)
    assert _post(daemon, cookie, "/api/record/stop", {}) == ACCEPTED
    eventually(lambda: _state(daemon, cookie) in ("done", "failed"))


def _clips(label: str, count: int, seconds: float = 2.0) -> dict[str, object]:
    return {"label": label, "zone": None, "count": count, "seconds": seconds, "pause": 0}


def _post(daemon: PageDaemon, cookie: str, target: str, content: object) -> int:
    return daemon.post(target, content, {"Cookie": cookie})[0]


def _state(daemon: PageDaemon, cookie: str) -> object:
    overview: Any = daemon.get("/api/teach", cookie)
    return overview["record"]["state"]


def _save(tab: Tab, path: Path) -> None:
    """Save what the window shows, in as few colours as a document needs."""
    tab.page.wait_for_timeout(SETTLE_MS)
    with Image.open(io.BytesIO(tab.page.screenshot())) as image:
        image.convert("RGB").quantize(MAX_COLOURS).save(path, optimize=True)
    print(f"written: {path}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
