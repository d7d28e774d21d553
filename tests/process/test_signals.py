"""Signals at the worst moments: a stop is clean within 5 s, and a reload does no harm."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.broker import Mosquitto
from tests.support.mqtt import HostRecorder
from tests.support.site import write_site
from tests.support.waiting import eventually

LIMIT_S = 5.0
# Hangs in a library, where no Python code runs: the compiler of model number `first`, the cameras named stuck*, and
# runtime and recorders as soon as there is a file named `hang` beside the configuration.
HANG = """
import ctypes, pathlib, sys
from edge_tdn.service import reload, startup
from edge_tdn.recording.recorder_thread import RecorderThread
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.capture.source import Source
compiled, played = startup.open_configured_runtime, Source.frames
first, config = int(sys.argv[1]), sys.argv[2]
hang = pathlib.Path(config).with_name("hang")
opened = 0
def open_configured_runtime(*arguments):
    global opened
    opened += 1
    if opened == first:
        print("compiling", file=sys.stderr, flush=True)
        ctypes.CDLL(None).sleep(60)
    return compiled(*arguments)
def frames(self, stop):
    if self._camera.name.startswith("stuck"):
        ctypes.CDLL(None).sleep(60)
    yield from played(self, stop)
def hanging(whole):
    def method(*arguments):
        if hang.exists():
            print("hanging", file=sys.stderr, flush=True)
            ctypes.CDLL(None).sleep(60)
        return whole(*arguments)
    return method
startup.open_configured_runtime = reload.open_configured_runtime = open_configured_runtime
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
            self.process = subprocess.Popen([sys.executable, "-c", HANG, str(first), str(config)], stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for_log(self, text: str) -> None:
        def logged() -> bool:
            assert self.process.poll() is None, self.log
            return text in self.log

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
        return self.process.wait(30), time.monotonic() - start_s

    def handles_hangups(self) -> bool:
        """Return whether the process has a handler for SIGHUP."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


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
        daemon.wait_for_log("hanging\nhanging")
        write_site(tmp_path, broker.url, *cameras, extra=f"{extra}[decide]\nenter_threshold = 0.9\n")
        daemon.send(signal.SIGHUP)
        daemon.wait_for_log("is read again")
        time.sleep(0.5)  # now it waits for the runtime
        broker.process.send_signal(signal.SIGSTOP)
        status, seconds = daemon.stop()
        broker.process.send_signal(signal.SIGCONT)
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    assert "left behind: recorder demo, camera stuck, runtime, reload" in daemon.log
    assert "Traceback" not in daemon.log


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
    """The daemon serves as soon as with all of them there, and connects to the broker when that is there."""
    with HangingDaemon(write_site(tmp_path, broker.url, f'name = "c0"\n{LIVE}')) as daemon:
        start_s = time.monotonic()
        daemon.wait_for_log("serving host=test")
        all_there_s = time.monotonic() - start_s
    broker.stop()
    away = ("rtsp://127.0.0.1:1/x", "rtsp://192.0.2.1/x", "http://no-such-host.invalid/x")
    config = write_site(tmp_path, broker.url, *(f'name = "c{n}"\nsource = "{url}"' for n, url in enumerate(away)))
    with HangingDaemon(config) as daemon:
        start_s = time.monotonic()
        daemon.wait_for_log("serving host=test")
        assert time.monotonic() - start_s < 2 * all_there_s + 2
        broker.start()
        recorder = HostRecorder(broker.port, "edge-tdn/test")
        recorder.wait_for(lambda: recorder.of("c0", "status"))
        status, seconds = daemon.stop()
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    recorder.close()
