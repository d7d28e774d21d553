"""Plans, and reloads that fail half-way: the daemon keeps serving, and the next reload repairs the rest."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.config.load import load
from edge_tdn.config.resolved_zones import ModelChoice
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import ConfigError, DeviceError
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.open_model import open_configured_runtime
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.inference.rebuilding_runtime import RebuildingRuntime
from edge_tdn.inference.runtime import Runtime
from edge_tdn.manifest import Model
from edge_tdn.networks import OpenRuntime
from edge_tdn.permission import SERVICES
from edge_tdn.recording.recorder import Recorder
from edge_tdn.service.camera import Camera
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.reload import apply, prepare
from edge_tdn.service.running import Running
from edge_tdn.status_messages import ConfigStatus
from tests.support.fakes import FakeRuntime
from tests.support.model_folders import edit_manifest
from tests.support.permissions import ordinary_user
from tests.support.waiting import PATIENCE_S, eventually

THREADS = "[runtime]\nthreads = 1\n"  # the same model, compiled again


class InProcessDaemon:
    """A daemon in this process, and its file. It has no broker: the daemon is looked at directly."""

    def __init__(self, path: Path, *cameras: str, extra: str = "") -> None:
        self.path = path
        self.write(*cameras, extra=extra)
        self.open_runtime: OpenRuntime = open_configured_runtime
        self._opened: list[Runtime] = []
        self.daemon = Daemon(load(path), path.parent, path, open_runtime=self._open)
        self._thread = threading.Thread(target=self.daemon.run, name="main loop")
        self._thread.start()

    def _open(self, *settings: Any) -> Runtime:
        self._opened.append(self.open_runtime(*settings))
        return self._opened[-1]

    @property
    def open_runtimes(self) -> list[Runtime]:
        """The real runtimes that have been opened and not closed: those that still have their compiled graphs."""
        return [runtime for runtime in self._opened if hasattr(runtime, "_encoder")]

    @property
    def running(self) -> Running:
        return self.daemon._running

    @property
    def config_status(self) -> ConfigStatus:
        return self.daemon._reloader.status

    def write(self, *cameras: str, extra: str = "") -> None:
        tables = "".join(f'[[camera]]\nname = "{name}"\nsource = "demo:"\nloop = true\n' for name in cameras)
        self.path.write_text(f'[broker]\nurl = "mqtt://127.0.0.1:1"\n{extra}{tables}')

    def reload(self, *cameras: str, extra: str = "") -> ConfigStatus:
        """Reload another file, and return the status of the configuration when that is over."""
        before = self.config_status
        self.write(*cameras, extra=extra)
        self.daemon.reload()
        eventually(lambda: self.config_status.state != "checking" and self.config_status is not before)
        return self.config_status

    def served(self) -> dict[str, tuple[float, bool]]:
        """Return each camera's threshold, and whether it is recorded; every one is served once, and streams."""
        eventually(lambda: all(camera.status().state == "streaming" for camera in self.daemon.cameras))
        cameras = self.daemon.cameras
        served = {one.name: (one._settings.config.decide.enter_threshold, one.recorder is not None) for one in cameras}
        # on a busy host a thread that was left behind ends a moment later
        eventually(lambda: threads("camera ") == sorted(f"camera {name}" for name in served))
        recorders = sorted(f"recorder {name}" for name, (_, recorded) in served.items() if recorded)
        eventually(lambda: threads("recorder ") == recorders)
        return served

    def lanes(self) -> list[Lane]:
        return self.running.shared.scheduler._queue.lanes

    def kept_s(self) -> list[float]:
        """Return how long each camera's recorder keeps frames."""
        return [camera.recorder._kept_s for camera in self.daemon.cameras]  # type: ignore[union-attr]

    def wait_for_clips(self) -> None:
        """Wait until every camera has had another clip."""
        before = {camera: camera.status().clips for camera in self.daemon.cameras}
        eventually(lambda: all(camera.status().clips > clips for camera, clips in before.items()))

    def close(self) -> None:
        self.daemon.stop()
        self._thread.join(PATIENCE_S)


def threads(prefix: str) -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(prefix))


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[..., InProcessDaemon]]:
    """Return a function that starts a daemon with these cameras; all are stopped after the test."""
    started: list[InProcessDaemon] = []

    def start(*cameras: str, extra: str = "") -> InProcessDaemon:
        started.append(InProcessDaemon(tmp_path / "site.toml", *cameras, extra=extra))
        return started[-1]

    yield start
    for one in started:
        one.close()


def fail_once(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, call: int) -> None:
    """Make one call of a method fail, as on a host that has no more of something."""
    whole, calls = getattr(owner, method), []

    def failing(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == call:
            raise RuntimeError("no more of it")
        return whole(*arguments)

    monkeypatch.setattr(owner, method, failing)


def test_a_plan_changes_nothing_until_it_is_applied(start_daemon: Callable[..., InProcessDaemon]) -> None:
    one = start_daemon("a")
    networks, cameras = one.running.networks, one.running.cameras
    one.write("a", "b", extra="[decide]\nenter_threshold = 0.9\n")
    plan = prepare(one.path, one.running)
    assert (plan.changes.added, plan.changes.keys) == (("b",), ("decide.enter_threshold",))
    assert (plan.opened, plan.networks.first.runtime, plan.note) == ((), networks.first.runtime, "")
    assert one.running.networks is networks
    assert one.running.cameras is cameras
    assert list(one.served()) == ["a"]
    apply(plan, one.running)
    assert one.running.config is plan.config
    assert one.running.pending is None
    assert one.served() == {"a": (0.9, False), "b": (0.9, False)}


def test_a_wrong_file_opens_nothing(start_daemon: Callable[..., InProcessDaemon]) -> None:
    def open_none(*settings: object) -> Runtime:
        raise AssertionError(settings)

    one = start_daemon("a")
    one.open_runtime = open_none
    for extra in ("[decide]\nenter_treshold = 0.5\n", '[decide]\nonly = ["jump"]\n' + THREADS):
        one.write("a", extra=extra)
        with pytest.raises(ConfigError):
            prepare(one.path, one.running)


def test_a_model_that_may_not_be_read_is_refused_without_a_traceback(
    start_daemon: Callable[..., InProcessDaemon], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder that a service's user may not look into; the status and the log name file, line, key and remedy."""
    (tmp_path / "closed").mkdir(0)
    with ordinary_user():
        one = start_daemon("a")
        status = one.reload("a", extra='[runtime]\nmodel = "closed/juggling"\n')
    assert status.state == "refused"
    assert "site.toml:4: runtime.model = 'closed/juggling': " in status.reason
    assert f"closed/juggling: Permission denied; {SERVICES}: `sudo mkdir -p /etc/edge-tdn/models &&" in status.reason
    assert {record.exc_info for record in caplog.records if "refused" in record.message} == {None}


def test_a_plan_whose_runtime_fails_closes_it_and_leaves_the_old_one_serving(
    start_daemon: Callable[..., InProcessDaemon],
) -> None:
    class NoMemory(FakeRuntime):
        def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
            raise MemoryError

    one = start_daemon("a")
    one.wait_for_clips()
    runtime = NoMemory(one.daemon.model.manifest.input.segments)
    one.open_runtime = lambda *_: runtime
    one.write("a", extra=THREADS)
    plan = prepare(one.path, one.running)
    assert (plan.opened, runtime.closed) == (plan.networks.all, False)
    networks = one.running.networks
    with pytest.raises(DeviceError, match="ran out of memory, computing a segment"):
        apply(plan, one.running)
    assert runtime.closed
    assert one.running.networks is networks
    assert one.running.pending is None
    one.wait_for_clips()


def test_a_reload_that_fails_half_way_is_repaired_by_the_next(
    start_daemon: Callable[..., InProcessDaemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file again brings all of it into force, the one before takes all of it back."""
    one = start_daemon("stays", "goes")
    before = one.served()
    stays = one.daemon.cameras[0]
    thresholds = "[decide]\nenter_threshold = 0.9\n[record]\nsnapshot = true\n"
    with monkeypatch.context() as patch:
        fail_once(patch, Camera, "start", call=1)
        status = one.reload("stays", "comes", "too", extra=thresholds)
    assert (status.state, status.reason) == ("refused", "RuntimeError: no more of it; the log says where")
    assert one.reload("stays", "goes").state == "in_force"
    assert one.served() == before
    with monkeypatch.context() as patch:
        fail_once(patch, Camera, "start", call=2)
        assert one.reload("stays", "comes", "too", extra=thresholds).state == "refused"
    assert one.reload("stays", "comes", "too", extra=thresholds).state == "in_force"
    assert one.served() == dict.fromkeys(("stays", "comes", "too"), (0.9, True))
    assert one.daemon.cameras[0] is stays


def test_a_reload_that_fails_half_way_leaves_no_network_open_for_ever(
    start_daemon: Callable[..., InProcessDaemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera that cannot leave keeps the network before; the next reload, or a stop, closes that, too."""
    one = start_daemon("stays", "goes")
    one.served()
    first = one.open_runtimes
    with monkeypatch.context() as patch:
        fail_once(patch, Camera, "leave", call=1)
        assert one.reload("stays", extra=THREADS).state == "refused"
    assert (len(first), len(one.open_runtimes), one.open_runtimes[:1]) == (1, 2, first)
    assert one.reload("stays", extra=THREADS).state == "in_force"
    assert len(one.open_runtimes) == 1
    one.wait_for_clips()
    one.close()
    assert one.open_runtimes == []


def test_the_networks_of_a_plan_that_comes_too_late_are_closed(start_daemon: Callable[..., InProcessDaemon]) -> None:
    """The daemon stops while the reload compiles a network, which nothing will use."""
    one, stopped = start_daemon("a"), threading.Event()
    one.served()

    def open_late(*settings: Any) -> Runtime:
        runtime = open_configured_runtime(*settings)
        one.close()
        stopped.set()
        return runtime

    one.open_runtime = open_late
    one.write("a", extra=THREADS)
    one.daemon.reload()
    assert stopped.wait(PATIENCE_S)
    eventually(lambda: not threads("reload"))
    assert one.open_runtimes == []


def test_a_network_that_cannot_be_opened_leaves_none_of_the_new_ones_open(
    start_daemon: Callable[..., InProcessDaemon],
) -> None:
    """The first of two is open already when the second one fails."""
    one = start_daemon("a")
    serving = one.open_runtimes

    def open_int8(config: Config, model: Model, cache: Path | None, choice: ModelChoice) -> Runtime:
        if choice.precision != "int8":
            raise DeviceError("no more of it")
        return open_configured_runtime(config, model, cache, choice)

    one.open_runtime = open_int8
    zones = "".join(f'[[camera.zone]]\nname = "{name}"\nprecision = "{name}"\n' for name in ("fp32", "int8", "bf16"))
    one.write("a")
    one.path.write_text(one.path.read_text() + zones)
    with pytest.raises(DeviceError, match="no more of it"):
        prepare(one.path, one.running)
    assert len(one._opened) == 2
    assert one.open_runtimes == serving


def test_a_camera_that_would_start_after_the_stop_does_not(
    start_daemon: Callable[..., InProcessDaemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not wait forever for a reload that changes something; a camera that came then would never end."""
    one = start_daemon("stays")
    one.served()
    new_camera, over = Running.new_camera, threading.Event()

    def slow(self: Running, table: CameraConfig, config: Config) -> Camera:
        one.close()
        over.set()
        return new_camera(self, table, config)

    monkeypatch.setattr(Running, "new_camera", slow)
    one.write("stays", "comes")
    one.daemon.reload()
    assert over.wait(PATIENCE_S)
    eventually(lambda: not threads("reload"))
    eventually(lambda: not threads("camera "))


def test_a_model_that_fails_at_the_second_camera_leaves_both_to_the_one_before(
    start_daemon: Callable[..., InProcessDaemon], model_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model has another input, so that every camera needs new memory of the device, which runs out."""
    one = start_daemon("a", "b")
    one.wait_for_clips()
    edit_manifest(model_copy, lambda content: content.update(id="slow", input=content["input"] | {"frame_rate": 10.0}))
    extra = f'[runtime]\nmodel = "{model_copy}"\n'
    with monkeypatch.context() as patch:
        fail_once(patch, OpenVinoRuntime, "ring", call=2)
        assert one.reload("a", "b", extra=extra).state == "refused"
    one.wait_for_clips()
    assert one.daemon.model.manifest.id == "motion"
    assert one.reload("a", "b", extra=extra).state == "in_force"
    assert one.daemon.model.manifest.id == "slow"


@pytest.mark.parametrize(
    ("owner", "method", "call"),
    [
        (Running, "new_camera", 2),
        (RebuildingRuntime, "ring", 1),
        (RebuildingRuntime, "ring", 2),
        (Recorder, "__init__", 2),
    ],
)
def test_cameras_that_cannot_all_be_created_leave_nothing_behind(
    owner: type,
    method: str,
    call: int,
    start_daemon: Callable[..., InProcessDaemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither a lane that waits for segments for ever, nor a recorder's thread."""
    recording = "[record]\nsnapshot = true\n"
    one = start_daemon("stays", extra=recording)
    before, lanes = one.served(), one.lanes()
    with monkeypatch.context() as patch:
        fail_once(patch, owner, method, call)
        assert one.reload("stays", "comes", "too", extra=recording).state == "refused"
    assert one.served() == before
    assert one.lanes() == lanes
    assert one.reload("stays", "comes", "too", extra=recording).state == "in_force"
    assert list(one.served()) == ["stays", "comes", "too"]
    assert len(one.lanes()) == 3


def test_recorders_fit_the_input_of_a_model_whose_reload_failed_half_way(
    start_daemon: Callable[..., InProcessDaemon], model_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is exchanged first; a slower one needs frames for longer, and the next reload sees to that."""
    recording = "[record]\nsnapshot = true\n"
    one = start_daemon("stays", "too", extra=recording)
    one.served()
    edit_manifest(model_copy, lambda content: content.update(id="slow", input=content["input"] | {"frame_rate": 5.0}))
    extra = f'{recording}[runtime]\nmodel = "{model_copy}"\n'
    before = one.kept_s()
    with monkeypatch.context() as patch:
        fail_once(patch, Running, "new_camera", call=1)
        assert one.reload("stays", "too", "comes", extra=extra).state == "refused"
    assert (one.daemon.model.manifest.id, one.kept_s()) == ("slow", before)
    with monkeypatch.context() as patch:
        fail_once(patch, Recorder, "__init__", call=2)
        assert one.reload("stays", "too", extra=extra).state == "refused"
    one.served()
    assert one.reload("stays", "too", extra=extra).state == "in_force"
    assert all(kept_s > max(before) + 1 for kept_s in one.kept_s())
    assert list(one.served()) == ["stays", "too"]


def test_a_removed_camera_is_freed_without_a_garbage_collection(
    start_daemon: Callable[..., InProcessDaemon],
) -> None:
    """With its ring and its recorder's frames: else every reload would add memory."""
    recording = "[record]\nsnapshot = true\n"
    one = start_daemon("stays", "goes", extra=recording)
    one.wait_for_clips()
    gc.collect()
    gc.disable()
    try:
        camera: Any = one.daemon.cameras[1]
        parts = (camera, camera.zones[0].feed.pipeline.lane.ring, camera.recorder, camera.recorder._recent)
        freed = [weakref.ref(part) for part in parts]
        del camera, parts
        assert one.reload("stays", extra=recording).state == "in_force"
        eventually(lambda: [one() for one in freed] == [None] * 4, describe=lambda: [one() for one in freed])
    finally:
        gc.enable()
