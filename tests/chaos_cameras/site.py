"""A site: broker, simulated cameras, the daemon as a process, and who listens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.broker import FORGETFUL, Broker
from tests.chaos_cameras.listener import Listener
from tests.support.rtsp import RtspCamera

BASE = "edge-tdn/chaos"
SMALL = ("--size", "160x120", "--rate", "15")  # where the pictures do not matter
SITE = """
host = "chaos"
[broker]
url = "mqtt://127.0.0.1:{port}"
scores = {scores}
[runtime]
threads = 1
[outbox]
folder = "{outbox}"
"""
CAMERA = """
[[camera]]
name = "{name}"
source = "{url}"
{more}
"""


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    threads: int
    fds: int
    rss_mb: float

    @classmethod
    def of(cls, pid: int) -> Self:
        folder = Path(f"/proc/{pid}")
        # statm tells the same, but only to a MB or so: each processor keeps back what it has not yet added
        told = dict(line.split()[:2] for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        resident_mb = int(told["Rss:"]) * 1024 / 1e6
        threads, fds = (sum(1 for _ in (folder / name).iterdir()) for name in ("task", "fd"))
        return cls(threads, fds, resident_mb)


class Site:
    """`cameras`: name -> camera, `more`: lines of all their tables. Nothing is started but the cameras given so."""

    def __init__(
        self, folder: Path, cameras: Mapping[str, RtspCamera], more: str = "", scores: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.cameras = cameras
        self.broker = Broker(folder, FORGETFUL)
        self.listener = Listener(self.broker.port, BASE)
        self._file, self._log = folder / "site.toml", folder / "daemon.log"
        self._environment = {**os.environ, **(environment or {})}
        tables = [CAMERA.format(name=name, url=camera.url(), more=more) for name, camera in cameras.items()]
        site = SITE.format(port=self.broker.port, outbox=folder / "outbox", scores=str(scores).lower())
        self._file.write_text(site + "".join(tables))
        self.daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.daemon:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        for camera in self.cameras.values():
            camera.kill()
        self.listener.close()
        self.broker.kill()

    def start(self) -> float:
        """The daemon. When, on the monotonic clock."""
        command = [sys.executable, "-m", "edge_tdn", "run", "--config", self._file]
        with self._log.open("wb") as log:
            self.daemon = subprocess.Popen(command, stderr=log, env=self._environment)
        return time.monotonic()

    def started(self, seconds: float = 60) -> None:
        """Starts the daemon, and returns when every camera streams. SystemExit: not so."""
        self.start()
        if not self.listener.until(self.streaming, seconds):
            told = {name: self.listener.statuses[name][-1:] for name in self.cameras}
            raise SystemExit(f"not streaming within {seconds:g} s: {told}; {self._log.read_text()[:2000]}")

    def streaming(self) -> bool:
        return all(self.listener.state(name) == "streaming" for name in self.cameras)

    @property
    def held(self) -> Held:
        """By the daemon, now. SystemExit: it has ended."""
        assert self.daemon
        if self.daemon.poll() is not None:
            raise SystemExit(f"the daemon ended with {self.daemon.returncode}: {self._log.read_text()[-2000:]}")
        return Held.of(self.daemon.pid)

    @property
    def queued_s(self) -> float:
        """How long the daemon's main thread, ready to run, had to wait for a processor."""
        assert self.daemon
        return int(Path(f"/proc/{self.daemon.pid}/schedstat").read_text().split()[1]) / 1e9

    def at_rest(self, wanted: Held | None = None, seconds: float = 30) -> Held:
        """What the daemon holds while all cameras stream; waits until that is no more than `wanted`.

        Threads that have nothing more to do take some seconds to go, in GLib's and in GStreamer's pools.
        """
        self.listener.until(self.streaming, seconds)
        deadline = time.monotonic() + seconds
        time.sleep(3)
        while wanted and time.monotonic() < deadline:
            held = self.held
            if (held.threads, held.fds) <= (wanted.threads, wanted.fds) and held.fds <= wanted.fds:
                break
            time.sleep(1)
        return self.held
