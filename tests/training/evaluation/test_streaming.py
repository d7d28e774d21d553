"""Matching events with intervals, and a reel of known motions through the whole chain."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from edge_tdn_training.__main__ import main
from edge_tdn_training.evaluation.matching import Interval, ReportedEvent, match_events
from edge_tdn_training.evaluation.streaming import StreamResult, read_intervals
from edge_tdn_training.evaluation.timeline import timeline
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture
from edge_tdn.replay.plot import ScoredClip

pytestmark = pytest.mark.training

LABELS = ("open", "fall")
RATE = 15


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[Interval], list[ReportedEvent]]:
    """Draw intervals of which no two overlap, like those of a file, and events of any kind."""
    edges = sorted(draw(st.sets(st.integers(0, 60), max_size=12)))
    spans = [span for span in pairwise(edges) if draw(st.booleans())]
    intervals = [Interval(draw(st.sampled_from(LABELS)), *map(float, span)) for span in spans]
    moments = st.integers(0, 120).map(lambda half: half / 2)
    several = st.lists(st.tuples(st.sampled_from(LABELS), moments, st.integers(0, 30)), max_size=9)
    events = [ReportedEvent(label, start, start + length / 2, start + 0.7) for label, start, length in draw(several)]
    return draw(st.permutations(intervals)), draw(st.permutations(events))


def max_matching(intervals: Sequence[Interval], events: Sequence[ReportedEvent]) -> int:
    """Return the size of a largest matching, by augmenting paths."""
    taken: dict[int, int] = {}

    def place(number: int, tried: set[int]) -> bool:
        for n, interval in enumerate(intervals):
            if n not in tried and events[number].overlaps(interval):
                tried.add(n)
                if n not in taken or place(taken[n], tried):
                    taken[n] = number
                    return True
        return False

    return sum(place(number, set()) for number in range(len(events)))


@given(recordings())
def test_every_event_has_one_outcome_and_hits_are_as_many_as_possible(
    recording: tuple[list[Interval], list[ReportedEvent]],
) -> None:
    intervals, events = recording
    found = match_events(intervals, events, 60.0)
    counts = found.counts()
    used = [match for match in found.matches if match is not None]
    assert len(set(used)) == len(used) == counts.hits == max_matching(intervals, events)
    assert counts.hits + len(found.missed) == len(intervals)
    for number, (event, match) in enumerate(zip(found.events, found.matches, strict=True)):
        touched = [n for n, interval in enumerate(found.intervals) if event.overlaps(interval)]
        outcome = found.outcome(number)
        assert (outcome == "hit") == (match in touched)
        assert (outcome == "stray") == (not touched)
        if outcome == "split":  # every interval that it overlaps has another event
            assert set(touched) <= set(used)
    assert counts.false == counts.splits + sum(found.outcome(n) == "stray" for n in range(len(events)))


@given(recordings(), st.randoms(use_true_random=False), st.sampled_from([0.5, 7.0, 1000.0]))
def test_order_and_time_of_day_do_not_matter(
    recording: tuple[list[Interval], list[ReportedEvent]], shuffled: Random, later_s: float
) -> None:
    intervals, events = recording
    first = match_events(intervals, events, 60.0)
    moved = [replace(one, start_s=one.start_s + later_s, end_s=one.end_s + later_s) for one in intervals]
    later = [
        replace(one, start_s=one.start_s + later_s, end_s=one.end_s + later_s, published_s=one.published_s + later_s)
        for one in events
    ]
    shuffled.shuffle(moved)
    second = match_events(moved, later, 60.0)
    assert second.matches == first.matches
    assert second.counts().delays_s == pytest.approx(first.counts().delays_s)


@given(recordings())
def test_counts_of_labels_add_up_and_background_is_ignored(
    recording: tuple[list[Interval], list[ReportedEvent]],
) -> None:
    intervals, events = recording
    found = match_events(intervals, events, 60.0)
    every, parts = found.counts(), [found.counts(label) for label in LABELS]
    for key in ("intervals", "events", "hits", "splits", "false"):
        assert getattr(every, key) == sum(getattr(part, key) for part in parts)
    without = match_events(intervals, events, 60.0, background=("fall",))
    assert without.counts("open") == found.counts("open")
    assert without.counts("fall").intervals == without.counts("fall").hits == 0


def test_the_figures_of_a_recording_that_was_counted_by_hand() -> None:
    intervals = [Interval("open", 10, 20), Interval("open", 20, 30), Interval("fall", 40, 42), Interval("open", 50, 55)]
    events = [
        ReportedEvent("open", 12, 15, 13.5),  # hit, 3.5 s late
        ReportedEvent("open", 16, 18, 17),  # split
        ReportedEvent("open", 19, 29, 20.5),  # hit: the first interval has its event already
        ReportedEvent("fall", 38, 40, 39),  # stray: it only touches
        ReportedEvent("fall", 42, 44, 43),  # likewise
        ReportedEvent("fall", 51, 54, 52),  # stray: an interval of another label
    ]
    found = match_events(intervals, events, 1800.0)
    assert [found.outcome(n) for n in range(6)] == ["hit", "split", "hit", "stray", "stray", "stray"]
    assert [(one.label, one.start_s) for one in found.missed] == [("fall", 40), ("open", 50)]
    counts = found.counts()
    assert (counts.precision, counts.recall, counts.f1) == (2 / 6, 2 / 4, 4 / 10)
    assert (counts.false, counts.splits, counts.false_per_hour) == (4, 1, 8.0)
    assert counts.mean_delay_s == pytest.approx((3.5 + 0.5) / 2)
    assert found.counts("fall").mean_delay_s is None


def test_no_events_of_a_recording_without_actions() -> None:
    counts = match_events([Interval("still", 0, 60)], [], 60.0, ("still",)).counts()
    assert (counts.precision, counts.recall, counts.f1, counts.false_per_hour) == (None, None, None, 0.0)


SCRIPT = (("still", 2.6), ("left", 2.6), ("still", 2.6), ("right", 2.6), ("still", 2.6))  # label, seconds


def reel() -> Iterator[Picture]:
    scene = Scene(np.random.default_rng(35), 180, 240)
    pose = Pose(0.7, 0.55, 0.3)
    for label, seconds in SCRIPT:
        motion = Motion(label, speed=0.17)
        for number in range(round(seconds * RATE)):
            yield scene.draw(motion.at(pose, number / RATE))
        pose = motion.at(pose, seconds)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video, and its JSON beside it."""
    video = tmp_path_factory.mktemp("reel") / "yard.mp4"
    write_video(reel(), RATE, video)
    edges = np.cumsum([0.0, *(seconds for _, seconds in SCRIPT)])
    spans = zip(SCRIPT, pairwise(edges.tolist()), strict=True)
    segments = [{"label": label, "start_s": start, "end_s": end} for (label, _), (start, end) in spans]
    video.with_suffix(".json").write_text(json.dumps({"fps": RATE, "segments": segments}))
    return video


def test_the_motions_of_a_reel_are_recognised_as_drawn(
    yard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled = yard.with_suffix(".json")
    command = ["evaluate", "--stream", str(yard), str(labelled), "--model", "motion", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())["results"]["fp32"]
    assert (found["all"]["intervals"], found["all"]["hits"], found["all"]["f1"]) == (2, 2, 1.0)
    assert 0.3 < found["all"]["mean_start_delay_s"] < 2.0
    assert [(event["label"], event["outcome"]) for event in found["events"]] == [("left", "hit"), ("right", "hit")]
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("F1", "1.000", "left", "right", "mean start delay"))
    with Image.open(tmp_path / "out" / "timeline-fp32.png") as image:
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 50


def test_a_picture_without_events_has_few_rows() -> None:
    """The picture shows those of 200 actions whose scores come nearest to their thresholds."""
    scores = {f"action {n}": n / 200 for n in range(200)}
    clips = ScoredClip(1.0, scores), ScoredClip(2.0, scores)
    streamed = StreamResult(match_events([], [], 60.0), clips, dict.fromkeys(scores, (0.6, 0.4)))
    with Image.open(io.BytesIO(timeline("a day", streamed))) as image:
        assert 1000 < image.size[1] < 2000


def segments(*spans: tuple[object, ...]) -> str:
    return json.dumps({"segments": [dict(zip(("label", "start_s", "end_s"), span, strict=False)) for span in spans]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file: Invalid JSON"),
        ('{"fps": 25}', "segments: Field required"),
        ('{"segments": []}', "segments: .*at least 1 item.*one interval of a background label"),
        (segments(("left", 0, 2), ("right", 3)), r"segments\[1\].end_s: Field required"),
        (segments(("left", 0, "2")), r"segments\[0\].end_s: .*valid number, got '2'"),
        (segments(("left", -1, 2)), r"segments\[0\].start_s: .*greater than or equal to 0, got -1"),
        (segments(("left", 0, 2), ("right", 5, 4)), r"segments\[1\].end_s: 4 is not after its start_s, 5"),
        (segments(("left", 0, 2), ("right", 1.5, 4)), r"'left' \(0 to 2 s\) and 'right' \(1.5 to 4 s\) overlap"),
        (
            segments(("lift", 0, 2), ("still", 3, 4), ("sit", 4, 5)),
            r"2 label\(s\) that the model does not know: 'lift', 'sit'; did you mean 'left'\? it knows: left, right",
        ),
        (segments(("left", 0, 2), ("right", 3, 14)), r"'right' \(3 to 14 s\) ends after .*, which is 13.0 s"),
    ],
)
def test_invalid_intervals_are_an_error_of_one_line(
    content: str, message: str, yard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "yard.json").write_text(content)
    command = ["evaluate", "--stream", str(yard), str(tmp_path / "yard.json"), "--model", "motion"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"edge-tdn-train: .*yard.json: .*{message}", line)
    assert not (tmp_path / "out").exists()


def test_a_byte_order_mark_before_the_intervals_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "yard.json").write_text(segments(("left", 0, 2)), encoding="utf-8-sig")
    assert read_intervals(tmp_path / "yard.json", ["left"]) == (Interval("left", 0, 2),)


@pytest.mark.data
def test_the_labelled_reels_are_read(data: Path) -> None:
    path = data / "videos/activities_reel.json"
    labels = [segment["label"] for segment in json.loads(path.read_text())["segments"]]
    intervals = read_intervals(path, labels)
    assert [one.label for one in intervals][:2] == ["playing_with_dog", "pouring_coffee"]
    assert (len(intervals), intervals[-1].end_s) == (5, 49.2)
