"""A run of the demo: a daemon with one camera, a broker, and a subscriber that shows what is published."""

import os
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from importlib import resources
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.live import Live

from edge_tdn.cli.demo_page import PageTitle
from edge_tdn.cli.live_view import FULL_SIZE, MIN_SIZE, LiveView
from edge_tdn.cli.outlined_picture import OutlinedPicture
from edge_tdn.cli.page_opener import page_opener
from edge_tdn.cli.terminal import event_line
from edge_tdn.cli.terminal_pictures import Graphics, PicturePlace
from edge_tdn.cli.terminal_query import find_graphics
from edge_tdn.cli.timing import DEFAULT_DEMO, DemoTiming
from edge_tdn.config.load import parse
from edge_tdn.config.tables import Config, host_name
from edge_tdn.delivery.mqtt import Connection
from edge_tdn.demo.demo_scenes import CREDITS, zones_of
from edge_tdn.demo.embedded_broker import embedded_broker
from edge_tdn.errors import BrokerError, SourceError
from edge_tdn.messages import ActionEvent, Picture
from edge_tdn.output import write_output
from edge_tdn.process.signals import stop_on_signals
from edge_tdn.service.daemon import Daemon
from edge_tdn.status_messages import CameraStatus
from edge_tdn.subscriber import HostMessage, Subscriber

SCREENSHOT_SIZE = 100, 34  # columns and lines
MAX_LEFT_EVENTS = 10  # printed below each other when the view has ended
BEGIN_DRAWING, END_DRAWING = "\x1b[?2026h", "\x1b[?2026l"  # terminals show what is between them at once
MAX_HOST_CHARACTERS = 59  # leaves room for "-demo" in a name of 64


def demo(
    console: Console,
    source: str,
    broker_url: str,
    model: str,
    seconds: float,
    screenshot: Path | None,
    web_port: int = 0,
    timing: DemoTiming = DEFAULT_DEMO,
    zones: bool = False,
) -> None:
    """Run the demo for `seconds` (0: until stopped) and print a summary.

    An empty `broker_url` starts a broker. `web_port`: that of the page, 0: none. `zones`: analyse parts of the picture
    by themselves, too.
    """
    with ExitStack() as stack:
        url = broker_url or stack.enter_context(embedded_broker())
        folder = stack.enter_context(TemporaryDirectory(prefix="edge-tdn-demo-")) if web_port else ""
        config = demo_config(source, url, model, web_port, folder, zones)
        console.print(f"broker {url}{'' if broker_url else ' (embedded)'}, topics {config.base_topic}/#")
        if source in CREDITS:
            console.print(CREDITS[source])
        daemon = Daemon(config, Path.cwd(), temporary=True, open_page=page_opener(config, keep_token=False))
        title = PageTitle(daemon.page) if daemon.page else None
        if title:
            console.print(f"page {title.link}", soft_wrap=True)
        subscriber = Subscriber(config.base_topic, Connection(config.broker, f"edge-tdn-demo-{time.time_ns()}"))
        stack.callback(subscriber.close)
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            daemon.stop()

        stop_on_signals(stop)
        failure: list[BaseException] = []
        thread = threading.Thread(target=_serve, args=(daemon, failure), name="daemon")
        thread.start()
        try:
            lines_reason = no_view(console)
            graphics = None if lines_reason else find_graphics(timing.answer_s)
            picture = OutlinedPicture(daemon.cameras[0])
            view = LiveView(
                title.text if title else lambda: "edge-tdn demo   (Ctrl-C ends)",
                picture,
                stretched=daemon.model.manifest.input.resize == "stretch",
                graphics=graphics,
                no_picture="" if graphics else no_colours(console),
                colours=picture.colours,
            )
            session = DemoSession(console, view, picture, graphics, lines_reason, timing)
            session.follow(subscriber, daemon, thread, seconds)
        finally:
            daemon.stop()
            thread.join()
        if screenshot:
            _save(view, screenshot)
    if failure:
        raise failure[0]
    if not subscriber.connected and (broker_url or not stopped.is_set()):  # a signal to all may end our broker first
        reason = subscriber.connection_error or "no answer"
        advice = "is a broker running there? Without --broker the demo starts one"
        raise BrokerError(f"{url}: {reason}; {advice if broker_url else 'name another one with --broker'}")
    status = daemon.cameras[0].status()
    if status.clips == 0 and status.state not in ("connecting", "streaming", "ended"):
        raise SourceError(f"no picture: {status.reason}")
    session.print_summary()


def demo_config(
    source: str, broker_url: str, model: str, web_port: int = 0, folder: str = "", zones: bool = False
) -> Config:
    """Return the packaged demo.toml with the options of the command line. Raises ConfigError if one is invalid.

    `web_port`: of the page, 0: none; `folder`: for the recordings that the page shows, and for what it teaches.
    """
    content = tomllib.loads((resources.files("edge_tdn.demo") / "demo.toml").read_text(encoding="utf-8"))
    content["host"] = f"{host_name()[:MAX_HOST_CHARACTERS]}-demo"  # so that a daemon on this host is not replaced
    content["broker"]["url"] = broker_url
    content["runtime"] = {"model": model}
    content["outbox"] = {"folder": "off"}
    content["decide"] = {"merge_gap_s": 0.0, "cool_down_s": 0.0}  # show every action, and its end at once
    content["camera"][0] |= {"source": source, "zone": zones_of(source) if zones else []}
    if web_port:
        content["web"] = {"port": web_port, "label_folder": f"{folder}/taught"}
        content["record"] = {"folder": folder, "snapshot": True, "clip": True}
    return parse(content, "edge-tdn demo")


def no_view(console: Console) -> str:
    """Return why the live view cannot be drawn on a console, and what to do; empty: it can."""
    columns, lines = MIN_SIZE
    if not console.is_terminal:
        return "events as lines: the output is not a terminal, which the live view needs; --screenshot FILE saves it"
    if console.is_dumb_terminal:
        term = os.environ.get("TERM", "")
        return f"events as lines: TERM is {term!r}; set it to the terminal's type, such as xterm-256color"
    if console.width < columns or console.height < lines:
        return (
            f"events as lines: the terminal has {console.width}x{console.height} characters; the live view needs "
            f"{columns}x{lines}, and {'x'.join(map(str, FULL_SIZE))} with its picture"
        )
    return ""


def no_colours(console: Console) -> str:
    """Return why a console cannot show a picture in coloured characters, and what to do; empty: it can."""
    if console.no_color:
        return "no picture: it needs colours, and NO_COLOR is set; unset it"
    if console.color_system is None:
        return "no picture: this terminal has no colours; set TERM to its type, such as xterm-256color"
    if not console.encoding.startswith("utf"):
        return f"no picture: the encoding is {console.encoding}; set LANG to a UTF-8 locale, such as C.UTF-8"
    return ""


class DemoSession:
    """Shows messages, in a view if the terminal can, otherwise as lines, and counts for the summary."""

    def __init__(
        self,
        console: Console,
        view: LiveView,
        newest: Callable[[], Picture | None],
        graphics: Graphics | None,
        lines_reason: str,
        timing: DemoTiming,
    ) -> None:
        """`newest` returns the picture of the view. `lines_reason`: why messages are printed as lines; empty: it is
        drawn.
        """
        self._console, self._view, self._graphics, self._timing = console, view, graphics, timing
        self._newest = newest
        self._lines_reason = lines_reason
        self._place: PicturePlace | None = None  # of the picture that the terminal shows as graphics
        self._picture: Picture | None = None  # likewise
        self._sequence = ""  # that draws it there
        self._camera_state = ""
        self._starts: Counter[str] = Counter()
        self._latencies_ms: list[float] = []

    def follow(self, subscriber: Subscriber, daemon: Daemon, thread: threading.Thread, seconds: float) -> None:
        """Show what arrives until the time is over or the daemon ends."""
        deadline = time.monotonic() + seconds if seconds else float("inf")
        if self._lines_reason:
            self._console.print(self._lines_reason, style="dim", soft_wrap=True)
        over = False
        with ExitStack() as stack:
            live = None
            if not self._lines_reason:
                live = stack.enter_context(Live(self._view, console=self._console, screen=True, auto_refresh=False))
                stack.callback(self._clear)
            while thread.is_alive():
                if time.monotonic() > deadline and not over:
                    over = True
                    daemon.stop()
                for message in subscriber.messages(self._timing.draw_every_s):
                    self._show(message)
                self._view.connection_error = subscriber.connection_error
                if live:
                    self._draw(live, self._newest())
        if live:
            for event in list(self._view.events)[-MAX_LEFT_EVENTS:]:
                self._console.print(event_line(event))
        if over:
            self._console.print(f"{seconds:g} s are over; with --seconds 0 the demo runs until Ctrl-C")

    def _draw(self, live: Live, picture: Picture | None) -> None:
        """Draw the view, and the picture on top of it where the terminal has graphics."""
        write = self._console.file.write
        write(BEGIN_DRAWING)
        live.refresh()
        if self._graphics:
            place = self._view.place
            if place != self._place:
                write(self._graphics.clear())
            changed = place != self._place or picture is not self._picture
            self._place, self._picture = place, picture
            if place and picture is not None and changed:
                self._sequence = self._graphics.draw(picture, place)
            if place and (changed or self._graphics.replaced_by_text):
                write(self._sequence)
        write(END_DRAWING)
        self._console.file.flush()

    def _clear(self) -> None:
        if self._graphics:
            self._console.file.write(self._graphics.clear())

    def _show(self, message: HostMessage) -> None:
        content = message.content
        self._view.take(content)
        if isinstance(content, ActionEvent):
            if content.type == "start" and content.latency_ms:
                self._starts[f"{content.zone}: {content.label}" if content.zone else content.label] += 1
                self._latencies_ms.append(content.latency_ms.total)
            if self._lines_reason:
                self._console.print(event_line(content))
        elif isinstance(content, CameraStatus) and self._lines_reason and content.state != self._camera_state:
            self._camera_state = content.state
            self._console.print(": ".join(filter(None, (content.camera, content.state, content.reason))))

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
    """Save the view as SVG, with its picture in half blocks."""
    view.graphics, view.no_picture = None, ""
    columns, lines = SCREENSHOT_SIZE
    recorder = Console(
        record=True, width=columns, height=lines, force_terminal=True, color_system="truecolor", file=StringIO()
    )
    recorder.print(view)
    write_output(path, recorder.export_svg(title="edge-tdn demo").encode())
