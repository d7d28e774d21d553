"""The view of a running host: the picture, the scores and the events, drawn from the messages that it publishes.

It fills the terminal, whatever its size: the picture shrinks before the events do, and goes before the view is cut.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge_tdn.cli.terminal import STATE_STYLE, event_cells
from edge_tdn.cli.terminal_pictures import CELL_HEIGHT, Graphics, HalfBlocks, PicturePlace
from edge_tdn.cli.zone_picture import Colour
from edge_tdn.messages import ActionEvent, Picture, TopScores
from edge_tdn.status_messages import CameraStatus, DaemonStatus
from edge_tdn.subscriber import Content

FULL_SIZE = 80, 24  # columns and lines of a terminal that shows a picture
MIN_SIZE = 40, 10  # that shows the view
BORDER, PADDING = 1, 1  # of the panel, lines and columns
GAP = 2  # columns between picture and bars
MIN_BARS_WIDTH, MAX_BAR_WIDTH = 28, 20  # columns
MIN_PICTURE = 12, 5  # columns and lines
MAX_HALF_BLOCKS = 100  # columns
MIN_EVENT_LINES = 5  # below a picture
MAX_EVENTS = 60
UNACKNOWLEDGED = 10  # messages that a healthy connection has in flight
EVENT_COLUMNS = ("time", "camera", "event", "action", "score", "duration", "latency", "")
NO_COLOURS: Mapping[str, Colour] = MappingProxyType({})
NARROW = {"latency": 70, "": 70, "camera": 60, "duration": 50}  # inner width below which a column of events is left out


class LiveView:
    """A view that is updated by messages and drawn by rich, as high and wide as the console.

    `place` is where the picture is, after the view was drawn; None: there is none, or it is part of the text.
    """

    def __init__(
        self,
        title: Callable[[], str],
        picture: Callable[[], Picture | None] = lambda: None,
        stretched: bool = False,
        graphics: Graphics | None = None,
        no_picture: str = "",
        colours: Mapping[str, Colour] = NO_COLOURS,
    ) -> None:
        """`picture` returns the newest picture, if any.

        `stretched`: it has another shape than the camera's. `graphics`: draw the picture afterwards, by `place`; None:
        draw it in half blocks. `no_picture`: why this terminal cannot show one, and what to do. `colours`: of the names
        of zones beside it, by camera/zone.
        """
        self._title = title
        self._picture, self._stretched, self._colours = picture, stretched, colours
        self.graphics, self.no_picture = graphics, no_picture
        self._daemon: DaemonStatus | None = None
        self._cameras: dict[str, CameraStatus] = {}
        self._scores: dict[str, TopScores] = {}  # by camera, or camera/zone
        self.events: deque[ActionEvent] = deque(maxlen=MAX_EVENTS)
        self.connection_error = ""  # why there is no connection to the broker
        self.place: PicturePlace | None = None

    def take(self, message: Content) -> None:
        """Update the view with one message."""
        match message:
            case DaemonStatus():
                self._daemon = message
            case CameraStatus():
                self._cameras[message.camera] = message
            case TopScores():
                self._scores[f"{message.camera}/{message.zone}" if message.zone else message.camera] = message
            case ActionEvent():
                self.events.append(message)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        inner, lines = width - 2 * (BORDER + PADDING), height - 2 * BORDER
        top = [self._header(), *(self._camera_line(status) for status in self._cameras.values())]
        bottom = [_line(f"broker: {self.connection_error}", "bold red")] if self.connection_error else []
        free = lines - len(top) - len(bottom) - 2  # a blank line above the events, and their heading
        size = None if self.no_picture else self._picture_size(inner, free)
        if size is None:
            columns, rows = FULL_SIZE
            bottom.append(_line(self.no_picture or f"no picture below {columns}x{rows}: enlarge it", "yellow"))
            free -= 1
        bars = self._bars(inner - (size[0] + GAP if size else 0), size[1] if size else free - MIN_EVENT_LINES)
        rows = max(size[1] if size else 0, min(len(bars), free - 1))
        parts: list[RenderableType] = [*top, self._middle(size, bars[: max(0, rows)])]
        parts += [Text(), self._event_table(inner, free - rows)] if free > rows else []
        filled = len(top) + rows + (2 + min(len(self.events), free - rows) if free > rows else 0)
        parts += [Text() for _ in range(lines - filled - len(bottom))] + bottom
        first = BORDER + len(top) + 1
        drawn = size and self.graphics and self._picture() is not None
        self.place = PicturePlace(first, BORDER + PADDING + 1, *size) if size and drawn else None
        yield Panel(Group(*parts), title=self._title(), border_style="blue", width=width, height=height)

    def _picture_size(self, inner: int, free: int) -> tuple[int, int] | None:
        """Return columns and lines of the picture in its own shape; None: there is no room for it."""
        limit = self.graphics.max_columns if self.graphics else MAX_HALF_BLOCKS
        columns, lines = min(inner - GAP - MIN_BARS_WIDTH, limit or inner), free - MIN_EVENT_LINES
        cell = self.graphics.cell_height if self.graphics else CELL_HEIGHT
        shape = self._aspect() * cell  # columns per line
        columns = min(columns, int(lines * shape))
        size = columns, min(lines, round(columns / shape))
        return size if all(one >= least for one, least in zip(size, MIN_PICTURE, strict=True)) else None

    def _aspect(self) -> float:
        """Return the picture's width divided by its height, as the camera sees the scene."""
        status = next(iter(self._cameras.values()), None)
        if self._stretched and status and status.width and status.height:
            return min(4.0, max(0.25, status.width / status.height))
        picture = self._picture()
        return 4 / 3 if picture is None else picture.shape[1] / picture.shape[0]

    def _middle(self, size: tuple[int, int] | None, bars: Sequence[Sequence[RenderableType]]) -> RenderableType:
        """Return the picture, or the room for it, and the bars beside it."""
        table = Table.grid(padding=(0, 1))
        for row in bars:
            table.add_row(*row)
        if size is None:
            return table
        columns, lines = size
        picture = self._picture()
        shown: RenderableType = Text("\n" * (lines - 1))
        if picture is not None and self.graphics is None:
            shown = HalfBlocks(picture, columns, lines)
        middle = Table.grid(padding=(0, GAP, 0, 0))
        middle.add_column(width=columns, no_wrap=True)
        middle.add_row(shown, table)
        return middle

    def _header(self) -> Text:
        if self._daemon is None:
            return _line("waiting for the host ...", "dim")
        d = self._daemon
        waiting, missing = d.outbox.waiting, d.outbox.dropped + d.outbox.lost
        unsent = f"   unsent {waiting}, dropped {missing}" if waiting > UNACKNOWLEDGED or missing else ""
        return _line(f"model {d.model.id} {d.model.precision} on {d.device}   edge-tdn {d.version}{unsent}", "dim")

    def _camera_line(self, s: CameraStatus) -> Text:
        text = _line("", "")
        text.append(f"{s.camera}   ", "bold")
        text.append(f"{s.state} {s.reason}".strip() + "   ", STATE_STYLE.get(s.state, "bold red"))
        text.append(f"{s.width}x{s.height}   {s.fps:.1f} fps   clips {s.clips}   latency {s.latency_ms:.1f} ms")
        if s.shed:
            text.append(f"   shed {s.shed}", "yellow")
        return text

    def _bars(self, width: int, lines: int) -> list[tuple[RenderableType, ...]]:
        """Return the rows of the scores, for so many columns.

        Several cameras or zones share the lines: each has its name and its best labels, at least one.
        """
        labels = max((len(label) for top in self._scores.values() for label in top.scores), default=0)
        if len(self._scores) > 1:
            labels = max(labels, *map(len, self._scores))
        labels = min(labels, width - 14)
        bar_width = max(6, min(MAX_BAR_WIDTH, width - labels - 6))
        rows: list[tuple[RenderableType, ...]] = []
        count = max(1, lines // len(self._scores) - 1) if len(self._scores) > 1 else None
        for place in self._places():
            top = self._scores[place]
            if len(self._scores) > 1:
                rows.append((_line(place[:labels], _bold(self._colours.get(place))),))
            for label, score in list(top.scores.items())[:count]:
                style = "green" if score >= 0.6 else "white" if score >= 0.2 else "dim"
                bar = ProgressBar(1.0, score, width=bar_width, complete_style=style, finished_style=style)
                rows.append((_line(label[:labels], style), bar, _line(f"{score:.2f}", style)))
        return rows

    def _places(self) -> list[str]:
        """Return the cameras and zones that have scores, in the order of the configuration."""
        order = [f"{one.camera}/{zone.zone}" for one in self._cameras.values() for zone in one.zones]
        return sorted(self._scores, key=lambda place: order.index(place) if place in order else len(order))

    def _event_table(self, inner: int, lines: int) -> Table:
        """Return the newest events, at most `lines` of them."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        shown = [number for number, name in enumerate(EVENT_COLUMNS) if inner >= NARROW.get(name, 0)]
        for number in shown:
            table.add_column(EVENT_COLUMNS[number], no_wrap=True, overflow="crop")
        for event in list(self.events)[-lines:]:
            cells = event_cells(event)
            table.add_row(*(cells[number] for number in shown))
        return table


def _bold(colour: Colour | None) -> str:
    return f"bold rgb({','.join(map(str, colour))})" if colour else "bold"


def _line(text: str, style: str) -> Text:
    """Return a text of one line, cut where the terminal is too narrow."""
    return Text(text, style, no_wrap=True, overflow="crop")
