"""Teaching by the page of `edge-tdn run`, over HTTP: clips, and models that are tried and taken over.

The training between the two is in tests/browser.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from edge_tdn.manifest import shipped_models
from edge_tdn.media import gstreamer
from tests.support.broker import Mosquitto
from tests.support.model_folders import reseal
from tests.support.page_daemon import PageDaemon
from tests.support.waiting import PROGRAM_S, eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
CAMERA = 'name = "door"\nsource = "demo:"\nloop = true'
LABEL = "door open"


class Viewer:
    """A logged-in client of a page."""

    def __init__(self, daemon: PageDaemon) -> None:
        self._daemon, self._cookie = daemon, daemon.log_in()

    def get(self, target: str) -> dict[str, object]:
        answer = self._daemon.get(target, self._cookie)
        assert isinstance(answer, dict)
        return answer

    def raw(self, target: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
        return self._daemon.request("GET", target, {"Cookie": self._cookie, **headers})

    def post(self, target: str, content: object, status: int = 200) -> dict[str, object]:
        got, body, _ = self._daemon.post(target, content, {"Cookie": self._cookie})
        assert got == status, body
        answer = json.loads(body)
        assert isinstance(answer, dict)
        return answer

    def part(self, name: str) -> dict[str, object]:
        part = self.get("/api/teach")[name]
        assert isinstance(part, dict)
        return part


@pytest.mark.timeout(4 * PROGRAM_S)
def test_clips_are_taught_by_the_page(broker: Mosquitto, tmp_path: Path) -> None:
    extra = "enter_threshold = 0.5\n"
    with PageDaemon(tmp_path, broker.url, CAMERA, extra=extra) as daemon:
        daemon.wait_for_log("state=streaming")
        page = Viewer(daemon)
        # so long a pause that the next request comes before the end
        wish = {"label": "background", "zone": None, "count": 2, "seconds": 0.6, "pause": 8.0}
        state = page.post("/api/camera/door/record", wish, 202)
        assert (state["state"], state["count"]) == ("ready", 2)
        refused = page.post("/api/camera/door/record", wish, 409)
        assert "door is being recorded" in str(refused["error"])
        eventually(lambda: page.part("record")["state"] == "done", describe=daemon.log)
        ended = eventually(lambda: _labelable(page), describe=daemon.log)
        clip = page.post("/api/camera/door/label", {"seq": ended["seq"], "label": LABEL})
        assert clip["label"] == LABEL
        overview = page.get("/api/teach")
        assert [(one["label"], one["clips"]) for one in _list(overview["classes"])] == [(LABEL, 1), ("background", 2)]
        listed = _list(page.get(f"/api/teach/clips?label={quote(LABEL)}")["clips"])
        assert listed == [clip]
        target = f"/api/clip/{quote(LABEL)}/{clip['name']}"
        status, whole, headers = page.raw(target)
        assert (status, headers["content-type"], len(whole)) == (200, "video/mp4", clip["bytes"])
        status, first, _ = page.raw(target, Range="bytes=0-99")
        assert (status, first) == (206, whole[:100])
        status, archive, _ = page.raw("/api/teach/archive")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            assert f"clips/{LABEL}/{clip['name']}" in tar.getnames()
            assert "clips/dataset.toml" in tar.getnames()
        assert page.post(f"{target}/move", {"label": None}) == {}
        assert page.raw(target)[0] == 404
        error = page.post("/api/finetune", {"id": "door-open"}, 409)["error"]
        assert "Record an action" in str(error)
        assert daemon.terminate() == 0
    (folder,) = tmp_path.glob("state/*/page")
    assert len(list((folder / "clips/background").glob("*.mp4"))) == 2
    assert not list(folder.glob("clips/**/.*"))


@pytest.mark.timeout(4 * PROGRAM_S)
def test_a_model_is_tried_and_taken_over_by_the_page(broker: Mosquitto, tmp_path: Path) -> None:
    folder = tmp_path / "state/test/page"
    models = folder / "models"
    for name in ("first", "second"):
        shutil.copytree(shipped_models() / "motion", models / name)
        reseal(models / name, id=name)
    (folder / "current").symlink_to("models/first")
    extra = "enter_threshold = 0.5\n[runtime]\nmodel = 'state/test/page/current'\n"
    with PageDaemon(tmp_path, broker.url, CAMERA, extra=extra) as daemon:
        daemon.wait_for_log("state=streaming")
        page = Viewer(daemon)
        assert _serving(page) == ["first"]
        wish = {"model": "second", "camera": "door", "zone": None}
        assert page.post("/api/trial", wish, 202)["state"] == "opening"
        eventually(lambda: page.part("trial")["events"], describe=daemon.log)
        assert page.part("trial")["state"] == "running"
        stopped = page.post("/api/trial/stop", {}, 202)
        assert (stopped["state"], stopped["text"]) == ("ended", "stopped")
        assert page.post("/api/takeover", {"model": "second"})["configured"] is True
        eventually(lambda: _serving(page) == ["second"], describe=daemon.log)
        refused = page.post("/api/takeover", {"model": "third"}, 409)["error"]
        assert "there is no model 'third' here" in str(refused)
        assert daemon.terminate() == 0
    assert (folder / "current").resolve() == models / "second"


def _serving(page: Viewer) -> list[object]:
    return [one["id"] for one in _list(page.get("/api/teach")["models"]) if one["serving"]]


def _list(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value


def _labelable(page: Viewer) -> dict[str, object] | None:
    """Return the end of an action that can be labelled; None: there is none yet."""
    for one in _list(page.get("/api/events")["actions"]):
        if one["labelable"]:
            event = one["event"]
            assert isinstance(event, dict)
            return event
    return None
