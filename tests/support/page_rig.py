"""A page whose daemon is a script: its cameras, frames, scores and events are what a test gives it."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np

from edge_tdn.actions.labels import rules
from edge_tdn.config.tables import DecideConfig, OutboxConfig
from edge_tdn.delivery.commands import CommandError, SetEnabled, SetThreshold, parse
from edge_tdn.delivery.event_query import EventQuery
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.hub.host_access import CameraPlace, EventCursor, EventPage, ZonePlace
from edge_tdn.hub.kept_scores import KeptScores
from edge_tdn.media.colour import Packed
from edge_tdn.messages import ActionEvent, Frame, Picture, Reply
from edge_tdn.status_messages import CameraStatus, CameraThresholds, DaemonStatus, Delivery, OutboxStatus
from edge_tdn.web.limits import DEFAULT_HTTP_LIMITS, HttpLimits
from tests.support.decisions import LABELS, prompt_config
from tests.support.delivery import MODEL, MOMENT, action_event
from tests.support.fakes import SPEC
from tests.support.page_server import CommandCounter, PageServer, page_server
from tests.support.scripted_teaching import ScriptedTeaching
from tests.support.waiting import PATIENCE_S

BOOT = "boot"
CAMERA = "door"
WALL_NS = 1_772_366_400_250_000_000  # 2026-03-01T12:00:00.250Z


def zone_place(name: str | None = None, decide: DecideConfig | None = None, **changes: Any) -> ZonePlace:
    """Return a zone of a model with the labels still (background), left and right."""
    decide = decide or prompt_config()
    zone = ZonePlace(
        name=name,
        region=(0.0, 0.0, 1.0, 1.0),
        polygon=(),
        labels=LABELS,
        background=("still",),
        actions=tuple(rules(decide, LABELS, ("still",))),
        decide=decide,
        thresholds=CameraThresholds(enter=decide.enter_threshold, exit=decide.exit_threshold),
        model=MODEL,
        spec=SPEC,
        hop=1,
        action=None,
    )
    return replace(zone, **changes)


def camera_place(name: str = CAMERA, *zones: ZonePlace, **changes: Any) -> CameraPlace:
    """Return a camera, by default without zones."""
    place = CameraPlace(
        name=name,
        zones=zones or (zone_place(),),
        snapshots=True,
        clips=True,
        main_stream=False,
        max_gap_s=1.0,
        enabled=True,
    )
    return replace(place, **changes)


def camera_state(camera: str = CAMERA, **changes: Any) -> CameraStatus:
    """Return the status of a camera that streams 640x480 pixels."""
    counts = {"fps": 30, "width": 640, "height": 480, "hop": 1, "latency_ms": 9, "clips": 3, "gated": 0, "shed": 0}
    about = {"camera": camera, "state": "streaming", "reason": "", "since": MOMENT, "gaps": 0}
    return CameraStatus.model_validate(about | counts | changes)


@dataclass
class ScriptedDaemon(CommandCounter):
    """The daemon behind the page. Its events come from an outbox in memory."""

    cameras: list[CameraPlace] = field(default_factory=lambda: [camera_place()])
    statuses: list[CameraStatus] = field(default_factory=lambda: [camera_state()])
    folder: Path | None = None  # of recordings
    outbox: Outbox = field(default_factory=lambda: Outbox(None, OutboxConfig()))
    commands: list[tuple[str, bytes]] = field(default_factory=list)
    is_busy: bool = False  # events are not answered
    is_stopping: bool = False  # events are cancelled

    def command(self, topic: str, payload: bytes) -> Reply:
        """Keep a command, and answer as if it was carried out."""
        self.commands.append((topic, payload))
        try:
            command = parse(topic, payload, [camera.name for camera in self.cameras])
        except CommandError as error:
            return Reply(command=topic, id=error.id, ok=False, error=str(error), result={})
        assert isinstance(command, SetEnabled | SetThreshold)
        if isinstance(command, SetEnabled):
            result: dict[str, Any] = {"enabled": command.enabled}
        else:
            leave = command.enter if command.exit is None else command.exit
            of = {} if command.zone is None else {"zone": command.zone}
            result = {"enter": command.enter, "exit": leave, "label": command.label, **of}
        return Reply(command=topic, id=command.id, ok=True, error="", result={"camera": command.camera, **result})

    def events(self, cursor: EventCursor | None, camera: str | None, limit: int) -> "Future[EventPage]":
        """Read the outbox."""
        found: Future[EventPage] = Future()
        if self.is_stopping:
            found.cancel()
        elif not self.is_busy:
            query = EventQuery(cursor.value if cursor else None, camera, limit)
            query.run(self.outbox)
            entries = query.answer.result(0)
            more = None
            if len(entries) == limit:
                last = entries[-1]
                more = EventCursor("number", last.number) if camera is None else EventCursor("seq", last.seq)
            found.set_result(EventPage(tuple(entry.payload for entry in entries), more))
        return found

    def put(self, *events: ActionEvent) -> None:
        """Put events into the outbox."""
        self.outbox.put([(event.camera, event.seq, event.json_bytes()) for event in events])

    def daemon_status(self) -> DaemonStatus:
        """Return the daemon's status."""
        return DaemonStatus(
            host="test",
            version="1",
            boot=BOOT,
            started_at=MOMENT,
            model=MODEL,
            device="CPU",
            cameras=[camera.name for camera in self.cameras],
            session=1,
            delivery=Delivery(state="connected", reason="", since=MOMENT),
            outbox=OutboxStatus(state="off", reason="", waiting=0, dropped=0, lost=0),
        )

    def camera_statuses(self) -> list[CameraStatus]:
        """Return the status of each camera."""
        return self.statuses

    def places(self) -> Sequence[CameraPlace]:
        """Return the cameras."""
        return self.cameras

    def recordings(self) -> Path | None:
        """Return the folder of recordings."""
        return self.folder


@dataclass(frozen=True)
class StreamNote:
    """A server-sent event."""

    kind: str
    content: Any
    id: str


class NoteReader:
    """A client of /api/stream."""

    def __init__(self, response: HTTPResponse) -> None:
        self.response = response

    def next(self, *kinds: str) -> StreamNote:
        """Return the next note of these kinds, or of any; pings are left out unless they are asked for."""
        while True:
            note = self._read()
            if note.kind in kinds or (not kinds and note.kind != "ping"):
                return note

    def lines(self) -> list[str]:
        """Return the lines of the next block."""
        lines: list[str] = []
        while line := self.response.readline().decode().rstrip("\n"):
            lines.append(line)
        return lines

    def _read(self) -> StreamNote:
        values = dict(line.split(": ", 1) for line in self.lines())
        return StreamNote(values["event"], json.loads(values["data"]), values.get("id", ""))


@dataclass(frozen=True)
class PageRig:
    """A running page and its daemon."""

    page: PageServer
    daemon: ScriptedDaemon
    teaching: ScriptedTeaching

    def frame(self, picture: Picture, seq: int = 1, camera: str = CAMERA) -> Frame:
        """Let a frame arrive from a camera."""
        frame = Frame(Packed(picture), 0, time.monotonic_ns(), WALL_NS, seq, 1)
        self.page.hub.view(camera).frame(frame)
        return frame

    def kept(self, zone: str | None = None, camera: str = CAMERA) -> KeptScores:
        """Return where the scores of a zone are kept."""
        return self.page.hub.view(camera).keep(zone, LABELS, SPEC, 1)

    @contextmanager
    def stream(self, last_id: str | None = None) -> Iterator[NoteReader]:
        """Open /api/stream."""
        connection = HTTPConnection("127.0.0.1", self.page.port, timeout=PATIENCE_S)
        headers = {"Cookie": self.page.cookie()} | ({"Last-Event-ID": last_id} if last_id is not None else {})
        connection.request("GET", "/api/stream", headers=headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        try:
            yield NoteReader(response)
        finally:
            response.close()
            connection.close()


@contextmanager
def page_rig(
    folder: Path, daemon: ScriptedDaemon | None = None, limits: HttpLimits = DEFAULT_HTTP_LIMITS
) -> Iterator[PageRig]:
    """Run a page with a scripted daemon until the block ends."""
    scripted = daemon or ScriptedDaemon()
    with page_server(folder, limits, daemon=scripted) as page:
        for camera in scripted.cameras:
            page.hub.view(camera.name)
        teaching = ScriptedTeaching(folder / "clips")
        page.hub.offer_teaching(lambda: teaching)
        yield PageRig(page, scripted, teaching)


def noise(height: int = 480, width: int = 640) -> Picture:
    """Return a picture that a JPEG cannot make small."""
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def action(number: int, *kinds: str, first_seq: int = 1, camera: str = CAMERA, **changes: Any) -> list[ActionEvent]:
    """Return the events of one action: `kinds` of "start", "update", "end"."""
    return [
        action_event(first_seq + place, camera).model_copy(
            update={"id": f"test/{camera}/{BOOT}/{number}", "type": kind, **changes}
        )
        for place, kind in enumerate(kinds)
    ]
