"""A real daemon whose threads hang: it is logged with all stacks, and systemd's watchdog is not fed any more."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from edge_tdn.capture.gst_capture import GstCapture
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.config.load import load
from edge_tdn.config.tables import Config
from edge_tdn.delivery.mqtt import Link
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.errors import ConfigError
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.process import heartbeat, systemd_notify
from edge_tdn.process.heartbeat import Watchdog, beating
from edge_tdn.process.log import value
from edge_tdn.recording.recorder import Recorder
from edge_tdn.service import reload
from edge_tdn.service.camera import Camera
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.timing import CameraTiming, DaemonTiming
from tests.process.conftest import WATCHDOG_S
from tests.support.broker import Mosquitto
from tests.support.systemd import NotifySocket, Trap
from tests.support.waiting import PATIENCE_S, eventually


def make_config(broker: str, camera: str) -> Config:
    """Return a configuration with one camera, and everything that has a thread."""
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


def test_waiting_threads_beat_whether_or_not_they_have_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The camera is away, so that runtime, publisher and recorder have no work."""
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    capture = CaptureTiming(retry_min_s=600.0, retry_max_s=600.0)
    timing = DaemonTiming(publisher=PublisherTiming(tick_s=0.1), camera=CameraTiming(capture))
    others = set(threading.enumerate())
    daemon = Daemon(make_config("mqtt://127.0.0.1:1", "rtsp://127.0.0.1:1/x"), tmp_path, timing=timing)
    with running(daemon):
        eventually(lambda: daemon.cameras[0].status().state == "unreachable")
        newest: dict[str, tuple[float, int]] = {}  # each thread's last beat, and the look that found it
        longest: dict[str, int] = {}  # looks without a new beat: what delays the threads delays this loop, too
        for look in range(75):
            for thread, at in heartbeat._beats.copy().items():
                if thread in others:
                    continue
                if newest.get(thread.name, (0.0, 0))[0] != at:
                    newest[thread.name] = at, look
                longest[thread.name] = max(longest.get(thread.name, 0), look - newest[thread.name][1])
            time.sleep(0.02)
        assert longest.keys() == {"runtime", "publisher", "camera a", "recorder a"}
        assert max(longest.values()) < 1 / 0.02, longest
    eventually(lambda: not heartbeat._beats.keys() - others)


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_long_reload_extends_the_timeout_while_all_threads_beat(
    systemd: NotifySocket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload that neither ends nor asks for more time counts as failed. After STOPPING=1 nothing is announced."""
    timing = DaemonTiming(status_every_s=WATCHDOG_S / 10, publisher=PublisherTiming(tick_s=WATCHDOG_S / 10))
    path, released = tmp_path / "site.toml", threading.Event()

    def verify_for_long(*_: object) -> None:
        released.wait(PATIENCE_S)
        raise ConfigError("too late")

    path.write_text('[broker]\nurl = "mqtt://127.0.0.1:1"\n[[camera]]\nname = "a"\nsource = "rtsp://127.0.0.1:1/x"\n')
    daemon = Daemon(load(path), tmp_path, path, timing)
    with running(daemon):
        systemd.wait_for("READY=1")
        systemd.clear()
        daemon.reload()
        systemd.wait_for("READY=1")
        messages = systemd.messages()  # with beats among them
        kinds = [message.partition("MONOTONIC_USEC=")[0] for message in messages[: messages.index("READY=1")]]
        assert kinds.count("RELOADING=1\n") == 1, messages
        monkeypatch.setattr(reload, "verify", verify_for_long)
        daemon.reload()
        extended = f"EXTEND_TIMEOUT_USEC={WATCHDOG_S / 2 * 1e6:.0f}\nSTATUS=0 of 1 cameras streaming; "
        eventually(lambda: sum(message.startswith(extended) for message in systemd.messages()) > 3)
        look = Watchdog.look

        def look_and_report(watchdog: Watchdog) -> bool:
            healthy = look(watchdog)
            systemd_notify.status(f"healthy: {healthy}")
            return healthy

        monkeypatch.setattr(Watchdog, "look", look_and_report)
        systemd.wait_for("STATUS=healthy: True")
        systemd.clear()
        with beating():  # this thread hangs
            eventually(lambda: systemd.messages().count("STATUS=healthy: False") > 3)
        for one, other in pairwise(systemd.messages()):
            assert other == "STATUS=healthy: True" or one != "WATCHDOG=1", systemd.messages()
            assert one == "STATUS=healthy: True" or not other.startswith("EXTEND"), systemd.messages()
    released.set()
    eventually(lambda: "reload" not in [thread.name for thread in threading.enumerate()])
    messages = systemd.messages()
    assert not [message for message in messages[messages.index("STOPPING=1") :] if message == "READY=1"]


def test_reload_waits_for_removed_cameras_together_and_their_hang_is_not_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removed cameras hang in a library, and their recorders are not asked to end; new threads are monitored."""
    timing = DaemonTiming(join_s=0.1, record_s=0.5)
    waits = {kind: record_joins(kind, monkeypatch) for kind in (Camera, Recorder)}
    path, removed = tmp_path / "site.toml", ["a", "b", "c", "d"]

    def write(*names: str) -> None:
        tables = "".join(f'[[camera]]\nname = "{name}"\nsource = "demo:"\nloop = true\n' for name in names)
        path.write_text(f'[broker]\nurl = "mqtt://127.0.0.1:1"\n[record]\nsnapshot = true\n{tables}')

    def monitored() -> set[str]:
        return {thread.name for thread in heartbeat._beats} - {"reload"}

    def threads_of(*names: str) -> set[str]:
        return {f"{kind} {name}" for kind in ("camera", "recorder") for name in names}

    write("stays", *removed)
    trap = Trap(monkeypatch)
    trap.set(GstCapture, "read")
    daemon = Daemon(load(path), tmp_path, path, timing)
    recorders = [camera.recorder for camera in daemon.cameras if camera.recorder]
    with running(daemon):
        eventually(lambda: {camera.status().state for camera in daemon.cameras} == {"streaming"})
        with monkeypatch.context() as patch, closing(trap):
            patch.setattr(Recorder, "close", lambda self: None)
            trap.hold("read")
            eventually(lambda: trap.caught == {f"camera {name}" for name in ("stays", *removed)})
            write("stays", "comes")
            daemon.reload()
            eventually(lambda: [camera.name for camera in daemon.cameras] == ["stays", "comes"])
            for kind, together_s in ((Camera, 0.1), (Recorder, 0.5)):
                assert len(waits[kind]) == len(removed)
                assert sum(waits[kind]) < together_s + 0.02
            eventually(lambda: "camera comes" in monitored())
            assert monitored() == {"runtime", "publisher", *threads_of("stays", "comes")}
            assert {thread.name for thread in threading.enumerate()} > threads_of(*removed)
        for recorder in recorders:
            recorder.close()
    eventually(lambda: not heartbeat._beats)


def record_joins(kind: type, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list to which each `join` of this class appends its time limit, in seconds."""
    join, timeouts_s = kind.join, list[float]()  # type: ignore[attr-defined]

    def recorded(one: object, timeout_s: float) -> None:
        timeouts_s.append(timeout_s)
        join(one, timeout_s)

    monkeypatch.setattr(kind, "join", recorded)
    return timeouts_s


PLACES = [
    (OpenVinoRuntime, "classify", "runtime"),
    (GstCapture, "read", "camera a"),
    (Link, "publish", "publisher"),
    (Outbox, "put", "publisher"),
]


@pytest.mark.parametrize("systemd", ["path"], indirect=True)
def test_hang_of_any_thread_starves_the_watchdog_and_is_logged_with_stacks(
    systemd: NotifySocket,
    broker: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A real daemon, in which one call after the other does not return; every thread that it has is monitored."""
    others = set(threading.enumerate())
    often_s = WATCHDOG_S / 10
    timing = DaemonTiming(often_s, often_s, publisher=PublisherTiming(tick_s=often_s, disk_s=0.0))
    trap = Trap(monkeypatch)
    for owner, method, _ in (*PLACES, (Publisher, "daemon_status", "")):
        trap.set(owner, method)
    with running(Daemon(make_config(broker.url, "demo:"), tmp_path, timing=timing)), closing(trap):
        systemd.wait_for("READY=1")
        systemd.wait_for("STATUS=1 of 1 cameras streaming; broker connected; 0 events wait")
        ours = {thread.name for thread in set(threading.enumerate()) - others} - {"main loop", "mqtt"}
        monitored = {"runtime", "publisher", "camera a", "recorder a"}
        assert {name for name in ours if not name.startswith("paho")} == monitored
        assert {thread.name for thread in heartbeat._beats} == monitored
        for _, method, name in PLACES:
            systemd.wait_until_fed()
            capfd.readouterr()
            trap.hold(method)
            eventually(lambda: trap.caught)
            logged = f"thread={value(name)} "
            stacks = ""
            while not (logged in caplog.text and re.search(r'systemd.py", line \d+ in trapped', stacks)):
                systemd.wait_for_another("WATCHDOG=trigger")
                stacks += capfd.readouterr().err
            assert systemd.was_starved(), systemd.messages()
            trap.release()
            caplog.clear()
        systemd.wait_until_fed()
        trap.hold("daemon_status")
        eventually(lambda: trap.caught == {"main loop"})
        systemd.clear()
        stacks = []

        def are_logged() -> bool:
            stacks.append(capfd.readouterr().err)
            return bool(re.search(r"in trapped\n.*daemon.py\", line \d+ in _serve", "".join(stacks)))

        eventually(are_logged)
        assert systemd.messages() == []
    systemd.wait_for("STOPPING=1")
