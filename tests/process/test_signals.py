"""Signals at the worst moments: a stop is clean within 5 s, a reload harms nothing."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.broker import Mosquitto
from tests.support.mqtt import HostRecorder
from tests.support.site import write_site
from tests.support.waiting import eventually

LIMIT_S = 5.0
# What hears nothing, in front of the real thing: the compiler of the model that is the `first`-th, some cameras; and
# runtime and recorders as soon as there is a file named `hang` beside the configuration.
HANG = """
import ctypes, pathlib, sys
import edge_tdn.service.daemon as daemon
from edge_tdn.recording.recorder import Recorder
from edge_tdn.inference.openvino import OpenVinoRuntime
from edge_tdn.capture.source import Source
compiled, played = daemon.open_configured_runtime, Source.frames
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
daemon.open_configured_runtime, Source.frames = open_configured_runtime, frames
OpenVinoRuntime.classify, Recorder._trying = hanging(OpenVinoRuntime.classify), hanging(Recorder._trying)
from edge_tdn.__main__ import main
sys.exit(main(["run", "--config", config]))
"""
LIVE = 'source = "gst: videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1"'


class Hanging:
    """A daemon whose compiler hangs at one model (0: at none), and whose cameras named stuck* do."""

    def __init__(self, config: Path, first: int) -> None:
        self._log = config.with_suffix(".log")
        with self._log.open("w") as log:
            command = [sys.executable, "-c", HANG, str(first), str(config)]
            self.process = subprocess.Popen(command, stderr=log)

    def says(self, text: str, within_s: float = 90) -> None:
        deadline = time.monotonic() + within_s
        while text not in self.log:
            assert time.monotonic() < deadline, self.log
            assert self.process.poll() is None, self.log
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ends(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Its exit status after a signal, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(30), time.monotonic() - began


@contextmanager
def hanging(config: Path, first: int = 0) -> Iterator[Hanging]:
    one = Hanging(config, first)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def hears_hangups(daemon: Hanging) -> bool:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGHUP - 1) & 1)


def test_a_stop_while_the_first_model_is_compiled_does_not_wait_for_it(broker: Mosquitto, tmp_path: Path) -> None:
    raw = HostRecorder(broker.port, "edge-tdn/test")
    with hanging(write_site(tmp_path, broker.url, f'name = "a"\n{LIVE}'), first=1) as daemon:
        daemon.says("compiling")
        status, seconds = daemon.ends(signal.SIGINT)
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    raw.synchronize()
    assert not raw.messages, "it has published nothing yet"
    raw.close()


def test_a_stop_with_everything_hanging_is_clean_within_five_seconds(broker: Mosquitto, tmp_path: Path) -> None:
    """Cameras in a library, one that never answers, a broker that is frozen, clips being written, a compile."""
    cameras = [f'name = "live{n}"\n{LIVE}' for n in range(4)]
    cameras += [f'name = "stuck{n}"\n{LIVE}' for n in range(2)]
    cameras += ['name = "away"\nsource = "rtsp://192.0.2.1/x"', 'name = "demo"\nsource = "demo:"\nloop = true']
    extra = '[record]\nclip = true\nfolder = "pictures"\n[runtime]\nthreads = {}'
    config = write_site(tmp_path, broker.url, *cameras, extra=extra.format(1))
    with hanging(config, first=2) as daemon:
        daemon.says("start label=")
        write_site(tmp_path, broker.url, *cameras, extra=extra.format(2))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("compiling")
        broker.process.send_signal(signal.SIGSTOP)
        for _ in range(3):  # asked for while one is under way, and while it stops
            daemon.process.send_signal(signal.SIGHUP)
        status, seconds = daemon.ends()
        broker.process.send_signal(signal.SIGCONT)
    assert status == 0, daemon.log
    assert seconds < LIMIT_S, daemon.log
    assert "left behind: camera stuck0, camera stuck1, reload" in daemon.log
    assert "Traceback" not in daemon.log
    assert not list(tmp_path.glob("pictures/**/*.part"))


def test_a_stop_that_has_to_wait_for_everything_is_clean_within_five_seconds(broker: Mosquitto, tmp_path: Path) -> None:
    """In the midst of a change, with runtime, recorders and a camera in a library, and a broker that is frozen."""
    cameras = ['name = "demo"\nsource = "demo:"\nloop = true\nmotion_gate = false', f'name = "stuck"\n{LIVE}']
    extra = '[record]\nclip = true\nfolder = "pictures"\n'
    config = write_site(tmp_path, broker.url, *cameras, extra=extra)
    with hanging(config) as daemon:
        daemon.says("start label=")
        (tmp_path / "hang").touch()
        daemon.says("hanging\nhanging")
        write_site(tmp_path, broker.url, *cameras, extra=f"{extra}[decide]\nenter_threshold = 0.9\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("is read again")
        time.sleep(0.5)  # now it waits for the runtime
        broker.process.send_signal(signal.SIGSTOP)
        status, seconds = daemon.ends()
        broker.process.send_signal(signal.SIGCONT)
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    assert "left behind: recorder demo, camera stuck, runtime, reload" in daemon.log
    assert "Traceback" not in daemon.log


def test_a_hangup_during_the_start_is_heard_and_two_are_one(broker: Mosquitto, tmp_path: Path) -> None:
    config = write_site(tmp_path, broker.url, f'name = "a"\n{LIVE}')
    with hanging(config) as daemon:
        eventually(lambda: hears_hangups(daemon))
        for _ in range(5):
            daemon.process.send_signal(signal.SIGHUP)
        daemon.says("in force: no change")
        assert daemon.log.index("serving host=test") < daemon.log.index("is read again")
        assert daemon.log.count("is read again") <= 2
        daemon.process.send_signal(signal.SIGHUP)
        status, seconds = daemon.ends()
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log


def test_with_everything_away_it_serves_within_four_seconds(tmp_path: Path, broker: Mosquitto) -> None:
    """Broker and cameras: neither is waited for, and the broker is found when it comes."""
    broker.stop()
    away = ("rtsp://127.0.0.1:1/x", "rtsp://192.0.2.1/x", "http://no-such-host.invalid/x")
    config = write_site(tmp_path, broker.url, *(f'name = "c{n}"\nsource = "{source}"' for n, source in enumerate(away)))
    began = time.monotonic()
    with hanging(config) as daemon:
        daemon.says("serving host=test")
        assert time.monotonic() - began < 4
        broker.start()
        raw = HostRecorder(broker.port, "edge-tdn/test")
        raw.wait_for(lambda: raw.of("c0", "status"))
        status, seconds = daemon.ends()
    assert (status, seconds < LIMIT_S) == (0, True), daemon.log
    raw.close()
