"""`edge-tdn record`, from real camera servers: complete files, of one recording, and what to type next."""

import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_tdn_training.data.dataset import open_data

from edge_tdn.__main__ import main
from edge_tdn.capture.video_file import read_file
from edge_tdn.capture.zone_view import FILL_RGB
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S, Frame
from edge_tdn.teaching.clip_cutter import RecordingPlan, cut_clips
from tests.conftest import number_in
from tests.support.command_line import Run
from tests.support.rtsp import RtspCamera
from tests.support.site import write_camera
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(not gstreamer.available(), reason="GStreamer is not installed: make packages")


def times_s(path: Path) -> list[float]:
    """Return the times of the frames; the first is at 0."""
    frames = list(read_file(path))
    return [(frame.pts_ns - frames[0].pts_ns) / NS_PER_S for frame in frames]


def test_clips_of_a_camera_are_complete_files_of_one_recording(
    rtsp: Callable[..., RtspCamera], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = "Tür öffnen (50 %)"
    line = ["record", "--source", rtsp().url(), "--out", str(tmp_path / "clips"), "--seconds", "0.8", "--pause", "0.3"]
    assert main([*line, "--label", label, "--count", "3"]) == 0
    clips = sorted((tmp_path / "clips" / label).iterdir())
    assert [path.name[-8:] for path in clips] == ["-001.mp4", "-002.mp4", "-003.mp4"]
    for *before, last in map(times_s, clips):  # a clip ends with its first frame after that time
        assert before[-1] < 0.81
        assert last >= 0.75
    data = open_data(tmp_path / "clips")
    assert data.labels == (label,)
    assert len({video.source for video in data.videos}) == 1
    printed = capsys.readouterr().err
    assert "3 clip(s) of one recording" in printed
    assert "does not define" not in printed


def test_an_interrupted_clip_is_deleted(
    rtsp: Callable[..., RtspCamera], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips/wave"

    def interrupt() -> None:
        eventually(lambda: list(folder.glob("*-001.mp4")) and list(folder.glob(".*-002.mp4.part")))
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    line = ["record", "--source", rtsp().url(), "--label", "wave", "--out", str(tmp_path / "clips")]
    assert main([*line, "--seconds", "0.6", "--pause", "0", "--count", "1000"]) == 130
    interrupter.join()
    clips = sorted(folder.iterdir())  # more than one, if the signal came late
    assert [path.name[-8:] for path in clips] == [f"-{number:03}.mp4" for number in range(1, len(clips) + 1)]
    assert all(times_s(path)[-1] > 0.5 for path in clips)
    assert f"stopped; {len(clips)} of 1000 clip(s) recorded" in capsys.readouterr().err


def broken(video: Path, at: int) -> Iterator[Frame]:
    """Yield a video whose connection breaks before frame `at`; the times of the new one start from 0."""
    for frame in read_file(video):
        if frame.seq <= at:
            yield frame
        else:
            yield replace(frame, stream=frame.stream + 1, pts_ns=frame.pts_ns - at * NS_PER_S // 15)


def test_no_clip_spans_a_gap_and_each_has_its_countdown(make_video: Callable[..., Path], tmp_path: Path) -> None:
    """At 15 frames per second, the first attempt begins after 15 frames and is interrupted after 20."""
    reported: list[str] = []
    rung: list[int] = []
    plan = RecordingPlan(tmp_path, "s", count=2, seconds=1.0, pause=1.0, max_gap_s=0.5)
    frames = broken(make_video(frames=90), at=20)
    clips = list(cut_clips(frames, plan, lambda now: reported.append(now.text), lambda: rung.append(len(reported))))
    assert [path.name for path in clips] == ["s-001.mp4", "s-002.mp4"]
    shown = [[number_in(frame.picture) for frame in read_file(path)] for path in clips]
    assert shown == [list(range(35, 51)), list(range(65, 81))]
    assert len(rung) == 5, "start, gap, start, end, start, end: the gap does not ring"
    assert reported.count("clip 1 of 2: get ready, 1") == 30
    assert reported.count("clip 2 of 2: recording") == 16
    assert {path.name for path in tmp_path.iterdir()} == {"video.mp4", "s-001.mp4", "s-002.mp4"}
    plan = replace(plan, seconds=0.5, pause=0.0)
    assert len(list(cut_clips(read_file(tmp_path / "video.mp4"), plan, ring=lambda: rung.append(0)))) == 2
    assert len(rung) == 5, "nothing has to be performed without a countdown"


def test_a_source_that_ends_too_soon_is_an_error(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["record", "--source", str(make_video(frames=17)), "--label", "wave", "--out", str(tmp_path / "clips")]
    assert main([*line, "--seconds", "0.6", "--pause", "0"]) == 66
    assert "the source ended after 1 of 10 clip(s)" in capsys.readouterr().err
    assert len(list((tmp_path / "clips/wave").iterdir())) == 1


def test_without_a_clip_no_class_is_created_and_a_leak_is_reported(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user's own dataset.toml does not define the clips as one recording."""
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "dataset.toml").write_text("[flip]\n")
    line = ["record", "--source", str(make_video(frames=5)), "--label", "wave", "--out", str(clips)]
    assert main([*line, "--pause", "0"]) == 66
    assert [path.name for path in clips.iterdir()] == ["dataset.toml"]
    assert "add this line at the top:\nsource = '" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--label", "a/b"], "--label 'a/b': not a valid folder name: use no /"),
        (["--label", ".hidden"], "no dot at its start"),
        (["--label", "two\nlines"], "not a valid class name: use one line of UTF-8"),
        (["--label", "wave", "--seconds", "0"], "--seconds 0: must be from 0.5 to 3600"),
        (["--label", "wave", "--count", "0"], "--count 0: must be 1 or more"),
        (["--label", "wave", "--source", "ftp://x/y"], "--source: unknown kind of source ftp://"),
        (["--label", "wave", "--source", "unknown", "--config", "configs/reference.toml"], "not a camera of"),
        (
            ["--label", "wave", "--zone", "gate"],
            "--zone gate: only a camera of a configuration has zones",
        ),
        (["--label", "wave", "--source", "hall"], "--source hall: no such file; if it is a camera of a configuration"),
    ],
)
def test_a_wrong_option_is_an_error_and_nothing_is_written(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record", "--source", "gst: videotestsrc", "--out", str(tmp_path / "clips"), *more]) == 78
    assert message in capsys.readouterr().err
    assert not (tmp_path / "clips").exists()


def printed_commands(text: str) -> list[list[str]]:
    """Return the words of the commands that were printed, each in an indented line of its own."""
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  ") and "edge-tdn" in line]


@pytest.fixture
def recorded(make_video: Callable[..., Path], here: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """recorded("a label", ...) -> what a recording of two clips prints; it runs in the folder of video.mp4."""
    monkeypatch.chdir(make_video(frames=40).parent)

    def record(label: str, *more: str) -> str:
        line = ("--source", "video.mp4", "--out", "my clips", "--seconds", "0.5", "--count", "2", "--pause", "0")
        done = here("record", *line, "--label", label, *more)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return record


def test_background_is_asked_for_by_name_with_the_same_camera_and_folder(recorded: Callable[..., str]) -> None:
    """Without the numbers of the action: background needs ten minutes."""
    text = recorded("it's open")
    assert "the class background: everything else that this camera sees" in text
    ((program, *words),) = printed_commands(text)
    assert Path(program).name == "edge-tdn"
    assert words == ["record", *shlex.split("--source video.mp4 --label background --out 'my clips'")]


def test_the_training_comes_when_action_and_background_are_there(recorded: Callable[..., str]) -> None:
    """The model gets a name that is free: of the action, or if there are several, of the folder."""
    assert printed_commands(recorded("Background"))[0][4:6] == ["--label", "door open"]
    text = recorded("it's open")
    ((program, *words),) = printed_commands(text)
    assert Path(program).name == "edge-tdn-train"
    assert words == ["finetune", "--data", "my clips", "--out", "models/it-s-open"]
    assert "'Background' 2" in text
    assert '"it\'s open" 2' in text
    Path("models/it-s-open").mkdir(parents=True)
    assert printed_commands(recorded("it's open"))[0][-1] == "models/it-s-open-2"
    assert printed_commands(recorded("closed"))[0][-1] == "models/my-clips"


def test_the_password_of_a_camera_is_not_printed(rtsp: Callable[..., RtspCamera], here: Run, tmp_path: Path) -> None:
    url = rtsp("s3cr3t-Pa55").url("camera:s3cr3t-Pa55@")
    line = ("--seconds", "0.5", "--count", "1", "--pause", "0", "--label", "wave", "--out", tmp_path / "clips")
    done = here("record", "--source", url, *line)
    assert done.returncode == 0, done.stderr
    assert "s3cr3t-Pa55" not in done.stderr
    assert "with the camera's password in place of ***" in done.stderr
    assert printed_commands(done.stderr)[0][3].startswith("rtsp://camera:***@127.0.0.1:")


def test_background_is_recorded_for_ten_minutes_without_countdown(
    make_video: Callable[..., Path], here: Run, tmp_path: Path
) -> None:
    """The clips of an action are fewer and shorter."""
    video = make_video(frames=16)
    shown = here("record", "--source", video, "--label", "background", "--out", tmp_path / "clips", "--seconds", "0.5")
    assert (shown.returncode, "after 1 of 60 clip(s)" in shown.stderr) == (66, True), shown.stderr
    shown = here("record", "--source", video, "--label", "wave", "--out", tmp_path / "clips", "--seconds", "0.5")
    assert (shown.returncode, "after 0 of 10 clip(s)" in shown.stderr) == (66, True), "one second of a countdown of 3 s"


ZONES = """
[[camera.zone]]
name = "gate"
polygon = [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.75, 1.0]]

[[camera.zone]]
name = "dot"
region = [0.1, 0.1, 0.2, 0.2]
"""


def test_the_clips_of_a_zone_show_what_the_network_will_see_in_it(
    make_video: Callable[..., Path], here: Run, tmp_path: Path
) -> None:
    """Cut to the zone's box, grey outside of its polygon; the next command names the zone."""
    site = write_camera(tmp_path, f'source = "{make_video(frames=30)}"\n{ZONES}')
    line = ("--source", "a", "--config", site, "--out", tmp_path / "clips", "--seconds", "0.5", "--pause", "0")
    done = here("record", *line, "--label", "wave", "--count", "1", "--zone", "gate")
    assert done.returncode == 0, done.stderr
    assert printed_commands(done.stderr)[0][6:8] == ["--zone", "gate"]
    (clip,) = (tmp_path / "clips/wave").iterdir()
    whole, cut = (next(read_file(path)).picture.astype(int) for path in (tmp_path / "video.mp4", clip))
    assert whole.shape == (96, 128, 3)
    assert cut.shape == (96, 64, 3)
    assert np.abs(cut[64:, :4] - FILL_RGB).max() < 24, "left of the polygon's lower left corner"
    assert np.abs(cut[8:, 40:] - whole[8:, 104:]).mean() < 12
    done = here("record", *line, "--label", "background", "--count", "1", "--zone", "gate")
    assert "the clips show zone gate: name the model in its table, not in [runtime]" in done.stderr


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("gat", "site.toml: camera a has no zone named 'gat'; did you mean 'gate'? its zones: gate, dot"),
        ("dot", "zone dot: 26x18 pixels of the picture of 128x96; a zone needs at least 32x32"),
    ],
)
def test_a_zone_that_cannot_be_recorded_is_an_error(
    zone: str, message: str, make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write_camera(tmp_path, f'source = "{make_video(frames=30)}"\n{ZONES}')
    line = ["record", "--source", "a", "--config", str(site), "--zone", zone, "--label", "wave"]
    assert main([*line, "--out", str(tmp_path / "clips")]) == 78
    assert message in capsys.readouterr().err
    assert not (tmp_path / "clips/wave").exists()
