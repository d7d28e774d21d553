"""The only thing of the daemon that its page touches."""

import threading
from collections.abc import Callable, Mapping, Sequence

from edge_tdn.hub.camera_view import CameraView
from edge_tdn.hub.host_access import HostAccess
from edge_tdn.hub.note_ring import NoteKind, NoteRing
from edge_tdn.hub.teaching_access import Teaching

Publish = Callable[[NoteKind, Callable[[], bytes]], None]


class Hub:
    """Joins what the daemon publishes for its page, and what the page may ask of it. Any thread may use it.

    `host` is set once, before the page starts; `zones` and `_views` are replaced as whole values, the latter under a
    lock; what opens teaching, and what it has opened, are guarded by a lock of their own, since that takes a moment.
    """

    host: HostAccess

    def __init__(self, boot: str) -> None:
        """`boot`: of the daemon, new with every start."""
        self.boot = boot
        self.notes = NoteRing()
        self.zones = 1  # of all cameras together; they share the room for scores
        self._views: Mapping[str, CameraView] = {}
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._open_teaching: Callable[[], Teaching] | None = None
        self._teaching: Teaching | None = None

    def offer_teaching(self, open_: Callable[[], Teaching]) -> None:
        """Teach by the page. `open_` is called once, when the page first needs it: until then it takes no memory."""
        with self._opening:
            self._open_teaching = open_

    @property
    def teaches(self) -> bool:
        """True if the page may teach."""
        return self._open_teaching is not None

    def teaching(self) -> Teaching | None:
        """Return teaching, opened by the first who asks; None: this daemon does not teach."""
        with self._opening:
            if self._open_teaching and not self._teaching:
                self._teaching = self._open_teaching()
            return self._teaching if self._open_teaching else None

    def end_teaching(self) -> None:
        """End teaching, and what it has under way, in little time. Before the scheduler stops."""
        with self._opening:
            self._open_teaching = None
            if self._teaching:
                self._teaching.close()

    def view(self, camera: str) -> CameraView:
        """Return the view of a camera: the same one after a restart of the camera."""
        with self._lock:
            if camera not in self._views:
                self._views = {**self._views, camera: CameraView(camera, lambda: self.zones)}
            return self._views[camera]

    def views(self) -> Mapping[str, CameraView]:
        """Return the views of all cameras, by name."""
        return self._views

    def serve(self, cameras: Sequence[str]) -> None:
        """Forget the views of all other cameras."""
        with self._lock:
            self._views = {name: view for name, view in self._views.items() if name in cameras}

    def publish(self, kind: NoteKind, make: Callable[[], bytes]) -> None:
        """Publish a note if there are readers. `make`: returns its JSON; it is not called without them."""
        if kind == "camera":  # comes every few seconds, also from a camera without frames
            for view in self._views.values():
                view.expire()
        if self.notes.open:
            self.notes.put(kind, make())
