"""Records the actions of a camera: a JPEG of the best clip's centre frame, an MP4 from before to after it.

    camera's thread ── frame() ──► RecentFrames ◄── recorder's thread ──► JPEG ──► publish, folder
    runtime thread ─── event() ──► RecorderInbox ─►        └────────────► MP4 ───► folder

The camera's last frames are kept as the decoder gave them: that costs memory, and no processor time until there is an
action. (For 640x480 at 30 frames per second, keeping JPEGs would take 2 % of a core all the time, H.264 4 %; kept as
they are, they take 14 MB/s.) An event is only put into the inbox. Every failure is counted in `dropped`, and none
delays an event.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.messages import ActionEvent, Frame, Scores
from edge_tdn.recording.action_recorder import RecordedZone
from edge_tdn.recording.action_times import ActionTimes
from edge_tdn.recording.recent_frames import RecentFrames
from edge_tdn.recording.recorder_inbox import RecorderInbox, RecorderNote
from edge_tdn.recording.recorder_thread import RecorderThread
from edge_tdn.recording.recordings import MB, Recordings, file_name
from edge_tdn.recording.timing import DEFAULT_TIMING, RecorderTiming
from edge_tdn.recording.verify import verify

log = logging.getLogger(__name__)


class Recorder:
    """One camera's recorder. It works on a thread of its own from the start until `close`.

    `frame` belongs to the camera's thread (or its main stream's), and so does `_rate_logged`; `event` belongs to the
    runtime thread, and so does `_best`; `_zones` is replaced as one value, by the reload thread. The frames and the
    inbox have locks of their own; all else is fixed.
    """

    def __init__(
        self,
        camera: CameraConfig,
        config: Config,
        zones: Sequence[RecordedZone],
        base: Path,
        publish: Callable[[bytes, str | None], None],
        main_stream: bool = False,
        timing: RecorderTiming = DEFAULT_TIMING,
    ) -> None:
        """`publish`: takes each JPEG and the name of its zone, on the recorder's thread.

        `main_stream`: the frames are those of main_stream.py.

        ConfigError: this machine cannot record as configured.
        """
        record = config.record
        verify(record, base)
        self.camera = camera.name
        self._config = record
        self._late_s, self._main_stream = timing.late_s, main_stream
        self._zones = self._recorded(zones)
        self._kept_s = max(times.kept_s for _, times in self._zones.values())
        self._recent = RecentFrames(self._kept_s, record.memory_mb * MB)
        self._inbox = RecorderInbox()
        self._best: dict[str, float] = {}  # the score in the last snapshot of each action that has not ended, by its id
        self._rate_logged = False
        limits = record.max_mb * MB, record.min_free_mb * MB
        recordings = Recordings(base / record.folder, camera.name, *limits) if record.folder else None
        self._thread = RecorderThread(camera.name, record, self._recent, self._inbox, recordings, publish, timing)

    @property
    def clips(self) -> int:
        """Clips that were finished."""
        return self._thread.finished_clips

    @property
    def dropped(self) -> int:
        """Snapshots and clips that could not be made."""
        return self._inbox.dropped

    def frame(self, frame: Frame) -> None:
        """Keep a frame for a while. On the camera's thread, or its main stream's."""
        needed_bytes = self._recent.push(frame)
        if needed_bytes and not self._rate_logged:
            self._rate_logged = True
            needed_mb = -(-needed_bytes // MB)
            log.info("camera=%s recording fewer frames: all would take record.memory_mb = %d", self.camera, needed_mb)

    def named(self, event: ActionEvent) -> ActionEvent:
        """Return an event with the names of the files that `event` will have written of its action.

        Names that it already has stay. It gets none while there are no frames to record, or in a zone that a reload
        has added and `follow` has not. On the runtime thread.
        """
        names = {}
        if self._config.folder and self._recent.newest and event.zone in self._zones:
            if event.snapshot is None and self._is_better(event):
                names["snapshot"] = file_name(event, "jpg")
            if event.type == "start" and self._config.clip:
                names["clip"] = file_name(event, "mp4")
        return event.model_copy(update=names)

    def event(self, event: ActionEvent, scores: Scores | None) -> None:
        """Record what an event is about. `scores`: of the clip that decided; None where the stream broke.

        On the runtime thread.
        """
        from_ns = until_ns = picture = None
        zone, times = self._zones.get(event.zone, (None, None))  # None: a reload has removed it, or has just added it
        if scores is not None and times is not None:
            if self._is_better(event):
                picture = self._inbox.reserve(self._recent.nearest(*times.snapshot(scores)))
                self._best[event.id] = event.score
            if event.type == "start" and self._config.clip:
                from_ns = times.clip_start_ns(event, scores)
            elif event.type == "end":
                until_ns = times.clip_end_ns(event, scores)
        if event.type == "end":
            self._best.pop(event.id, None)
        if picture or from_ns is not None or event.type == "end":
            self._inbox.put(RecorderNote(event, picture, from_ns, until_ns, zone.outline if zone else None))

    def follow(self, zones: Sequence[RecordedZone]) -> bool:
        """Record these zones from now on. False: frames are not kept for long enough. On the reload thread."""
        recorded = self._recorded(zones)
        if max(times.kept_s for _, times in recorded.values()) > self._kept_s:
            return False
        self._zones = recorded
        return True

    def _recorded(self, zones: Sequence[RecordedZone]) -> dict[str | None, tuple[RecordedZone, ActionTimes]]:
        """Return the zones by name, each with its times."""
        times = [ActionTimes.of(zone, self._config, self._late_s, self._main_stream) for zone in zones]
        return {zone.name: (zone, one) for zone, one in zip(zones, times, strict=True)}

    def close(self) -> None:
        """Ask for the files to be finished; `join` waits for that."""
        self._thread.close()

    def join(self, timeout_s: float) -> None:
        """Wait until they are finished, at most this long."""
        self._thread.join(timeout_s)

    def _is_better(self, event: ActionEvent) -> bool:
        """Return whether a snapshot is due: the action has none yet, or scores higher than in its last one."""
        return self._config.snapshot and event.type != "end" and event.score > self._best.get(event.id, -1.0)
