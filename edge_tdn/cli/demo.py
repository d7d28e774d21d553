"""`edge-tdn demo`: camera, model, broker and subscriber in one go, to see that it works and what it looks like."""

import threading
import time
import tomllib
from collections import Counter
from contextlib import ExitStack
from importlib import resources
from io import StringIO
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.live import Live

from edge_tdn.cli.terminal import View, event_line
from edge_tdn.config.tables import Config, host_name, parse
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.demo.embedded_broker import embedded_broker
from edge_tdn.errors import BrokerError, SourceError
from edge_tdn.messages import ActionEvent, CameraStatus
from edge_tdn.process.signals import stop_on_signals
from edge_tdn.service.daemon import Daemon
from edge_tdn.subscriber import Subscriber

DRAWN_PER_S = 8  # times a second that the view is drawn anew
LEAST_LINES, PICTURE_LINES = 23, 38  # of a terminal, to show the view rather than lines, and the picture in it


def demo(console: Console, source: str, broker_url: str, model: str, seconds: float, screenshot: Path | None) -> None:
    """Runs the whole chain for `seconds` (0: until stopped) and shows it; a summary at the end."""
    with ExitStack() as stack:
        url = broker_url or stack.enter_context(embedded_broker())
        config = demo_config(source, url, model)
        console.print(f"broker {url}{'' if broker_url else ' (embedded)'}, topics {config.base_topic}/#")
        daemon = Daemon(config, Path.cwd())
        subscriber = Subscriber(config.base_topic, Connection(config.broker, f"edge-tdn-demo-{time.time_ns()}"))
        stack.callback(subscriber.close)
        stop_on_signals(daemon.stop)
        failure: list[BaseException] = []
        thread = threading.Thread(target=_run, args=(daemon, failure), name="daemon")
        thread.start()
        try:
            room = console.height >= PICTURE_LINES and not console.no_color
            view = View(
                "edge-tdn demo   (Ctrl-C ends)", lambda: daemon.cameras[0].picture if room or screenshot else None
            )
            starts, latencies = _watch(console, view, subscriber, daemon, thread, seconds)
        finally:
            daemon.stop()
            thread.join()
        if screenshot:
            _save(view, screenshot)
    if failure:
        raise failure[0]
    if not subscriber.connected:
        reason = subscriber.connection_error or "no answer"
        raise BrokerError(f"{url}: {reason}; is a broker running there? Without --broker the demo brings one")
    status = daemon.cameras[0].status()
    if status.clips == 0 and status.state not in ("connecting", "streaming", "ended"):
        raise SourceError(f"no picture: {status.reason}")
    told = ", ".join(f"{label} {count}" for label, count in starts.items()) or "none"
    console.print(f"actions recognised: {told}")
    if latencies:
        console.print(f"from a clip's last frame to its event: {median(latencies):.0f} ms (median)")


def demo_config(source: str, broker_url: str, model: str) -> Config:
    """The packaged demo.toml with what the command line says. ConfigError: one of these is wrong."""
    content = tomllib.loads((resources.files("edge_tdn.demo") / "demo.toml").read_text(encoding="utf-8"))
    content["host"] = f"{host_name()[:59]}-demo"  # beside a daemon on the same host, not in its place
    content["broker"]["url"] = broker_url
    content["runtime"] = {"model": model}
    content["outbox"] = {"folder": "off"}
    content["camera"][0]["source"] = source
    return parse(content, "edge-tdn demo")


def _run(daemon: Daemon, failure: list[BaseException]) -> None:
    try:
        daemon.run()
    except BaseException as error:  # told on the main thread
        failure.append(error)


def _watch(
    console: Console, view: View, subscriber: Subscriber, daemon: Daemon, thread: threading.Thread, seconds: float
) -> tuple[Counter[str], list[float]]:
    """Shows what arrives until the time is over or the daemon ends. Counts the starts, and their latencies in ms."""
    starts: Counter[str] = Counter()
    latencies: list[float] = []
    deadline = time.monotonic() + seconds if seconds else float("inf")
    drawn = console.is_terminal and not console.is_dumb_terminal and console.height >= LEAST_LINES
    state = ""
    with Live(view, console=console, refresh_per_second=DRAWN_PER_S) if drawn else ExitStack():
        while thread.is_alive():
            if time.monotonic() > deadline:
                daemon.stop()
            for message in subscriber.messages(1 / DRAWN_PER_S):
                view.hear(message.content)
                if isinstance(message.content, ActionEvent):
                    if message.content.type == "start" and message.content.latency_ms:
                        starts[message.content.label] += 1
                        latencies.append(message.content.latency_ms.total)
                    if not drawn:
                        console.print(event_line(message.content))
                elif isinstance(message.content, CameraStatus) and not drawn and message.content.state != state:
                    state = message.content.state
                    console.print(f"{message.content.camera}: {state} {message.content.reason}".rstrip())
            view.trouble = subscriber.connection_error
    return starts, latencies


def _save(view: View, path: Path) -> None:
    """The view's last state as SVG, in a folder that is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    recorder = Console(record=True, width=100, force_terminal=True, color_system="truecolor", file=StringIO())
    recorder.print(view)
    recorder.save_svg(str(path), title="edge-tdn demo")
