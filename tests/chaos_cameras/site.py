"""A site: broker, simulated cameras, the daemon as a process, and a listener."""

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
SMALL = ("--size", "160x120", "--rate", "15")  # where the frames' content does not matter
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
    """The resources of a process."""

    threads: int
    fds: int
    rss_mb: float

    @classmethod
    def of(cls, pid: int) -> Self:
        folder = Path(f"/proc/{pid}")
        # statm has the same figure, but only to a MB or so: each processor counts in batches
        rollup = dict(line.split()[:2] for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
        resident_mb = int(rollup["Rss:"]) * 1024 / 1e6
        threads, fds = (sum(1 for _ in (folder / name).iterdir()) for name in ("task", "fd"))
        return cls(threads, fds, resident_mb)


class Site:
    """A site whose cameras and broker run; `start` starts the daemon.

    `cameras`: name -> camera. `more`: further lines of each camera's table.
    """

    def __init__(
        self,
        folder: Path,
        cameras: Mapping[str, RtspCamera],
        more: str = "",
        scores: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
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
        """Start the daemon, and return when, on the monotonic clock."""
        command = [sys.executable, "-m", "edge_tdn", "run", "--config", self._file]
        with self._log.open("wb") as log:
            self.daemon = subprocess.Popen(command, stderr=log, env=self._environment)
        return time.monotonic()

    def started(self, seconds: float = 60) -> None:
        """Start the daemon, and return when every camera streams. Raises SystemExit if they do not."""
        self.start()
        if not self.listener.until(self.streaming, seconds):
            statuses = {name: self.listener.statuses[name][-1:] for name in self.cameras}
            raise SystemExit(f"not streaming within {seconds:g} s: {statuses}; {self._log.read_text()[:2000]}")

    def streaming(self) -> bool:
        return all(self.listener.state(name) == "streaming" for name in self.cameras)

    @property
    def held(self) -> Held:
        """The daemon's resources now. Raises SystemExit if it has ended."""
        assert self.daemon
        if self.daemon.poll() is not None:
            raise SystemExit(f"the daemon ended with {self.daemon.returncode}: {self._log.read_text()[-2000:]}")
        return Held.of(self.daemon.pid)

    @property
    def queued_s(self) -> float:
        """Seconds for which the daemon's main thread was ready to run but had no processor."""
        assert self.daemon
        return int(Path(f"/proc/{self.daemon.pid}/schedstat").read_text().split()[1]) / 1e9

    def at_rest(self, limit: Held | None = None, seconds: float = 30) -> Held:
        """Return the daemon's resources while all cameras stream, if possible when they are within `limit`.

        Idle threads in GLib's and GStreamer's pools end only after some seconds.
        """
        self.listener.until(self.streaming, seconds)
        deadline = time.monotonic() + seconds
        time.sleep(3)
        while limit and time.monotonic() < deadline:
            held = self.held
            if (held.threads, held.fds) <= (limit.threads, limit.fds) and held.fds <= limit.fds:
                break
            time.sleep(1)
        return self.held
