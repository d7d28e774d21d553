"""The zones of one camera: their pictures, clips, events and thresholds; fed frame by frame, or from a file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.capture.video_file import read_file
from edge_tdn.capture.zone_view import ZoneViews
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.demo.demo_clip import demo_clip
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.messages import Frame
from edge_tdn.service.camera import Camera
from edge_tdn.service.camera_status import CameraStatusTracker
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.camera_zones import CameraZones
from edge_tdn.service.recorder_slot import RecorderSlot
from edge_tdn.service.zone import Zone
from tests.support.actions import NumberReader, numbered_frame
from tests.support.decisions import PROMPT
from tests.support.fakes import FakeRuntime, PublisherLog, fail
from tests.support.waiting import eventually
from tests.support.zones import camera_settings, compute_all

RATE = 15
UPPER, LOWER = {"name": "upper", "region": [0, 0, 1, 0.5]}, {"name": "lower", "region": [0, 0.5, 1, 0.5]}


def configured(zones: Sequence[dict[str, object]] = (), **tables: object) -> Config:
    camera = {"name": "door", "source": "demo:", "motion_gate": False, "zone": zones}
    return Config.model_validate({"host": "here", "decide": PROMPT, "camera": [camera], **tables})


class PlayedZones:
    """The zones of a camera, fed frame by frame. Clips are computed at once, on the test's thread."""

    def __init__(self, model: Model, engine: Engine, config: Config) -> None:
        self.publisher: Any = PublisherLog()
        topics, self._scheduler, numbers = CameraTopics(self.publisher, "door"), Scheduler(fail), EventNumbers()
        settings = camera_settings(config, model, engine=engine)
        table: CameraConfig = settings.table
        self.zones = CameraZones(
            [Zone(own, table.max_gap_s, self._scheduler, topics, RecorderSlot(), numbers) for own in settings.zones]
        )
        self.tracker = CameraStatusTracker(table, topics, self.zones)
        self.tracker.change("streaming", "")

    def play(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.zones.push(frame)
            self.compute()

    def compute(self) -> None:
        for _ in self.zones.zones:
            self._scheduler.turn()

    def events(self, zone: str | None = None) -> list[tuple[str, str, str | None]]:
        return [(one.type, one.label, one.reason) for one in self.publisher.events if one.zone == zone]


def numbered(first: int, last: int, size: tuple[int, int] = (120, 160)) -> Iterator[Frame]:
    return (numbered_frame(number, number / RATE, size=size) for number in range(first, last))


@pytest.fixture
def reader(motion: Model) -> Engine:
    """Sees an action, `up`, from frame 40 to 49."""
    return Engine(NumberReader(motion.manifest.input.segments, range(40, 50)), motion.manifest.input)


def test_one_zone_that_is_the_whole_picture_changes_no_event_but_for_its_name(motion: Model) -> None:
    """With the real network; a second zone beside it changes nothing either."""
    frames = list(islice(read_file(demo_clip()), 330))
    assert frames[0].decoded.size[0] % 2 == frames[0].decoded.size[1] % 2 == 0
    found = []
    whole, other = {"name": "all"}, {"name": "part", "region": [0.3, 0.2, 0.4, 0.6]}
    for zones in ([], [whole], [whole, other]):
        with closing(open_runtime(motion, threads=1)) as runtime:
            played = PlayedZones(motion, Engine(runtime, motion.manifest.input), configured(zones))
            played.play(frames)
        events = [one for one in played.publisher.events if one.zone in (None, "all")]
        assert {one.zone for one in events} == {"all" if zones else None}
        found.append([one.model_dump(exclude={"zone", "latency_ms", "id", "seq"}) for one in events])
        if len(zones) < 2:
            assert [one.seq for one in events] == list(range(1, len(events) + 1))
    assert len(found[0]) > 4
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_the_events_of_all_zones_have_one_row_of_numbers_even_if_one_zone_fails(
    motion: Model, reader: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decisions on one zone stop midway, with numbers taken that no event has."""
    played = PlayedZones(motion, reader, configured([UPPER, LOWER, {"name": "all"}]))
    played.play(numbered(0, 44))
    assert [played.events(zone)[-1][1] for zone in ("upper", "lower", "all")] == ["up"] * 3
    recognition = played.zones.zones[1].recognition

    def broken(*_: object) -> None:
        recognition._numbers.take()
        raise KeyError("up")

    with monkeypatch.context() as patch:
        patch.setattr(recognition._decider, "push", broken)
        played.play(numbered(44, 50))
    assert ("end", "up", "failed") in played.events("lower")
    assert ("end", "up", "failed") not in played.events("upper") + played.events("all")
    played.play(numbered(50, 70))
    events = played.publisher.events
    assert [one.seq for one in events] == list(range(1, len(events) + 1))
    for zone in ("upper", "all"):
        assert [kind for kind, label, _ in played.events(zone) if label == "up" and kind != "update"] == [
            "start",
            "end",
        ]
    assert len({one.id for one in events}) == sum(one.type == "start" for one in events)


def test_a_zone_that_fails_is_named_in_the_status(
    motion: Model, reader: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = PlayedZones(motion, reader, configured([UPPER, LOWER]))
    monkeypatch.setattr(played.zones.zones[1].recognition, "_decide", fail)
    played.play(numbered(0, 44))
    status = played.tracker.status()
    assert status.reason.startswith("zone lower: no action: ")
    assert [one.reason == "" for one in status.zones] == [True, False]
    assert [(one.zone, one.action) for one in status.zones] == [("upper", "up"), ("lower", None)]


def test_a_zone_of_too_few_pixels_is_named_and_the_others_continue(motion: Model, reader: Engine) -> None:
    """Until the picture is large enough."""
    strip = {"name": "strip", "region": [0, 0, 1, 0.2]}
    played = PlayedZones(motion, reader, configured([strip, LOWER]))
    played.play(numbered(0, 44))
    status = played.tracker.status()
    reason = "160x24 pixels of the picture of 160x120; a zone needs at least 32x32: enlarge it, or take a larger stream"
    assert status.reason == f"zone strip: {reason}"
    assert [(one.zone, one.reason, one.clips > 0) for one in status.zones] == [
        ("strip", reason, False),
        ("lower", "", True),
    ]
    assert played.events("strip") == []
    assert played.events("lower")[-1][1] == "up"
    played.play(numbered(44, 90, size=(240, 320)))
    status = played.tracker.status()
    assert status.reason == ""
    assert (status.zones[0].width, status.zones[0].height, status.zones[0].clips > 0) == (320, 48, True)


def test_a_zone_that_becomes_too_small_ends_its_action(motion: Model, reader: Engine) -> None:
    """The camera's picture shrinks while it streams: no frame of the zone comes any more."""
    band = {"name": "band", "region": [0, 0, 1, 0.3]}
    played = PlayedZones(motion, reader, configured([band, {"name": "all"}]))
    played.play(numbered(0, 44))
    assert played.events("band")[-1][:2] == ("start", "up")
    played.play(numbered(44, 46, size=(60, 80)))
    assert played.events("band")[-1] == ("end", "up", "stream_lost")
    assert played.tracker.status().zones[0].action is None


def test_a_zone_that_moves_sees_nothing_of_where_it_was(
    motion: Model, reader: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it moves in the moment in which a frame is cut for the zones."""
    played = PlayedZones(motion, reader, configured([UPPER]))
    played.play(numbered(0, 44))
    (zone,) = played.zones.zones
    (moved,) = camera_settings(configured([UPPER | {"region": [0, 0, 0.5, 1]}]), motion, engine=reader).zones
    split = ZoneViews.split

    def moving(views: ZoneViews, frame: Frame) -> list[Frame]:
        parts = split(views, frame)
        monkeypatch.undo()
        zone.change(moved, zone.pipeline_for(moved))
        played.zones.replace([zone])
        return parts

    monkeypatch.setattr(ZoneViews, "split", moving)
    played.play(numbered(44, 45))
    assert played.events("upper")[-1] == ("end", "up", "shutdown")
    assert zone.feed.pipeline.window.runs == 0, "this frame is of the old place"
    played.play(numbered(45, 90))
    assert (zone.size, zone.feed.pipeline.window.runs) == ((120, 80), 1)


def test_zones_have_their_own_hop_model_limits_and_counts(motion: Model, reader: Engine) -> None:
    slow = UPPER | {"hop": 2, "decide": {"only": ["down"]}}
    played = PlayedZones(motion, reader, configured([slow, LOWER]))
    played.play(numbered(0, 90))
    upper, lower = played.tracker.status().zones
    assert (upper.hop, lower.hop) == (2, 1)
    assert 2 * upper.clips == pytest.approx(lower.clips, abs=2)
    assert played.events("upper") == []
    assert played.tracker.status().clips == upper.clips + lower.clips


class ServedZones:
    """A camera with zones on a fake runtime. Nothing is started yet."""

    def __init__(self, motion: Model, config: Config, folder: Path = Path()) -> None:
        spec = motion.manifest.input
        self.publisher: Any = PublisherLog()
        self.scheduler = Scheduler(fail)
        settings = camera_settings(config, motion, folder, Engine(FakeRuntime(spec.segments), spec))
        self.camera = Camera(settings, self.scheduler, self.publisher)

    def thresholds(self) -> list[tuple[float, float]]:
        found = [zone.recognition.thresholds for zone in self.camera.zones]
        return [(one.enter, one.exit) for one in found]


def test_thresholds_are_those_of_one_zone_or_of_all(motion: Model) -> None:
    served = ServedZones(motion, configured([UPPER, LOWER | {"decide": {"only": ["left", "right"]}}]))
    camera = served.camera
    before = served.thresholds()[0]
    assert camera.set_thresholds(0.9, 0.2, None, "lower") == (0.9, 0.2)
    assert served.thresholds() == [before, (0.9, 0.2)]
    assert [one.thresholds.enter for one in served.publisher.statuses[-1].zones] == [before[0], 0.9], "it is published"
    assert camera.set_thresholds(0.8, 0.3, None) == (0.8, 0.3)
    assert served.thresholds() == [(0.8, 0.3)] * 2
    assert camera.set_thresholds(0.5, 0.4, "up") == (0.5, 0.4), "the zone without this action is passed over"
    assert [one.thresholds.actions for one in camera.status().zones][1] == {}
    for arguments, why in (
        ((0.5, 0.4, None, "uper"), "no zone 'uper'; did you mean 'upper'?"),
        ((0.5, 0.4, "up", "lower"), "no action 'up' is reported; there are: left, right"),
        ((0.5, 0.4, "fly", None), "no action 'fly' is reported"),
        ((0.5, 0.6, None, None), "0 <= exit <= enter <= 1 is required"),
    ):
        with pytest.raises(ValueError, match=why.replace("?", r"\?")):
            camera.set_thresholds(*arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no zone 'upper'; the camera has no zones"):
        ServedZones(motion, configured()).camera.set_thresholds(0.5, 0.4, None, "upper")


def test_a_late_picture_of_a_zone_that_has_left_is_not_published(motion: Model) -> None:
    """Its recorder may still draw it, and the topic would stay at the broker."""
    served = ServedZones(motion, configured([UPPER, LOWER]))
    camera, topics = served.camera, served.camera._topics
    topics.snapshot(b"one", "upper")
    for zones, late in (([LOWER], b"two"), ([LOWER, UPPER], b"three")):
        settings = camera_settings(configured(zones), motion, engine=camera.zones[0].settings.engine)
        camera.change(settings, camera.prepare_zones(settings))
        topics.snapshot(late, "upper")
    assert served.publisher.zone_snapshots == [("upper", b"one"), ("upper", b"three")]
    assert served.publisher.snapshots == [b"one", b"three"]


def test_a_camera_with_zones_plays_a_file_and_leaves_nothing_on_its_topics(
    motion: Model, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    """As one without: clips of each zone, ends, and no action afterwards."""
    video = make_video(frames=90, rate=30, height=120, width=160)
    camera = {"name": "door", "source": str(video), "motion_gate": False, "zone": [UPPER, LOWER]}
    served = ServedZones(motion, configured(camera=[camera]), tmp_path)
    served.scheduler.start()
    try:
        served.camera.start()
        assert served.publisher.zone_actions == [("upper", None), ("lower", None)]
        eventually(lambda: not served.camera.running)
        compute_all(served.scheduler)
        served.scheduler.run_between_turns(served.camera.leave)
        served.camera.dismiss(removed=True)
    finally:
        served.scheduler.stop(drop=True)
    status = served.camera.status()
    assert [(one.zone, one.width, one.height) for one in status.zones] == [("upper", 160, 60), ("lower", 160, 60)]
    assert status.zones[0].clips + status.zones[0].shed == status.zones[1].clips + status.zones[1].shed > 0
    assert {zone for zone, _ in served.publisher.zone_actions[-2:]} == {"upper", "lower"}
    assert [label for _, label in served.publisher.zone_actions[-2:]] == [None, None]
