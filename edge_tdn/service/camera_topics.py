"""The topics of one camera, until the camera has left."""

import json
import threading
from collections.abc import Callable, Iterable

from edge_tdn.delivery.publisher import Publisher
from edge_tdn.hub.hub import Publish
from edge_tdn.hub.note_ring import NoteKind
from edge_tdn.messages import ActionEvent, TopScores
from edge_tdn.status_messages import CameraStatus

UNPUBLISHED = ""  # no action has this name


class CameraTopics:
    """Publishes one camera's events and states. After `close` nothing is published any more: another camera of the
    same name may have taken over its topics.

    May be used from any thread: one lock guards `_closed`, `_actions`, `_newest` and `_zones`.
    """

    def __init__(self, publisher: Publisher, camera: str, publish: Publish | None = None) -> None:
        """`publish`: takes notes for the readers of the page; None: it has none."""
        self._publisher, self._camera, self._publish = publisher, camera, publish
        self._lock = threading.Lock()
        self._closed = False
        self._actions: dict[str | None, str] = {}  # by zone, the label that is under way; the newest one is last
        self._newest: str | None = UNPUBLISHED  # the label of the camera as last published; None: no action
        self._zones: frozenset[str | None] | None = None  # whose snapshots are published; None: of all

    @property
    def closed(self) -> bool:
        """The camera has left."""
        return self._closed

    def status(self, status: CameraStatus) -> None:
        """Publish the camera's status, retained."""
        with self._lock:
            if not self._closed:
                self._publisher.camera_status(status)
                self._note("camera", status.json_bytes)

    def event(self, event: ActionEvent) -> None:
        """Publish an event."""
        with self._lock:
            if not self._closed:
                self._publisher.event(event)
                self._note("event", event.json_bytes)

    def action(self, label: str | None, zone: str | None = None) -> None:
        """Publish the label of the action that is under way, retained; None: none is.

        With `zone` it is published for the zone. The newest one of all zones is published for the camera if it changes.
        """
        with self._lock:
            if self._closed:
                return
            self._actions.pop(zone, None)
            if label is not None:
                self._actions[zone] = label
            if zone:
                self._publisher.action(self._camera, label, zone)
            newest = next(reversed(self._actions.values()), None)
            if newest != self._newest:
                self._newest = newest
                self._publisher.action(self._camera, newest)
            self._note("action", lambda: _json({"camera": self._camera, "zone": zone, "label": label}))

    def scores(self, scores: TopScores) -> None:
        """Publish the best labels of a clip."""
        with self._lock:
            if not self._closed:
                self._publisher.scores(scores)

    def clip(self, describe: Callable[[], dict[str, object]]) -> None:
        """Note what a clip gave. `describe`: returns it; called if the page has readers."""
        with self._lock:
            if not self._closed:
                self._note("scores", lambda: _json({"camera": self._camera, **describe()}))

    def serve(self, zones: Iterable[str | None]) -> None:
        """Publish snapshots of these zones only from now on: a recorder may still draw one of a zone that has left."""
        with self._lock:
            self._zones = frozenset(zones)

    def snapshot(self, jpeg: bytes, zone: str | None = None) -> None:
        """Publish a snapshot, retained: for its zone, and for the camera unless another zone has a newer action."""
        with self._lock:
            if self._closed or not (self._zones is None or zone in self._zones):
                return
            if zone == next(reversed(self._actions), zone):
                self._publisher.snapshot(self._camera, jpeg)
            if zone:
                self._publisher.snapshot(self._camera, jpeg, zone)

    def close(self) -> None:
        """Publish nothing more. What is retained of a removed camera is removed by the next announcement."""
        with self._lock:
            self._closed = True

    def _note(self, kind: NoteKind, make: Callable[[], bytes]) -> None:
        if self._publish:
            self._publish(kind, make)


def _json(content: dict[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
