"""The thread of a recorder: draws snapshots, writes clips, and keeps them in the folder."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from edge_tdn.config.record_table import RecordConfig
from edge_tdn.errors import EdgeTdnError, last_line
from edge_tdn.jpeg_comment import with_comment
from edge_tdn.messages import NS_PER_S, ActionEvent, Frame
from edge_tdn.process import heartbeat
from edge_tdn.process.log import RateLimitedLog, value
from edge_tdn.recording.clip_file import NO_FRAMES_YET, ClipFile
from edge_tdn.recording.recent_frames import RecentFrames
from edge_tdn.recording.recorder_inbox import RecorderInbox, RecorderNote
from edge_tdn.recording.recordings import Recordings
from edge_tdn.recording.snapshot import banner_text, draw
from edge_tdn.recording.timing import RecorderTiming

log = logging.getLogger(__name__)


class RecorderThread:
    """Makes the files of one camera's actions. Everything here belongs to its thread.

    `close` and `join` may be called from any thread, and `finished_clips` read by any.
    """

    def __init__(
        self,
        camera: str,
        config: RecordConfig,
        recent: RecentFrames,
        inbox: RecorderInbox,
        recordings: Recordings | None,
        publish: Callable[[bytes, str | None], None],
        timing: RecorderTiming,
    ) -> None:
        self.finished_clips = 0
        self._camera, self._config, self._timing = camera, config, timing
        self._recent, self._inbox, self._recordings = recent, inbox, recordings
        self._publish = publish
        self._clips: dict[str, ClipFile] = {}  # open ones, by the action's id
        self._closing = threading.Event()
        self._trouble_log = RateLimitedLog(log, timing.log_every_s)
        self._thread = threading.Thread(target=self._run, name=f"recorder {camera}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask for the files to be finished; `join` waits for that."""
        self._closing.set()
        self._inbox.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long. The watchdog waits for it no more."""
        self._thread.join(timeout_s)
        heartbeat.forget(self._thread)

    @heartbeat.beating()
    def _run(self) -> None:
        try:
            while True:
                heartbeat.beat()
                with suppress(queue.Empty):
                    note = self._inbox.get(self._timing.tick_s if self._clips else heartbeat.beat_interval_s())
                    if note is None:
                        break
                    self._take(note)
                for clip in list(self._clips.values()):
                    self._attempt(clip.event, self._follow, clip)
        finally:
            deadline = time.monotonic() + self._timing.close_s
            for clip in list(self._clips.values()):
                self._attempt(clip.event, self._finish, clip, deadline)

    def _take(self, note: RecorderNote) -> None:
        event = note.event
        if note.picture:
            self._attempt(event, self._make_snapshot, note, note.picture)
            self._inbox.release()
        if note.from_ns is not None:
            self._attempt(event, self._open_clip, event, note.from_ns)
        if event.type == "end" and event.id in self._clips:
            clip = self._clips[event.id]
            newest = self._recent.newest
            last_ns = newest.pts_ns if newest and newest.stream == clip.stream else clip.last_ns
            clip.end(last_ns if note.until_ns is None else note.until_ns)

    def _make_snapshot(self, note: RecorderNote, picture: Frame) -> None:
        event = note.event
        text = banner_text(event.label, event.label_index, event.zone)
        jpeg = with_comment(draw(picture.decoded, text, event.score, note.outline), event.id)
        self._publish(jpeg, event.zone)
        if self._recordings and event.snapshot:
            scratch = self._recordings.begin(event.snapshot)
            try:
                scratch.write_bytes(jpeg)
                self._recordings.keep(scratch)
            finally:
                self._recordings.discard(scratch)

    def _open_clip(self, event: ActionEvent, from_ns: int) -> None:
        assert self._recordings is not None  # the configuration requires a folder for clips
        newest = self._recent.newest
        if newest is None or event.clip is None:
            raise EdgeTdnError(NO_FRAMES_YET)
        until_ns = from_ns + round(self._config.max_clip_s * NS_PER_S)
        scratch = self._recordings.begin(event.clip)
        self._clips[event.id] = ClipFile(event, scratch, newest.stream, from_ns, until_ns)

    def _follow(self, clip: ClipFile) -> None:
        """Write the frames that have come, and finish the clip if it is complete. An error discards it."""
        try:
            self._continue(clip)
        except Exception:
            if self._clips.pop(clip.event.id, None):
                self._discard(clip)
            raise

    def _continue(self, clip: ClipFile) -> None:
        for frame in self._recent.after(clip.last_ns, clip.stream):
            if self._closing.is_set():
                return
            if frame.pts_ns > clip.until_ns:
                clip.ended = True
                break
            heartbeat.beat(self._timing.disk_s)
            clip.write(frame)
        newest = self._recent.newest
        over = newest is None or newest.stream != clip.stream or newest.pts_ns >= clip.until_ns
        if over or (clip.ended and clip.silent_s > self._timing.silent_s):
            self._finish(clip)

    def _finish(self, clip: ClipFile, deadline: float | None = None) -> None:
        """Complete a clip and keep it. `deadline`: monotonic seconds, at which it is given up."""
        assert self._recordings is not None
        del self._clips[clip.event.id]
        try:
            clip.finish(None if deadline is None else max(0.0, deadline - time.monotonic()))
            path = self._recordings.keep(clip.scratch)
        finally:
            self._discard(clip)
        self.finished_clips += 1
        log.info("camera=%s clip=%s", self._camera, value(path))

    def _discard(self, clip: ClipFile) -> None:
        """Free the encoder, and delete the file if it was not kept."""
        assert self._recordings is not None
        clip.close()
        self._recordings.discard(clip.scratch)

    def _attempt(self, event: ActionEvent, work: Callable[..., None], *arguments: object) -> None:
        """Do one piece of work. An error ends this snapshot or clip, and nothing else."""
        heartbeat.beat(self._timing.disk_s)
        try:
            work(*arguments)
        except Exception as error:  # the thread must not die: there are more actions to come
            self._give_up(event, error)

    def _give_up(self, event: ActionEvent, error: Exception) -> None:
        self._inbox.drop()
        expected = isinstance(error, OSError | EdgeTdnError)
        self._trouble_log.log(
            logging.WARNING,
            "camera=%s not recorded: %s; id=%s",
            self._camera,
            last_line(error),
            event.id,
            exc_info=None if expected else error,
        )
