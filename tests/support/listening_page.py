"""A page without a server: it keeps the hub that the daemon gives it, and what the daemon asks of it."""

from pathlib import Path

from edge_tdn.config.tables import Config
from edge_tdn.hub.hub import Hub
from edge_tdn.hub.note_ring import HubNote, NoteKind


class ListeningPage:
    """Opened by `open` in place of the page; reads every note from then on."""

    def __init__(self) -> None:
        self.hub: Hub
        self.asked: list[str] = []  # the methods that were called, in order
        self.fault = ""
        self.address = "http://127.0.0.1:8765/"
        self._notes: list[HubNote] = []

    def open(self, config: Config, base: Path, hub: Hub) -> "ListeningPage":
        self.hub = hub
        self._reader = hub.notes.reader()
        return self

    def notes(self, kind: NoteKind) -> list[HubNote]:
        """Return the notes of a kind so far."""
        notes, missed = self._reader.take()
        assert not missed
        self._notes += notes
        return [note for note in self._notes if note.kind == kind]

    def link(self) -> str:
        return f"{self.address}#code=abc"

    def start(self) -> None:
        self.asked.append("start")

    def renew(self) -> None:
        self.asked.append("renew")

    def announce(self) -> None:
        self.asked.append("announce")

    def stop(self) -> None:
        self.asked.append("stop")

    def join(self, timeout_s: float) -> None:
        self.asked.append("join")
