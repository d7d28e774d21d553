"""SIGHUP: what a running daemon changes, what it refuses, and that nobody else notices."""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_tdn.cli.check import check
from edge_tdn.config.tables import Config, load
from edge_tdn.delivery.mqtt import Connected, Connection, Message, Received
from edge_tdn.demo.demo_clip import demo_clip_path
from edge_tdn.errors import EdgeTdnError
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.messages import ActionEvent, CameraStatus, ConfigStatus, DaemonStatus, TopScores
from edge_tdn.service import daemon as daemon_module
from edge_tdn.service.camera import Camera
from edge_tdn.service.reload import changes, in_force
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import DaemonProcess
from tests.support.rtsp import RtspCamera
from tests.test_manifest import edit, rehash

BASE = "edge-tdn/test"
PLAYS_ON = 'name = "live"\nsource = "{url}"\nmotion_gate = false'
OFTEN = "[decide]\nenter_threshold = 0.2\nexit_threshold = 0.1\nupdate_interval_s = 0.01"  # an event a clip
DEMO = 'name = "demo"\nsource = "demo:"\nloop = true'
LASTS = '[decide]\nonly = ["right"]\nexit_threshold = 0.0'  # an action that nothing ends but the camera's leaving

# ------------------------------------------------------------------------------------------------------ what differs

names = st.sampled_from(["a", "b", "c", "d"])
cameras = st.lists(
    st.fixed_dictionaries({"name": names, "source": st.just("demo:"), "hop": st.integers(1, 2)}),
    min_size=1, max_size=4, unique_by=lambda camera: camera["name"],
)  # fmt: skip
tables = st.fixed_dictionaries(
    {
        "host": st.sampled_from(["one", "two"]),
        "broker": st.fixed_dictionaries(
            {}, optional={"base": st.sampled_from(["x", "y"]), "keepalive_s": st.sampled_from([5, 10]),
                          "scores": st.booleans()},
        ),
        "decide": st.fixed_dictionaries({}, optional={"enter_threshold": st.sampled_from([0.5, 0.7])}),
        "outbox": st.fixed_dictionaries({}, optional={"max_mb": st.sampled_from([8, 64])}),
        "runtime": st.fixed_dictionaries(
            {}, optional={"threads": st.integers(0, 1), "model": st.sampled_from(["m", "n"])}
        ),
        "camera": cameras,
    }
)  # fmt: skip
configs = st.builds(Config.model_validate, tables)


@given(configs, configs)
def test_whatever_changes_is_named_and_what_is_served_then_differs_no_more(running: Config, wanted: Config) -> None:
    told = changes(running, wanted)
    before, after = ({camera.name: camera for camera in config.camera} for config in (running, wanted))
    kept = {name for name in before if after.get(name) == before[name]}
    assert sorted([*told.added, *told.restarted, *kept]) == sorted(after)
    assert sorted([*told.removed, *told.restarted, *kept]) == sorted(before)
    assert set(told.later) <= set(told.keys)
    assert ("host" in told.later) == (running.host != wanted.host)
    assert told.runtime == (running.runtime.threads != wanted.runtime.threads)
    assert told.connection == (running.broker.keepalive_s != wanted.broker.keepalive_s)
    served = in_force(running, wanted)
    assert (served.host, served.base_topic, served.outbox) == (running.host, running.base_topic, running.outbox)
    left = changes(served, wanted)
    assert left.keys == left.later == told.later
    assert not left.added + left.leaving
    assert not left.connection


def test_a_file_that_only_looks_otherwise_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    text = '[[camera]]\nname = "a"\nsource = "demo:"\n'
    path.write_text(text)
    one = load(path)
    path.write_text(f"# a remark\n[broker]\nkeepalive_s = 10\n{text}hop = 1\n")
    assert str(changes(one, load(path))) == "no change"


def test_a_main_stream_begins_and_ends_with_the_recording() -> None:
    """Its camera is opened anew; others play on."""
    cameras = [{"name": "two", "source": "sub", "record_source": "main"}, {"name": "one", "source": "sub"}]
    silent = Config.model_validate({"camera": cameras})
    recording = Config.model_validate({"camera": cameras, "record": {"snapshot": True}})
    longer = Config.model_validate({"camera": cameras, "record": {"snapshot": True, "pre_roll_s": 5.0}})
    assert changes(silent, recording).restarted == changes(recording, silent).restarted == ("two",)
    assert changes(recording, longer).restarted == ()


def test_who_records_a_stream_of_its_own_begins_again_with_recording() -> None:
    cameras = [{"name": "a", "source": "rtsp://a/sub", "record_source": "rtsp://a/main"}, {"name": "b", "source": "x"}]
    off, on = (Config.model_validate({"record": {"snapshot": wanted}, "camera": cameras}) for wanted in (False, True))
    for told in (changes(off, on), changes(on, off)):
        assert (told.restarted, told.recorders) == (("a",), True)


# ----------------------------------------------------------------------------------------------- in a running daemon


class Site:
    """A configuration that is written again and again, a real camera, the daemon, and who hears it."""

    def __init__(self, folder: Path, broker: Mosquitto, model: Path, url: str) -> None:
        self.folder, self.broker, self.model, self._url = folder, broker, model, url
        self.path = folder / "site.toml"
        self.heard: list[tuple[float, Received]] = []
        self.daemon: DaemonProcess
        self._connection = Connection(broker.config(), "listener")
        note = self._connection.notes.get(timeout=60)
        assert isinstance(note, Connected)
        self.link = note.link
        self.link.subscribe(f"{BASE}/#")
        self.link.subscribe("homeassistant/#")

    def write(self, *cameras: str, extra: str = "", url: str = "", top: str = 'host = "test"', model: str = "") -> None:
        tables = "".join(f"[[camera]]\n{camera.format(url=self._url)}\n" for camera in cameras)
        self.path.write_text(
            f'{top}\n[broker]\nurl = "{url or self.broker.url}"\nscores = true\n'
            f'[runtime]\nmodel = "{model or self.model}"\n[outbox]\nfolder = "outbox"\n'
            f'[home_assistant]\ndiscovery = "device"\n{extra}\n{tables}'
        )

    def listen(self) -> None:
        while not self._connection.notes.empty():
            note = self._connection.notes.get()
            if isinstance(note, Received):
                self.heard.append((time.monotonic(), note))

    def until(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.status(), self.path.with_suffix(".log").read_text()[-3000:])
            time.sleep(0.02)
            self.listen()

    def hang_up(self) -> None:
        self._connection.close()

    def on(self, topic: str) -> list[bytes]:
        return [note.payload for _, note in self.heard if note.topic == topic]

    def status(self) -> DaemonStatus | None:
        told = self.on(f"{BASE}/status")
        return DaemonStatus.model_validate_json(told[-1]) if told else None

    def camera(self, name: str) -> CameraStatus:
        return CameraStatus.model_validate_json(self.on(f"{BASE}/{name}/status")[-1])

    def state(self, name: str) -> str:
        return self.camera(name).state if self.on(f"{BASE}/{name}/status") else ""

    def events(self, name: str) -> list[ActionEvent]:
        return [ActionEvent.model_validate_json(payload) for payload in self.on(f"{BASE}/{name}/events")]

    def clips(self, name: str) -> list[float]:
        """When the scores of each clip came, monotonic seconds."""
        return [at for at, note in self.heard if note.topic == f"{BASE}/{name}/scores"]

    def scores(self, name: str, since: float = 0.0) -> list[TopScores]:
        """What they were. `since`: monotonic seconds."""
        topic = f"{BASE}/{name}/scores"
        return [
            TopScores.model_validate_json(note.payload) for at, note in self.heard if note.topic == topic and at > since
        ]

    def reload(self, *cameras: str, **others: str) -> DaemonStatus:
        """Writes the file and sends SIGHUP; how it stands when that is over."""
        self.write(*cameras, **others)
        return self.hang_up_signal()

    def hang_up_signal(self) -> DaemonStatus:
        before = self.status()
        assert before
        self.daemon.process.send_signal(signal.SIGHUP)

        def over() -> bool:
            status = self.status()
            return status is not None and status.config.state != "checking" and status.config != before.config

        self.until(over)
        status = self.status()
        assert status
        return status


@pytest.fixture(scope="module")
def live() -> Iterator[RtspCamera]:
    camera = RtspCamera()
    yield camera
    camera.kill()


@pytest.fixture
def site(tmp_path: Path, broker: Mosquitto, model_copy: Path, live: RtspCamera) -> Iterator[Site]:
    one = Site(tmp_path, broker, model_copy, live.url())
    yield one
    one.hang_up()


@contextmanager
def serving(site: Site, *cameras: str, **others: str) -> Iterator[DaemonProcess]:
    """Until its cameras stream and have clips."""
    site.write(*cameras, **others)
    with DaemonProcess(site.path) as daemon:
        site.daemon = daemon
        site.until(lambda: len(site.clips("live")) > 2)
        yield daemon


class Inside:
    """A daemon in this process, and its file. It may have no broker: what it does is looked at directly."""

    def __init__(self, path: Path, *cameras: str) -> None:
        self._path = path
        self._write(cameras, "")
        self.daemon = daemon_module.Daemon(load(path), path.parent, path)
        self._thread = threading.Thread(target=self.daemon.run, name="main loop")
        self._thread.start()

    def reload(self, *cameras: str, extra: str = "") -> ConfigStatus:
        """How it stands when that is over."""
        before = self.daemon._told_config
        self.ask_for(*cameras, extra=extra)
        self.wait_for(lambda: self.daemon._told_config.state != "checking" and self.daemon._told_config is not before)
        return self.daemon._told_config

    def ask_for(self, *cameras: str, extra: str = "") -> None:
        self._write(cameras, extra)
        self.daemon.reload()

    def threads(self, of: str) -> list[str]:
        return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(of))

    def serving(self) -> dict[str, tuple[float, bool]]:
        """By camera, each once and streaming: its threshold, and whether it is recorded."""
        self.wait_for(lambda: all(camera.status().state == "streaming" for camera in self.daemon.cameras))
        cameras = self.daemon.cameras
        served = {one.name: (one._decider._config.enter_threshold, one.recorder is not None) for one in cameras}
        # on a busy host a thread that was left behind ends a moment later
        self.wait_for(lambda: self.threads("camera ") == sorted(f"camera {name}" for name in served))
        recorders = sorted(f"recorder {name}" for name, (_, recorded) in served.items() if recorded)
        self.wait_for(lambda: self.threads("recorder ") == recorders)
        return served

    def has_clips(self) -> None:
        """Every camera, from now on."""
        before = {camera: camera.status().clips for camera in self.daemon.cameras}
        self.wait_for(lambda: all(camera.status().clips > clips for camera, clips in before.items()))

    def close(self) -> None:
        self.daemon.stop()
        self._thread.join(60)

    def _write(self, cameras: Sequence[str], extra: str) -> None:
        tables = "".join(f'[[camera]]\nname = "{name}"\nsource = "demo:"\nloop = true\n' for name in cameras)
        self._path.write_text(f'[broker]\nurl = "mqtt://127.0.0.1:1"\n{extra}{tables}')

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def another_model(site: Site, name: str, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """Takes the folder's place, as `mv` does."""
    new = Path(shutil.copytree(site.model, site.folder / name))
    edit(new, change)
    site.model.rename(site.folder / f"before-{name}")
    new.rename(site.model)


def lives(events: list[ActionEvent]) -> list[str | None]:
    """Reasons of the ends; each action has one start, updates, one end; no seq is missing, none comes twice."""
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    going_on = None
    reasons = []
    for event in events:
        assert (event.id == going_on) == (event.type != "start")
        going_on = None if event.type == "end" else event.id
        reasons += [event.reason] if event.type == "end" else []
    assert going_on is None
    return reasons


def steps_s(scores: Sequence[TopScores]) -> list[float]:
    """From one clip's end to the next one's, as the camera's pictures have it."""
    moments = [datetime.fromisoformat(one.at).timestamp() for one in scores]
    return [later - earlier for earlier, later in pairwise(moments)]


def test_ten_reloads_and_three_models_cost_an_unchanged_camera_nothing(
    site: Site, rtsp: Callable[..., RtspCamera]
) -> None:
    endless = rtsp("", "demo:", "--size", "240x180", "--rate", "15")  # a looped file is opened anew at its end
    demo = f'name = "demo"\nsource = "{endless.url()}"'

    def one_more(number: int) -> str:
        return f'name = "other"\nsource = "demo:"\nloop = true\nhop = {number % 3 + 1}'

    with serving(site, PLAYS_ON, demo) as daemon:
        began = time.monotonic()
        for number in range(10):
            extra = f"[decide]\nupdate_interval_s = {number % 2 + 1}.0"
            cameras = [PLAYS_ON, demo, one_more(number)] if number % 4 else [PLAYS_ON, demo]
            assert site.reload(*cameras, extra=extra).config.state == "in_force"
        for number in range(3):
            another_model(site, f"model-{number}", lambda content, number=number: content.update(id=f"m{number}"))
            status = site.reload(PLAYS_ON, demo)
            assert (status.model.id, status.config.reason) == (f"m{number}", "")
        swapped = time.monotonic()
        site.until(lambda: bool(site.clips("live")) and site.clips("live")[-1] > swapped + 0.8)
        daemon.process.terminate()
        assert daemon.wait(30) == 0
    site.until(lambda: site.on(f"{BASE}/availability")[-1:] == [b"stopped"])
    log = daemon.log()
    for name in ("live", "demo"):
        assert site.camera(name).gaps == 0
        assert log.count(f"camera={name} state=streaming") == 1, "the source was never opened again"
        lives(site.events(name))
        scores = site.scores(name, began)
        assert max(steps_s(scores)) < 1.27, "a clip every 0.27 s, none a second late"
        assert max(one.latency_ms for one in scores) < 1000
    lives(site.events("other"))
    assert {event.model.id for event in site.events("live") + site.events("demo")} >= {"motion", "m2"}
    live = site.camera("live")
    clips = 1 + round(sum(steps_s(site.scores("live"))) / (4 / 15))
    assert live.clips + live.shed == pytest.approx(clips, abs=3)


def test_cameras_come_and_go_and_what_is_retained_of_them_with_them(site: Site) -> None:
    with serving(site, PLAYS_ON, DEMO, extra=LASTS) as daemon:
        device = "homeassistant/device/edge-tdn_test_demo/config"
        site.until(lambda: site.on(f"{BASE}/demo/action")[-1:] not in ([], [b"none"]) and bool(site.on(device)))
        assert site.reload(PLAYS_ON, extra=LASTS).cameras == ["live"]
        site.until(lambda: site.on(device)[-1] == b"")
        gone = site.camera("demo")
        assert (gone.state, gone.reason) == ("ended", "removed from the configuration")
        assert site.on(f"{BASE}/demo/action")[-1] == b"none"
        site.until(lambda: site.events("demo")[-1].type == "end")
        assert lives(site.events("demo"))[-1] == "shutdown"
        site.link.publish(Message(f"{BASE}/cmd/demo/set/enabled", b"OFF"))
        site.until(lambda: b"unknown camera 'demo'" in b"".join(site.on(f"{BASE}/reply")))

        site.link.publish(Message(f"{BASE}/cmd/live/set/enabled", b"OFF"))
        site.until(lambda: site.state("live") == "disabled")
        (site.folder / "later.mp4").write_text("not yet a video")
        later = 'name = "later"\nsource = "later.mp4"\nloop = true'
        site.reload(PLAYS_ON + "\nhop = 2", DEMO, later)
        site.until(lambda: site.state("later") == "unreachable")
        shutil.copy(demo_clip_path(), site.folder / "later.mp4")
        site.hang_up_signal()
        site.until(lambda: site.state("later") == "streaming")
        site.until(lambda: site.state("demo") == "streaming" and site.on(device)[-1] != b"")
        assert site.state("live") == "disabled", "who switched it off does not want it on by the way"
        site.link.publish(Message(f"{BASE}/cmd/live/set/enabled", b"ON"))
        site.until(lambda: site.state("live") == "streaming")
        daemon.process.terminate()
        assert daemon.wait(30) == 0
    site.until(lambda: site.on(f"{BASE}/availability")[-1:] == [b"stopped"])
    lives(site.events("demo"))
    lives(site.events("live"))


def test_a_file_that_is_wrong_is_refused_in_the_words_of_check(
    site: Site,
) -> None:
    wrong = {
        "misspelt": {"extra": "[decide]\nenter_treshold = 0.5"},
        "no such label": {"extra": '[decide]\nonly = ["jump"]'},
        "no such model": {"model": "gone"},
        "no password": {"extra": "", "url": f'{site.broker.url}"\nusername = "u"\npassword_file = "gone'},
    }
    with serving(site, PLAYS_ON):
        log = site.path.with_suffix(".log")
        for name, others in wrong.items():
            told = site.reload(PLAYS_ON, **others).config
            assert told.state == "refused", name
            with pytest.raises(EdgeTdnError) as refused:
                check(Console(quiet=True), site.path)
            assert str(refused.value) == told.reason
            assert f"refused, the one before stays in force: {told.reason}" in log.read_text()
        site.write(PLAYS_ON, 'name = "typo"\nsource = "gst: videotestsrk"')
        assert "camera[1].source" in site.hang_up_signal().config.reason
        assert site.reload(PLAYS_ON).config.state == "in_force"
        damaged = site.model / "fp32/head.bin"
        good = damaged.read_bytes()
        damaged.write_bytes(good[:-1])
        told = site.hang_up_signal().config
        assert (told.state, "head.bin" in told.reason) == ("refused", True)
        for number, fault in enumerate(("golden", "labels")):
            shutil.rmtree(site.model)
            shutil.copytree(ROOT / "edge_tdn/models/motion", site.model)
            if fault == "golden":  # its own logits are others: it fails its self-test
                with np.load(site.model / "golden.npz") as golden:
                    clip, logits = golden["clip"], golden["logits"]
                np.savez_compressed(site.model / "golden.npz", clip=clip, logits=-logits)
                rehash(site.model, "golden.npz")
            else:
                (site.model / "labels.txt").write_text("one\ntwo\n")
                rehash(site.model, "labels.txt")
            told = site.hang_up_signal().config
            assert told.state == "refused", (number, fault)
            assert ("self-test failed" if fault == "golden" else "2 labels") in told.reason
        assert site.camera("live").gaps == 0
        clips = site.clips("live")
        site.until(lambda: len(site.clips("live")) > len(clips) + 2)
        status = site.status()
        assert status
        assert status.model.id == "motion"


def broken_once(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, hit: int) -> None:
    """The `hit`-th call fails as on a host that has no more."""
    whole, calls = getattr(owner, method), []

    def broken(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == hit:
            raise RuntimeError("no more of it")
        return whole(*arguments)

    monkeypatch.setattr(owner, method, broken)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Callable[..., Inside]]:
    """inside(cameras...) -> a daemon in this process, without a broker; stopped when the test is over."""
    started: list[Inside] = []

    def start(*cameras: str) -> Inside:
        started.append(Inside(tmp_path / "site.toml", *cameras))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_reload_that_fails_half_way_is_made_good_by_the_next(
    inside: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file again brings all of it into force, the one before takes all of it back."""
    one = inside("stays", "goes")
    before = one.serving()
    stays = one.daemon.cameras[0]
    thresholds = "[decide]\nenter_threshold = 0.9\n[record]\nsnapshot = true\n"
    with monkeypatch.context() as patch:
        broken_once(patch, Camera, "start", hit=1)
        told = one.reload("stays", "comes", "too", extra=thresholds)
    assert (told.state, told.reason) == ("refused", "RuntimeError: no more of it; the log says where")
    assert one.reload("stays", "goes").state == "in_force"
    assert one.serving() == before
    with monkeypatch.context() as patch:
        broken_once(patch, Camera, "start", hit=2)
        assert one.reload("stays", "comes", "too", extra=thresholds).state == "refused"
    assert one.reload("stays", "comes", "too", extra=thresholds).state == "in_force"
    assert one.serving() == dict.fromkeys(("stays", "comes", "too"), (0.9, True))
    assert one.daemon.cameras[0] is stays


def test_a_camera_that_would_start_after_the_stop_does_not(
    inside: Callable[..., Inside], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not wait for ever for a reload that changes something; what this brings then, nobody would stop."""
    one = inside("stays")
    one.serving()
    made, over = daemon_module.Daemon._camera, threading.Event()

    def slow(self: daemon_module.Daemon, config: Config, name: str) -> Camera:
        one.close()
        over.set()
        return made(self, config, name)

    monkeypatch.setattr(daemon_module.Daemon, "_camera", slow)
    one.ask_for("stays", "comes")
    assert over.wait(90)
    one.wait_for(lambda: not one.threads("reload"))
    one.wait_for(lambda: not one.threads("camera "))


def test_a_model_that_fails_at_the_second_camera_leaves_both_to_the_one_before(
    inside: Callable[..., Inside], model_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is fed in another way, so that every camera needs new memory of the device, which it has not got."""
    one = inside("a", "b")
    one.has_clips()
    edit(model_copy, lambda content: content.update(id="slow", input=content["input"] | {"frame_rate": 10.0}))
    extra = f'[runtime]\nmodel = "{model_copy}"\n'
    with monkeypatch.context() as patch:
        broken_once(patch, OpenVinoRuntime, "ring", hit=2)
        assert one.reload("a", "b", extra=extra).state == "refused"
    one.has_clips()
    assert one.daemon.model.manifest.id == "motion"
    assert one.reload("a", "b", extra=extra).state == "in_force"
    assert one.daemon.model.manifest.id == "slow"


def test_what_only_a_restart_changes_is_told_and_a_new_password_is_used_at_once(site: Site) -> None:
    (site.folder / "secret").write_text("one")
    url = f'{site.broker.url}"\nusername = "u"\npassword_file = "secret'
    with serving(site, PLAYS_ON, url=url) as daemon:
        told = site.reload(PLAYS_ON, url=url, top='host = "elsewhere"', extra="[decide]\nseveral = true")
        assert (told.host, told.config.state) == ("test", "in_force")
        assert told.config.reason == "a restart is needed for host"
        assert "in force: changed: decide.several; a restart is needed for host" in daemon.log()
        assert site.hang_up_signal().session == 1
        (site.folder / "secret").write_text("two")
        site.hang_up_signal()
        site.until(lambda: len(site.on(f"{BASE}/availability")) == 3)
        assert site.on(f"{BASE}/availability") == [b"online", b"offline", b"online"]
        daemon.process.terminate()
        assert daemon.wait(30) == 0
        assert site.camera("live").gaps == 0


def test_a_model_that_is_fed_in_another_way_begins_anew_and_the_stream_stays(site: Site) -> None:
    """Ten frames a second instead of fifteen, other labels: no action goes on, the window is filled again."""
    with serving(site, PLAYS_ON, extra=OFTEN) as daemon:
        site.until(lambda: site.on(f"{BASE}/live/action")[-1:] not in ([], [b"none"]))
        lines = (site.model / "labels.txt").read_text().splitlines()
        new = Path(shutil.copytree(site.model, site.folder / "new"))
        (new / "labels.txt").write_text("\n".join(line if line == "still" else f"{line}ward" for line in lines) + "\n")
        rehash(new, "labels.txt")
        edit(new, lambda content: content.update(id="slow", input=content["input"] | {"frame_rate": 10.0}))
        before = len(site.events("live"))
        assert site.reload(PLAYS_ON, extra=OFTEN, model=str(new)).model.id == "slow"

        def is_new(one: TopScores) -> bool:
            return any(label.endswith("ward") for label in one.scores)

        site.until(lambda: sum(map(is_new, site.scores("live"))) > 3)
        scores = site.scores("live")
        first = next(n for n, one in enumerate(scores) if is_new(one))
        assert not any(map(is_new, scores[:first]))
        assert all(map(is_new, scores[first:]))
        before_it, *steps = steps_s(scores[first - 1 :])
        assert before_it > 3.0, "eight segments of four ticks at ten a second"
        assert 0.2 < median(steps) < 1.0
        assert next(event for event in site.events("live")[before:] if event.type == "end").reason == "shutdown"
        daemon.process.terminate()
        assert daemon.wait(30) == 0
    site.until(lambda: site.on(f"{BASE}/availability")[-1:] == [b"stopped"])
    lives(site.events("live"))
    assert daemon.log().count("camera=live state=streaming") == 1
    assert site.camera("live").gaps == 0


def test_another_broker_hears_what_the_first_did_not(site: Site, tmp_path: Path) -> None:
    """Events go on coming; no number is missing between the two."""
    (tmp_path / "second").mkdir()
    second = Mosquitto(tmp_path / "second")
    listener = Connection(second.config(), "second")
    try:
        note = listener.notes.get(timeout=60)
        note.link.subscribe(f"{BASE}/#")
        with serving(site, PLAYS_ON, extra=OFTEN) as daemon:
            site.until(lambda: len(site.events("live")) > 2)
            site.write(PLAYS_ON, extra=OFTEN, url=second.url)
            daemon.process.send_signal(signal.SIGHUP)
            site.until(lambda: site.on(f"{BASE}/availability")[-1] == b"stopped")
            numbers = [event.seq for event in site.events("live")]
            while numbers[-1] < 2 * len(site.events("live")):
                got = listener.notes.get(timeout=60)
                if isinstance(got, Received) and got.topic == f"{BASE}/live/events":
                    numbers.append(ActionEvent.model_validate_json(got.payload).seq)
            daemon.process.terminate()
            assert daemon.wait(30) == 0
        assert list(dict.fromkeys(numbers)) == list(range(1, numbers[-1] + 1))
        assert len(numbers) > len(site.events("live"))
    finally:
        listener.close()
        second.stop()
