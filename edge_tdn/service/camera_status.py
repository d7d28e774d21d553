"""The state and the figures of one camera, as its status reports them."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_tdn.config.tables import CameraConfig
from edge_tdn.messages import Clock, Frame, State, iso
from edge_tdn.process.log import RateLimitedLog, value
from edge_tdn.process.passwords import without_password
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.camera_zones import CameraZones
from edge_tdn.service.frame_rate import FrameRate
from edge_tdn.service.zone import Zone
from edge_tdn.status_messages import CameraStatus, ZoneStatus

log = logging.getLogger(__name__)

FRUITLESS_RUNS = 3  # runs in a row without a segment, after which the status reports it
STATE_LOG_BURST, STATE_LOG_EVERY_S = 3, 20.0  # a flapping camera has 6 lines a minute, with those on its window
RETRIED = ("stalled", "unreachable", "unauthorized")  # the source connects again


@dataclass(frozen=True)
class _StateSince:
    state: State
    reason: str
    since_ns: int  # wall clock


@dataclass
class _Input:
    """The frames that the camera has delivered."""

    frames: int = 0
    connects: int = 0
    height: int = 0
    width: int = 0
    gaps: int = 0
    fruitless_runs: int = 0  # in a row
    decoder: str = ""
    clock: Clock = "host"


class CameraStatusTracker:
    """Keeps the state of one camera, publishes it when it changes, and returns it with all figures.

    The camera's thread reports; any thread may ask. One lock guards `_state`, `_input` and `_rate`; all else is fixed,
    and its parts have locks or owners of their own.
    """

    def __init__(
        self,
        camera: CameraConfig,
        topics: CameraTopics,
        zones: CameraZones,
        recording_trouble: Callable[[], str] = str,
    ) -> None:
        """`recording_trouble`: returns why the main stream gives no frames."""
        self._camera, self._topics = camera, topics
        self._zones, self._recording_trouble = zones, recording_trouble
        self._lock = threading.RLock()
        self._state = _StateSince("connecting", "", time.time_ns())
        self._input = _Input()
        self._rate = FrameRate()
        self._state_log = RateLimitedLog(log, STATE_LOG_EVERY_S, STATE_LOG_BURST)

    @property
    def state(self) -> State:
        """The current state."""
        return self._state.state

    def change(self, state: State, reason: str) -> bool:
        """Enter a state, and publish it. Return whether that ends a stream.

        What is wrong stays so until a frame comes: connecting again does not hide it, nor renew `since`.
        """
        reason = without_password(reason)
        with self._lock:
            before = self._state
            if self._topics.closed or (state, reason) == (before.state, before.reason):
                return False
            if state == "connecting" and before.state in RETRIED:
                return False
            since_ns = before.since_ns if state == before.state else time.time_ns()
            self._state = _StateSince(state, reason, since_ns)
            self._input.connects += before.state in ("connecting", *RETRIED) and state == "streaming"
            self._topics.status(self.status())
        level = logging.INFO if state in ("connecting", "streaming", "ended") else logging.WARNING
        why = f" reason={value(reason)}" if reason else ""
        self._state_log.log(level, "camera=%s state=%s%s", self._camera.name, state, why)
        return before.state == "streaming"

    def frame(self, frame: Frame, decoder: str, clock: Clock) -> None:
        """Count a frame that has come."""
        with self._lock:
            self._rate.push(frame.received_ns)
            self._input.frames = frame.seq
            self._input.decoder, self._input.clock = decoder, clock

    def begin_run(self, size: tuple[int, int], emptied: bool) -> tuple[int, int]:
        """Count a run of frames of this size. Return the size before. `emptied`: an earlier run was cut off."""
        with self._lock:
            before = self._input.height, self._input.width
            self._input.height, self._input.width = size
            self._input.fruitless_runs += 1
            self._input.gaps += emptied
            return before

    def segment(self) -> None:
        """Count a segment that was completed."""
        with self._lock:
            self._input.fruitless_runs = 0

    def publish(self) -> None:
        """Publish the status as it is now."""
        with self._lock:
            self._topics.status(self.status())

    def close(self) -> None:
        """Log what the limit on lines has held back: the camera is about to be freed."""
        self._state_log.flush(final=True)

    def status(self) -> CameraStatus:
        """Return the camera's state and figures as they are now."""
        zones, counts = self._zones.zones, self._zones.counts
        with self._lock:
            state = self._state.state
            streaming = state == "streaming"
            return CameraStatus(
                camera=self._camera.name,
                state=state,
                reason=self._stream_trouble() if streaming else self._state.reason,
                since=iso(self._state.since_ns),
                fps=round(self._rate.fps, 1) if streaming else 0.0,
                width=self._input.width,
                height=self._input.height,
                hop=max(zone.feed.pipeline.lane.achieved_hop for zone in zones),
                latency_ms=round(max(zone.clips.latency_ms for zone in zones), 1),
                clips=counts.clips,
                gated=counts.gated,
                shed=counts.shed,
                gaps=self._input.gaps,
                decoder=self._input.decoder,
                clock=self._input.clock,
                frames=self._input.frames,
                connects=self._input.connects,
                repeated=counts.repeated,
                thresholds=zones[0].recognition.thresholds,
                zones=tuple(_zone_status(zone) for zone in self._zones.named),
            )

    def _stream_trouble(self) -> str:
        """Return why the stream is not analysed as configured, although frames arrive; empty: it is."""
        zones = self._zones.zones
        slow = self._rate.shortage(max(zone.feed.pipeline.window.frame_rate for zone in zones))
        if self._input.fruitless_runs >= FRUITLESS_RUNS:
            gaps = f"no clip: too long between two frames, see max_gap_s ({self._camera.max_gap_s:g} s)"
            return f"{gaps}; {slow}" if slow else gaps
        troubles = (
            f"zone {zone.name}: {zone.trouble}" if zone.name else zone.trouble for zone in zones if zone.trouble
        )
        return self._state.reason or next(troubles, "") or slow or self._recording_trouble()


def _zone_status(zone: Zone) -> ZoneStatus:
    lane, counts = zone.feed.pipeline.lane, zone.feed.counts
    height, width = zone.size
    return ZoneStatus(
        zone=str(zone.name),
        reason=zone.trouble,
        action=zone.recognition.action,
        model=zone.settings.origin.model,
        width=width,
        height=height,
        segment_s=round(zone.settings.spec.segment_s, 4),
        hop=lane.achieved_hop,
        latency_ms=round(zone.clips.latency_ms, 1),
        clips=zone.clips.clips,
        gated=counts.gated,
        shed=counts.shed,
        repeated=counts.repeated,
        thresholds=zone.recognition.thresholds,
    )
