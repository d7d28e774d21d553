"""Pictures of an action for people: a JPEG of its best clip's centre frame, and an MP4 from before it to after it.

    camera's thread ── frame() ──► Past ◄── recorder's thread ──► JPEG ──► publish, folder
    runtime thread ─── event() ──► inbox ─►        └────────────► MP4 ───► folder

The camera's last pictures are kept as the decoder gave them: that costs memory, and no processor time until there is an
action. (Of 640x480 at 30 frames a second JPEG would take 2 % of a core all the time, H.264 4 %; as they are, 14 MB/s.)
An event only takes its place in the inbox. Whatever goes wrong here is counted in `dropped`, and is no event's trouble.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from edge_tdn.config.tables import CameraConfig, Config, RecordConfig
from edge_tdn.errors import ConfigError, EdgeTdnError, last_line
from edge_tdn.manifest import InputSpec
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import LIVE_ENCODERS, VideoWriter
from edge_tdn.messages import NS_PER_MS, NS_PER_S, ActionEvent, Frame, Rgbx, Scores
from edge_tdn.process import heartbeat
from edge_tdn.process.log import RateLimitedLog, value
from edge_tdn.recording.recordings import Recordings
from edge_tdn.recording.snapshot import draw

log = logging.getLogger(__name__)

LATE_S = 1.0  # how much later than its last frame an action may be told, and everything is still there
UNTHINNED = 4  # of so many of the last pictures one, the newest, are never thinned out
WAITING_MOST = 4  # snapshots that wait to be drawn; each holds a picture
TICK_S = 0.1  # how often an open clip takes what has come
APART_NS = NS_PER_S // 4  # how far a picture of the main stream may be from the moment that it is to show
SILENT_S = 2.0  # the end of a clip is not waited for when no picture comes
CLOSE_S = 0.5  # how long a stop waits for files to be finished
DISK_S = 60.0  # how long a disk or an encoder may take over one piece of work: no hang, and no event's trouble
LOG_EVERY_S = 10.0  # that files cannot be written is mentioned this often
MB = 1_000_000


class Past:
    """The last pictures of one stream: so many seconds, so many bytes. Safe between threads.

    When there are too many bytes, that picture goes that is missed least: whose neighbours are closest together.
    """

    def __init__(self, seconds: float, most_bytes: int) -> None:
        self.span_ns, self._most_bytes = int(seconds * NS_PER_S), most_bytes
        self._frames: list[Frame] = []  # oldest first
        self._lock = threading.Lock()
        self.nbytes = 0

    def push(self, frame: Frame) -> int:
        """Bytes that all pictures would take, where some had to go for the newest; else 0."""
        with self._lock:
            frames = self._frames
            if frames and (frame.stream != frames[-1].stream or frame.pts_ns <= frames[-1].pts_ns):
                frames.clear()
                self.nbytes = 0
            frames.append(frame)
            self.nbytes += frame.decoded.nbytes
            while frame.pts_ns - frames[0].pts_ns > self.span_ns:
                self._forget(0)
            if self.nbytes <= self._most_bytes or len(frames) < 3:
                return 0
            step_ns = frame.pts_ns - frames[-2].pts_ns
            while self.nbytes > self._most_bytes and len(frames) > 2:
                inner = range(1, len(frames) - max(1, len(frames) // UNTHINNED))
                self._forget(min(inner, key=lambda i: frames[i + 1].pts_ns - frames[i - 1].pts_ns, default=0))
            return frame.decoded.nbytes * (self.span_ns // step_ns + 1)

    def nearest(self, pts_ns: int, within_ns: tuple[int, int]) -> Frame | None:
        """The picture at this time, or next to it; None if those of `within_ns` are gone, or another stream's."""
        first, last = within_ns
        with self._lock:
            if not self._frames or self._frames[-1].pts_ns < last - NS_PER_MS:
                return None
            frame = min(self._frames, key=lambda frame: abs(frame.pts_ns - pts_ns))
        return frame if first <= frame.pts_ns <= last else None

    def after(self, pts_ns: int, stream: int | None = None) -> list[Frame]:
        """Later pictures, of this stream."""
        with self._lock:
            return [f for f in self._frames if f.pts_ns > pts_ns and stream in (None, f.stream)]

    @property
    def newest(self) -> Frame | None:
        with self._lock:
            return self._frames[-1] if self._frames else None

    def _forget(self, index: int) -> None:
        self.nbytes -= self._frames[index].decoded.nbytes
        del self._frames[index]


@dataclass(frozen=True, eq=False)
class _Note:
    """What happened, on its way to the recorder's thread."""

    event: ActionEvent
    picture: Frame | None = None  # to be shown
    from_ns: int | None = None  # PTS: a clip begins here; None: none begins
    until_ns: int | None = None  # PTS: the clip ends here; None: with the last picture


class Recorder:
    """One camera's. `publish` gets the JPEGs. ConfigError: see `verify`."""

    def __init__(
        self, camera: CameraConfig, config: Config, spec: InputSpec, base: Path, publish: Callable[[bytes], None],
        apart: bool = False,
    ) -> None:  # fmt: skip
        """`apart`: its pictures are not those that the network sees, but of main_stream.py."""
        record = config.record
        verify(record, base)
        self.camera = camera.name
        self._config, self._publish = record, publish
        centre = spec.segments // 2 * spec.segment_stride + spec.span // 2  # x3 of a clip's middle segment, ticks
        self._centre_ns = round(centre * NS_PER_S / spec.frame_rate)
        self._past = Past(_needed_s(centre, spec, camera.hop, config), record.memory_mb * MB)
        self._apart = apart
        self._recordings = Recordings(base / record.folder, camera.name, record.max_mb * MB) if record.folder else None
        self._inbox: queue.SimpleQueue[_Note | None] = queue.SimpleQueue()
        self._waiting = 0  # snapshots in the inbox; the runtime thread adds, the recorder's takes away
        self._lock = threading.Lock()  # of the counters that two threads change
        self._shown: tuple[str, float] = ("", 0.0)  # the action of the last snapshot, and its score then
        self._clips: dict[str, _Clip] = {}  # by the action's id
        self._closing = threading.Event()
        self._told_rate = False
        self._troubles = RateLimitedLog(log, LOG_EVERY_S)
        self.snapshots = self.clips = 0  # made
        self.dropped = 0  # snapshots and clips that could not be made
        self._thread = threading.Thread(target=self._run, name=f"recorder {camera.name}", daemon=True)
        self._thread.start()

    @property
    def removed(self) -> int:
        """Files that went because the folder was full."""
        return self._recordings.removed if self._recordings else 0

    def frame(self, frame: Frame) -> None:
        """On the camera's thread: a picture has come."""
        wanted_bytes = self._past.push(frame)
        if wanted_bytes and not self._told_rate:
            self._told_rate = True
            log.info(
                "camera=%s recording fewer pictures: all would take record.memory_mb = %d",
                self.camera, -(-wanted_bytes // MB),
            )  # fmt: skip

    def event(self, event: ActionEvent, scores: Scores | None) -> None:
        """On the runtime thread: an event, and the clip that decided; None where the stream broke."""
        from_ns = until_ns = picture = None
        if scores is not None:
            shift_ns = scores.received_ns - scores.to_ns if self._apart else 0
            if self._config.snapshot and event.type != "end" and self._is_better(event):
                centre_ns = scores.from_ns + self._centre_ns + shift_ns
                within_ns = (scores.from_ns, scores.to_ns)
                if self._apart:  # and so the clip's last picture may not have come yet
                    within_ns = (centre_ns - APART_NS, centre_ns + APART_NS)
                picture = self._room_for(self._past.nearest(centre_ns, within_ns))
            if event.type == "start" and self._config.clip:
                from_ns = _start_ns(event, scores) - round(self._config.pre_roll_s * NS_PER_S)
                from_ns = max(from_ns, scores.to_ns - self._past.span_ns)  # the wall clock may have jumped
                from_ns += shift_ns
            elif event.type == "end":
                until_ns = scores.to_ns + round(self._config.post_roll_s * NS_PER_S) + shift_ns
        if picture or from_ns is not None or event.type == "end":
            self._inbox.put(_Note(event, picture, from_ns, until_ns))

    def close(self) -> None:
        """Asks the thread to finish what is open; `join` waits for it."""
        self._closing.set()
        self._inbox.put(None)

    def join(self, timeout_s: float) -> None:
        """Waits for the thread to end, but not longer than this."""
        self._thread.join(timeout_s)
        heartbeat.forget(self._thread)

    def _is_better(self, event: ActionEvent) -> bool:
        """A picture of each action, and again where it scores higher than in the last one."""
        if event.id == self._shown[0] and event.score <= self._shown[1]:
            return False
        self._shown = event.id, event.score
        return True

    def _room_for(self, picture: Frame | None) -> Frame | None:
        with self._lock:
            if picture is None or self._waiting >= WAITING_MOST:
                self.dropped += 1
                return None
            self._waiting += 1
        return picture

    @heartbeat.beating()
    def _run(self) -> None:
        try:
            while True:
                heartbeat.beat()
                with suppress(queue.Empty):
                    note = self._inbox.get(timeout=TICK_S if self._clips else heartbeat.beat_interval_s())
                    if note is None:
                        break
                    self._hear(note)
                for clip in list(self._clips.values()):
                    self._trying(clip.event, self._follow, clip)
        finally:
            deadline = time.monotonic() + CLOSE_S
            for clip in list(self._clips.values()):
                self._trying(clip.event, self._finish, clip, deadline)

    def _hear(self, note: _Note) -> None:
        event = note.event
        if note.picture:
            self._trying(event, self._show, event, note.picture)
            with self._lock:
                self._waiting -= 1
        if note.from_ns is not None:
            self._trying(event, self._open, event, note.from_ns)
        if event.type == "end" and event.id in self._clips:
            clip = self._clips[event.id]
            newest = self._past.newest
            last_ns = newest.pts_ns if newest and newest.stream == clip.stream else clip.last_ns
            clip.until_ns = min(clip.until_ns, last_ns if note.until_ns is None else note.until_ns)
            clip.ended = True

    def _show(self, event: ActionEvent, picture: Frame) -> None:
        jpeg = draw(picture.decoded, event.label, event.label_index, event.score)
        self._publish(jpeg)
        self.snapshots += 1
        if self._recordings:
            scratch = self._recordings.begin(event, "jpg")
            try:
                scratch.write_bytes(jpeg)
                self._recordings.keep(scratch)
            finally:
                self._recordings.discard(scratch)

    def _open(self, event: ActionEvent, from_ns: int) -> None:
        assert self._recordings is not None  # a clip needs a folder: config.py
        newest = self._past.newest
        if newest is None:
            raise EdgeTdnError("its pictures are gone")
        until_ns = from_ns + round(self._config.clip_most_s * NS_PER_S)
        scratch = self._recordings.begin(event, "mp4")
        self._clips[event.id] = _Clip(event, scratch, newest.stream, from_ns, until_ns)

    def _follow(self, clip: "_Clip") -> None:
        """Writes what has come, and finishes the clip when it is its time."""
        for frame in self._past.after(clip.last_ns, clip.stream):
            if self._closing.is_set():
                return
            if frame.pts_ns > clip.until_ns:
                clip.ended = True
                break
            heartbeat.beat(DISK_S)
            clip.write(frame)
        newest = self._past.newest
        over = newest is None or newest.stream != clip.stream or newest.pts_ns >= clip.until_ns
        if over or (clip.ended and time.monotonic_ns() - clip.received_ns > SILENT_S * NS_PER_S):
            self._finish(clip)

    def _finish(self, clip: "_Clip", deadline: float | None = None) -> None:
        """`deadline`: monotonic clock; a clip that is not finished by then is given up."""
        assert self._recordings is not None
        del self._clips[clip.event.id]
        try:
            clip.finish(None if deadline is None else max(0.0, deadline - time.monotonic()))
            path = self._recordings.keep(clip.scratch)
        finally:
            clip.close()
            self._recordings.discard(clip.scratch)
        self.clips += 1
        log.info("camera=%s clip=%s", self.camera, value(path))

    def _trying(self, event: ActionEvent, work: Callable[..., None], *arguments: object) -> None:
        """Whatever goes wrong ends this picture or clip, nothing else."""
        heartbeat.beat(DISK_S)
        try:
            work(*arguments)
        except Exception as error:  # the thread must not die: there are more actions to come
            self._give_up(event, error)

    def _give_up(self, event: ActionEvent, error: Exception) -> None:
        if (clip := self._clips.pop(event.id, None)) and self._recordings:
            clip.close()
            self._recordings.discard(clip.scratch)
        with self._lock:
            self.dropped += 1
        expected = isinstance(error, OSError | EdgeTdnError)
        self._troubles.log(
            logging.WARNING, "camera=%s not recorded: %s; id=%s", self.camera, last_line(error), event.id,
            exc_info=None if expected else error,
        )  # fmt: skip


class _Clip:
    """An MP4 that is being written. Its pictures keep their times."""

    def __init__(self, event: ActionEvent, scratch: Path, stream: int, from_ns: int, until_ns: int) -> None:
        self.event, self.scratch, self.stream, self.until_ns = event, scratch, stream, until_ns
        self.last_ns = from_ns - 1  # PTS of the last picture
        self.received_ns = time.monotonic_ns()  # when the last picture came
        self.ended = False  # when it ends is known
        self._writer: VideoWriter | None = None
        self._first_ns = 0  # PTS of the first picture
        self._rgbx: Rgbx = np.empty((0, 0, 4), np.uint8)

    def write(self, frame: Frame) -> None:
        if self._writer is None:
            self._writer = VideoWriter(self.scratch, LIVE_ENCODERS)
            self._first_ns = frame.pts_ns
            self._rgbx = np.empty((*frame.decoded.size, 4), np.uint8)
        frame.decoded.rgbx(self._rgbx)
        self._writer.write(self._rgbx, frame.pts_ns - self._first_ns)
        self.last_ns, self.received_ns = frame.pts_ns, time.monotonic_ns()

    def finish(self, within_s: float | None) -> None:
        if self._writer is None:
            raise EdgeTdnError("its pictures are gone")
        self._writer.finish(within_s)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def verify(record: RecordConfig, base: Path) -> None:
    """ConfigError: what is wrong with [record] on this machine. A disk that is absent now may come."""
    if record.clip and not gstreamer.available():
        raise ConfigError(record.fault(["record", "clip"], True, gstreamer.HOW_TO_INSTALL))
    folder = base / record.folder
    if record.folder and folder.exists() and not folder.is_dir():
        message = f"{folder} is a file; allowed: a folder, or a new name"
        raise ConfigError(record.fault(["record", "folder"], record.folder, message))


def _needed_s(centre: int, spec: InputSpec, hop: int, config: Config) -> float:
    """How long a picture may be wanted: from the centre of a clip, or the start of a pre-roll, until it is told."""
    needed_s = (spec.ticks - centre) / spec.frame_rate
    if config.record.clip:
        rise_s = max(spec.span / spec.frame_rate, config.decide.min_length_s + hop * spec.segment_s)
        needed_s = max(needed_s, config.record.pre_roll_s + rise_s)
    return needed_s + LATE_S


def _start_ns(event: ActionEvent, scores: Scores) -> int:
    """PTS of an action's start."""
    wall_ns = round(datetime.fromisoformat(event.started_at).timestamp() * 1000) * NS_PER_MS
    return min(scores.to_ns - (scores.wall_ns - wall_ns), scores.to_ns)
