"""The cost of the page: without viewers, and with some, each beside a daemon without them."""

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles

import psutil

from edge_tdn.config.tables import BrokerConfig
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.demo.embedded_broker import embedded_broker
from edge_tdn.manifest import open_model, shipped_models
from edge_tdn.messages import TopScores
from edge_tdn.status_messages import CameraStatus
from edge_tdn.subscriber import Subscriber
from tests.bench.row import Row
from tests.bench.serving import serving
from tests.support.ports import free_port

GOAL_IDLE_MB, GOAL_IDLE_SHARE, GOAL_RATIO, GOAL_SHARE, GOAL_SHED = 1.0, 0.5, 1.05, 20.0, 0.0
CAMERAS, VIEWERS = 4, 8
PRECISION = "fp32"
TOKEN = "a-token-of-the-benchmark"
WARM_S = 15.0  # until windows and heaps have their size
SETTLE_S = 3.0  # after viewers have come or left
LEFT_S = 35.0  # after the last viewer has left: the page keeps what it would miss for 30 s
START_S = 120.0
HEAD = """
[outbox]
folder = "off"
"""
WEB = """
[web]
port = {port}
token_file = "token"
"""
CAMERA = """
[[camera]]
name = "camera-{number}"
source = "demo:people"
loop = true
hop = {hop}
motion_gate = false
"""


def page(repetitions: int, seconds: float = 60.0) -> Iterator[Row]:
    """Measure daemons with and without [web] in turn, then one daemon with and without viewers in turn."""
    with tempfile.TemporaryDirectory() as name, embedded_broker() as url:
        folder = Path(name)
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        yield from _unused(folder, url, min(repetitions, 5), seconds)
        yield from _viewed(folder, url, min(repetitions, 5), seconds)


def _unused(folder: Path, url: str, repetitions: int, seconds: float) -> Iterator[Row]:
    shares: dict[str, list[float]] = {"without, % of a core": [], "with, % of a core": []}
    sizes: dict[str, list[float]] = {"without, MB": [], "with, MB": []}
    for _ in range(repetitions):
        for kind in ("without", "with"):
            port = free_port() if kind == "with" else 0
            with _daemon(folder, url, port, 1) as process:
                shares[f"{kind}, % of a core"].append(_share(process, seconds))
                sizes[f"{kind}, MB"].append(process.memory_full_info().uss / 1e6)
    yield Row(
        what="memory of a page that is never opened",
        against="a daemon without [web]",
        figure=median(sizes["with, MB"]) - median(sizes["without, MB"]),
        unit="MB",
        goal=GOAL_IDLE_MB,
        samples=sizes,
        note="memory of the process alone (USS)",
    )
    yield Row(
        what="processor time of a page that is never opened",
        against="a daemon without [web]",
        figure=median(shares["with, % of a core"]) - median(shares["without, % of a core"]),
        unit="% of one core",
        goal=GOAL_IDLE_SHARE,
        samples=shares,
    )


def _viewed(folder: Path, url: str, repetitions: int, seconds: float) -> Iterator[Row]:
    port = free_port()
    shares: dict[int, list[float]] = {0: [], VIEWERS: []}
    latencies: dict[int, list[float]] = {0: [], VIEWERS: []}
    with _daemon(folder, url, port, CAMERAS) as process, _subscribed(url) as subscriber:
        _share(process, SETTLE_S)
        before = _share(process, seconds)
        cookie = _log_in(port)
        first = last = _collect(subscriber, SETTLE_S)[1]
        for _ in range(repetitions):
            for count in (0, VIEWERS):
                with _viewers(port, cookie, count):
                    _collect(subscriber, SETTLE_S)
                    used, began = _used_s(process), time.monotonic()
                    found, last = _collect(subscriber, seconds)
                    shares[count].append(100 * (_used_s(process) - used) / (time.monotonic() - began))
                    latencies[count].append(quantiles(found, n=100)[98])
        time.sleep(LEFT_S)
        after = _share(process, seconds)
    ratio = median(loaded / free for loaded, free in zip(latencies[VIEWERS], latencies[0], strict=True))
    samples = {
        **{f"{count} viewers, % of a core": values for count, values in shares.items()},
        **{f"{count} viewers, p99 of a hop, ms": values for count, values in latencies.items()},
    }
    viewers = f"{VIEWERS} viewers of {CAMERAS} cameras"
    yield Row(
        what=f"latency of a hop, p99, with {viewers}",
        against="no viewer",
        figure=ratio,
        unit="ratio",
        goal=GOAL_RATIO,
        samples=samples,
        note=f"{median(latencies[0]):.1f} ms without; the viewers run on the same processor",
    )
    yield Row(
        what=f"processor time of the page with {viewers}",
        against="no viewer",
        figure=median(shares[VIEWERS]) - median(shares[0]),
        unit="% of one core",
        goal=GOAL_SHARE,
        samples=samples,
        note=f"stream, {CAMERAS} pictures every 3 s and one every 0.5 s for each",
    )
    yield Row(
        what="processor time of the page when the last viewer has left",
        against="before the first",
        figure=after - before,
        unit="% of one core",
        goal=GOAL_IDLE_SHARE,
        samples={"before, % of a core": [before], "after, % of a core": [after]},
    )
    yield Row(
        what=f"clips shed with {viewers}",
        against="",
        figure=float(sum(last.values()) - sum(first.values())),
        unit="clips",
        goal=GOAL_SHED,
        samples={"shed of each camera": [float(count - first[name]) for name, count in last.items()]},
        note="all cameras, all minutes",
    )


@contextmanager
def _daemon(folder: Path, url: str, port: int, cameras: int) -> Iterator[psutil.Process]:
    """Run a daemon, and enter the block once it has its final size."""
    each = "".join(CAMERA.format(number=number, hop=cameras) for number in range(cameras))
    rest = HEAD + (WEB.format(port=port) if port else "") + each
    model = open_model(shipped_models() / "motion")
    with serving(model, PRECISION, rest, folder / "site.toml", f'url = "{url}"\nscores = true') as process:
        time.sleep(WARM_S)
        yield process


@contextmanager
def _subscribed(url: str) -> Iterator[Subscriber]:
    config = BrokerConfig.model_validate({"url": url})
    subscriber = Subscriber("edge-tdn/+", Connection(config, "bench"))
    try:
        yield subscriber
    finally:
        subscriber.close()


def _collect(subscriber: Subscriber, seconds: float) -> tuple[list[float], dict[str, int]]:
    """Return the latencies of hops within a time, ms, and the clips that each camera has shed so far."""
    latencies: list[float] = []
    shed: dict[str, int] = defaultdict(int)
    for message in subscriber.messages(seconds):
        match message.content:
            case TopScores() as scores:
                latencies.append(scores.latency_ms)
            case CameraStatus() as status:
                shed[status.camera] = status.shed
    return latencies, shed


@contextmanager
def _viewers(port: int, cookie: str, count: int) -> Iterator[None]:
    if not count:
        yield
        return
    cameras = [f"camera-{number}" for number in range(CAMERAS)]
    command = [sys.executable, "-m", "tests.bench.viewers", str(port), cookie, str(count), *cameras]
    with subprocess.Popen(command) as viewers:
        try:
            yield
            if viewers.poll() is not None:
                raise SystemExit("the viewers ended early")
        finally:
            viewers.terminate()


def _log_in(port: int) -> str:
    """Return the cookie of a new session."""
    connection = HTTPConnection("127.0.0.1", port, timeout=START_S)
    headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
    connection.request("POST", "/api/session", json.dumps({"token": TOKEN}), headers)
    answer = connection.getresponse()
    if answer.status != 204:
        raise SystemExit(f"/api/session: {answer.status} {answer.read()!r}")
    connection.close()
    return str(answer.getheader("Set-Cookie")).partition(";")[0]


def _share(process: psutil.Process, seconds: float) -> float:
    used, began = _used_s(process), time.monotonic()
    time.sleep(seconds)
    return 100 * (_used_s(process) - used) / (time.monotonic() - began)


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
