"""What a person sees of a running host: the picture, the scores and the events, drawn from what a subscriber hears."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import cv2
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge_tdn.messages import ActionEvent, CameraStatus, DaemonStatus, Picture, TopScores
from edge_tdn.subscriber import Content

EVENTS = 10  # lines
WIDEST = 100  # characters
ON_THEIR_WAY = 10  # unacknowledged messages that are no backlog
PICTURE_COLUMNS = 44  # characters; a character shows two pixels, one above the other
STATE_STYLE = {"streaming": "green", "connected": "green", "connecting": "yellow", "ended": "dim"}
LONGEST = 300  # characters of what somebody else wrote
TYPE_STYLE = {"start": "bold green", "update": "dim", "end": "cyan"}


class View:
    """Feeds on messages; `rich.live` draws it. `picture` gives the newest picture to show, if there is one."""

    def __init__(self, title: str, picture: Callable[[], Picture | None] = lambda: None) -> None:
        self._title = title
        self._picture = picture
        self._daemon: DaemonStatus | None = None
        self._cameras: dict[str, CameraStatus] = {}
        self._scores: dict[str, TopScores] = {}
        self._events: deque[ActionEvent] = deque(maxlen=EVENTS)
        self.trouble = ""  # why nothing arrives

    def hear(self, message: Content) -> None:
        """Takes one message."""
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
        parts: list[RenderableType] = [self._head(), *(self._line(status) for status in self._cameras.values())]
        middle = Table.grid(padding=(0, 2))
        middle.add_row(self._drawn(), self._bars())
        parts += [middle, Text(), self._table()]
        if self.trouble:
            parts.append(Text(f"broker: {self.trouble}", "bold red"))
        return Constrain(Panel(Group(*parts), title=self._title, border_style="blue"), WIDEST)

    def _head(self) -> Text:
        if self._daemon is None:
            return Text("waiting for the host to speak ...", "dim")
        d = self._daemon
        waiting, gone = d.outbox.waiting, d.outbox.dropped + d.outbox.lost
        unsent = f"   unsent {waiting}, dropped {gone}" if waiting > ON_THEIR_WAY or gone else ""
        return Text(f"model {d.model.id} {d.model.precision} on {d.device}   edge-tdn {d.version}{unsent}", "dim")

    def _line(self, s: CameraStatus) -> Text:
        text = Text.assemble((s.camera, "bold"), "   ")
        text.append(f"{s.state} {s.reason}".strip() + "   ", STATE_STYLE.get(s.state, "bold red"))
        text.append(f"{s.width}x{s.height}   {s.fps:.1f} fps   clips {s.clips}   latency {s.latency_ms:.1f} ms")
        if s.shed:
            text.append(f"   shed {s.shed}", "yellow")
        return text

    def _drawn(self) -> Text:
        """The picture in half blocks: the upper pixel is the character's colour, the lower one its background."""
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

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("time", "camera", "event", "action", "score", "lasted", "latency", ""):
            table.add_column(column)
        for event in self._events:
            table.add_row(*event_cells(event))
        return table


def event_cells(event: ActionEvent) -> tuple[RenderableType, ...]:
    """One event as cells: time, camera, type, label, score, length, latency, reason."""
    moment = event.ended_at or event.window.to
    latency = f"{event.latency_ms.total:.0f} ms" if event.latency_ms else ""
    lasted = f"{lasted_s(event):.1f} s" if event.ended_at else ""
    kind = Text(event.type, TYPE_STYLE[event.type])
    label = Text(event.label, "bold" if event.type == "start" else "")
    return moment[11:23], event.camera, kind, label, f"{event.score:.2f}", lasted, latency, event.reason or ""


def event_line(event: ActionEvent) -> str:
    """One event as a line of plain text, for logs and pipes."""
    cells = [cell.plain if isinstance(cell, Text) else str(cell) for cell in event_cells(event)]
    return "  ".join(cell for cell in cells if cell)


def lasted_s(event: ActionEvent) -> float:
    """Seconds from the start of an ended action to its end."""
    begin, end = (datetime.fromisoformat(moment) for moment in (event.started_at, event.ended_at or event.started_at))
    return (end - begin).total_seconds()


def age(since: str) -> str:
    """How long ago by this host's clock, in its two largest units: `3 d 4 h`."""
    try:
        seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()))
    except ValueError:  # the right shape, and no such day
        return "?"
    for large, small, name, below in ((86400, 3600, "d", "h"), (3600, 60, "h", "min")):
        if seconds >= large:
            return f"{seconds // large} {name} {seconds % large // small} {below}"
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


def plain(text: str) -> str:
    """What somebody else wrote, as it may be shown: a control character is an escape sequence, and little is enough."""
    shown = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)
