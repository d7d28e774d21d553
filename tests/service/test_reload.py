"""SIGHUP: what a running daemon changes, what it refuses, and that nothing else is disturbed."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edge_tdn.cli.check import check
from edge_tdn.demo.demo_clip import demo_clip_path
from edge_tdn.errors import EdgeTdnError
from edge_tdn.messages import ActionEvent, TopScores
from edge_tdn.status_messages import CameraStatus, ConfigStatus, DaemonStatus
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.model_folders import edit_manifest, rehash
from tests.support.mqtt import RecordingClient
from tests.support.rtsp import RtspCamera
from tests.support.waiting import eventually

BASE = "edge-tdn/test"
UNBROKEN = "max_gap_s = 5.0"  # the machine may be busy
LIVE = f'name = "live"\nsource = "{{url}}"\nmotion_gate = false\n{UNBROKEN}'
OFTEN = """[decide]
enter_threshold = 0.2
exit_threshold = 0.1
merge_gap_s = 0.0
cool_down_s = 0.0
update_interval_s = 0.01"""  # an event a clip
# an action that only the camera's leaving ends
LASTS = '[decide]\nonly = ["right"]\nexit_threshold = 0.0\ncool_down_s = 0.0'


class ReloadedSite:
    """A configuration that is written again and again, a real camera, the daemon, and a client that records it."""

    def __init__(self, folder: Path, broker: Mosquitto, model: Path, url: str) -> None:
        self.folder, self.broker, self.model, self._url = folder, broker, model, url
        self.path = folder / "site.toml"
        self.daemon: DaemonProcess
        self.client = RecordingClient(broker.port, f"{BASE}/#", "homeassistant/#")

    def write(self, *cameras: str, extra: str = "", url: str = "", top: str = 'host = "test"', model: str = "") -> None:
        tables = "".join(f"[[camera]]\n{camera.format(url=self._url)}\n" for camera in cameras)
        self.path.write_text(
            f'{top}\n[broker]\nurl = "{url or self.broker.url}"\nscores = true\n'
            f'[runtime]\nmodel = "{model or self.model}"\n[outbox]\nfolder = "outbox"\n'
            f'[home_assistant]\ndiscovery = "device"\n{extra}\n{tables}'
        )

    @contextmanager
    def serve(self, *cameras: str, **others: str) -> Iterator[DaemonProcess]:
        """Run the daemon; the block starts when the live camera streams and has clips."""
        self.write(*cameras, **others)
        with DaemonProcess(self.path) as self.daemon:
            self.wait_for(lambda: self.status() and len(self.scores("live")) > 2)
            yield self.daemon

    def wait_for(self, condition: Callable[[], object]) -> None:
        log = self.path.with_suffix(".log")
        eventually(condition, describe=lambda: (self.status(), log.read_text()[-3000:]))

    def terminate(self) -> None:
        """Stop the daemon, and wait until the broker has its goodbye."""
        assert self.daemon.terminate() == 0
        self.wait_for(lambda: self.on(f"{BASE}/availability")[-1:] == [b"stopped"])

    def on(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.client.on(topic)]

    def last(self, topic: str) -> bytes:
        """Return the last payload on a topic; empty before the first."""
        return (self.on(topic) or [b""])[-1]

    def status(self) -> DaemonStatus | None:
        payload = self.last(f"{BASE}/status")
        return DaemonStatus.model_validate_json(payload) if payload else None

    def camera(self, name: str) -> CameraStatus:
        return CameraStatus.model_validate_json(self.last(f"{BASE}/{name}/status"))

    def state(self, name: str) -> str:
        return self.camera(name).state if self.on(f"{BASE}/{name}/status") else ""

    def events(self, name: str) -> list[ActionEvent]:
        return [ActionEvent.model_validate_json(payload) for payload in self.on(f"{BASE}/{name}/events")]

    def scores(self, name: str, since_s: float = 0.0) -> list[TopScores]:
        """Return the scores of each clip. `since_s`: wall clock."""
        messages = [one for one in self.client.on(f"{BASE}/{name}/scores") if one.received_s > since_s]
        return [TopScores.model_validate_json(one.payload) for one in messages]

    def reload(self, *cameras: str, **others: str) -> DaemonStatus:
        """Write another file, reload it, and return the daemon's status when that is over."""
        self.write(*cameras, **others)
        return self.reload_same()

    def reload_same(self) -> DaemonStatus:
        """Send SIGHUP, and return the daemon's status when the reload is over."""
        before = self.status()
        assert before
        self.daemon.process.send_signal(signal.SIGHUP)

        def over() -> bool:
            status = self.status()
            assert status
            assert status.config
            return status.config.state != "checking" and status.config != before.config

        self.wait_for(over)
        status = self.status()
        assert status
        return status


def config_of(status: DaemonStatus) -> ConfigStatus:
    assert status.config
    return status.config


@pytest.fixture(scope="module")
def live() -> Iterator[RtspCamera]:
    camera = RtspCamera()
    yield camera
    camera.kill()


@pytest.fixture
def site(tmp_path: Path, broker: Mosquitto, model_copy: Path, live: RtspCamera) -> Iterator[ReloadedSite]:
    one = ReloadedSite(tmp_path, broker, model_copy, live.url())
    with closing(one.client):
        yield one


def replace_model(site: ReloadedSite, name: str, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """Put a changed copy in the place of the model's folder, as `mv` does."""
    new = Path(shutil.copytree(site.model, site.folder / name))
    edit_manifest(new, change)
    site.model.rename(site.folder / f"before-{name}")
    new.rename(site.model)


def end_reasons(events: list[ActionEvent]) -> list[str | None]:
    """Return why each action ended. Each has one start, updates, one end; `seq` has no gap and no repetition."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    open_id = None
    reasons = []
    for event in events:
        assert (event.id == open_id) == (event.type != "start")
        open_id = None if event.type == "end" else event.id
        reasons += [event.reason] if event.type == "end" else []
    assert open_id is None
    return reasons


def steps_s(scores: Sequence[TopScores]) -> list[float]:
    """Return the seconds from one clip's end to the next one's, by the camera's frames."""
    moments = [datetime.fromisoformat(one.at).timestamp() for one in scores]
    return [later - earlier for earlier, later in pairwise(moments)]


def endless_demo(rtsp: Callable[..., RtspCamera]) -> str:
    """Return the table of a camera that shows the demo. A looped file would be opened again at its end."""
    camera = rtsp("", "demo:", "--size", "240x180", "--rate", "15")
    return f'name = "demo"\nsource = "{camera.url()}"\n{UNBROKEN}'


def test_ten_reloads_and_three_models_cost_an_unchanged_camera_nothing(
    site: ReloadedSite, rtsp: Callable[..., RtspCamera]
) -> None:
    demo = endless_demo(rtsp)

    def other(number: int) -> str:
        return f'name = "other"\nsource = "demo:"\nloop = true\nhop = {number % 3 + 1}'

    with site.serve(LIVE, demo) as daemon:
        for number in range(10):
            extra = f"[decide]\nupdate_interval_s = {number % 2 + 1}.0"
            cameras = [LIVE, demo, other(number)] if number % 4 else [LIVE, demo]
            assert config_of(site.reload(*cameras, extra=extra)).state == "in_force"
        site.wait_for(lambda: site.events("live") + site.events("demo"))
        for number in range(3):
            replace_model(site, f"model-{number}", lambda content, number=number: content.update(id=f"m{number}"))
            status = site.reload(LIVE, demo)
            assert (status.model.id, config_of(status).reason) == (f"m{number}", "")
        exchanged_s = time.time()
        site.wait_for(lambda: site.scores("live", exchanged_s + 0.8))
        site.wait_for(lambda: "m2" in {event.model.id for event in site.events("live") + site.events("demo")})
        site.terminate()
    log = daemon.log()
    for name in ("live", "demo"):
        assert site.camera(name).connects == 1
        assert log.count(f"camera={name} state=streaming") == 1, "the source was never opened again"
        end_reasons(site.events(name))
        clips, camera = 1 + round(sum(steps_s(site.scores(name))) / (4 / 15)), site.camera(name)
        assert camera.clips + camera.shed == pytest.approx(clips, abs=3), "a clip every 0.27 s; a slow host sheds some"
    end_reasons(site.events("other"))
    assert {event.model.id for event in site.events("live") + site.events("demo")} >= {"motion", "m2"}


def test_cameras_come_and_leave_and_so_does_what_is_retained_of_them(
    site: ReloadedSite, rtsp: Callable[..., RtspCamera]
) -> None:
    demo = endless_demo(rtsp)
    with site.serve(LIVE, demo, extra=LASTS):
        device = "homeassistant/device/edge-tdn_test_demo/config"
        site.wait_for(lambda: site.last(f"{BASE}/demo/action") not in (b"", b"none") and site.on(device))
        assert site.reload(LIVE, extra=LASTS).cameras == ["live"]
        left = [device, f"{BASE}/demo/status", f"{BASE}/demo/action"]
        site.wait_for(lambda: [site.last(topic) for topic in left] == [b""] * 3)
        site.wait_for(lambda: [event.type for event in site.events("demo")][-1:] == ["end"])
        assert end_reasons(site.events("demo"))[-1] == "shutdown"
        site.client.publish(f"{BASE}/cmd/demo/set/enabled", b"OFF")
        site.wait_for(lambda: b"unknown camera 'demo'" in b"".join(site.on(f"{BASE}/reply")))

        site.client.publish(f"{BASE}/cmd/live/set/enabled", b"OFF")
        site.wait_for(lambda: site.state("live") == "disabled")
        (site.folder / "later.mp4").write_bytes(bytes(100))  # not yet a video
        later = 'name = "later"\nsource = "later.mp4"\nloop = true'
        site.reload(LIVE + "\nhop = 2", demo, later)
        site.wait_for(lambda: site.state("later") == "unreachable")
        shutil.copy(demo_clip_path(), site.folder / "later.mp4")
        site.reload_same()
        site.wait_for(lambda: site.state("later") == "streaming")
        site.wait_for(lambda: site.state("demo") == "streaming" and site.on(device)[-1] != b"")
        assert site.state("live") == "disabled", "a camera that was switched off stays off"
        site.client.publish(f"{BASE}/cmd/live/set/enabled", b"ON")
        site.wait_for(lambda: site.state("live") == "streaming")
        site.terminate()
    end_reasons(site.events("demo"))
    end_reasons(site.events("live"))


def test_a_wrong_file_is_refused_with_the_message_of_check(site: ReloadedSite) -> None:
    wrong = {
        "misspelt": {"extra": "[decide]\nenter_treshold = 0.5"},
        "no such label": {"extra": '[decide]\nonly = ["jump"]'},
        "no such model": {"model": "gone"},
        "no password": {"extra": "", "url": f'{site.broker.url}"\nusername = "u"\npassword_file = "gone'},
    }
    with site.serve(LIVE):
        log = site.path.with_suffix(".log")
        for name, others in wrong.items():
            config = config_of(site.reload(LIVE, **others))
            assert config.state == "refused", name
            with pytest.raises(EdgeTdnError) as refused:
                check(Console(quiet=True), site.path)
            assert str(refused.value) == config.reason
            assert f"refused, the one before stays in force: {config.reason}" in log.read_text()
        site.write(LIVE, 'name = "typo"\nsource = "gst: videotestsrk"')
        assert "camera[1].source" in config_of(site.reload_same()).reason
        assert config_of(site.reload(LIVE)).state == "in_force"
        assert site.camera("live").connects == 1


def test_a_damaged_model_is_refused_and_the_old_one_serves_on(site: ReloadedSite) -> None:
    with site.serve(LIVE):
        damaged = site.model / "fp32/head.bin"
        good = damaged.read_bytes()
        damaged.write_bytes(good[:-1])
        config = config_of(site.reload_same())
        assert (config.state, "head.bin" in config.reason) == ("refused", True)
        for fault in ("golden", "labels"):
            shutil.rmtree(site.model)
            shutil.copytree(ROOT / "edge_tdn/models/motion", site.model)
            if fault == "golden":  # with other logits it fails its self-test
                with np.load(site.model / "golden.npz") as golden:
                    clip, logits = golden["clip"], golden["logits"]
                np.savez_compressed(site.model / "golden.npz", clip=clip, logits=-logits)
                rehash(site.model, "golden.npz")
            else:
                (site.model / "labels.txt").write_text("one\ntwo\n")
                rehash(site.model, "labels.txt")
            config = config_of(site.reload_same())
            assert config.state == "refused", fault
            assert ("self-test failed" if fault == "golden" else "2 labels") in config.reason
        assert site.camera("live").connects == 1
        clips = len(site.scores("live"))
        site.wait_for(lambda: len(site.scores("live")) > clips + 2)
        status = site.status()
        assert status
        assert status.model.id == "motion"


def test_what_only_a_restart_changes_is_reported_and_a_new_password_is_used_at_once(site: ReloadedSite) -> None:
    (site.folder / "secret").write_text("one")
    url = f'{site.broker.url}"\nusername = "u"\npassword_file = "secret'
    with site.serve(LIVE, url=url) as daemon:
        status = site.reload(LIVE, url=url, top='host = "elsewhere"', extra="[decide]\nseveral = true")
        assert (status.host, config_of(status).state) == ("test", "in_force")
        assert config_of(status).reason == "a restart is needed for host"
        assert "in force: changed: decide.several; a restart is needed for host" in daemon.log()
        assert site.reload_same().session == 1
        (site.folder / "secret").write_text("two")
        site.reload_same()
        site.wait_for(lambda: len(site.on(f"{BASE}/availability")) == 3)
        assert site.on(f"{BASE}/availability") == [b"online", b"offline", b"online"]
        site.terminate()
        assert site.camera("live").connects == 1


def test_a_model_with_another_input_starts_with_an_empty_window_and_the_stream_stays(site: ReloadedSite) -> None:
    """Ten frames per second instead of fifteen, other labels: no action continues, the window is filled again."""
    with site.serve(LIVE, extra=LASTS) as daemon:
        site.wait_for(lambda: site.last(f"{BASE}/live/action") == b"right")
        lines = (site.model / "labels.txt").read_text().splitlines()
        new = Path(shutil.copytree(site.model, site.folder / "new"))
        (new / "labels.txt").write_text("\n".join(line if line == "still" else f"{line}ward" for line in lines) + "\n")
        rehash(new, "labels.txt")
        edit_manifest(new, lambda content: content.update(id="slow", input=content["input"] | {"frame_rate": 10.0}))
        assert site.reload(LIVE, extra=LASTS.replace("right", "rightward"), model=str(new)).model.id == "slow"

        def is_new(one: TopScores) -> bool:
            return any(label.endswith("ward") for label in one.scores)

        site.wait_for(lambda: sum(map(is_new, site.scores("live"))) > 10)
        scores = site.scores("live")
        first = next(n for n, one in enumerate(scores) if is_new(one))
        assert not any(map(is_new, scores[:first]))
        assert all(map(is_new, scores[first:]))
        before_it, *steps = steps_s(scores[first - 1 :])
        assert before_it > 3.0, "eight segments of four ticks at ten a second"
        site.terminate()
    camera, segments = site.camera("live"), round(sum(steps) / 0.4)
    assert len(steps) - 1 <= segments <= len(steps) + camera.shed + 1, "a clip every 0.4 s; a slow host sheds some"
    assert end_reasons(site.events("live"))[0] == "shutdown"
    assert daemon.log().count("camera=live state=streaming") == 1
    assert site.camera("live").connects == 1


def test_another_broker_receives_what_the_first_did_not(site: ReloadedSite, tmp_path: Path) -> None:
    """Events keep coming; no number is missing between the two."""
    (tmp_path / "second").mkdir()
    second = Mosquitto(tmp_path / "second")
    try:
        with closing(RecordingClient(second.port, f"{BASE}/#")) as client, site.serve(LIVE, extra=OFTEN):
            site.wait_for(lambda: len(site.events("live")) > 2)
            site.write(LIVE, extra=OFTEN, url=second.url)
            site.daemon.process.send_signal(signal.SIGHUP)
            site.wait_for(lambda: site.last(f"{BASE}/availability") == b"stopped")
            first = [event.seq for event in site.events("live")]

            def numbers() -> list[int]:
                events = client.on(f"{BASE}/live/events")
                return first + [ActionEvent.model_validate_json(one.payload).seq for one in events]

            client.wait_for(lambda: numbers()[-1] >= 2 * len(first))
            assert site.daemon.terminate() == 0
            client.synchronize()
            both = numbers()
            assert list(dict.fromkeys(both)) == list(range(1, both[-1] + 1))
            assert len(both) > len(first)
    finally:
        second.stop()
