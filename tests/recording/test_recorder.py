"""Snapshots and clips of actions: numbered frames through real GStreamer, a real broker, a real small disk."""

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_tdn.capture.video_file import read_file
from edge_tdn.config.load import parse
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.jpeg_comment import comment_in
from edge_tdn.manifest import Model
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import LIVE_ENCODERS, VideoWriter
from edge_tdn.messages import CENTRE, NS_PER_MS, NS_PER_S
from edge_tdn.recording import recorder_thread
from edge_tdn.recording.recorder import Recorder
from edge_tdn.recording.recorder_inbox import MAX_WAITING_SNAPSHOTS
from edge_tdn.recording.recordings import OURS
from edge_tdn.recording.snapshot import draw
from edge_tdn.recording.timing import RecorderTiming
from edge_tdn.recording.verify import verify
from edge_tdn.service.camera import Camera
from edge_tdn.service.timing import CameraTiming
from tests.conftest import _numbered, number_in
from tests.support.actions import NumberReader, action_event, clip_scores
from tests.support.broker import Mosquitto
from tests.support.fakes import fail
from tests.support.mqtt import RecordingClient
from tests.support.recorder import PATIENT, Make, give, play, record
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.zones import camera_settings

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")
RATE = 30
ACTION = range(80, 115)  # numbers of the frames that are one


def test_an_action_of_a_camera_gives_its_best_picture_and_a_clip_around_it(
    broker: Mosquitto, motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """From a file of 30 frames per second to the retained message and the folder, all but the network real."""
    video = make_video(frames=200, rate=RATE, height=120, width=160)
    config = Config.model_validate(
        {
            "broker": {"url": broker.url},
            "decide": {"smoothing_s": 0.0, "merge_gap_s": 0.2, "update_rise": 0.01},
            "record": {"snapshot": True, "clip": True, "folder": "seen", "pre_roll_s": 1.0, "post_roll_s": 2.0},
            "camera": [{"name": "door", "source": str(video), "motion_gate": False}],
        }
    )
    runtime = NumberReader(motion.manifest.input.segments, ACTION)
    publisher = broker.publisher("test", fail)
    scheduler, engine = Scheduler(fail), Engine(runtime, motion.manifest.input)
    timing = CameraTiming(recorder=RecorderTiming(late_s=10.0, silent_s=60.0))  # the machine may be busy
    camera = Camera(camera_settings(config, motion, tmp_path, engine, timing), scheduler, publisher)
    recorder = camera.recorder
    assert isinstance(recorder, Recorder)
    with closing(RecordingClient(broker.port, "test/#")) as client:
        for part in (publisher, scheduler, camera):
            part.start()
        camera.join(PATIENCE_S)
        scheduler.stop(drop=False)
        eventually(lambda: recorder.clips == 1)
        recorder.close()
        recorder.join(60)
        publisher.stop()
        client.synchronize()
        scored = sum(clip[-1] in ACTION for clip in runtime.clips)  # one, where the machine is too busy for more
        expected = min(2, scored)
        assert len(client.on("test/door/snapshot")) >= expected, "an update with a higher score brings a better picture"
    assert (recorder.dropped, recorder.clips) == (0, 1)
    with closing(RecordingClient(broker.port, "test/#")) as late_client:
        (message,) = late_client.on("test/door/snapshot")

    jpg, mp4 = sorted((tmp_path / "seen/door").iterdir())
    assert [OURS.fullmatch(path.name) and path.suffix for path in (jpg, mp4)] == [".jpg", ".mp4"]
    assert jpg.stem == mp4.stem
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z_up_\d+", jpg.stem)
    names = {(one.json()["snapshot"], one.json()["clip"]) for one in client.on("test/door/events")}
    assert names == {(f"door/{jpg.name}", f"door/{mp4.name}")}, "each event of the action names both"

    surest = max((clip for clip in runtime.clips if clip[-1] in ACTION), key=lambda clip: clip[-1])
    assert message.retained
    assert message.payload == jpg.read_bytes()
    assert comment_in(message.payload) == client.on("test/door/events")[0].json()["id"]
    picture = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (120, 160, 3), "the camera's own size"
    assert number_in(picture[:90]) == surest[len(surest) // 2]

    frames = list(read_file(mp4))
    numbers = [number_in(frame.picture) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "none is missing, none comes twice"
    first = (
        next(clip[-1] for clip in runtime.clips if clip[-1] in ACTION) - 2 * CENTRE
    )  # x1 of the segment, 15 a second
    last = next(clip[-1] for clip in runtime.clips if clip[-1] >= ACTION.stop) + 2 * CENTRE  # x5
    assert numbers[0] == pytest.approx(first - RATE, abs=1)
    assert numbers[-1] == pytest.approx(last + 2 * RATE, abs=1)
    assert frames[-1].pts_ns == pytest.approx(len(frames[1:]) * NS_PER_S / RATE, abs=2 * NS_PER_MS)


def has_ended(recorder: Recorder) -> bool:
    return not recorder._thread._thread.is_alive()


def numbers_in(path: Path) -> list[int]:
    return [number_in(frame.picture) for frame in read_file(path)]


def test_actions_that_overlap_have_a_clip_each_and_gaps_keep_their_time(make_recorder: Make, tmp_path: Path) -> None:
    recorder = make_recorder(snapshot=False)
    play(recorder, 0, 40)
    record(recorder, action_event(1, "start", 2.0, 1.5), clip_scores(2.0))
    play(recorder, 40, 50)
    play(recorder, 58, 70)  # 0.4 s without a frame
    record(recorder, action_event(1, "end", 3.5, 1.5), clip_scores(3.5))
    record(recorder, action_event(2, "start", 3.5, 3.0, "right"), clip_scores(3.5))
    play(recorder, 70, 90)
    record(recorder, action_event(2, "end", 4.5, 3.0, "right"), None)  # the stream broke: nothing comes after it
    eventually(lambda: recorder.clips == 2)
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
    record(recorder, action_event(1, "start", 4.0, 3.5 + jump_s), clip_scores(4.0))
    record(recorder, action_event(1, "end", 4.0, 3.5 + jump_s), clip_scores(4.0))
    play(recorder, 80, 95)
    eventually(lambda: recorder.clips == 1)
    (path,) = (tmp_path / "seen/door").iterdir()
    numbers = numbers_in(path)
    assert numbers == list(range(numbers[0], 91)), "to 0.5 s after the end"
    assert 20 <= numbers[0] <= 60, "from before the start, as far as frames are kept"


def test_a_clip_ends_with_its_stream_at_its_longest_and_at_the_stop(make_recorder: Make, tmp_path: Path) -> None:
    recorder = make_recorder(snapshot=False, max_clip_s=2.0)
    play(recorder, 0, 40)
    record(recorder, action_event(1, "start", 2.0, 1.5), clip_scores(2.0))
    play(recorder, 40, 60)
    eventually(lambda: recorder.clips == 1)
    record(recorder, action_event(2, "start", 3.0, 2.5), clip_scores(3.0))
    play(recorder, 60, 80, stream=2, size=(240, 320))
    eventually(lambda: recorder.clips == 2)
    record(recorder, action_event(1, "end", 3.5, 1.5), clip_scores(3.5))  # its clip is long over
    record(recorder, action_event(3, "start", 4.0, 3.5), clip_scores(4.0))
    recorder.close()
    recorder.join(60)
    assert has_ended(recorder)
    one, two, three = sorted((tmp_path / "seen/door").iterdir())
    assert numbers_in(one) == list(range(10, 51))
    assert numbers_in(two) == list(range(30, 60))
    assert numbers_in(three) == list(range(60, 80)), "of the new stream only"
    assert recorder.dropped == 0


def test_a_clip_that_cannot_be_finished_in_time_leaves_no_file(make_recorder: Make, tmp_path: Path) -> None:
    """Nor does a daemon that was killed: its unfinished files are removed at the next start."""
    left = tmp_path / "seen/door/.20260301T110000.000Z_left_7.mp4.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    foreign = left.with_name(".mine.part")
    foreign.write_bytes(b"mine")
    recorder = make_recorder(replace(PATIENT, close_s=0.0), snapshot=False)
    play(recorder, 0, 40)
    give(recorder, action_event(1, "start", 2.0, 1.5), clip_scores(2.0))
    eventually(lambda: any(path.suffix == ".part" and path != foreign for path in left.parent.iterdir()))
    recorder.close()
    recorder.join(60)
    assert has_ended(recorder)
    assert list(left.parent.iterdir()) == [foreign]
    assert (recorder.clips, recorder.dropped) == (0, 1)


def test_a_snapshot_that_cannot_be_written_leaves_the_clip_of_its_action(make_recorder: Make, tmp_path: Path) -> None:
    recorder = make_recorder()
    play(recorder, 0, 41)
    record(recorder, start := action_event(1, "start", 2.0, 1.5), clip_scores(2.0))
    (picture,) = (tmp_path / "seen/door").glob("*.jpg")
    picture.unlink()
    picture.mkdir()  # in place of the file
    better = {"type": "update", "score": 0.95, "snapshot": f"door/{picture.name}"}
    give(recorder, start.model_copy(update=better), clip_scores(2.0))
    eventually(lambda: recorder.dropped == 1)
    record(recorder, action_event(1, "end", 2.0, 1.5), clip_scores(2.0))
    play(recorder, 41, 61)
    eventually(lambda: recorder.clips == 1)
    assert picture.with_suffix(".mp4").is_file()


def test_a_full_disk_costs_files_and_nothing_else(
    make_recorder: Make, published: list[tuple[str | None, bytes]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = tmp_path / "seen"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        with pytest.raises(OSError, match="No space left"):
            (disk / "filler").write_bytes(bytes(1 << 21))
        recorder = make_recorder(replace(PATIENT, log_every_s=1000.0), min_free_mb=0)
        with caplog.at_level(logging.WARNING):
            play(recorder, 0, 41)
            for number in (1, 2):
                give(recorder, action_event(number, "start", 2.0, 1.5), clip_scores(2.0))
                give(recorder, action_event(number, "end", 2.0, 1.5), clip_scores(2.0))
            play(recorder, 41, 61)
            eventually(lambda: recorder.dropped == 4)
        (line,) = (one.getMessage() for one in caplog.records if one.name == recorder_thread.log.name)  # within 1000 s
        assert "not recorded: " in line
        assert "No space left on device" in line
        assert len(published) == 2
        assert not list((disk / "door").iterdir()), "nothing half-written"
        (disk / "filler").unlink()
        give(recorder, action_event(3, "start", 3.0, 2.5), clip_scores(3.0))
        give(recorder, action_event(3, "end", 3.0, 2.5), None)
        eventually(lambda: recorder.clips == 1)
        assert {path.suffix for path in (disk / "door").iterdir()} == {".jpg", ".mp4"}, "it recovers by itself"
    finally:
        recorder.close()
        recorder.join(60)
        subprocess.run(["umount", disk], check=True)


def test_snapshots_that_come_too_fast_are_dropped_and_counted(
    make_recorder: Make, published: list[tuple[str | None, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is drawn before all events have come: the runtime's thread waits for nothing."""
    complete = threading.Event()

    def held(*arguments: Any) -> bytes:
        assert complete.wait(PATIENCE_S)
        return draw(*arguments)

    monkeypatch.setattr(recorder_thread, "draw", held)
    recorder = make_recorder(clip=False, folder="")
    play(recorder, 0, 41)
    for number in range(1, 21):
        give(recorder, action_event(number, "start", 2.0), clip_scores(2.0))
    complete.set()
    eventually(lambda: len(published) + recorder.dropped == 20)
    assert recorder.dropped == 20 - MAX_WAITING_SNAPSHOTS
    give(recorder, action_event(30, "start", 9.0), clip_scores(9.0))
    assert recorder.dropped == 20 - MAX_WAITING_SNAPSHOTS + 1, "its frames never came"


def test_the_best_picture_of_each_action_is_kept_while_several_are_under_way(
    make_recorder: Make, published: list[tuple[str | None, bytes]], tmp_path: Path
) -> None:
    recorder = make_recorder(clip=False)
    play(recorder, 0, 41)
    for score, numbers in ((0.5, (1, 2)), (0.4, (1, 2)), (0.6, (2,))):
        for number in numbers:
            event = action_event(number, "start" if score == 0.5 else "update", 2.0)
            give(recorder, event.model_copy(update={"score": score}), clip_scores(2.0))
            eventually(lambda: recorder._inbox._snapshots == 0)
    assert len(published) == 3, "not for a lower score, whatever the other action's"
    assert len(list((tmp_path / "seen/door").iterdir())) == 2


def test_events_name_only_what_is_recorded(make_recorder: Make) -> None:
    start = action_event(1, "start", 2.0)
    name = "door/20260301T120002.000Z_left_1"
    recorder = make_recorder()
    assert (recorder.named(start).snapshot, recorder.named(start).clip) == (None, None), "there are no frames"
    for keys, files in (
        ({}, (f"{name}.jpg", f"{name}.mp4")),
        ({"clip": False}, (f"{name}.jpg", None)),
        ({"snapshot": False}, (None, f"{name}.mp4")),
        ({"clip": False, "folder": ""}, (None, None)),  # published, and not written
    ):
        recorder = make_recorder(**keys)
        play(recorder, 0, 3)
        assert (recorder.named(start).snapshot, recorder.named(start).clip) == files
        end = start.model_copy(update={"type": "end", "snapshot": "door/kept.jpg"})
        assert (recorder.named(end).snapshot, recorder.named(end).clip) == ("door/kept.jpg", None)


def test_a_wrong_record_table_is_an_error_that_names_the_key(tmp_path: Path) -> None:
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
    writer.finish(PATIENCE_S)
    writer.close()
    frames = list(read_file(path))
    assert [number_in(frame.picture) for frame in frames] == list(range(5))
    assert frames[0].decoded.size == (61, 83)


def test_a_daemon_that_does_not_record_loads_no_fonts_and_no_recorder() -> None:
    """They take 4 MB of every camera host."""
    program = (
        "import sys, edge_tdn.service.daemon\n"
        "print([name for name in sys.modules if name == 'PIL.ImageFont' or name in ("
        "'edge_tdn.recording.recorder', 'edge_tdn.recording.snapshot', 'edge_tdn.recording.main_stream')])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
