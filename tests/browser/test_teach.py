"""Teach an action by the page alone: label, record, look through the clips, train, try, take over; then it is reported.

Everything is real: a camera, the daemon, the trainer as its child process, the network, a broker.
"""

import io
import signal
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.media import gstreamer
from tests.browser.conftest import OpenTab
from tests.support.broker import Mosquitto
from tests.support.browser import Tab
from tests.support.filmed_hall import RATE, FilmedHall, day, door
from tests.support.model_folders import renamed_copy
from tests.support.mqtt import HostRecorder
from tests.support.page_daemon import PageDaemon
from tests.support.rtsp import RtspCamera
from tests.support.waiting import PROGRAM_S

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
ACTION, MODEL = "door open", "door-open"
CLIPS = 6  # of each class
RECORDED_S = 5  # at most, before an action
PROMPT = "enter_threshold = 0.5\n"  # in [decide]: the model of the package is to report something
TRAINING_S = 3 * PROGRAM_S
DOING = ".teach-record .doing"
PLAYS = "() => document.querySelector('dialog[open] video')?.currentTime > 0.1"


@pytest.fixture
def hall(tmp_path: Path, rtsp: Callable[..., RtspCamera]) -> FilmedHall:
    return FilmedHall(tmp_path, rtsp)


@pytest.fixture
def daemon(hall: FilmedHall, module_broker: Mosquitto, tmp_path: Path) -> Iterator[PageDaemon]:
    """A daemon that serves the page, with the model of the package."""
    camera = f'name = "hall"\nsource = "{hall.camera.url()}"'
    with PageDaemon(tmp_path / "site", module_broker.url, camera, extra=PROMPT) as daemon:
        daemon.link()
        yield daemon
        assert daemon.is_alive, daemon.log()
        daemon.log()


class Teacher:
    """Someone with a browser."""

    def __init__(self, tab: Tab, daemon: PageDaemon) -> None:
        self.tab, self._daemon = tab, daemon
        self._cookie = daemon.log_in()

    def ask(self, target: str) -> Any:
        """Return the JSON of an answer, which the page may have got, too."""
        return self._daemon.get(target, self._cookie)

    def press(self, name: str) -> None:
        """Press the button of this name."""
        self.tab.page.get_by_role("button", name=name, exact=True).click()

    def go(self, view: str) -> None:
        """Choose another view."""
        self.tab.page.get_by_role("link", name=view, exact=True).first.click()
        self.tab.shows(view, "h1")

    def complete_actions(self) -> list[str]:
        """Return the actions that can be labelled, and whose recording has all that was before them; newest first."""
        found = self.ask("/api/events")["actions"]
        began = self.ask("/api/state")["cameras"][0]["status"]["since"]
        complete = (datetime.fromisoformat(began) + timedelta(seconds=RECORDED_S)).astimezone(UTC)
        return [
            one["event"]["id"]
            for one in found
            if one["labelable"] and datetime.fromisoformat(one["event"]["started_at"]) > complete
        ]

    def record(self, kind: str, label: str, pause: float) -> None:
        """Record clips, and wait until they are listed."""
        self.tab.until(lambda: self._frame_rate() > 0.9 * RATE)  # after the film was exchanged
        self.tab.page.get_by_label(kind, exact=True).check()
        if kind == "An action":
            self.tab.page.get_by_label("Name of the action").fill(label)
        for name, value in (("Number of clips", CLIPS), ("Seconds each", 2), ("Pause before each", pause)):
            self.tab.page.get_by_label(name, exact=True).fill(str(value))
        self.tab.watch_text(DOING)
        self.press("Start recording")
        self.tab.shows(f"{CLIPS} clips of {label} recorded.")
        assert f"{label}: clip {CLIPS} of {CLIPS}" in self.tab.texts(DOING)

    def trained(self) -> None:
        """Wait for the end of the training."""
        for text in ("Step 1 of ", f"{MODEL} is trained."):
            self.tab.until(lambda: text in self.tab.text("main") or self._failed(), TRAINING_S)  # noqa: B023  (at once)

    def _failed(self) -> bool:
        state = self.ask("/api/teach")["finetune"]
        assert state["state"] in ("running", "done"), state
        return False

    def _frame_rate(self) -> float:
        (camera,) = self.ask("/api/state")["cameras"]
        return float(camera["status"]["fps"]) if camera["status"]["state"] == "streaming" else 0.0


def reported(recorder: HostRecorder) -> set[tuple[str, str]]:
    """Return the model and the label of every event at the broker."""
    return {(event["model"]["id"], event["label"]) for event in recorder.of("hall", "events")}


@pytest.mark.training
@pytest.mark.timeout(3 * TRAINING_S)
def test_an_action_is_taught_by_the_page(
    open_tab: OpenTab, daemon: PageDaemon, hall: FilmedHall, raw: HostRecorder
) -> None:
    teacher = Teacher(open_tab("#/events"), daemon)
    tab = teacher.tab

    # what the model of the package reports here is not worth while: background
    tab.until(lambda: teacher.complete_actions())
    tab.page.reload()
    id_ = teacher.complete_actions()[0]
    tab.page.locator(f'[data-id="{id_}"]').get_by_role("button", name="Background: nothing to report").click()
    tab.shows("Saved to learn from: background.")

    teacher.go("Teach")
    tab.shows("Not enough yet")
    teacher.record("Background", "background", pause=0)
    hall.show(door)
    teacher.record("An action", ACTION, pause=1)
    classes = {one["label"]: one["clips"] for one in teacher.ask("/api/teach")["classes"]}
    assert classes == {"background": CLIPS + 1, ACTION: CLIPS}

    tab.page.locator("summary", has_text=ACTION).click()
    tab.page.get_by_role("button", name=f"Clip of {ACTION}").first.click()
    tab.until(lambda: tab.run(PLAYS))
    teacher.press("Close")
    names = archived(daemon, daemon.log_in())
    assert len([name for name in names if name.endswith(".mp4")]) == 2 * CLIPS + 1

    assert tab.page.get_by_label("Name of the model").input_value() == MODEL
    teacher.press("Start training")
    teacher.trained()
    (model,) = teacher.ask("/api/teach")["models"]
    assert model["labels"] == ["background", ACTION]
    assert model["top1"]["fp32"] >= 0.9, model
    assert tab.page.locator(".confusion tbody tr").count() == 2

    hall.show(day)
    try_and_take_over(teacher, daemon, raw)
    tab.assert_quiet()


@pytest.mark.slow
def test_a_model_is_tried_and_taken_over(
    open_tab: OpenTab, daemon: PageDaemon, hall: FilmedHall, raw: HostRecorder
) -> None:
    """It is the model of the package, with other names."""
    hall.show(door)
    daemon.link()
    (page,) = daemon.config.parent.glob("state/*/page")
    renamed_copy(page / "models" / MODEL, MODEL, {"wave": ACTION})
    tab = open_tab("#/teach")
    try_and_take_over(Teacher(tab, daemon), daemon, raw)
    tab.assert_quiet()


def try_and_take_over(teacher: Teacher, daemon: PageDaemon, raw: HostRecorder) -> None:
    """Try the model beside the one that serves, then serve it; the action is reported."""
    tab = teacher.tab
    teacher.press(f"Try {MODEL} for ten minutes")
    tab.until(lambda: ACTION in tab.text(".trial-events"))
    raw.wait_for(lambda: reported(raw))
    assert {id_ for id_, _ in reported(raw)} == {"motion"}, "nothing of a trial is published"
    teacher.press("End the trial")
    tab.shows("clips scored")

    teacher.press(f"Take over {MODEL}")
    tab.page.get_by_role("dialog").get_by_role("button", name="Take over").click()
    tab.shows("Put these lines into the configuration once")
    lines = tab.page.get_by_label("Lines for the configuration").inner_text()
    with daemon.config.open("a") as config:
        config.write(f"\n{lines}\n")
    daemon.process.send_signal(signal.SIGHUP)
    raw.wait_for(lambda: (MODEL, ACTION) in reported(raw))
    teacher.go("Events")
    tab.until(lambda: ACTION in tab.run("() => [...document.querySelectorAll('.event h3')].map((h) => h.textContent)"))
    teacher.go("Teach")
    tab.shows("Serving")


def archived(daemon: PageDaemon, cookie: str) -> list[str]:
    """Return the names of the files in the archive of clips."""
    status, body, _ = daemon.request("GET", "/api/teach/archive", {"Cookie": cookie})
    assert status == 200, body
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return archive.getnames()
