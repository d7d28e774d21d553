"""`edge-tdn replay`: a recording gives the events of a served camera, the same ones every time, and faster."""

import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from edge_tdn.__main__ import main
from edge_tdn.capture.video_file import read_file
from edge_tdn.config.resolved_zones import resolved_zones, runtime_choice
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.demo.demo_clip import RATE, pictures
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import NS_PER_S, ActionEvent, Frame
from edge_tdn.output import write_output
from edge_tdn.replay.replay_chain import ReplayChain
from edge_tdn.replay.replay_zone import ReplayNetwork
from edge_tdn.service.camera import Camera
from edge_tdn.service.camera_settings import CameraSettings, ZoneSettings
from edge_tdn.status_messages import CameraStatus
from tests.support.command_line import camera_site
from tests.support.waiting import PROGRAM_S

SECONDS = 8  # of the demo's clip: an object moves right, then left
STANDS_AND_MOVES = [(round(a * RATE), round(b * RATE)) for a, b in ((0, 0.1), (1.8, 4.4), (4.4, 4.5), (6.2, 8.8))]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "yard.mp4"
    write_video(islice(pictures(), SECONDS * RATE), RATE, path)
    return path


@pytest.fixture(scope="module")
def runtime(motion: Model) -> Iterator[Runtime]:
    with closing(open_runtime(motion, "fp32", "CPU")) as runtime:
        yield runtime


def site(tmp_path: Path, text: str = "") -> Path:
    path = tmp_path / "site.toml"
    cameras = "".join(f'[[camera]]\nname = "{name}"\nsource = "rtsp://nowhere/x"\n' for name in ("yard", "door"))
    path.write_text(f'host = "test"\n{text}\n{cameras}')
    return path


def config(video: Path, **keys: object) -> Config:
    return Config.model_validate({"camera": [{"name": "yard", "source": str(video), **keys}]})


@pytest.fixture(scope="module")
def chain(motion: Model, runtime: Runtime) -> Callable[..., ReplayChain]:
    """Return a function that returns the chain of a configuration's camera, with the shipped model."""

    def make(config: Config, camera: CameraConfig | None = None) -> ReplayChain:
        camera = camera or config.camera[0]
        return ReplayChain(config, camera, {runtime_choice(config): ReplayNetwork(motion, runtime)})

    return make


def actions(events: list[ActionEvent]) -> list[tuple[str, str, str | None]]:
    return [(event.type, event.label, event.reason) for event in events if event.type != "update"]


def test_two_runs_give_the_same_bytes_and_a_picture(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["replay", str(video), "--config", str(site(tmp_path))]
    assert main([*command, "--json", str(tmp_path / "log"), "--plot", str(tmp_path / "plot.png")]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "as camera yard, the first of 2; --camera NAME takes another" in output.err
    summary = r"8\.0 s of video in .* times real time\nactions recognised: right 1, left 1 \(15\.\d starts a minute\)\n"
    assert re.search(summary, output.err)
    with Image.open(tmp_path / "plot.png") as image:
        assert image.format == "PNG"
        assert image.width == 1320
        assert 600 < image.height < 1000
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 50  # lines, spans and letters
    assert main(command) == 0
    assert capsys.readouterr().out.encode() == (tmp_path / "log").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "plot.png", "site.toml"]
    assert main([*command, "--camera", "door", "--at", "2026-03-01T22:00:00Z"]) == 0
    first, *_ = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["id"] == "test/door/replay/1"
    assert first["started_at"].startswith("2026-03-01T22:00:0")
    assert first["latency_ms"] is None


@pytest.mark.parametrize("decoder", ["auto", "opencv"])
def test_the_scene_of_people_replays(decoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hands fall, and a person moves to the side."""
    config, plot = camera_site(tmp_path, source=f'demo:people"\ndecoder = "{decoder}'), tmp_path / "people.png"
    assert main(["replay", "demo:people", "--config", str(config), "--plot", str(plot)]) == 0
    output = capsys.readouterr()
    labels = [event["label"] for event in map(json.loads, output.out.splitlines()) if event["type"] == "start"]
    assert {"down", "left"} <= set(labels)
    with Image.open(plot) as image:
        orange = [colour for _, colour in image.convert("RGB").getcolors(1 << 20) or [] if colour[0] > colour[2] + 150]
    assert len(orange) > 100, "the pullover of the first person, in the thumbnails"


def test_the_motion_gate_changes_no_event(
    chain: Callable[..., ReplayChain], runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object rests for long, moves, rests, and moves again: still scenes are not computed, with the same events."""
    still, right, pause, left = (list(islice(pictures(), *at)) for at in STANDS_AND_MOVES)
    script = [*still[:1] * 8 * RATE, *right, *right[-1:] * 5 * RATE, *pause[:1] * RATE, *left, *left[-1:] * 4 * RATE]
    video = tmp_path / "yard.mp4"
    write_video(script, RATE, video)
    computed: list[int] = []
    classify = runtime.classify
    monkeypatch.setattr(runtime, "classify", lambda rings: computed.append(1) or classify(rings))
    logs, counts = [], []
    for gate in (True, False):
        chosen = Config.model_validate({"camera": [{"name": "yard", "source": str(video), "motion_gate": gate}]})
        computed.clear()
        logs.append(actions(list(chain(chosen).play(read_file(video)))))
        counts.append(len(computed))
    assert logs[0] == logs[1]
    assert [label for kind, label, _ in logs[0] if kind == "start"] == ["right", "left"]
    assert counts[0] < 0.8 * counts[1]


class CameraRecorder:
    """Records the events that a camera publishes."""

    def __init__(self) -> None:
        self.events: list[ActionEvent] = []

    def last_seq(self, camera: str) -> int:
        return 0

    def event(self, event: ActionEvent) -> None:
        self.events.append(event)

    def action(self, camera: str, label: str | None, zone: str | None = None) -> None:
        pass

    def camera_status(self, status: CameraStatus) -> None:
        pass


@pytest.mark.parametrize("zones", [(), ("gate",)])
def test_a_served_camera_publishes_the_same_events(
    zones: tuple[str, ...],
    video: Path,
    motion: Model,
    runtime: Runtime,
    chain: Callable[..., ReplayChain],
    tmp_path: Path,
) -> None:
    chosen = config(video, zone=[{"name": name, "region": (0.05, 0.1, 0.9, 0.85)} for name in zones])
    events = list(chain(chosen).play(read_file(video)))

    def fail(error: BaseException) -> None:
        raise AssertionError from error

    scheduler, log = Scheduler(fail), CameraRecorder()
    engine, ref = Engine(runtime, motion.manifest.input), motion.ref("fp32")
    resolved = resolved_zones(chosen, chosen.camera[0])
    settings = tuple(ZoneSettings.of(chosen, "yard", zone, "b007", motion, ref, engine) for zone in resolved)
    camera = Camera(CameraSettings(chosen.camera[0], chosen, tmp_path, settings), scheduler, log)  # type: ignore[arg-type]
    scheduler.start()
    camera.start()
    camera.join(PROGRAM_S)
    scheduler.stop(drop=False)
    expected = [
        ("start", "right", None),
        ("end", "right", "below_threshold"),
        ("start", "left", None),
        ("end", "left", "video_ended"),
    ]
    for published in (log.events, events):
        assert {event.zone for event in published} == set(zones or [None])
        assert [event.seq for event in published] == list(range(1, len(published) + 1))
        for zone in zones or [None]:
            assert actions([event for event in published if event.zone == zone]) == expected


def test_a_gap_in_the_recording_interrupts_the_stream(video: Path, chain: Callable[..., ReplayChain]) -> None:
    def with_gap() -> Iterator[Frame]:
        return (frame for frame in read_file(video) if not 4 < frame.pts_ns / NS_PER_S < 4.6)

    one = chain(config(video))
    events = list(one.play(with_gap()))
    assert actions(events)[:2] == [("start", "right", None), ("end", "right", "stream_lost")]
    assert [clip for clip in one.zones[0].scores.clips[:-1] if not clip.scores]  # the curve is interrupted
    wide = config(video)
    patient = wide.camera[0].model_copy(update={"max_gap_s": 0.7})
    events = list(chain(wide, patient).play(with_gap()))
    assert actions(events)[1] == ("end", "right", "below_threshold")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["{}/gone.mp4"], 66, "gone.mp4: No such file"),
        (["{}/site.toml"], 66, r"site\.toml: \w+"),
        (["{}"], 66, "a folder, not a video"),
        (["rtsp://me:secret@x/y"], 66, r"rtsp://me:\*\*\*@x/y: not a recording; name a video file"),
        (["{}/gone.mp4", "--camera", "dor"], 78, "site.toml: no camera is named 'dor'; did you mean 'door'?"),
        (["{}/gone.mp4", "--zone", "gate"], 78, "site.toml: camera yard has no zone named 'gate'; it has no zones"),
        (["{}/gone.mp4", "--plot", "{}/plot.jpg"], 78, r"plot\.jpg: --plot writes a PNG"),
    ],
)
def test_what_cannot_be_replayed_is_reported_in_one_line(
    arguments: list[str], status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--camera", "yard", "--config", str(site(tmp_path))]
    assert main(["replay", *options, *(argument.format(tmp_path) for argument in arguments)]) == status
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert re.match(f"edge-tdn: .*{message}", line)


def test_a_recording_shorter_than_a_clip_has_no_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(islice(pictures(), RATE), RATE, tmp_path / "short.mp4")
    (tmp_path / "link.png").symlink_to("plot.png")
    options = ["--config", str(site(tmp_path)), "--plot", str(tmp_path / "link.png")]
    assert main(["replay", str(tmp_path / "short.mp4"), *options]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "no clip: the recording has no unbroken 2.4 s, which a clip of this model needs" in output.err
    assert (tmp_path / "link.png").is_symlink()
    with Image.open(tmp_path / "plot.png") as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("one.png", "a PNG picture or animation, not a video; convert an animation to a video first"),
        ("one.jpg", "one picture, not a video"),
        ("one.mp4", "a single picture, not a recording; name a video file"),
    ],
)
def test_a_single_picture_is_not_a_recording(
    name: str, reason: str, make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "one.mp4":
        make_video(frames=1, name=name)
    else:
        Image.new("RGB", (320, 240), "red").save(tmp_path / name)
    options = ["--config", str(site(tmp_path)), "--json", str(tmp_path / "log")]
    assert main(["replay", str(tmp_path / name), *options]) == 66
    assert f"{name}: {reason}" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit((tmp_path / "pipe").read_bytes)
        write_output(tmp_path / "pipe", b"events\n")
        assert reader.result(PROGRAM_S) == b"events\n"
    assert (tmp_path / "pipe").is_fifo()
