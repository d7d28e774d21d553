"""Text that several commands print: events, ages, and what other hosts have written."""

from contextlib import suppress
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.text import Text

from edge_tdn.messages import ActionEvent

MAX_FOREIGN_CHARACTERS = 300  # of a text that another host has written
BROKER_HINT = "is a broker running there? See `edge-tdn docs troubleshooting#broker`."
LOGS_HINT = "On the camera host, `systemctl status 'edge-tdn*'` and `journalctl -u 'edge-tdn*'` show how the daemon is"
STATE_STYLE = {"streaming": "green", "connected": "green", "connecting": "yellow", "ended": "dim"}
TYPE_STYLE = {"start": "bold green", "update": "dim", "end": "cyan"}


def event_cells(event: ActionEvent) -> tuple[RenderableType, ...]:
    """Return an event as cells: time, camera or camera/zone, type, label, score, duration, latency, reason."""
    moment = event.ended_at or event.window.to
    latency = f"{event.latency_ms.total:.0f} ms" if event.latency_ms else ""
    duration = f"{duration_s(event):.1f} s" if event.ended_at else ""
    kind = Text(event.type, TYPE_STYLE[event.type])
    label = Text(event.label, "bold" if event.type == "start" else "")
    place = f"{event.camera}/{event.zone}" if event.zone else event.camera
    return moment[11:23], place, kind, label, f"{event.score:.2f}", duration, latency, event.reason or ""


def event_line(event: ActionEvent) -> str:
    """Return an event as a line of plain text, for logs and pipes, with the file that is new in the recordings."""
    file = {"start": event.snapshot, "end": event.clip}.get(event.type)
    cells = [cell.plain if isinstance(cell, Text) else str(cell) for cell in (*event_cells(event), file or "")]
    return "  ".join(cell for cell in cells if cell)


def duration_s(event: ActionEvent) -> float:
    """Return the seconds from the start of an ended action to its end."""
    begin, end = (datetime.fromisoformat(moment) for moment in (event.started_at, event.ended_at or event.started_at))
    return (end - begin).total_seconds()


def age(since: str) -> str:
    """Return the time since an ISO 8601 moment, by this host's clock, in its two largest units: `3 d 4 h`."""
    seconds = seconds_since(since)
    if seconds is None:
        return "?"
    for large, small, name, below in ((86400, 3600, "d", "h"), (3600, 60, "h", "min")):
        if seconds >= large:
            return f"{seconds // large} {name} {seconds % large // small} {below}"
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


def seconds_since(moment: str) -> int | None:
    """Return the seconds since an ISO 8601 moment, by this host's clock, at least 0; None: there is no such day."""
    with suppress(ValueError):
        return max(0, int((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()))
    return None


def plain(text: str) -> str:
    """Make text from another host safe to print: control characters are escaped, and a long text is cut."""
    shown = text if len(text) <= MAX_FOREIGN_CHARACTERS else text[:MAX_FOREIGN_CHARACTERS] + "..."
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in shown)
