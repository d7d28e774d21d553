"""Snapshots and clips of actions: numbered pictures through real GStreamer, a real broker, a real small disk."""

import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.actions.decider import Origin
from edge_tdn.capture.source import read_file
from edge_tdn.config.tables import Config, parse
from edge_tdn.delivery.mqtt import Received
from edge_tdn.errors import ConfigError
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Packed
from edge_tdn.media.video_writer import LIVE_ENCODERS, VideoWriter
from edge_tdn.messages import CENTRE, NS_PER_MS, NS_PER_S, ActionEvent, EventWindow, Frame, ModelRef, Scores, iso
from edge_tdn.recording import recorder as record
from edge_tdn.recording.recorder import Past, Recorder, verify
from edge_tdn.recording.recordings import OURS, Recordings, file_name
from edge_tdn.recording.snapshot import draw, legible
from edge_tdn.service.camera import Camera
from tests.conftest import _numbered, number_in
from tests.support.broker import Mosquitto
from tests.support.fakes import FakeRuntime

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
RATE = 30
WALL_NS = 1_772_366_400 * NS_PER_S  # 2026-03-01T12:00:00Z
REF = ModelRef(id="m", precision="fp32", sha256="0" * 64)
ACTION = range(80, 115)  # numbers of the pictures that are one


def fail(error: BaseException) -> None:
    raise AssertionError from error


class Reader(FakeRuntime):
    """Reads the number in every segment's x3; in ACTION it is ever more sure of label 3, else of label 0."""

    def __init__(self, segments: int) -> None:
        super().__init__(segments)
        self.clips: list[list[int]] = []  # the numbers of each clip

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        for frames, ring in zip(segments, rings, strict=True):
            ring.arrays["h"][ring.slot] = number_in(frames[CENTRE])
            ring.written()

    def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
        self.clips += [[round(float(n)) for n in ring.window("h")[:, 0]] for ring in rings]
        logits = np.zeros((len(rings), 8), np.float32)
        for row, clip in zip(logits, self.clips[-len(rings) :], strict=True):
            row[3 if clip[-1] in ACTION else 0] = 3.0 + 0.1 * (clip[-1] - ACTION.start) * (clip[-1] in ACTION)
        return logits


class Topics:
    """The newest message on every topic."""

    def __init__(self, broker: Mosquitto) -> None:
        self._connection, link = broker.link(f"topics-{time.monotonic_ns()}")
        self.newest: dict[str, Received] = {}
        link.subscribe("test/#")

    def __enter__(self) -> "Topics":
        return self

    def until(self, topic: str) -> Received:
        while topic not in self.newest:
            note = self._connection.notes.get(timeout=60)
            if isinstance(note, Received):
                self.newest[note.topic] = note
        return self.newest[topic]

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def test_an_action_of_a_camera_gives_its_best_picture_and_a_clip_around_it(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """From a file that plays at 30 frames a second to the retained message and the folder, all but the network real."""
    video = make_video(frames=150, rate=RATE, height=120, width=160)
    config = Config.model_validate(
        {
            "broker": {"url": broker.url},
            "decide": {"smoothing_clips": 1, "update_rise": 0.01},
            "record": {"snapshot": True, "clip": True, "folder": "seen", "pre_roll_s": 1.0, "post_roll_s": 0.5},
            "camera": [{"name": "door", "source": str(video), "motion_gate": False}],
        }
    )
    runtime = Reader(motion.manifest.input.segments)
    publisher = broker.publisher("test", fail)
    scheduler = Scheduler(runtime, motion.manifest.input, fail)
    origin = Origin("here", "door", "b007", motion.ref("fp32"))
    camera = Camera(config.camera[0], config, tmp_path, motion, origin, scheduler, publisher)
    for part in (publisher, scheduler, camera):
        part.start()
    camera.join(60)
    scheduler.stop(drop=False)
    recorder = camera.recorder
    assert recorder
    wait(lambda: recorder.clips == 1)
    recorder.close()
    recorder.join(60)
    publisher.stop()
    assert (recorder.dropped, recorder.clips) == (0, 1)
    assert recorder.snapshots > 1, "an update with a higher score brings a better picture"

    jpg, mp4 = sorted((tmp_path / "seen/door").iterdir())
    assert [OURS.fullmatch(path.name) and path.suffix for path in (jpg, mp4)] == [".jpg", ".mp4"]
    assert jpg.stem == mp4.stem
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z_up_\d+", jpg.stem)

    surest = max((clip for clip in runtime.clips if clip[-1] in ACTION), key=lambda clip: clip[-1])
    with Topics(broker) as topics:  # who comes later has it too
        message = topics.until("test/door/snapshot")
    assert message.retained
    assert message.payload == jpg.read_bytes()
    picture = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (120, 160, 3), "the camera's own size"
    assert number_in(picture[:90]) == surest[len(surest) // 2]

    frames = list(read_file(mp4))
    numbers = [number_in(frame.picture) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "none is missing, none comes twice"
    first = (
        next(clip[-1] for clip in runtime.clips if clip[-1] in ACTION) - 2 * CENTRE
    )  # x1 of the segment: 15 a second
    last = next(clip[-1] for clip in runtime.clips if clip[-1] >= ACTION.stop) + 2 * CENTRE  # x5
    assert numbers[0] == pytest.approx(first - RATE, abs=1)
    assert numbers[-1] == pytest.approx(last + RATE // 2, abs=1)
    assert frames[-1].pts_ns == pytest.approx(len(frames[1:]) * NS_PER_S / RATE, abs=2 * NS_PER_MS)


def event(number: int, kind: str, at_s: float, began_s: float | None = None, label: str = "left") -> ActionEvent:
    """An event whose clip ended at `at_s` of the stream."""
    wall_ns = WALL_NS + round(at_s * NS_PER_S)
    began_ns = WALL_NS + round((at_s if began_s is None else began_s) * NS_PER_S)
    return ActionEvent.model_validate(
        {"id": f"here/door/b007/{number}", "seq": number, "type": kind, "host": "here", "camera": "door",
         "label": label, "label_index": 1, "score": 0.9, "peak_score": 0.9, "started_at": iso(began_ns),
         "ended_at": iso(wall_ns) if kind == "end" else None, "model": REF,
         "window": EventWindow(from_=iso(wall_ns), to=iso(wall_ns), frames=40, dropped=0)}
    )  # fmt: skip


def scores(at_s: float, clip_s: float = 1.0) -> Scores:
    at_ns = round(at_s * NS_PER_S)
    return Scores(
        np.zeros(8, np.float32), at_ns - round(clip_s * NS_PER_S), at_ns, at_ns, WALL_NS + at_ns, 40, 0, 0, 0, 0, 0
    )


def frame(number: int, pts_s: float, stream: int = 1, size: tuple[int, int] = (120, 160)) -> Frame:
    pts_ns = round(pts_s * NS_PER_S)
    return Frame(Packed(_numbered(number, *size)), pts_ns, time.monotonic_ns(), WALL_NS + pts_ns, number, stream)


Make = Callable[..., Recorder]


@pytest.fixture
def make_recorder(motion: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """make_recorder(**[record]) -> a recorder of the camera `door`, whose JPEGs are in its `.published`.

    A busy host may take long over a clip, and over the pictures.
    """
    monkeypatch.setattr(record, "CLOSE_S", 30.0)
    monkeypatch.setattr(record, "SILENT_S", 60.0)
    made: list[Recorder] = []

    def make(**keys: Any) -> Recorder:
        keys = {"clip": True, "snapshot": True, "folder": "seen", "pre_roll_s": 1.0, "post_roll_s": 0.5, **keys}
        config = Config.model_validate({"record": keys, "camera": [{"name": "door", "source": "demo:"}]})
        published: list[bytes] = []
        recorder = Recorder(config.camera[0], config, motion.manifest.input, tmp_path, published.append)
        recorder.published = published  # type: ignore[attr-defined]
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.close()
        recorder.join(60)


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def play(recorder: Recorder, first: int, last: int, stream: int = 1, size: tuple[int, int] = (120, 160)) -> None:
    """So many pictures as the recorder remembers, or fewer; those of the clips are written when it returns."""
    for number in range(first, last):
        recorder.frame(frame(number, number / 20, stream, size))
    catch_up(recorder)


def tell(recorder: Recorder, said: ActionEvent, clip: Scores | None) -> None:
    """The recorder has heard it, and written what there is, when it returns."""
    recorder.event(said, clip)
    if said.type == "start":
        wait(lambda: said.id in recorder._clips)
    else:
        wait(lambda: (open_clip := recorder._clips.get(said.id)) is None or open_clip.ended)
    catch_up(recorder)


def catch_up(recorder: Recorder) -> None:
    newest = recorder._past.newest
    assert newest
    wait(lambda: all(clip.last_ns >= newest.pts_ns for clip in list(recorder._clips.values())))


def numbers_in(path: Path) -> list[int]:
    return [number_in(frame.picture) for frame in read_file(path)]


def test_actions_that_overlap_have_a_clip_each_and_gaps_keep_their_time(make_recorder: Make, tmp_path: Path) -> None:
    recorder = make_recorder(snapshot=False)
    play(recorder, 0, 40)
    tell(recorder, event(1, "start", 2.0, 1.5), scores(2.0))
    play(recorder, 40, 50)
    play(recorder, 58, 70)  # 0.4 s without a picture
    tell(recorder, event(1, "end", 3.5, 1.5), scores(3.5))
    tell(recorder, event(2, "start", 3.5, 3.0, "right"), scores(3.5))
    play(recorder, 70, 90)
    tell(recorder, event(2, "end", 4.5, 3.0, "right"), None)  # the stream broke: there is nothing after it
    wait(lambda: recorder.clips == 2)
    one, two = sorted((tmp_path / "seen/door").iterdir())
    assert (one.name, two.name) == ("20260301T120001.500Z_left_1.mp4", "20260301T120003.000Z_right_2.mp4")
    assert numbers_in(one) == [*range(10, 50), *range(58, 81)], "1 s before 1.5 s to 0.5 s after 3.5 s"
    assert numbers_in(two) == [*range(40, 50), *range(58, 90)]
    steps = [later.pts_ns - earlier.pts_ns for earlier, later in pairwise(read_file(one))]
    assert [round(step / NS_PER_MS) for step in sorted(steps)] == [50] * 61 + [450]
    assert recorder.dropped == 0


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_wall_clock_that_jumps_moves_no_clip(jump_s: int, make_recorder: Make, tmp_path: Path) -> None:
    recorder = make_recorder(snapshot=False)
    play(recorder, 0, 80)
    tell(recorder, event(1, "start", 4.0, 3.5 + jump_s), scores(4.0))
    tell(recorder, event(1, "end", 4.0, 3.5 + jump_s), scores(4.0))
    play(recorder, 80, 95)
    wait(lambda: recorder.clips == 1)
    (path,) = (tmp_path / "seen/door").iterdir()
    numbers = numbers_in(path)
    assert numbers == list(range(numbers[0], 91)), "to 0.5 s after the end"
    assert 20 <= numbers[0] <= 60, "from before the start, as far as pictures are kept"


def test_a_clip_ends_with_its_stream_at_its_longest_and_at_the_stop(make_recorder: Make, tmp_path: Path) -> None:
    recorder = make_recorder(snapshot=False, clip_most_s=2.0)
    play(recorder, 0, 40)
    tell(recorder, event(1, "start", 2.0, 1.5), scores(2.0))
    play(recorder, 40, 60)
    wait(lambda: recorder.clips == 1)
    tell(recorder, event(2, "start", 3.0, 2.5), scores(3.0))
    play(recorder, 60, 80, stream=2, size=(240, 320))
    wait(lambda: recorder.clips == 2)
    tell(recorder, event(1, "end", 3.5, 1.5), scores(3.5))  # its clip is long over
    tell(recorder, event(3, "start", 4.0, 3.5), scores(4.0))
    recorder.close()
    recorder.join(60)
    assert not recorder._thread.is_alive()
    one, two, three = sorted((tmp_path / "seen/door").iterdir())
    assert numbers_in(one) == list(range(10, 51))
    assert numbers_in(two) == list(range(30, 60))
    assert numbers_in(three) == list(range(60, 80)), "of the new stream only"
    assert recorder.dropped == 0


def test_a_clip_that_cannot_be_finished_in_time_leaves_nothing(
    make_recorder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a daemon that was killed: what it left goes at the next start."""
    left = tmp_path / "seen/door/.20260301T110000.000Z_left_7.mp4.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    foreign = left.with_name(".mine.part")
    foreign.write_bytes(b"mine")
    monkeypatch.setattr(record, "CLOSE_S", 0.0)
    recorder = make_recorder(snapshot=False)
    play(recorder, 0, 40)
    recorder.event(event(1, "start", 2.0, 1.5), scores(2.0))
    wait(lambda: any(path.suffix == ".part" and path != foreign for path in left.parent.iterdir()))
    recorder.close()
    recorder.join(60)
    assert not recorder._thread.is_alive()
    assert list(left.parent.iterdir()) == [foreign]
    assert (recorder.clips, recorder.dropped) == (0, 1)


def test_a_full_disk_costs_files_and_nothing_else(
    make_recorder: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "seen"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        with pytest.raises(OSError, match="No space left"):
            (disk / "filler").write_bytes(bytes(1 << 21))
        monkeypatch.setattr(record, "LOG_EVERY_S", 1000.0)
        recorder = make_recorder()
        with caplog.at_level(logging.WARNING):
            play(recorder, 0, 41)
            for number in (1, 2):
                recorder.event(event(number, "start", 2.0, 1.5), scores(2.0))
                recorder.event(event(number, "end", 2.0, 1.5), scores(2.0))
            play(recorder, 41, 61)
            wait(lambda: recorder.dropped == 4)
        (line,) = (one.getMessage() for one in caplog.records if one.name == record.log.name)  # once in a while
        assert "not recorded: " in line
        assert "No space left on device" in line
        assert len(recorder.published) == 2  # type: ignore[attr-defined]
        assert not list((disk / "door").iterdir()), "nothing half-written"
        (disk / "filler").unlink()
        recorder.event(event(3, "start", 3.0, 2.5), scores(3.0))
        recorder.event(event(3, "end", 3.0, 2.5), None)
        wait(lambda: recorder.clips == 1)
        assert {path.suffix for path in (disk / "door").iterdir()} == {".jpg", ".mp4"}, "it recovers by itself"
    finally:
        recorder.close()
        recorder.join(60)
        subprocess.run(["umount", disk], check=True)


def test_only_the_oldest_of_our_own_files_make_room(tmp_path: Path) -> None:
    foreign = [
        tmp_path / "holiday.mp4",
        tmp_path / "door/20200101.jpg",
        tmp_path / "door/20260301T115959.000Z_a_1.mp4x",
    ]
    (tmp_path / "yard").mkdir()
    door = Recordings(tmp_path, "door", 2500)
    yard = Recordings(tmp_path, "yard", 2500)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_bytes(bytes(5000))
    (tmp_path / "yard/20260101T000000.000Z_link_1.jpg").symlink_to(outside)
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(5000))
    kept = []
    for number, recordings in enumerate((yard, door, yard, door), 1):
        scratch = recordings.begin(event(number, "start", number), "jpg")
        scratch.write_bytes(bytes(1000))
        assert not OURS.fullmatch(scratch.name)
        kept.append(recordings.keep(scratch))
    assert [path.exists() for path in kept] == [False, False, True, True]
    assert (door.removed, yard.removed) == (1, 1)
    assert all(path.exists() for path in foreign)
    assert outside.exists()
    assert (tmp_path / "yard/20260101T000000.000Z_link_1.jpg").is_symlink()


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("Pull (hard)/away", "Pull-hard-away"),
        ("走路", "label-1"),
        ("Öffnen", "Offnen"),
        ("x" * 300, "x" * 60),
        ("..", "label-1"),
    ],
)
def test_a_label_is_safe_in_a_file_name(label: str, part: str) -> None:
    name = file_name(event(12, "start", 0.25, label=label))
    assert name == f"20260301T120000.250Z_{part}_12"
    assert OURS.fullmatch(f"{name}.jpg")


def test_a_label_that_the_font_lacks_is_no_row_of_boxes() -> None:
    assert legible("Pretending to put [something]") == "Pretending to put [something]"
    assert legible("Öffnet die Tür") == "Offnet die Tur"
    assert [legible(label) for label in ("走路", "Дверь", "walk 走", "")] == [""] * 4
    grey = Packed(np.full((240, 320, 3), 128, np.uint8))
    assert draw(grey, "走路", 12, 0.5) == draw(grey, "label 12", 12, 0.5)
    assert draw(grey, "走路", 12, 0.5) != draw(grey, "label 13", 12, 0.5)


@pytest.mark.parametrize("size", [(120, 160), (480, 640), (2160, 3840), (16, 16)])
@pytest.mark.parametrize("background", [0, 255])
def test_the_banner_is_legible_on_any_picture_of_any_size(size: tuple[int, int], background: int) -> None:
    pixels = np.full((*size, 3), background, np.uint8)
    jpeg = draw(Packed(pixels), "Pretending to put something behind something else, but failing", 3, 0.87)
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert grey.shape == size
    if size == (16, 16):
        return  # no room for a word; it is a picture all the same
    rows = np.flatnonzero((grey > background + 100).any(axis=1) if background == 0 else (grey < 100).any(axis=1))
    assert (np.abs(grey[: rows[0] - 8].astype(int) - background) < 3).all(), "the rest of the picture is as it was"
    assert 0.03 < (size[0] - rows[0]) / size[0] < 0.2
    banner = grey[rows[0] :]
    assert banner.min() < 90
    assert banner.max() > 225
    columns = np.flatnonzero((banner > 180).any(axis=0))
    assert columns[0] < 0.1 * size[1]
    assert columns[-1] > 0.9 * size[1]
    assert size[1] - columns[-1] > 2, "a margin"


def test_memory_is_bounded_and_the_thinned_past_is_even() -> None:
    bytes_each = frame(0, 0).decoded.nbytes
    past = Past(seconds=4, most_bytes=30 * bytes_each)
    wanted = [past.push(frame(n % 256, n / RATE)) for n in range(300)]
    kept = past.after(-1)
    assert past.nbytes == len(kept) * bytes_each <= 30 * bytes_each
    assert wanted[:30] == [0] * 30
    assert wanted[-1] == pytest.approx(4 * RATE * bytes_each, rel=0.02)
    assert kept[-1].pts_ns - kept[0].pts_ns > 3.5 * NS_PER_S
    steps = [round((later.pts_ns - earlier.pts_ns) * RATE / NS_PER_S) for earlier, later in pairwise(kept)]
    assert steps[-6:] == [1] * 6, "the newest are all there"
    assert max(steps) <= 10, steps
    past.push(frame(1, 0.0, stream=2))
    assert len(past.after(-1)) == 1, "another stream's are of no use"
    assert past.nearest(0, (0, NS_PER_S)) is None, "not yet there, so these scores are of the stream before"


def test_snapshots_that_come_too_fast_are_dropped_and_counted(make_recorder: Make, monkeypatch: Any) -> None:
    """None is drawn before all are told: the runtime's thread waits for nothing."""
    told = threading.Event()

    def held(*arguments: Any) -> bytes:
        assert told.wait(60)
        return draw(*arguments)

    monkeypatch.setattr(record, "draw", held)
    recorder = make_recorder(clip=False, folder="")
    play(recorder, 0, 41)
    for number in range(1, 21):
        recorder.event(event(number, "start", 2.0), scores(2.0))
    told.set()
    wait(lambda: recorder.snapshots + recorder.dropped == 20)
    assert recorder.dropped == 20 - record.WAITING_MOST
    recorder.event(event(30, "start", 9.0), scores(9.0))
    assert recorder.dropped == 20 - record.WAITING_MOST + 1, "its pictures never came"


def test_what_is_wrong_with_record_is_said(tmp_path: Path) -> None:
    camera = [{"name": "door", "source": "demo:"}]
    with pytest.raises(ConfigError, match=r"record: clip needs a folder"):
        parse({"record": {"clip": True}, "camera": camera}, "site.toml")
    (tmp_path / "file").touch()
    config = parse({"record": {"snapshot": True, "folder": "file"}, "camera": camera}, "site.toml")
    with pytest.raises(ConfigError, match=r"record\.folder = 'file': .* is a file"):
        verify(config.record, tmp_path)


def test_pictures_of_odd_sizes_become_a_video(tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    writer = VideoWriter(path, LIVE_ENCODERS)
    for number in range(5):
        rgb = _numbered(number, 61, 83)
        writer.write(np.dstack([rgb, np.zeros((61, 83), np.uint8)]), number * NS_PER_S // 7)
    writer.finish(10)
    writer.close()
    frames = list(read_file(path))
    assert [number_in(frame.picture) for frame in frames] == list(range(5))
    assert frames[0].decoded.size == (61, 83)
