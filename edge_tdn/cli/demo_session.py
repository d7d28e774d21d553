"""A run of the demo: a daemon with one camera, a broker, and a subscriber that shows what is published."""

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

from edge_tdn.cli.live_view import LiveView
from edge_tdn.cli.terminal import event_line
from edge_tdn.config.load import parse
from edge_tdn.config.tables import Config, host_name
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.demo.demo_scenes import CREDITS
from edge_tdn.demo.embedded_broker import embedded_broker
from edge_tdn.errors import BrokerError, SourceError
from edge_tdn.messages import ActionEvent, CameraStatus
from edge_tdn.output import write_output
from edge_tdn.process.signals import stop_on_signals
from edge_tdn.service.daemon import Daemon
from edge_tdn.subscriber import HostMessage, Subscriber

DRAWS_PER_S = 8
MIN_VIEW_LINES, MIN_PICTURE_LINES = 23, 38  # height of a terminal in which the view, and the picture in it, are drawn
MAX_HOST_CHARACTERS = 59  # leaves room for "-demo" in a name of 64


def demo(console: Console, source: str, broker_url: str, model: str, seconds: float, screenshot: Path | None) -> None:
    """Run the demo for `seconds` (0: until stopped) and print a summary. An empty `broker_url` starts a broker."""
    with ExitStack() as stack:
        url = broker_url or stack.enter_context(embedded_broker())
        config = demo_config(source, url, model)
        console.print(f"broker {url}{'' if broker_url else ' (embedded)'}, topics {config.base_topic}/#")
        if source in CREDITS:
            console.print(CREDITS[source])
        daemon = Daemon(config, Path.cwd(), temporary=True)
        subscriber = Subscriber(config.base_topic, Connection(config.broker, f"edge-tdn-demo-{time.time_ns()}"))
        stack.callback(subscriber.close)
        stop_on_signals(daemon.stop)
        failure: list[BaseException] = []
        thread = threading.Thread(target=_serve, args=(daemon, failure), name="daemon")
        thread.start()
        try:
            with_picture = screenshot or (console.height >= MIN_PICTURE_LINES and not console.no_color)
            view = LiveView(
                "edge-tdn demo   (Ctrl-C ends)", lambda: daemon.cameras[0].picture if with_picture else None
            )
            session = DemoSession(console, view)
            session.follow(subscriber, daemon, thread, seconds)
        finally:
            daemon.stop()
            thread.join()
        if screenshot:
            _save(view, screenshot)
    if failure:
        raise failure[0]
    if not subscriber.connected:
        reason = subscriber.connection_error or "no answer"
        raise BrokerError(f"{url}: {reason}; is a broker running there? Without --broker the demo starts one")
    status = daemon.cameras[0].status()
    if status.clips == 0 and status.state not in ("connecting", "streaming", "ended"):
        raise SourceError(f"no picture: {status.reason}")
    session.print_summary()


def demo_config(source: str, broker_url: str, model: str) -> Config:
    """Return the packaged demo.toml with the options of the command line. Raises ConfigError if one is invalid."""
    content = tomllib.loads((resources.files("edge_tdn.demo") / "demo.toml").read_text(encoding="utf-8"))
    content["host"] = f"{host_name()[:MAX_HOST_CHARACTERS]}-demo"  # so that a daemon on this host is not replaced
    content["broker"]["url"] = broker_url
    content["runtime"] = {"model": model}
    content["outbox"] = {"folder": "off"}
    content["camera"][0]["source"] = source
    return parse(content, "edge-tdn demo")


class DemoSession:
    """Shows messages, in a view if the terminal is large enough, otherwise as lines, and counts for the summary."""

    def __init__(self, console: Console, view: LiveView) -> None:
        self._console, self._view = console, view
        self._drawn = console.is_terminal and not console.is_dumb_terminal and console.height >= MIN_VIEW_LINES
        self._camera_state = ""
        self._starts: Counter[str] = Counter()
        self._latencies_ms: list[float] = []

    def follow(self, subscriber: Subscriber, daemon: Daemon, thread: threading.Thread, seconds: float) -> None:
        """Show what arrives until the time is over or the daemon ends."""
        deadline = time.monotonic() + seconds if seconds else float("inf")
        live = Live(self._view, console=self._console, refresh_per_second=DRAWS_PER_S) if self._drawn else ExitStack()
        with live:
            while thread.is_alive():
                if time.monotonic() > deadline:
                    daemon.stop()
                for message in subscriber.messages(1 / DRAWS_PER_S):
                    self._show(message)
                self._view.connection_error = subscriber.connection_error

    def _show(self, message: HostMessage) -> None:
        content = message.content
        self._view.take(content)
        if isinstance(content, ActionEvent):
            if content.type == "start" and content.latency_ms:
                self._starts[content.label] += 1
                self._latencies_ms.append(content.latency_ms.total)
            if not self._drawn:
                self._console.print(event_line(content))
        elif isinstance(content, CameraStatus) and not self._drawn and content.state != self._camera_state:
            self._camera_state = content.state
            self._console.print(f"{content.camera}: {content.state} {content.reason}".rstrip())

    def print_summary(self) -> None:
        counts = ", ".join(f"{label} {count}" for label, count in self._starts.items()) or "none"
        self._console.print(f"actions recognised: {counts}")
        if self._latencies_ms:
            self._console.print(f"from a clip's last frame to its event: {median(self._latencies_ms):.0f} ms (median)")


def _serve(daemon: Daemon, failure: list[BaseException]) -> None:
    try:
        daemon.run()
    except BaseException as error:  # raised on the main thread
        failure.append(error)


def _save(view: LiveView, path: Path) -> None:
    """Save the view as SVG."""
    recorder = Console(record=True, width=100, force_terminal=True, color_system="truecolor", file=StringIO())
    recorder.print(view)
    write_output(path, recorder.export_svg(title="edge-tdn demo").encode())
