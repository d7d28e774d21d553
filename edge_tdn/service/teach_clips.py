"""The clips that the page collects: recorded from served cameras, and cut out of recordings of actions."""

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

from edge_tdn.errors import EdgeTdnError
from edge_tdn.hub.teaching_access import RecordRequest, TaughtClip
from edge_tdn.media import gstreamer
from edge_tdn.media.mp4_length import mp4_length_s
from edge_tdn.messages import ActionEvent, iso
from edge_tdn.recording.open_recorder import records_main_stream
from edge_tdn.recording.recordings import MB, OURS
from edge_tdn.service.camera import Camera
from edge_tdn.service.camera_settings import ZoneSettings
from edge_tdn.service.running import Running
from edge_tdn.service.teach_recorder import RecorderJob
from edge_tdn.teaching.class_folder import describe_recording
from edge_tdn.teaching.clip_cutter import RecordingPlan, clip_path
from edge_tdn.teaching.clip_list import ClipList, ListedClip, checked_label
from edge_tdn.teaching.labelled import RecordedAction, cut_action, widened
from edge_tdn.teaching.sessions import ClipNumbers, hour_session

MIN_RATE_SHARE = 0.8  # of the model's frame rate: measured over two seconds, so less strict than the camera's status
MIN_ACTION_S = 0.3  # that a recording has to show of an action
BREAKS = ("video_ended", "stream_lost", "disabled", "shutdown", "interrupted", "failed")  # nothing follows the action
REMEDY = "free some disk space"
MAX_LABELLED = 1000  # actions whose clips are remembered


class TeachClips:
    """The clips of one host. Any thread may use it; one at a time calls `label_event`.

    Every error is an EdgeTdnError whose text is for the person in front of the page.
    """

    def __init__(self, folder: Path, running: Running) -> None:
        """`folder`: of everything that is taught here."""
        self.list = ClipList(folder / "clips", folder / "discarded")
        self._running = running
        self._numbers = ClipNumbers(self.list.folder, self.list.discarded)
        self._closing = threading.Event()
        self._labelled: dict[str, tuple[str, str]] = {}  # label and name of the clip of an action, by its id

    def clips(self, label: str | None = None) -> list[TaughtClip]:
        """Return the clips of a class, None: of all; newest first."""
        return [self._taught(clip) for clip in self.list.clips(label)]

    def job(self, request: RecordRequest) -> RecorderJob:
        """Return what the recorder needs to record clips. The folder of the class is created."""
        camera = self._running.camera(request.camera)
        zone = _zone(camera, request.zone)
        if not gstreamer.available():
            raise EdgeTdnError(gstreamer.how_to_install())
        _check_pictures(camera, _frame_rate(camera, zone))
        hub = self._running.shared.hub
        assert hub is not None  # else there is no page
        session = hour_session(request.camera, datetime.now(UTC))
        folder, first = self._reserve(request.label, session, request.count)
        plan = RecordingPlan(
            folder, session, request.count, request.seconds, request.pause, camera.table.max_gap_s, first, REMEDY
        )
        return RecorderJob(request, hub.view(camera.name), zone.outline if zone else None, plan)

    def label_event(self, event: ActionEvent, label: str) -> TaughtClip:
        """Cut an action out of its recording, and put that into a class. `event`: its end. Takes seconds.

        The clip of an action that was labelled before is moved.
        """
        checked_label(self.list.folder, label)
        path = self._labelled_before(event, label) or self._cut(event, label)
        if len(self._labelled) >= MAX_LABELLED:
            del self._labelled[next(iter(self._labelled))]
        self._labelled[event.id] = label, path.name
        return self._taught(next(clip for clip in self.list.clips(label) if clip.name == path.name))

    def close(self) -> None:
        """End a cut that is under way: the process is to end."""
        self._closing.set()

    def check_room(self) -> None:
        """Raise EdgeTdnError if the disk has less free space than record.min_free_mb."""
        existing = next(one for one in (self.list.folder, *self.list.folder.parents) if one.exists())
        free_mb, min_mb = shutil.disk_usage(existing).free // MB, self._running.config.record.min_free_mb
        if free_mb < min_mb:
            raise EdgeTdnError(
                f"{existing}: its disk has {free_mb} MB left, and record.min_free_mb keeps {min_mb} free"
            )

    def _labelled_before(self, event: ActionEvent, label: str) -> Path | None:
        """Return the clip of an action that was labelled before, moved to the class; None: there is none."""
        before = self._labelled.get(event.id)
        if before is None or self.list.file(*before) is None:
            return None
        return self.list.move(*before, label)

    def _cut(self, event: ActionEvent, label: str) -> Path:
        camera = self._running.camera(event.camera)
        zone = _zone(camera, event.zone)
        if records_main_stream(camera.table, self._running.config):
            raise EdgeTdnError(
                f"the recordings of {camera.name} are of its main stream, which is not what the model sees; record "
                "clips of the action instead"
            )
        video = self._recording(event)
        record = self._running.config.record
        seconds = (_time(event.ended_at or event.started_at) - _time(event.started_at)).total_seconds()
        post_roll_s = 0.0 if event.reason in BREAKS else record.post_roll_s
        whole_s = mp4_length_s(video)
        span_s = RecordedAction(seconds, record.pre_roll_s, post_roll_s, record.max_clip_s).within(whole_s)
        if span_s[1] - span_s[0] < MIN_ACTION_S:
            raise EdgeTdnError(f"{video.name} shows less than {MIN_ACTION_S:g} s of the action; label another one")
        spec = (zone or camera.zones[0].settings).spec
        session = hour_session(event.camera, _time(event.started_at))
        folder, number = self._reserve(label, session, 1)
        outline = zone.outline if zone and zone.name else None
        clip = clip_path(folder, session, number)
        span_s = widened(span_s, spec.needed_s(), whole_s)
        return cut_action(video, outline, span_s, clip, spec.frame_rate, REMEDY, self._closing)

    def _recording(self, event: ActionEvent) -> Path:
        """Return the complete recording of an action."""
        if event.type != "end":
            raise EdgeTdnError("the action has not ended yet; label it when it has")
        record, base = self._running.config.record, self._running.shared.networks.base
        if not (event.clip and record.folder):
            raise EdgeTdnError("no clip was recorded of this action; set `clip` and `folder` under [record]")
        folder, name = base.absolute() / record.folder / event.camera, event.clip.rpartition("/")[2]
        if not OURS.fullmatch(name) or event.clip != f"{event.camera}/{name}":
            raise EdgeTdnError(f"{event.clip!r} is not the name of a recording of {event.camera}")
        if (folder / f".{name}.part").exists():
            raise EdgeTdnError("the recording of this action is not complete yet; try again in a few seconds")
        if (folder / name).is_symlink() or not (folder / name).is_file():
            raise EdgeTdnError("the recording of this action is gone: deleted to make room, or not written")
        return folder / name

    def _reserve(self, label: str, session: str, count: int) -> tuple[Path, int]:
        """Return the folder of a class, which is created, and the number of the first of so many new clips in it."""
        checked_label(self.list.folder, label)
        self.check_room()
        folder = self.list.folder / label
        first = self._numbers.reserve(session, count)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgeTdnError(f"{folder}: {error.strerror}") from error
        names = [clip_path(folder, session, number).name for number in (first, first + 1)]
        if wrong := describe_recording(folder, *names):
            raise EdgeTdnError(wrong)
        return folder, first

    def _taught(self, clip: ListedClip) -> TaughtClip:
        return TaughtClip(
            label=clip.label,
            name=clip.name,
            recording=clip.recording,
            seconds=round(self.list.length_s(clip), 2),
            bytes=clip.bytes,
            at=iso(clip.modified_ns),
        )


def _zone(camera: Camera, name: str | None) -> ZoneSettings | None:
    """Return a zone of a camera, by name; None: the whole picture."""
    named: dict[str, ZoneSettings] = {zone.name: zone.settings for zone in camera.zones if zone.name}
    if name is None:
        return None
    if name not in named:
        raise EdgeTdnError(f"{camera.name} has no zone {name!r} any more; choose another one, or the whole picture")
    return named[name]


def _frame_rate(camera: Camera, zone: ZoneSettings | None) -> float:
    """Return the frames per second that the model of a zone reads; of the whole picture, the most that a zone reads."""
    read = [zone] if zone else [one.settings for one in camera.zones]
    return max(one.spec.frame_rate for one in read)


def _check_pictures(camera: Camera, frame_rate: float) -> None:
    status = camera.status()
    if status.state != "streaming":
        reason = f": {status.reason}" if status.reason else ""
        raise EdgeTdnError(f"{camera.name} sends no pictures now ({status.state}{reason})")
    if 0 < status.fps < MIN_RATE_SHARE * frame_rate:
        raise EdgeTdnError(
            f"{camera.name} sends {status.fps:.2g} frames a second, and the model reads {frame_rate:g}; raise the "
            "camera's frame rate first"
        )


def _time(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
