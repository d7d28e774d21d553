"""The view of a running host: the picture, the scores and the events, drawn from the messages that it publishes."""

from collections import deque
from collections.abc import Callable

import cv2
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge_tdn.cli.terminal import STATE_STYLE, event_cells
from edge_tdn.messages import ActionEvent, CameraStatus, DaemonStatus, Picture, TopScores
from edge_tdn.subscriber import Content

EVENTS = 10  # lines
MAX_WIDTH = 100  # characters
UNACKNOWLEDGED = 10  # messages that a healthy connection has in flight
PICTURE_COLUMNS = 44  # characters; a character shows two pixels, one above the other


class LiveView:
    """A view that is updated by messages and drawn by `rich.live`. `picture` returns the newest picture, if any."""

    def __init__(self, title: str, picture: Callable[[], Picture | None] = lambda: None) -> None:
        self._title = title
        self._picture = picture
        self._daemon: DaemonStatus | None = None
        self._cameras: dict[str, CameraStatus] = {}
        self._scores: dict[str, TopScores] = {}
        self._events: deque[ActionEvent] = deque(maxlen=EVENTS)
        self.connection_error = ""  # why there is no connection to the broker

    def take(self, message: Content) -> None:
        """Update the view with one message."""
        match message:
            case DaemonStatus():
                self._daemon = message
            case CameraStatus():
                self._cameras[message.camera] = message
            case TopScores():
                self._scores[message.camera] = message
            case ActionEvent():
                self._events.append(message)

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [
            self._header(),
            *(self._camera_line(status) for status in self._cameras.values()),
        ]
        middle = Table.grid(padding=(0, 2))
        middle.add_row(self._half_blocks(), self._bars())
        parts += [middle, Text(), self._event_table()]
        if self.connection_error:
            parts.append(Text(f"broker: {self.connection_error}", "bold red"))
        return Constrain(Panel(Group(*parts), title=self._title, border_style="blue"), MAX_WIDTH)

    def _header(self) -> Text:
        if self._daemon is None:
            return Text("waiting for the host ...", "dim")
        d = self._daemon
        waiting, missing = d.outbox.waiting, d.outbox.dropped + d.outbox.lost
        unsent = f"   unsent {waiting}, dropped {missing}" if waiting > UNACKNOWLEDGED or missing else ""
        return Text(f"model {d.model.id} {d.model.precision} on {d.device}   edge-tdn {d.version}{unsent}", "dim")

    def _camera_line(self, s: CameraStatus) -> Text:
        text = Text.assemble((s.camera, "bold"), "   ")
        text.append(f"{s.state} {s.reason}".strip() + "   ", STATE_STYLE.get(s.state, "bold red"))
        text.append(f"{s.width}x{s.height}   {s.fps:.1f} fps   clips {s.clips}   latency {s.latency_ms:.1f} ms")
        if s.shed:
            text.append(f"   shed {s.shed}", "yellow")
        return text

    def _half_blocks(self) -> Text:
        """Draw the picture: a character's colour is its upper pixel, its background the lower one."""
        picture, text = self._picture(), Text()
        if picture is None:
            return text
        rows = round(PICTURE_COLUMNS * 3 / 4 / 2) * 2
        small = cv2.resize(picture, (PICTURE_COLUMNS, rows), interpolation=cv2.INTER_AREA)
        for upper, lower in zip(small[::2], small[1::2], strict=True):
            for (r, g, b), (r2, g2, b2) in zip(upper, lower, strict=True):
                text.append("▀", f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
            text.append("\n")
        return text

    def _bars(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for camera, top in self._scores.items():
            if len(self._scores) > 1:
                table.add_row(Text(camera, "bold"))
            for label, score in top.scores.items():
                style = "green" if score >= 0.6 else "white" if score >= 0.2 else "dim"
                bar = ProgressBar(1.0, score, width=20, complete_style=style, finished_style=style)
                table.add_row(Text(label, style), bar, Text(f"{score:.2f}", style))
        return table

    def _event_table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("time", "camera", "event", "action", "score", "duration", "latency", ""):
            table.add_column(column)
        for event in self._events:
            table.add_row(*event_cells(event))
        return table
