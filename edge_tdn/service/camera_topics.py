"""The topics of one camera, until the camera has left."""

import threading

from edge_tdn.delivery.publisher import Publisher
from edge_tdn.messages import ActionEvent, TopScores
from edge_tdn.status_messages import CameraStatus


class CameraTopics:
    """Publishes one camera's events and states. After `close` nothing is published any more: another camera of the
    same name may have taken over its topics.

    May be used from any thread: one lock guards `_closed`.
    """

    def __init__(self, publisher: Publisher, camera: str) -> None:
        self._publisher, self._camera = publisher, camera
        self._lock = threading.Lock()
        self._closed = False

    @property
    def closed(self) -> bool:
        """The camera has left."""
        return self._closed

    def status(self, status: CameraStatus) -> None:
        """Publish the camera's status, retained."""
        with self._lock:
            if not self._closed:
                self._publisher.camera_status(status)

    def event(self, event: ActionEvent) -> None:
        """Publish an event."""
        with self._lock:
            if not self._closed:
                self._publisher.event(event)

    def action(self, label: str | None) -> None:
        """Publish the label of the action that is under way, retained; None: none is."""
        with self._lock:
            if not self._closed:
                self._publisher.action(self._camera, label)

    def scores(self, scores: TopScores) -> None:
        """Publish the best labels of a clip."""
        with self._lock:
            if not self._closed:
                self._publisher.scores(scores)

    def snapshot(self, jpeg: bytes) -> None:
        """Publish the picture of the camera's newest action, retained."""
        with self._lock:
            if not self._closed:
                self._publisher.snapshot(self._camera, jpeg)

    def close(self) -> None:
        """Publish nothing more. What is retained of a removed camera is removed by the next announcement."""
        with self._lock:
            self._closed = True
