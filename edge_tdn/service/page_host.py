"""The daemon as its page sees it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from edge_tdn.actions.labels import rules
from edge_tdn.delivery.outbox.outbox import Entry
from edge_tdn.hub.host_access import CameraPlace, EventCursor, EventPage, ZonePlace
from edge_tdn.messages import Reply
from edge_tdn.recording.open_recorder import records_main_stream
from edge_tdn.service.running import Running
from edge_tdn.service.zone import Zone
from edge_tdn.status_messages import CameraStatus, DaemonStatus


class PageHost:
    """Answers the page from what is served now; see HostAccess. Any thread may use it, and nothing here waits."""

    def __init__(self, running: Running, status: Callable[[], DaemonStatus]) -> None:
        """`status`: returns the daemon's status as it is now."""
        self._running, self._status = running, status

    def admits(self) -> bool:
        """Count a command, and return whether one more is allowed."""
        return self._running.shared.control.admits()

    def command(self, topic: str, payload: bytes) -> Reply:
        """Carry out a command, and return its reply."""
        return self._running.shared.control.answer(topic, payload)

    def events(self, cursor: EventCursor | None, camera: str | None, limit: int) -> "Future[EventPage]":
        """Return the newest events before a cursor. ValueError: it belongs to another list of events."""
        if cursor and (cursor.by == "seq") != (camera is not None):
            raise ValueError(f"the cursor {cursor} is not one of {'all cameras' if camera is None else 'one camera'}")
        entries = self._running.shared.publisher.recent_events(cursor.value if cursor else None, camera, limit)
        found: Future[EventPage] = Future()
        entries.add_done_callback(lambda entries: _finish(found, entries, camera, limit))
        found.add_done_callback(lambda found: found.cancelled() and entries.cancel())
        return found

    def daemon_status(self) -> DaemonStatus:
        """Return the daemon's status as it is now."""
        return self._status()

    def camera_statuses(self) -> list[CameraStatus]:
        """Return the status of each camera as it is now."""
        return [camera.status() for camera in self._running.cameras]

    def places(self) -> Sequence[CameraPlace]:
        """Return the cameras that are served."""
        config = self._running.config
        return [
            CameraPlace(
                name=camera.name,
                zones=tuple(_place(zone) for zone in camera.zones),
                snapshots=config.record.snapshot,
                clips=config.record.clip,
                main_stream=records_main_stream(camera.table, config),
                max_gap_s=camera.table.max_gap_s,
                enabled=camera.enabled,
            )
            for camera in self._running.cameras
        ]

    def recordings(self) -> Path | None:
        """Return the folder of snapshots and clips; None: none are kept."""
        record = self._running.config.record
        return self._running.shared.networks.base.absolute() / record.folder if record.folder else None


def _finish(found: "Future[EventPage]", entries: "Future[list[Entry]]", camera: str | None, limit: int) -> None:
    """Hand over what the publisher has answered, unless that was given up."""
    if entries.cancelled():  # by the reader; or the publisher has stopped
        found.cancel()
    elif found.set_running_or_notify_cancel():
        error = entries.exception()
        if error:
            found.set_exception(error)
        else:
            found.set_result(_page(entries.result(), camera, limit))


def _page(entries: Sequence[Entry], camera: str | None, limit: int) -> EventPage:
    cursor = None
    if entries and len(entries) == limit:
        last = entries[-1]
        cursor = EventCursor("number", last.number) if camera is None else EventCursor("seq", last.seq)
    return EventPage(tuple(entry.payload for entry in entries), cursor)


def _place(zone: Zone) -> ZonePlace:
    settings = zone.settings
    decide = settings.decide
    return ZonePlace(
        name=settings.name,
        region=settings.zone.region,
        polygon=settings.zone.polygon,
        labels=tuple(settings.labels),
        background=tuple(settings.background),
        actions=tuple(rules(decide, settings.labels, settings.background)),
        decide=decide,
        thresholds=zone.recognition.thresholds,
        model=settings.origin.model,
        spec=settings.spec,
        hop=settings.zone.hop,
        action=zone.recognition.action,
    )
