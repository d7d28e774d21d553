"""A real daemon whose device fails while it serves: it serves again, or it ends with a reason. No event is lost."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.config.load import load
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.errors import EdgeTdnError, ModelError
from edge_tdn.media import gstreamer
from edge_tdn.service.camera import Camera
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.timing import DaemonTiming
from tests.support.broker import Mosquitto
from tests.support.failing_runtime import FailingDevice
from tests.support.mqtt import HostRecorder, actions_of
from tests.support.site import write_site
from tests.support.systemd import NotifySocket
from tests.support.waiting import PATIENCE_S, eventually

LOST = RuntimeError("Exception from src/inference/src/x.cpp:1\n[GPU] device lost")
REASON = "runtime failed: RuntimeError: [GPU] device lost"
BALL = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1"  # without an end
CAMERAS = [
    f'name = "{name}"\nsource = "gst: {BALL}"\nmotion_gate = false\nmax_gap_s = 5.0'  # the machine may be busy
    for name in ("a", "b")
]
# an action that begins with the first clip, and that no score ends
LASTS = "[decide]\nonly = ['right']\nenter_threshold = 0.0\nexit_threshold = 0.0\nmin_length_s = 0.0\ncool_down_s = 0.0"
TIMING = DaemonTiming(publisher=PublisherTiming(goodbye_s=PATIENCE_S))  # all that is published arrives
pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


class ServedSite:
    """A daemon in this process, whose device a test breaks, and what it publishes."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        config = write_site(folder, broker.url, *CAMERAS, extra=LASTS)
        self.recorder = HostRecorder(broker.port, "edge-tdn/test")
        self.device = FailingDevice()
        self.failure: BaseException | None = None
        self.daemon = Daemon(load(config), folder, config, TIMING, open_runtime=self.device.open)
        self._thread = threading.Thread(target=self._run, name="main loop")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.daemon.run()
        except EdgeTdnError as error:
            self.failure = error

    def runtime(self) -> dict[str, Any]:
        """Return the state of the runtime as last published."""
        statuses = self.recorder.daemon_statuses()
        return dict(statuses[-1]["runtime"]) if statuses else {}

    def wait_for_actions(self) -> None:
        """Wait until both cameras have an action that lasts."""
        for camera in ("a", "b"):
            self.recorder.wait_for(lambda camera=camera: self.recorder.labels(camera)[-1:] == ["right"])

    def wait_for_clips(self) -> None:
        """Wait until both cameras have had further clips."""
        before = {camera: len(self.recorder.of(camera, "scores")) for camera in ("a", "b")}
        for camera, clips in before.items():
            self.recorder.wait_for(
                lambda camera=camera, clips=clips: len(self.recorder.of(camera, "scores")) > clips + 2
            )

    def break_device(self) -> None:
        """Have the device fail, and wait until that is published."""
        self.device.broken = LOST
        self.recorder.wait_for(lambda: self.runtime().get("state") == "rebuilding")
        assert self.runtime()["reason"] == REASON

    def join(self) -> None:
        """Wait until the daemon has ended, and all that it has published is there."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.recorder.synchronize()

    def close(self) -> None:
        self.device.repaired.set()
        self.daemon.stop()
        self.join()
        self.recorder.close()
        # a stop does not wait for a compiler; the next test would find its log line, and have a slower processor
        eventually(lambda: "runtime" not in [one.name for one in threading.enumerate()])


@pytest.fixture
def site(tmp_path: Path, broker: Mosquitto) -> Iterator[ServedSite]:
    one = ServedSite(tmp_path, broker)
    yield one
    one.close()


def test_actions_outlast_a_device_that_fails_once(site: ServedSite) -> None:
    site.wait_for_actions()
    site.break_device()
    site.device.repaired.set()
    site.recorder.wait_for(lambda: site.runtime().get("state") == "ok")
    assert (site.runtime()["reason"], site.runtime()["rebuilds"]) == ("", 1)
    site.wait_for_clips()
    site.daemon.stop()
    site.join()
    assert site.failure is None
    for camera in ("a", "b"):
        reasons = [reason for _, reason in actions_of(site.recorder.of(camera, "events"))]
        assert "failed" not in reasons
        assert reasons[-1] == "shutdown"


def test_watchdog_is_fed_while_the_model_is_compiled_again(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For longer than it would wait. A reload in this time waits, too, and is brought into force afterwards."""
    systemd = NotifySocket(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "6000000")
    site = ServedSite(tmp_path, broker)
    try:
        site.wait_for_actions()
        site.break_device()
        site.daemon.reload()
        for _ in range(4):  # every 2 s
            systemd.wait_for_another("WATCHDOG=1")
        assert any("STATUS=" in one and one.endswith(f"; {REASON}") for one in systemd.messages())
        site.device.repaired.set()
        site.wait_for_clips()
        site.recorder.wait_for(lambda: site.recorder.daemon_statuses()[-1]["config"]["state"] == "in_force")
        assert "WATCHDOG=trigger" not in systemd.messages()
    finally:
        site.close()
        systemd.close()


@pytest.mark.parametrize("gone", [False, True], ids=["fails again", "cannot be opened again"])
def test_device_that_keeps_failing_ends_the_daemon_with_its_reason(site: ServedSite, gone: bool) -> None:
    """For the supervisor: not with the status of a model error, after which it would not start the daemon again."""
    site.wait_for_actions()
    site.break_device()
    site.device.gone = ModelError("no device") if gone else None
    site.device.repaired.set()
    if not gone:
        site.recorder.wait_for(lambda: site.runtime()["state"] == "ok")
        site.device.broken = LOST
    site.join()
    assert isinstance(site.failure, EdgeTdnError)
    assert site.failure.exit_status == 1
    rest = "; compiled again, it fails: no device" if gone else r", \d+ s after the model was compiled again; check .+"
    assert str(site.failure).startswith(REASON)
    assert (site.runtime()["state"], site.runtime()["reason"]) == ("failed", str(site.failure))
    assert re.fullmatch(rest, str(site.failure).removeprefix(REASON))
    for camera in ("a", "b"):
        events = site.recorder.of(camera, "events")
        assert actions_of(events)[-1] == ("right", "failed")
        assert site.recorder.labels(camera)[-1] == "none"
    assert site.recorder.availability[-1] == "offline"
    assert site.daemon._running.shared.publisher.outbox_status.waiting == 0


def test_fault_of_the_main_loop_ends_the_daemon_with_its_reason(
    site: ServedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one while a status is made: nothing decided is lost, no thread is left behind, the host is not `online`."""

    def fail(_: Camera) -> None:
        raise KeyError("fps")

    site.wait_for_actions()
    with monkeypatch.context() as patch:
        patch.setattr(Camera, "publish_status", fail)
        site.join()
    assert isinstance(site.failure, EdgeTdnError)
    assert str(site.failure) == "stopped: KeyError: 'fps'; the log says where"
    assert site.recorder.availability[-1] == "offline"
    for camera in ("a", "b"):
        assert actions_of(site.recorder.of(camera, "events"))[-1] == ("right", "shutdown")
    eventually(lambda: not [one for one in threading.enumerate() if one.name in ("runtime", "publisher")])


def test_stop_does_not_wait_until_the_model_is_compiled_again(site: ServedSite) -> None:
    site.wait_for_actions()
    site.break_device()
    site.daemon.stop()
    eventually(lambda: site.daemon.hanging == ["runtime"])
