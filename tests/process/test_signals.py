"""Signals at the worst moments: a stop is clean within 5 s, and a reload does no harm."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_tdn.delivery.timing import ConnectionTiming
from edge_tdn.process.signals import STOP_TIMEOUT_S
from edge_tdn.service.timing import DaemonTiming
from tests.support.broker import Mosquitto
from tests.support.mqtt import HostRecorder
from tests.support.ports import free_port
from tests.support.site import write_site
from tests.support.waiting import PATIENCE_S, PROGRAM_S, eventually

SLOWER = 4  # the time limits of a stop are so many times longer here, and so is the time that it may take: busy machine
LIMIT_S = 5.0 * SLOWER
# Hangs in a library, where no Python code runs: the compiler of model number `first`, the cameras named stuck*, and
# runtime and recorders as soon as there is a file named `hang` beside the configuration. With a file `fail` the runtime
# fails.
HANG = """
import ctypes, pathlib, sys
from dataclasses import replace
from edge_tdn.inference import open_model
from edge_tdn.recording.recorder_thread import RecorderThread
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.capture.source import Source
from edge_tdn.process import signals
from edge_tdn.service import timing
slower, hang_s = int(sys.argv[3]), int(sys.argv[4])
usual = timing.DEFAULT_DAEMON_TIMING
stages = ("change_s", "join_s", "compute_s", "record_s", "page_s")
timing.DEFAULT_DAEMON_TIMING = replace(
    usual,
    **{name: slower * getattr(usual, name) for name in stages},
    publisher=replace(usual.publisher, goodbye_s=slower * usual.publisher.goodbye_s),
    camera=replace(
        usual.camera, recorder=replace(usual.camera.recorder, close_s=slower * usual.camera.recorder.close_s)
    ),
)
signals.STOP_TIMEOUT_S *= slower
compiled, played = open_model.open_configured_runtime, Source.frames
exchange = Scheduler.exchange
first, config = int(sys.argv[1]), sys.argv[2]
hang, fail = (pathlib.Path(config).with_name(name) for name in ("hang", "fail"))
opened = 0
def open_configured_runtime(*arguments):
    global opened
    opened += 1
    if opened == first:
        print("compiling", file=sys.stderr, flush=True)
        ctypes.CDLL(None).sleep(hang_s)
    return compiled(*arguments)
def frames(self, stop):
    if self._camera.name.startswith("stuck"):
        ctypes.CDLL(None).sleep(hang_s)
    yield from played(self, stop)
def hanging(whole):
    def method(*arguments):
        if hang.exists():
            print("hanging", file=sys.stderr, flush=True)
            ctypes.CDLL(None).sleep(hang_s)
        if fail.exists():
            raise RuntimeError("device lost")
        return whole(*arguments)
    return method
def exchanging(*arguments):
    print("exchanging", file=sys.stderr, flush=True)
    exchange(*arguments)
Scheduler.exchange = exchanging
open_model.open_configured_runtime = open_configured_runtime  # before the daemon is imported
Source.frames = frames
OpenVinoRuntime.classify = hanging(OpenVinoRuntime.classify)
RecorderThread._attempt = hanging(RecorderThread._attempt)
from edge_tdn.__main__ import main
sys.exit(main(["run", "--config", config]))
"""
LIVE = 'source = "gst: videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1"'


class HangingDaemon:
    """A daemon that hangs as HANG describes: at the compiler of the model `first` (0: at none)."""

    def __init__(self, config: Path, first: int = 0) -> None:
        self._log = config.with_suffix(".log")
        with self._log.open("w") as log:
            numbers = (str(SLOWER), str(round(PROGRAM_S)))
            command = [sys.executable, "-c", HANG, str(first), str(config), *numbers]
            self.process = subprocess.Popen(command, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for_log(self, text: str, times: int = 1) -> None:
        def logged() -> bool:
            assert self.process.poll() is None, self.log
            return self.log.count(text) >= times

        eventually(logged, describe=lambda: self.log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit status and how many seconds the stop took."""
        start_s = time.monotonic()
        self.send(number)
        return self.process.wait(PATIENCE_S), time.monotonic() - start_s

    def handles_hangups(self) -> bool:
        """Return whether the process has a handler for SIGHUP."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def test_the_time_limits_of_a_stop_add_up_to_less_than_it_has() -> None:
    """Here as they are; the other tests have longer ones, since they share the machine."""
    usual, close_s = DaemonTiming(), ConnectionTiming().close_s
    stages_s = usual.change_s + usual.join_s + usual.compute_s + usual.record_s + usual.page_s
    assert stages_s + usual.publisher.goodbye_s + 1.5 * close_s < STOP_TIMEOUT_S < LIMIT_S / SLOWER


def test_stop_does_not_wait_for_the_first_model_to_compile(broker: Mosquitto, tmp_path: Path) -> None:
    recorder = HostRecorder(broker.port, "edge-tdn/test")
    with HangingDaemon(write_site(tmp_path, broker.url, f'name = "a"\n{LIVE}'), first=1) as daemon:
        daemon.wait_for_log("compiling")
        status, seconds = daemon.stop(signal.SIGINT)
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    recorder.synchronize()
    assert not recorder.messages, "nothing has been published yet"
    recorder.close()


def test_stop_with_everything_hanging_is_clean_within_five_seconds(broker: Mosquitto, tmp_path: Path) -> None:
    """Cameras in a library, one that never answers, a broker that is frozen, clips being written, a compile."""
    cameras = [f'name = "live{n}"\n{LIVE}' for n in range(4)]
    cameras += [f'name = "stuck{n}"\n{LIVE}' for n in range(2)]
    cameras += ['name = "away"\nsource = "rtsp://192.0.2.1/x"', 'name = "demo"\nsource = "demo:"\nloop = true']
    extra = '[record]\nclip = true\nfolder = "pictures"\n[runtime]\nthreads = {}'
    config = write_site(tmp_path, broker.url, *cameras, extra=extra.format(1))
    with HangingDaemon(config, first=2) as daemon:
        daemon.wait_for_log("start label=")
        write_site(tmp_path, broker.url, *cameras, extra=extra.format(2))
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("compiling")
        broker.process.send_signal(signal.SIGSTOP)
        for _ in range(3):  # during a reload, and during the stop
            daemon.send(signal.SIGHUP)
        status, seconds = daemon.stop()
        broker.process.send_signal(signal.SIGCONT)
    assert status == 0, daemon.log
    assert seconds < LIMIT_S, daemon.log
    assert "left behind: camera stuck0, camera stuck1, reload" in daemon.log
    assert "Traceback" not in daemon.log
    assert not list(tmp_path.glob("pictures/**/*.part"))


def test_stop_that_has_to_wait_for_everything_is_clean_within_five_seconds(broker: Mosquitto, tmp_path: Path) -> None:
    """During a reload, with runtime, recorders and a camera in a library, and a broker that is frozen."""
    cameras = ['name = "demo"\nsource = "demo:"\nloop = true\nmotion_gate = false', f'name = "stuck"\n{LIVE}']
    extra = '[record]\nclip = true\nfolder = "pictures"\n'
    config = write_site(tmp_path, broker.url, *cameras, extra=extra)
    with HangingDaemon(config) as daemon:
        daemon.wait_for_log("start label=")
        (tmp_path / "hang").touch()
        daemon.wait_for_log("hanging", times=2)
        write_site(tmp_path, broker.url, *cameras, extra=f"{extra}[decide]\nenter_threshold = 0.9\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("exchanging")  # now it waits for the runtime
        broker.process.send_signal(signal.SIGSTOP)
        status, seconds = daemon.stop()
        broker.process.send_signal(signal.SIGCONT)
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    assert "left behind: recorder demo, camera stuck, runtime, reload" in daemon.log
    assert "Traceback" not in daemon.log


def test_failure_keeps_its_exit_status_and_its_reason_while_a_camera_hangs(broker: Mosquitto, tmp_path: Path) -> None:
    cameras = ['name = "demo"\nsource = "demo:"\nloop = true\nmotion_gate = false', f'name = "stuck"\n{LIVE}']
    with HangingDaemon(write_site(tmp_path, broker.url, *cameras)) as daemon:
        daemon.wait_for_log("start label=")
        (tmp_path / "fail").touch()
        assert daemon.process.wait(PATIENCE_S) == 1
        assert "left behind: camera stuck\n" in daemon.log
        last = daemon.log.splitlines()[-1]
        assert last.startswith("edge-tdn: runtime failed: RuntimeError: device lost; compiled again, it fails: ")


def test_hangup_during_the_start_reloads_after_it_and_two_are_one(broker: Mosquitto, tmp_path: Path) -> None:
    with HangingDaemon(write_site(tmp_path, broker.url, f'name = "a"\n{LIVE}')) as daemon:
        eventually(daemon.handles_hangups)
        for _ in range(5):
            daemon.send(signal.SIGHUP)
        daemon.wait_for_log("in force: no change")
        assert daemon.log.index("serving host=test") < daemon.log.index("is read again")
        assert daemon.log.count("is read again") <= 2
        daemon.send(signal.SIGHUP)
        status, seconds = daemon.stop()
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log


def test_start_waits_neither_for_the_broker_nor_for_cameras(tmp_path: Path, broker: Mosquitto) -> None:
    """The daemon serves before one that never answers is given up, and connects to the broker when that is there."""
    broker.stop()
    silent = [socket.create_server(("127.0.0.1", port)) for port in (broker.port, free_port())]
    rtsp = f"rtsp://127.0.0.1:{silent[1].getsockname()[1]}/x"
    away = ("rtsp://127.0.0.1:1/x", rtsp, "rtsp://192.0.2.1/x", "http://no-such-host.invalid/x")
    config = write_site(tmp_path, broker.url, *(f'name = "c{n}"\nsource = "{url}"' for n, url in enumerate(away)))
    with HangingDaemon(config) as daemon:
        daemon.wait_for_log("serving host=test")
        before = daemon.log.partition("serving host=test")[0]
        assert "broker=127.0.0.1" not in before, "3 s later"
        assert "camera=c1 state=" not in before.replace("state=connecting", ""), "15 s later"
        daemon.wait_for_log(f"broker=127.0.0.1:{broker.port} ")
        for one in silent:
            one.close()
        broker.start()
        recorder = HostRecorder(broker.port, "edge-tdn/test")
        recorder.wait_for(lambda: recorder.of("c0", "status"))
        status, seconds = daemon.stop()
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    recorder.close()
