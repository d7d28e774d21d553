"""Every thread beats; one that hangs is named with all stacks, and systemd's watchdog is no longer fed."""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from edge_tdn.capture import source
from edge_tdn.capture.gst_capture import GstCapture
from edge_tdn.config.tables import Config, load
from edge_tdn.delivery import publisher
from edge_tdn.delivery.mqtt import Link
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.errors import ConfigError
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.process import heartbeat, systemd_notify
from edge_tdn.process.heartbeat import Watchdog, beat, beating
from edge_tdn.process.log import value
from edge_tdn.recording.recorder import Recorder
from edge_tdn.service import daemon as daemon_module
from edge_tdn.service.camera import Camera
from edge_tdn.service.daemon import Daemon
from tests.support.broker import Mosquitto

HUNG_S = 1.0  # of these tests' watchdog
PATIENCE_S = 60.0  # with what must come: the machine may be busy


class Systemd:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(name.replace("@", "\0", 1))
        self._socket.setblocking(False)
        self._heard: list[str] = []

    def said(self) -> list[str]:
        """All messages so far."""
        while True:
            try:
                self._heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self._heard.copy()

    def hears(self, message: str) -> None:
        until(lambda: message in self.said(), lambda: f"no {message!r}, but {self._heard[-10:]}")

    def forget(self) -> None:
        """All messages so far."""
        self.said()
        self._heard.clear()

    def fed(self) -> None:
        """Forgets what was said, until the watchdog has been fed again."""
        self.forget()
        self.hears("WATCHDOG=1")

    def starved(self) -> bool:
        """Before the watchdog was told to bite, the main loop has looked at least once and not fed it."""
        before = self.said()[: self.said().index("WATCHDOG=trigger")]
        fed = len(before) - before[::-1].index("WATCHDOG=1")
        return sum(message.startswith("STATUS=") for message in before[fed:]) > 1  # one behind each look

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@edge-tdn-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", str(round(HUNG_S * 1e6)))
    other_end = Systemd(name)
    yield other_end
    other_end.close()


def test_what_systemd_is_told(systemd: Systemd) -> None:
    systemd_notify.extend(600, "compiling")
    systemd_notify.ready()
    before_us = time.monotonic_ns() // 1000
    systemd_notify.reloading()
    after_us = time.monotonic_ns() // 1000
    systemd_notify.status("2 of 3 cameras streaming")
    systemd_notify.alive()
    systemd_notify.hung()
    systemd_notify.stopping()
    said = systemd.said()
    began_us = int(said[2].partition("MONOTONIC_USEC=")[2])
    assert before_us <= began_us <= after_us
    assert said == [
        "EXTEND_TIMEOUT_USEC=600000000\nSTATUS=compiling", "READY=1", f"RELOADING=1\nMONOTONIC_USEC={began_us}",
        "STATUS=2 of 3 cameras streaming", "WATCHDOG=1", "WATCHDOG=trigger", "STOPPING=1",
    ]  # fmt: skip


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in ("", "nonsense", str(tmp_path / "nobody")):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        systemd_notify.ready()
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    assert systemd_notify.watchdog_s() == 20
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))  # another process's
    assert systemd_notify.watchdog_s() is None


def site(broker: str, camera: str) -> Config:
    """One camera, everything that has a thread."""
    return Config.model_validate(
        {
            "broker": {"url": broker},
            "runtime": {"device": "CPU"},
            "record": {"snapshot": True},
            "outbox": {"folder": "outbox"},
            "camera": [{"name": "a", "source": camera, "loop": True, "decoder": "gstreamer"}],
        }
    )


@contextmanager
def running(daemon: Daemon) -> Iterator[None]:
    thread = threading.Thread(target=daemon.run, name="main loop")
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def until(true: Callable[[], bool], told: Callable[[], object] = lambda: "") -> None:
    """`told`: where it does not become so."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


class Course:
    """A watchdog on a clock of its own, and when it was fed (negative: told to bite)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 0.0
        self.fed: list[float] = []
        monkeypatch.setattr("time.monotonic", lambda: self._now)
        monkeypatch.setattr(systemd_notify, "alive", lambda: self.fed.append(self._now))
        monkeypatch.setattr(systemd_notify, "hung", lambda: self.fed.append(-self._now))
        self._watchdog = Watchdog()  # 20 s: fed while all have beaten in the last 10

    def look(self, *moments: float) -> None:
        for self._now in moments:
            self._watchdog.look()
        self._watchdog.close()


def test_a_thread_may_ask_for_patience_and_one_that_has_ended_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course(monkeypatch)
    with beating():
        course.look(9, 11, 19, 21)
        beat(patience_s=60)
        course.look(30, 40, 50, 60, 70, 80, 90, 93, 101)
    course.look(102)
    assert course.fed == [9, -21, 30, 40, 50, 60, 70, 80, 90, 102]


def test_patience_ends_with_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course(monkeypatch)
    with beating():
        with heartbeat.patience(60):
            course.look(9, 18, 27, 36, 45, 54, 63, 69)
        course.look(78, 80, 89, 91)
    assert course.fed == [9, 18, 27, 36, 45, 54, 63, 69, 78, -91]


def test_a_host_that_was_asleep_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course(monkeypatch)
    with beating():
        course.look(2, 3600, 3602, 3609)
    assert course.fed == [2, 3600, 3602, 3609]


def test_who_waits_beats_whether_or_not_there_is_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The camera is away, so that runtime, publisher and recorder have nothing to do."""
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.1)
    monkeypatch.setattr(publisher, "TICK_S", 0.1)
    monkeypatch.setattr(source, "RETRY_S", (600.0, 600.0))
    daemon = Daemon(site("mqtt://127.0.0.1:1", "rtsp://127.0.0.1:1/x"), tmp_path)
    with running(daemon):
        until(lambda: daemon.cameras[0].status().state == "unreachable")
        newest: dict[str, tuple[float, int]] = {}  # each thread's last beat, and the look that found it
        longest: dict[str, int] = {}  # looks without a new one: what holds the threads up holds this loop up, too
        for look in range(75):
            for thread, at in heartbeat._beats.copy().items():
                if newest.get(thread.name, (0.0, 0))[0] != at:
                    newest[thread.name] = at, look
                longest[thread.name] = max(longest.get(thread.name, 0), look - newest[thread.name][1])
            time.sleep(0.02)
        assert longest.keys() == {"runtime", "publisher", "camera a", "recorder a"}
        assert max(longest.values()) < 1 / 0.02, longest
    until(lambda: not heartbeat._beats)


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_a_long_reload_is_waited_for_while_all_goes_on_and_a_stop_is_the_last_word(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd takes a reload for failed that neither ends nor asks for more time."""
    monkeypatch.setattr(daemon_module, "STATUS_EVERY_S", HUNG_S / 10)
    monkeypatch.setattr(heartbeat, "EVERY_S", HUNG_S / 10)
    monkeypatch.setattr(publisher, "TICK_S", HUNG_S / 10)
    path, let_go = tmp_path / "site.toml", threading.Event()

    def refuse(*_: object) -> None:
        let_go.wait(PATIENCE_S)
        raise ConfigError("too late")

    path.write_text('[broker]\nurl = "mqtt://127.0.0.1:1"\n[[camera]]\nname = "a"\nsource = "rtsp://127.0.0.1:1/x"\n')
    daemon = Daemon(load(path), tmp_path, path)
    with running(daemon):
        systemd.hears("READY=1")
        systemd.forget()
        daemon.reload()
        systemd.hears("READY=1")
        said = systemd.said()  # beats among it
        told = [message.partition("MONOTONIC_USEC=")[0] for message in said[: said.index("READY=1")]]
        assert told.count("RELOADING=1\n") == 1, said
        monkeypatch.setattr(daemon_module, "verify", refuse)
        daemon.reload()
        longer = f"EXTEND_TIMEOUT_USEC={HUNG_S / 2 * 1e6:.0f}\nSTATUS=0 of 1 cameras streaming; "
        until(lambda: sum(message.startswith(longer) for message in systemd.said()) > 3)
        look = Watchdog.look

        def looking(watchdog: Watchdog) -> bool:
            well = look(watchdog)
            systemd_notify.status(f"all go on: {well}")
            return well

        monkeypatch.setattr(Watchdog, "look", looking)
        systemd.hears("STATUS=all go on: True")
        systemd.forget()
        with beating():  # one that hangs
            until(lambda: systemd.said().count("STATUS=all go on: False") > 3)
        for one, other in pairwise(systemd.said()):
            assert other == "STATUS=all go on: True" or one != "WATCHDOG=1", systemd.said()
            assert one == "STATUS=all go on: True" or not other.startswith("EXTEND"), systemd.said()
    let_go.set()
    until(lambda: "reload" not in [thread.name for thread in threading.enumerate()])
    said = systemd.said()
    assert not [message for message in said[said.index("STOPPING=1") :] if message == "READY=1"]


class Trap:
    """Methods that never return, one at a time, while they are held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._held = ""
        self._let_go = threading.Event()
        self.caught: set[str] = set()  # names of the threads that are in it

    def set(self, owner: type, method: str) -> None:
        whole = getattr(owner, method)

        def trapped(*arguments: object) -> object:
            if self._held == method:
                self.caught.add(threading.current_thread().name)
                self._let_go.wait()
            return whole(*arguments)

        self._monkeypatch.setattr(owner, method, trapped)

    def hold(self, method: str) -> None:
        self._let_go.clear()
        self.caught.clear()
        self._held = method

    def let_go(self) -> None:
        self._held = ""
        self._let_go.set()

    close = let_go


def test_what_a_reload_stopped_is_not_waited_for_one_by_one_and_its_hang_is_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cameras leave that a library holds, and their recorders hear nothing; what comes beats."""
    monkeypatch.setattr(daemon_module, "JOIN_S", 0.1)
    monkeypatch.setattr(daemon_module, "RECORDED_S", 0.5)
    waits = {kind: allowed(kind, monkeypatch) for kind in (Camera, Recorder)}
    path, leaving = tmp_path / "site.toml", ["a", "b", "c", "d"]

    def write(*names: str) -> None:
        tables = "".join(f'[[camera]]\nname = "{name}"\nsource = "demo:"\nloop = true\n' for name in names)
        path.write_text(f'[broker]\nurl = "mqtt://127.0.0.1:1"\n[record]\nsnapshot = true\n{tables}')

    def watched() -> set[str]:
        return {thread.name for thread in heartbeat._beats} - {"reload"}

    write("stays", *leaving)
    trap = Trap(monkeypatch)
    trap.set(GstCapture, "read")
    daemon = Daemon(load(path), tmp_path, path)
    recorders = [camera.recorder for camera in daemon.cameras if camera.recorder]
    with running(daemon):
        until(lambda: {camera.status().state for camera in daemon.cameras} == {"streaming"})
        with monkeypatch.context() as deaf, closing(trap):
            deaf.setattr(Recorder, "close", lambda self: None)
            trap.hold("read")
            until(lambda: trap.caught == {f"camera {name}" for name in ("stays", *leaving)})
            write("stays", "comes")
            daemon.reload()
            until(lambda: [camera.name for camera in daemon.cameras] == ["stays", "comes"])
            for kind, together_s in ((Camera, 0.1), (Recorder, 0.5)):
                assert len(waits[kind]) == len(leaving)
                assert sum(waits[kind]) < together_s + 0.02
            until(lambda: "camera comes" in watched())
            there = {
                "runtime",
                "publisher",
                *(f"{kind} {n}" for kind in ("camera", "recorder") for n in ("stays", "comes")),
            }
            assert watched() == there
            names = {thread.name for thread in threading.enumerate()}
            assert names > {f"{kind} {name}" for kind in ("camera", "recorder") for name in leaving}
        for recorder in recorders:
            recorder.close()
    until(lambda: not heartbeat._beats)


def allowed(kind: type, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that each join of this kind's threads may wait."""
    join, seconds = kind.join, list[float]()  # type: ignore[attr-defined]

    def listed(one: object, timeout_s: float) -> None:
        seconds.append(timeout_s)
        join(one, timeout_s)

    monkeypatch.setattr(kind, "join", listed)
    return seconds


PLACES = [
    (OpenVinoRuntime, "classify", "runtime"),
    (GstCapture, "read", "camera a"),
    (Link, "publish", "publisher"),
    (Outbox, "put", "publisher"),
]


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_a_hang_anywhere_starves_the_watchdog_and_is_told_with_stacks(
    systemd: Systemd, broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A real daemon, where one call after the other never returns; every thread that it has is watched."""
    others = set(threading.enumerate())
    for module, name in ((heartbeat, "EVERY_S"), (publisher, "TICK_S"), (daemon_module, "STATUS_EVERY_S")):
        monkeypatch.setattr(module, name, HUNG_S / 10)
    monkeypatch.setattr(daemon_module, "LIFE_EVERY_S", HUNG_S / 10)
    monkeypatch.setattr(publisher, "DISK_S", 0.0)
    trap = Trap(monkeypatch)
    for owner, method, _ in (*PLACES, (Publisher, "daemon_status", "")):
        trap.set(owner, method)
    with running(Daemon(site(broker.url, "demo:"), tmp_path)), closing(trap):
        systemd.hears("READY=1")
        systemd.hears("STATUS=1 of 1 cameras streaming; broker connected; 0 events wait")
        ours = {thread.name for thread in set(threading.enumerate()) - others} - {"main loop", "mqtt"}
        watched = {"runtime", "publisher", "camera a", "recorder a"}
        assert {name for name in ours if not name.startswith("paho")} == watched
        assert {thread.name for thread in heartbeat._beats} == watched
        for _, method, name in PLACES:
            systemd.fed()
            capfd.readouterr()
            trap.hold(method)
            systemd.hears("WATCHDOG=trigger")
            assert systemd.starved(), systemd.said()
            assert f"thread={value(name)} " in caplog.text, method
            assert re.search(r'test_heartbeat.py", line \d+ in trapped', capfd.readouterr().err), method
            trap.let_go()
            caplog.clear()
        systemd.fed()
        trap.hold("daemon_status")
        until(lambda: trap.caught == {"main loop"})
        systemd.forget()
        stacks = []

        def told() -> bool:
            stacks.append(capfd.readouterr().err)
            return bool(re.search(r"in trapped\n.*daemon.py\", line \d+ in _serve", "".join(stacks)))

        until(told)
        assert systemd.said() == []
    systemd.hears("STOPPING=1")
