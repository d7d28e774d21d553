"""What the page may see of one camera: its newest frame while it is looked at, and the scores of its zones."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from edge_tdn.hub.frame_tap import TAPPED_FRAMES, FrameTap
from edge_tdn.hub.kept_scores import MAX_BYTES, KeptScores, max_rows
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S, Frame

LOOK_S = 10.0  # that a frame is kept after it was asked for


class CameraView:
    """The view of one camera, over all its restarts.

    `_newest` is written by the camera's thread, `_until_ns` by the page, `_kept` replaced as a whole by the runtime
    thread; any thread may read them. A tap's frames are put by the camera's thread.
    """

    def __init__(
        self,
        name: str,
        zones: Callable[[], int] = lambda: 1,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`zones`: number of the zones of all cameras, which share the room. `clock`: monotonic, nanoseconds."""
        self.name = name
        self._zones, self._clock = zones, clock
        self._newest: Frame | None = None
        self._until_ns = 0  # monotonic clock, until which the newest frame is kept
        self._kept: dict[str | None, KeptScores] = {}  # by zone; None: the camera has none
        self._taps: tuple[FrameTap, ...] = ()  # replaced as a whole, under the lock
        self._lock = threading.Lock()

    def frame(self, frame: Frame) -> None:
        """Keep a reference to the newest frame while it is looked at. On the camera's thread, for every frame."""
        if frame.received_ns < self._until_ns:
            self._newest = frame
        elif self._newest is not None:
            self._newest = None
        for tap in self._taps:
            tap.put(frame)

    @contextmanager
    def tap(self, max_frames: int = TAPPED_FRAMES) -> Iterator[FrameTap]:
        """Yield a tap that receives every frame from now on, until the end of the block. From any thread."""
        tap = FrameTap(max_frames)
        with self._lock:
            self._taps += (tap,)
        try:
            yield tap
        finally:
            with self._lock:
                self._taps = tuple(one for one in self._taps if one is not tap)

    def look(self, seconds: float = LOOK_S) -> None:
        """Have the newest frame kept from now on, for so long. From any thread."""
        self._until_ns = self._clock() + round(seconds * NS_PER_S)

    def newest(self) -> Frame | None:
        """Return the newest frame; None: there was none since `look`. From any thread."""
        return self._newest

    def expire(self) -> None:
        """Drop the newest frame if it is not looked at: that of a camera whose frames have stopped. From any thread."""
        if self._newest is not None and self._clock() >= self._until_ns:
            self._newest = None

    def kept(self, zone: str | None) -> KeptScores | None:
        """Return the scores of a zone, None: of a camera without zones. From any thread."""
        return self._kept.get(zone)

    def keep(self, zone: str | None, labels: Sequence[str], spec: InputSpec, hop: int) -> KeptScores:
        """Return where the scores of a zone are kept: what there is, if it fits.

        `labels`, `spec`: of its model. `hop`: segments from one clip to the next. On the runtime thread, or before the
        camera is served.
        """
        rows = max_rows(len(labels), spec, hop, MAX_BYTES // max(1, self._zones()))
        before = self._kept.get(zone)
        if before and (before.labels, before.spec, before.max_rows) == (tuple(labels), spec, rows):
            return before
        kept = KeptScores(labels, spec, rows)
        self._kept = {**self._kept, zone: kept}
        return kept

    def serve(self, zones: Collection[str | None]) -> None:
        """Forget the scores of all other zones. On the runtime thread, or while no camera has the view."""
        self._kept = {zone: kept for zone, kept in self._kept.items() if zone in zones}
