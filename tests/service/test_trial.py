"""A model on trial within a real daemon: broker, scheduler and OpenVINO. It serves no one, and can end nothing."""

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.config.load import load
from edge_tdn.config.resolved_zones import ModelChoice
from edge_tdn.config.tables import Config
from edge_tdn.hub.teaching_access import TeachingRefused, TrialRequest
from edge_tdn.inference.open_model import open_configured_runtime
from edge_tdn.inference.runtime import Ring, Runtime
from edge_tdn.manifest import Model, shipped_models
from edge_tdn.service.daemon import Daemon
from edge_tdn.service.trial import ModelTrial, TrialTiming
from edge_tdn.service.trial_sink import GuardedRuntime, TrialSink
from tests.support.broker import Mosquitto
from tests.support.fakes import FakeRuntime
from tests.support.listening_page import ListeningPage
from tests.support.mqtt import HostRecorder
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import PATIENCE_S, eventually

CAMERA = 'name = "door"\nsource = "demo:"\nloop = true\nmotion_gate = false\n'
HALF = '[[camera.zone]]\nname = "half"\nregion = [0, 0, 0.5, 1]\n'
OFTEN = "[decide]\nmin_length_s = 0.0\nmerge_gap_s = 0.0\ncool_down_s = 0.0\nenter_threshold = 0.5\n"
WEB = "[web]\nlabel_folder = 'taught'\nport = "
PATIENT = TrialTiming(silence_s=PATIENCE_S, slow_s=PATIENCE_S, stop_s=PATIENCE_S, close_s=PATIENCE_S)
BRIEF = replace(PATIENT, length_s=1.0)
REQUEST = TrialRequest(model="other", camera="door")


@dataclass
class Device:
    """Opens real runtimes; those of a trial fail as a test says."""

    broken: Exception | None = None
    gone: Exception | None = None
    closed: bool = False
    held: threading.Event = field(default_factory=threading.Event)  # set: no model is opened
    opening: threading.Event = field(default_factory=threading.Event)

    def open(self, config: Config, model: Model, cache: Path | None, choice: ModelChoice) -> Runtime:
        runtime = open_configured_runtime(config, model, cache, choice)
        if "taught" not in str(model.folder):
            return runtime
        self.opening.set()
        eventually(lambda: not self.held.is_set())
        if self.gone:
            raise self.gone
        return _TriedRuntime(runtime, self)


class _TriedRuntime(GuardedRuntime):
    """Fails as its device says, and notes its end."""

    def __init__(self, runtime: Runtime, device: Device) -> None:
        super().__init__(runtime, 8, lambda reason: None)
        self._device = device

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        if self._device.broken:
            raise self._device.broken
        self._runtime.encode(segments, rings)

    def close(self) -> None:
        self._device.closed = True
        super().close()


class Tried:
    """A daemon with a second model, its page and its subscriber."""

    def __init__(self, daemon: Daemon, page: ListeningPage, recorder: HostRecorder, device: Device) -> None:
        self.daemon, self.page, self.recorder, self.device = daemon, page, recorder, device
        self.trial = ModelTrial(daemon._running, self.note)
        self.states: list[dict[str, Any]] = []

    def note(self, state: Any) -> None:
        self.states.append(json.loads(state.json_bytes()))

    @property
    def folder(self) -> Path:
        return self.daemon._running.shared.networks.base / "taught/models/other"

    def start(self, timing: TrialTiming = PATIENT, request: TrialRequest = REQUEST) -> None:
        """Begin a trial, when the camera sends pictures."""
        self.trial = ModelTrial(self.daemon._running, self.note, timing)
        self.trial._too_slow = lambda: ""  # type: ignore[method-assign]  # a busy machine is, at times
        eventually(lambda: self.daemon.cameras[0].status().state == "streaming")
        assert self.trial.start(request, self.folder).state == "opening"

    def ended(self) -> dict[str, Any]:
        eventually(lambda: not self.trial.busy, describe=lambda: str(self.trial.state))
        return self.states[-1]

    def still_serves(self) -> None:
        """Assert that further clips of the camera are published."""
        before = len(self.recorder.of("door", "scores"))
        self.recorder.wait_for(lambda: len(self.recorder.of("door", "scores")) > before + 3)
        assert len(self.daemon._running.shared.scheduler.engines) == 1, "the lane of the trial is gone"


@contextmanager
def tried(folder: Path, broker: Mosquitto, camera: str = CAMERA) -> Iterator[Tried]:
    shutil.copytree(shipped_models() / "motion", folder / "taught/models/other")
    page, recorder, device = ListeningPage(), HostRecorder(broker.port, "edge-tdn/test"), Device()
    path = write_site(folder, broker.url, camera, extra=f"{OFTEN}{WEB}{free_port()}\n")
    daemon = Daemon(load(path), folder, path, open_runtime=device.open, open_page=page.open)
    thread = threading.Thread(target=daemon.run, name="main loop")
    thread.start()
    one = Tried(daemon, page, recorder, device)
    try:
        yield one
    finally:
        one.trial.close()
        daemon.stop()
        thread.join(PATIENCE_S)
        recorder.close()
    assert not thread.is_alive()


def test_a_tried_model_recognises_actions_and_publishes_none(broker: Mosquitto, tmp_path: Path) -> None:
    with tried(tmp_path, broker) as one:
        one.start()
        with pytest.raises(TeachingRefused, match="other is being tried"):
            one.trial.start(REQUEST, one.folder)
        eventually(lambda: len(one.trial.state.events) >= 2, describe=lambda: str(one.trial.state))
        running = one.trial.state
        assert (running.state, running.model, running.camera) == ("running", "other", "door")
        assert running.clips > 0
        assert set(running.scores) <= set(running.labels)
        assert 0 < running.left_s < 600
        assert running.events[0].started_at >= running.events[1].started_at, "newest first"
        state = one.trial.stop()
        assert (state.state, state.text, state.left_s) == ("ended", "stopped", 0.0)
        assert state.events
        one.still_serves()
        ids = {event["id"].split("/")[2] for event in one.recorder.of("door", "events")}
        assert "trial" not in ids
        assert len(ids) == 1
        assert one.device.closed


def test_a_trial_ends_in_time(broker: Mosquitto, tmp_path: Path) -> None:
    with tried(tmp_path, broker, CAMERA + HALF) as one:
        one.start(BRIEF, TrialRequest(model="other", camera="door", zone="half"))
        state = one.ended()
        assert (state["state"], state["text"], state["zone"]) == ("ended", "the time is over", "half")
        assert [one["state"] for one in one.states[:2]] == ["opening", "running"]
        one.start(BRIEF, TrialRequest(model="other", camera="door", zone="half"))
        assert one.ended()["state"] == "ended"


def test_a_failing_model_ends_the_trial_alone(broker: Mosquitto, tmp_path: Path) -> None:
    with tried(tmp_path, broker) as one:
        one.start()
        eventually(lambda: one.trial.state.clips)
        one.device.broken = RuntimeError("[GPU] device lost")
        state = one.ended()
        assert (state["state"], state["text"]) == ("failed", "the model failed: RuntimeError: [GPU] device lost")
        one.still_serves()
        assert one.device.closed


def test_a_model_that_cannot_be_opened_fails_the_trial_alone(broker: Mosquitto, tmp_path: Path) -> None:
    with tried(tmp_path, broker) as one:
        one.device.gone = RuntimeError("no memory for this one")
        one.start()
        state = one.ended()
        assert (state["state"], state["text"]) == ("failed", "RuntimeError: no memory for this one; the log says where")
        one.device.gone = None
        (one.folder / "labels.txt").write_text("changed\n")
        one.start()
        assert "labels.txt" in one.ended()["text"]
        one.still_serves()


def test_a_reload_while_the_model_opens_ends_the_trial(broker: Mosquitto, tmp_path: Path) -> None:
    """It was to see the zone as it was before."""
    with tried(tmp_path, broker) as one:
        one.device.held.set()
        one.start()
        assert one.device.opening.wait(PATIENCE_S)
        path, before = tmp_path / "site.toml", one.daemon._running.config
        path.write_text(path.read_text().replace("enter_threshold = 0.5", "enter_threshold = 0.6"))
        one.daemon.reload()
        eventually(lambda: one.daemon._running.config is not before)
        one.device.held.clear()
        state = one.ended()
        assert (state["state"], state["text"]) == ("ended", "the configuration was read again")
        one.still_serves()


def test_a_reload_ends_the_trial(broker: Mosquitto, tmp_path: Path) -> None:
    with tried(tmp_path, broker) as one:
        one.start()
        eventually(lambda: one.trial.state.clips)
        path = tmp_path / "site.toml"
        path.write_text(path.read_text().replace("enter_threshold = 0.5", "enter_threshold = 0.6"))
        one.daemon.reload()
        state = one.ended()
        assert (state["state"], state["text"]) == ("ended", "the configuration was read again")
        one.still_serves()


def test_a_trial_ends_with_the_daemon(broker: Mosquitto, tmp_path: Path) -> None:
    with tried(tmp_path, broker) as one:
        one.start()
        eventually(lambda: one.trial.state.clips)
    assert not one.trial.busy
    assert one.device.closed


def test_a_camera_without_pictures_is_not_tried(broker: Mosquitto, tmp_path: Path) -> None:
    dark = 'name = "door"\nsource = "rtsp://127.0.0.1:9/"\n'
    with tried(tmp_path, broker, dark) as one:
        for request, reason in (
            (REQUEST, "door sends no pictures now"),
            (TrialRequest(model="other", camera="yard"), "no camera 'yard'"),
            (TrialRequest(model="other", camera="door", zone="gate"), "no zone 'gate'"),
        ):
            with pytest.raises(TeachingRefused, match=reason):
                one.trial.start(request, one.folder)


def test_the_guarded_runtime_computes_zeros_after_a_failure() -> None:
    failures: list[str] = []
    runtime = GuardedRuntime(FakeRuntime(), 3, failures.append)
    ring = runtime.ring()
    runtime.encode([], [])
    runtime._runtime = None  # type: ignore[assignment]  # every call fails
    assert np.array_equal(runtime.classify([ring, ring]), np.zeros((2, 3), np.float32))
    runtime.encode([], [])
    assert len(failures) == 1


def test_a_decider_that_fails_ends_the_trial_alone() -> None:
    failures: list[str] = []
    sink = TrialSink(None, failures.append)  # type: ignore[arg-type]
    sink.broken("stream_lost")
    assert failures[0].startswith("no action: AttributeError")
    assert sink.found()["events"] == ()
