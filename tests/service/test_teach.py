"""Teaching by the page within a real daemon: broker, network, cameras and recordings."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_tdn.capture.video_file import read_file
from edge_tdn.config.load import load
from edge_tdn.errors import ConfigError
from edge_tdn.hub.teaching_access import RecordRequest, TeachingRefused, TrialRequest
from edge_tdn.media import gstreamer
from edge_tdn.messages import ActionEvent
from edge_tdn.service import teach_clips
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.teach import PageTeaching
from edge_tdn.service.verify import verify
from edge_tdn.teaching.class_folder import DESCRIPTION
from edge_tdn.teaching.sessions import hour_session
from tests.support.broker import Mosquitto
from tests.support.listening_page import ListeningPage
from tests.support.mqtt import HostRecorder
from tests.support.ports import free_port
from tests.support.site import write_site, write_text
from tests.support.waiting import PATIENCE_S, eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
BASE = "edge-tdn/test"
CAMERA = 'name = "door"\nsource = "demo:"\nloop = true\n'
HALF = '[[camera.zone]]\nname = "half"\nregion = [0, 0, 0.5, 1]\n'
OFTEN = "[decide]\nmin_length_s = 0.0\nmerge_gap_s = 0.0\ncool_down_s = 0.0\nenter_threshold = 0.5\n"
RECORD = "[record]\nclip = true\nfolder = 'files'\npost_roll_s = 0.5\npre_roll_s = 1.0\nmin_free_mb = 0\n"
WEB = "label_folder = 'taught'\n"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _one_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record within one hour, which the names of the clips have: another one would begin another recording."""
    monkeypatch.setattr(teach_clips, "hour_session", lambda camera, _: hour_session(camera, NOON))


class Taught:
    """A daemon with teaching, its page and its subscriber."""

    def __init__(self, folder: Path, daemon: Daemon, page: ListeningPage, recorder: HostRecorder) -> None:
        self.folder, self.daemon, self.page, self.recorder = folder, daemon, page, recorder
        teaching = page.hub.teaching()
        assert isinstance(teaching, PageTeaching)
        self.teaching = teaching

    def record(self, label: str, count: int = 2, zone: str | None = None) -> None:
        """Record clips to the end."""
        eventually(lambda: self.daemon.cameras[0].status().state == "streaming")
        self.teaching.record(request(label, count, zone))
        eventually(lambda: self.teaching.overview().record.state == "done", describe=self.text)

    def text(self) -> str:
        return str(self.teaching.overview().record)

    def ended(self) -> ActionEvent:
        """Return the end of an action whose clip is complete."""

        def found() -> list[ActionEvent]:
            events = [ActionEvent.model_validate(one) for one in self.recorder.of("door", "events")]
            ends = [one for one in events if one.type == "end" and one.clip]
            return [one for one in ends if (self.folder / "files" / str(one.clip)).exists()]

        return eventually(found)[0]


def request(label: str = "wave", count: int = 2, zone: str | None = None, camera: str = "door") -> RecordRequest:
    return RecordRequest(camera=camera, zone=zone, label=label, count=count, seconds=0.5, pause=0.0)


@contextmanager
def taught(
    folder: Path, broker: Mosquitto, camera: str = CAMERA, record: str = RECORD, web: str = WEB
) -> Iterator[Taught]:
    page, recorder = ListeningPage(), HostRecorder(broker.port, BASE)
    path = write_site(folder, broker.url, camera, extra=f"{OFTEN}[web]\nport = {free_port()}\n{web}{record}")
    daemon = Daemon(load(path), path.parent, path, open_page=page.open)
    thread = threading.Thread(target=daemon.run, name="main loop")
    thread.start()
    try:
        yield Taught(folder, daemon, page, recorder)
    finally:
        daemon.stop()
        thread.join(PATIENCE_S)
        recorder.close()
    assert not thread.is_alive()


def test_clips_are_recorded_labelled_listed_and_moved(broker: Mosquitto, tmp_path: Path) -> None:
    with taught(tmp_path, broker) as page:
        empty = page.teaching.overview()
        assert [one.code for one in empty.missing] == ["no_action", "no_background"]
        assert (empty.classes, empty.models, empty.archive_bytes) == ((), (), 0)
        assert f"{tmp_path}/taught/clips" in empty.command
        page.record("background")

        def states() -> list[tuple[str, int]]:
            return [(one["state"], one["made"]) for one in (json.loads(n.data) for n in page.page.notes("record"))]

        eventually(lambda: states()[-1] == ("done", 2), describe=states)
        assert states()[0][0] == "recording"
        event = page.ended()
        clip = page.teaching.label_event(event, "wave")
        assert (clip.label, clip.name.rpartition("-")[2]) == ("wave", "003.mp4")
        assert clip.seconds >= 2.0, "as much as the model sees"
        assert page.teaching.label_event(event, "Background") == clip.model_copy(update={"label": "Background"})
        assert page.teaching.label_event(event, "wave") == clip
        assert not (tmp_path / "taught/clips/Background").exists()
        overview = page.teaching.overview()
        assert [(one.label, one.clips) for one in overview.classes] == [("wave", 1), ("background", 2)]
        assert overview.archive_bytes == sum(one.bytes for one in page.teaching.clips())
        assert [one.recording for one in page.teaching.clips("background")] == [clip.recording] * 2
        file = page.teaching.clip_file("wave", clip.name)
        assert file
        assert list(read_file(file))
        page.teaching.move("wave", clip.name, None)
        assert page.teaching.clip_file("wave", clip.name) is None
        page.record("wave", count=1)
        assert [one.name.rpartition("-")[2] for one in page.teaching.clips("wave")] == ["004.mp4"]
    assert (page.teaching.folder() / DESCRIPTION).is_file()


def test_a_recording_that_is_under_way_ends_with_the_daemon(broker: Mosquitto, tmp_path: Path) -> None:
    with taught(tmp_path, broker) as page:
        eventually(lambda: page.daemon.cameras[0].status().state == "streaming")
        page.teaching.record(request(count=100).model_copy(update={"seconds": 60.0}))
        eventually(lambda: list((tmp_path / "taught/clips/wave").glob(".*.part")))
    eventually(lambda: "teach" not in [thread.name for thread in threading.enumerate()])
    assert [path.name for path in (tmp_path / "taught/clips").iterdir()] == [DESCRIPTION]


def test_clips_and_labels_of_a_zone_show_it_alone(broker: Mosquitto, tmp_path: Path) -> None:
    with taught(tmp_path, broker, CAMERA + HALF) as page:
        page.record("background", count=1, zone="half")
        (clip,) = page.teaching.clips("background")
        width = page.daemon.cameras[0].status().width
        file = page.teaching.clip_file("background", clip.name)
        assert file
        assert next(read_file(file)).decoded.size[1] == width // 2
        page.record("whole", count=1)
        (clip,) = page.teaching.clips("whole")
        file = page.teaching.clip_file("whole", clip.name)
        assert file
        assert next(read_file(file)).decoded.size[1] == width


def test_what_cannot_be_done_is_refused_with_the_reason(broker: Mosquitto, tmp_path: Path) -> None:
    with taught(tmp_path, broker) as page:
        teaching, event = page.teaching, page.ended()
        with pytest.raises(TeachingRefused, match="no camera 'yard' in the configuration; allowed: door"):
            teaching.record(request(camera="yard"))
        with pytest.raises(TeachingRefused, match="door has no zone 'gate'"):
            teaching.record(request(zone="gate"))
        for label in ("a/b", "..", "", "two\nlines"):
            with pytest.raises(TeachingRefused, match="not a valid"):
                teaching.record(request(label))
            with pytest.raises(TeachingRefused, match="not a valid"):
                teaching.label_event(event, label)
        for changed, reason in (
            ({"type": "start"}, "not ended yet"),
            ({"clip": None}, "no clip was recorded"),
            ({"clip": "../site.toml"}, "not the name of a recording"),
            ({"clip": f"yard/{str(event.clip).rpartition('/')[2]}"}, "not the name of a recording"),
            ({"clip": "door/20260101T000000.000Z_left_1.mp4"}, "is gone"),
            ({"camera": "yard"}, "no camera 'yard'"),
            ({"zone": "gate"}, "no zone 'gate'"),
            ({"ended_at": event.started_at}, r"less than 0\.3 s of the action"),
        ):
            with pytest.raises(TeachingRefused, match=reason):
                teaching.label_event(event.model_copy(update=changed), "wave")
        with pytest.raises(TeachingRefused, match="no clip"):
            teaching.move("wave", "a.mp4", None)
        with pytest.raises(TeachingRefused, match=r"Record an action.* Record the class background"):
            teaching.finetune("door-open")
        with pytest.raises(TeachingRefused, match="no model 'other'"):
            teaching.try_model(TrialRequest(model="other", camera="door"))
        with pytest.raises(TeachingRefused, match="no model 'other'"):
            teaching.take_over("other")
        (tmp_path / "taught/clips").mkdir(parents=True, exist_ok=True)
        (tmp_path / "taught/clips" / DESCRIPTION).write_text("source = '('")
        with pytest.raises(TeachingRefused, match=r"dataset\.toml: source: .*regular expression"):
            teaching.overview()


def test_a_camera_without_pictures_cannot_be_recorded(broker: Mosquitto, tmp_path: Path) -> None:
    dark = 'name = "door"\nsource = "rtsp://127.0.0.1:9/"\n'
    sends_none = pytest.raises(TeachingRefused, match="door sends no pictures now")
    with taught(tmp_path, broker, dark) as page, sends_none:
        page.teaching.record(request())


def test_a_full_disk_is_not_filled_further(broker: Mosquitto, tmp_path: Path) -> None:
    full = RECORD.replace("min_free_mb = 0", "min_free_mb = 1000000000")
    with taught(tmp_path, broker, record=full) as page:
        eventually(lambda: page.daemon.cameras[0].status().state == "streaming")
        with pytest.raises(TeachingRefused, match=r"MB left, and record\.min_free_mb keeps 1000000000 free"):
            page.teaching.record(request())


def test_a_folder_that_cannot_be_written_is_named(broker: Mosquitto, tmp_path: Path) -> None:
    with taught(tmp_path, broker) as page:
        eventually(lambda: page.daemon.cameras[0].status().state == "streaming")
        (tmp_path / "taught").mkdir()
        (tmp_path / "taught/clips").write_text("")
        with pytest.raises(TeachingRefused, match="taught/clips"):
            page.teaching.record(request())
        assert not page.teaching.clips()


def test_the_folder_is_in_the_state_folder_unless_one_is_named(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    with taught(tmp_path, broker, web="") as page:
        assert page.teaching.folder() == tmp_path / "state/test/page/clips"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("label_folder = 'site.toml'", "site.toml is a file; allowed: a folder, or a new name"),
        ("label_folder = '/dev/null/x'", "/dev/null is a file; allowed: a folder, or a new name"),
        ("trainer = 'no-such-program'", "no such program; allowed: the path of edge-tdn-train"),
    ],
)
def test_wrong_keys_are_errors(key: str, message: str, tmp_path: Path) -> None:
    path = write_text(tmp_path, f'[web]\nport = 8765\n{key}\n[[camera]]\nname = "a"\nsource = "demo:"\n')
    with pytest.raises(ConfigError) as error:
        verify(load(path), path)
    assert f"site.toml:3: web.{key}: " in str(error.value)
    assert message in str(error.value)


def test_a_daemon_does_not_start_with_a_folder_below_a_file(broker: Mosquitto, tmp_path: Path) -> None:
    web = f"[web]\nport = {free_port()}\nlabel_folder = '/dev/null/x'\n"
    path = write_site(tmp_path, broker.url, CAMERA, extra=web)
    with pytest.raises(ConfigError, match=r"web\.label_folder = '/dev/null/x': /dev/null is a file") as error:
        Daemon(load(path), path.parent, path, open_page=ListeningPage().open)
    assert error.value.exit_status == 78
