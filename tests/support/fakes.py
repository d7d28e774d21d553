"""Hand-written stand-ins, for tests that are about something else than the real thing."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import ActionEvent, Clock, EndReason, Frame, Scores, Segment, TopScores
from edge_tdn.status_messages import CameraStatus

SPEC = InputSpec(
    segments=4,
    height=32,
    width=32,
    resize="short_side_centre_crop",
    short_side=32,
    frame_rate=10,
    segment_stride=2,
)


class FakeRuntime:
    """Encodes a segment as its first pixel; the logits are the encoded window. Takes `classify_s` for each batch."""

    device, precision = "fake", "fp32"

    def __init__(self, segments: int = SPEC.segments, classify_s: float = 0.0, batch: int = 1) -> None:
        self._segments = segments
        self._classify_s = classify_s
        self.batch = batch
        self.encoded: list[int] = []  # segments of each batch
        self.classified: list[int] = []  # clips of each batch
        self.threads: set[str] = set()
        self.closed = False

    def ring(self) -> FeatureRing:
        return FeatureRing({"h": (1,)}, self._segments)

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        self.threads.add(threading.current_thread().name)
        self.encoded.append(len(segments))
        for frames, ring in zip(segments, rings, strict=True):
            ring.arrays["h"][ring.slot] = frames.flat[0]
            ring.written()

    def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
        self.classified.append(len(rings))
        time.sleep(self._classify_s)
        return np.stack([ring.window("h")[:, 0] for ring in rings])

    def close(self) -> None:
        self.closed = True


class DoublingRuntime(FakeRuntime):
    """Another model: its features are twice those of a FakeRuntime."""

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        super().encode([2 * frames for frames in segments], rings)


class ClipLog:
    """A clip sink that keeps what it receives, in order: clips as lists of segment values, breaks as text."""

    def __init__(self) -> None:
        self.received: list[list[int] | str] = []
        self.scores: list[Scores] = []

    def scored(self, scores: Scores) -> None:
        self.scores.append(scores)
        self.received.append([int(value) for value in scores.logits])

    def broken(self, reason: EndReason) -> None:
        self.received.append(reason)


class FakeSource:
    """Gives the frames that a test puts in, and raises the errors; ends at None, or when it is stopped."""

    decoder = "fake"
    clock: Clock = "host"

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Frame | Exception | None] = queue.SimpleQueue()
        self.plays = 0  # times that it was opened

    def put(self, *items: Frame | Exception | None) -> None:
        for item in items:
            self._items.put(item)

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        self.plays += 1
        while not stop.is_set():
            try:
                item = self._items.get(timeout=0.01)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item


class RecorderLog:
    """Stands in for a recorder, and keeps what it is to record."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.events: list[tuple[ActionEvent, Scores | None]] = []
        self.snapshot: str | None = None  # the name that it gives to events

    def frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    def named(self, event: ActionEvent) -> ActionEvent:
        return event.model_copy(update={"snapshot": event.snapshot or self.snapshot})

    def event(self, event: ActionEvent, scores: Scores | None) -> None:
        self.events.append((event, scores))

    def close(self) -> None:
        pass

    def join(self, timeout_s: float) -> None:
        pass


class PublisherLog:
    """Stands in for a Publisher, and keeps what a camera publishes."""

    def __init__(self) -> None:
        self.events: list[ActionEvent] = []
        self.actions: list[str | None] = []  # of the camera
        self.zone_actions: list[tuple[str, str | None]] = []  # with the zone
        self.statuses: list[CameraStatus] = []
        self.snapshots: list[bytes] = []
        self.zone_snapshots: list[tuple[str, bytes]] = []
        self.top_scores: list[TopScores] = []

    def last_seq(self, camera: str) -> int:
        return 0

    def event(self, event: ActionEvent) -> None:
        self.events.append(event)

    def action(self, camera: str, label: str | None, zone: str | None = None) -> None:
        if zone:
            self.zone_actions.append((zone, label))
        else:
            self.actions.append(label)

    def camera_status(self, status: CameraStatus) -> None:
        self.statuses.append(status)

    def snapshot(self, camera: str, jpeg: bytes, zone: str | None = None) -> None:
        if zone:
            self.zone_snapshots.append((zone, jpeg))
        else:
            self.snapshots.append(jpeg)

    def scores(self, scores: TopScores) -> None:
        self.top_scores.append(scores)


def segment(index: int, value: int | None = None, still: bool = False) -> Segment:
    """Return a segment that shows `value`, at its place on the grid."""
    now = time.monotonic_ns()
    return Segment(
        frames=np.full((5, 2, 2, 3), index if value is None else value, np.uint8),
        index=index,
        from_ns=index * 100,
        to_ns=index * 100 + 80,
        received_ns=now,
        ready_ns=now,
        wall_ns=index * 100 + 80,
        dropped=1,
        still=still,
    )


def fail(error: BaseException) -> None:
    """Fail the test: no thread may end by an error in it."""
    raise AssertionError from error
