"""One runtime for many cameras: right windows, breaks in their place, and even shedding."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_tdn.inference import scheduler as scheduler_module
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.scheduler import LATE, RECENT, Item, Lane, Pace, Scheduler, Successor, compute
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_MS, NS_PER_S, Scores, Segment
from tests.support.fakes import FakeRuntime, segment

SPEC = InputSpec(segments=4, height=32, width=32, resize="stretch", frame_rate=10, segment_stride=2)


class Heard:
    """What a camera is told, in order: windows as lists of segment values, breaks as text."""

    def __init__(self) -> None:
        self.said: list[list[int] | str] = []
        self.scores: list[Scores] = []

    def scored(self, scores: Scores) -> None:
        self.scores.append(scores)
        self.said.append([int(value) for value in scores.logits])

    def broken(self, reason: str) -> None:
        self.said.append(reason)


def lane(heard: Heard, hop: int = 1) -> Lane:
    return Lane(FakeRuntime().ring(), SPEC, hop, heard.scored, heard.broken)


def turn(one: Lane, items: Sequence[Item]) -> None:
    compute(FakeRuntime(), [(one, items)])


def fail(error: BaseException) -> None:
    raise AssertionError from error


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Host:
    """A scheduler whose time is counted, not waited for: a turn's clips take so long, all else takes none."""

    def __init__(self, patch: pytest.MonkeyPatch, spec: InputSpec, classify_s: float) -> None:
        host = self

        class Slow(FakeRuntime):
            def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
                host.now_ns += round(classify_s * NS_PER_S)
                return super().classify(rings)

        self.now_ns = 0
        self.scheduler = Scheduler(Slow(), spec, fail)
        self.lanes: list[Lane] = []
        self.most_waiting = 0
        patch.setattr(scheduler_module, "time", self)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def camera(self) -> tuple[Lane, Heard]:
        heard = Heard()
        self.lanes.append(self.scheduler.lane(1, heard.scored, heard.broken))
        return self.lanes[-1], heard

    def serve(self, arrivals: Iterable[tuple[float, Lane, Item]]) -> None:
        """Each item comes so many seconds from now; they are in order. Turns begin as soon as something waits."""
        began_ns = self.now_ns
        for at_s, one, item in arrivals:
            at_ns = began_ns + round(at_s * NS_PER_S)
            self._compute_until(at_ns)
            self.now_ns = max(self.now_ns, at_ns)
            if isinstance(item, Segment):
                item = replace(item, received_ns=at_ns, ready_ns=at_ns)
            self.scheduler.submit(one, item)
            self.most_waiting = max(self.most_waiting, len(one.waiting))

    def finish(self) -> None:
        """Computes what waits."""
        self._compute_until(self.now_ns + 1000 * NS_PER_S)

    def _compute_until(self, at_ns: int) -> None:
        while self.now_ns < at_ns and any(one.waiting for one in self.lanes):
            self.scheduler.turn()


def test_every_hop_classifies_the_last_segments() -> None:
    heard = Heard()
    one = lane(heard, hop=2)
    for n in range(9):
        turn(one, [segment(n)])
    assert heard.said == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert (one.shed, one.achieved_hop) == (0, 2)
    last = heard.scores[-1]
    assert (last.from_ns, last.newest_ns, last.to_ns) == (400, 700, 780)
    assert (last.frames, last.dropped) == (20, 4)


def test_a_clip_of_an_ensemble_counts_the_frames_of_all_its_networks() -> None:
    heard = Heard()
    spec = SPEC.model_copy(update={"per_segment": (1, 2)})
    one = Lane(FakeRuntime().ring(), spec, 1, heard.scored, heard.broken)
    turn(one, [segment(n) for n in range(4)])
    assert [scores.frames for scores in heard.scores] == [4 * (5 + 10)]


def test_no_clip_spans_a_jump_in_the_grid() -> None:
    heard = Heard()
    one = lane(heard)
    for index in (0, 1, 2, 3, 4, 0, 1, 2, 3):
        turn(one, [segment(index)])
    assert heard.said == [[0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3]]


def test_a_break_is_told_between_the_segments_where_it_happened() -> None:
    heard = Heard()
    one = lane(heard)
    turn(one, [*(segment(n) for n in range(4)), "stream_lost", *(segment(n, 10 + n) for n in range(4))])
    assert heard.said == [[0, 1, 2, 3], "stream_lost", [10, 11, 12, 13]]


def test_what_waited_together_is_classified_once_and_counted_as_shed() -> None:
    heard = Heard()
    one = lane(heard)
    turn(one, [segment(n) for n in range(4)])
    turn(one, [segment(n) for n in range(4, 7)])
    assert heard.said == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert (one.shed, one.achieved_hop) == (2, 3)


def test_never_more_than_a_clip_waits_and_breaks_are_kept() -> None:
    one = lane(Heard())
    one.put("stream_lost")
    for n in range(10):
        one.put(segment(n))
    assert one.waiting[0] == "stream_lost"
    assert [item.index for item in one.waiting[1:] if not isinstance(item, str)] == [6, 7, 8, 9]
    assert one.shed == 6


def test_a_break_after_a_break_is_the_same_break() -> None:
    one = lane(Heard())
    for _ in range(100):
        one.put("stream_lost")
    assert one.waiting == ["stream_lost"]


def test_segments_that_were_never_encoded_count_as_shed_too() -> None:
    heard = Heard()
    one = lane(heard)
    turn(one, [segment(n) for n in range(4)])
    for n in range(4, 13):
        one.put(segment(n))
    turn(one, one.waiting)
    assert heard.said == [[0, 1, 2, 3], [9, 10, 11, 12]]
    assert (one.shed, one.achieved_hop) == (8, 9)  # five never encoded, three encoded without a clip of their own


def test_cameras_take_turns_and_an_overloaded_host_sheds_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three cameras at 100 segments a second on a runtime that classifies 50 clips a second."""
    host = Host(monkeypatch, SPEC, classify_s=0.02)
    lanes, heard = zip(*(host.camera() for _ in range(3)), strict=True)
    host.serve((n / 100, one, segment(n)) for n in range(120) for one in lanes)
    counts = [len(h.scores) for h in heard]
    assert min(counts) >= 18
    assert max(counts) - min(counts) <= 1
    assert all(one.shed >= 60 for one in lanes)
    assert host.most_waiting <= SPEC.segments
    latencies = [(s.scored_ns - s.received_ns) / NS_PER_MS for h in heard for s in h.scores]
    assert max(latencies) <= 80  # bounded by the turns of the others, not by the length of the test


def test_cameras_hand_over_from_threads_of_their_own() -> None:
    """As fast as they can: whatever is shed, each hears clips of its own segments, in order, and the last one."""
    runtime = FakeRuntime(classify_s=0.001)
    scheduler = Scheduler(runtime, SPEC, fail)
    heard = [Heard() for _ in range(4)]
    lanes = [scheduler.lane(1, h.scored, h.broken) for h in heard]

    def camera(number: int) -> None:
        for n in range(100):
            scheduler.submit(lanes[number], segment(n, 50 * number + n % 50))

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(4)]
    scheduler.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scheduler.stop(drop=False)
    assert runtime.threads == {"runtime"}
    for number, h in enumerate(heard):
        newest = [scores.newest_ns // 100 for scores in h.scores]
        assert newest == sorted(set(newest))
        assert h.said == [[50 * number + (last - 3 + n) % 50 for n in range(4)] for last in newest]
        assert newest[-1] == 99


def test_cameras_go_through_together_as_many_as_the_runtime_takes() -> None:
    """Five cameras that all have a clip, two at a time: three turns, each as slow as one clip."""
    runtime = FakeRuntime(batch=2)
    scheduler = Scheduler(runtime, SPEC, fail)
    heard = [Heard() for _ in range(5)]
    for number, one in enumerate([scheduler.lane(1, h.scored, h.broken) for h in heard]):
        for n in range(4):
            scheduler.submit(one, segment(n, 10 * number + n))
    scheduler.start()
    scheduler.stop(drop=False)
    assert [h.said for h in heard] == [[[10 * number + n for n in range(4)]] for number in range(5)]
    assert runtime.classified == [2, 2, 1]
    assert runtime.encoded == [2] * 10  # the last camera's four too: a ring takes several


def test_a_camera_waits_for_no_others() -> None:
    runtime = FakeRuntime(batch=32)
    scheduler = Scheduler(runtime, SPEC, fail)
    heard = Heard()
    one = scheduler.lane(1, heard.scored, heard.broken)
    scheduler.lane(1, heard.scored, heard.broken)
    scheduler.start()
    for n in range(4):
        scheduler.submit(one, segment(n))
    until(lambda: heard.said == [[0, 1, 2, 3]])
    scheduler.stop(drop=True)


def test_a_still_scene_is_computed_once_and_its_scores_are_repeated() -> None:
    heard, runtime = Heard(), FakeRuntime()
    one = Lane(runtime.ring(), SPEC, 1, heard.scored, heard.broken)
    for n in range(10):
        compute(runtime, [(one, [segment(n, still=n > 1)])])
    moving, still = [[0, 1, 2, 3], [1, 2, 3, 4]], [2, 3, 4, 5]
    assert heard.said == [*moving, still, still, still, still, still]
    assert (len(runtime.encoded), len(runtime.classified)) == (6, 3)
    assert (one.gated, one.shed, one.achieved_hop) == (4, 0, 1)
    assert [s.to_ns for s in heard.scores] == [n * 100 + 80 for n in range(3, 10)]
    assert [s.from_ns for s in heard.scores] == [n * 100 for n in range(7)]


def test_the_first_movement_has_the_still_segments_before_it_in_its_clip() -> None:
    heard, runtime = Heard(), FakeRuntime()
    one = Lane(runtime.ring(), SPEC, 1, heard.scored, heard.broken)
    for n in range(20):
        compute(runtime, [(one, [segment(n, still=True)])])
    encoded = len(runtime.encoded)
    compute(runtime, [(one, [segment(20)])])
    assert heard.said[-2:] == [[0, 1, 2, 3], [17, 18, 19, 20]]
    assert len(runtime.encoded) - encoded == 4  # the others had been let go
    assert (one.gated, one.shed, one.achieved_hop) == (16, 0, 1)


def test_a_still_scene_costs_nothing_so_that_it_has_no_turn_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cameras move and two are still: the still ones have a clip per segment, however slow the runtime is."""
    host = Host(monkeypatch, SPEC, classify_s=0.02)
    still, moving = ([host.camera()[0] for _ in range(2)] for _ in range(2))
    host.serve((0.025 * n, one, segment(n, still=one in still)) for n in range(30) for one in (*still, *moving))
    assert all(one.gated >= 20 for one in still)
    assert all(one.shed <= 4 for one in still)
    assert all(one.shed >= 8 for one in moving)


@dataclass
class Course:
    """What one camera submits, turn after turn. The picture of segment n is n."""

    turns: list[list[Item]] = field(default_factory=list)
    still: list[bool] = field(default_factory=list)  # of segment n
    joined: list[bool] = field(default_factory=list)  # segment n follows on segment n-1: no break, no jump in the grid


@st.composite
def courses(draw: st.DrawFn) -> Course:
    course, index, last = Course(turns=[[]]), 0, None
    kinds = st.sampled_from(["moving", "still", "still", "break", "jump", "anew"])
    for kind, length in draw(st.lists(st.tuples(kinds, st.integers(1, 9)), max_size=12)):
        if kind == "break":
            course.turns[-1].append("stream_lost")
            last = None
        index += length if kind == "jump" else 0
        index = 0 if kind == "anew" else index
        for _ in range(length if kind in ("moving", "still") else 0):
            course.turns[-1].append(segment(index, len(course.still), kind == "still"))
            course.still.append(kind == "still")
            course.joined.append(last is not None and index == last + 1)  # as the grid says
            last, index = index, index + 1
            if draw(st.integers(0, 3)):
                course.turns.append([])
    return course


def ungated(item: Item) -> Item:
    return replace(item, still=False) if isinstance(item, Segment) else item


@given(cameras=st.lists(courses(), min_size=1, max_size=4), batch=st.integers(1, 5), hop=st.integers(1, 6))
def test_gate_and_batch_change_no_clip_but_repeat_the_still_ones(cameras: list[Course], batch: int, hop: int) -> None:
    """Against every camera alone, one segment and one clip at a time, all of them computed."""
    runtime = FakeRuntime(batch=batch)
    heard = [Heard() for _ in cameras]
    lanes = [Lane(runtime.ring(), SPEC, hop, h.scored, h.broken) for h in heard]
    for turns in zip_longest(*(course.turns for course in cameras), fillvalue=()):
        compute(runtime, list(zip(lanes, turns, strict=True)))
    assert max([0, *runtime.encoded, *runtime.classified]) <= batch
    assert sum(runtime.classified) == sum(len(h.scores) - one.gated for h, one in zip(heard, lanes, strict=True))

    for course, told, gated in zip(cameras, heard, lanes, strict=True):
        plain = Heard()
        alone = lane(plain, hop)
        for items in course.turns:
            turn(alone, [ungated(item) for item in items])
        assert [times(scores) for scores in told.scores] == [times(scores) for scores in plain.scores]
        assert told.said == repeated(plain.said, course)
        assert (gated.shed, gated.achieved_hop) == (alone.shed, alone.achieved_hop)


def times(scores: Scores) -> tuple[int, ...]:
    return scores.from_ns, scores.newest_ns, scores.to_ns, scores.wall_ns, scores.frames, scores.dropped


def repeated(said: Sequence[list[int] | str], course: Course) -> list[list[int] | str]:
    """What is to be heard where `said` is told without a gate: the first still clip again, until something happens."""
    result: list[list[int] | str] = []
    newest, resting = 0, None  # the last clip's last segment; its logits, if it was still from end to end
    for clip in said:
        if isinstance(clip, str):
            result.append(clip)
            continue
        between = range(newest + 1, clip[-1] + 1)
        if resting is None or not all(course.still[n] and course.joined[n] for n in between):
            resting = clip if all(course.still[n] for n in clip) else None
        result.append(resting or clip)
        newest = clip[-1]
    return result


FAST = SPEC.model_copy(update={"frame_rate": 40})  # a segment lasts 50 ms
SEGMENT_S = 0.05
CLASSIFY_S = 0.01  # five cameras saturate the runtime


def spread(seconds: float, lanes: Sequence[Lane]) -> Iterator[tuple[float, Lane, Item]]:
    """Every lane gets a segment every SEGMENT_S, their phases spread, from segment 0 of a new stretch on."""
    for tick in range(int(len(lanes) * seconds / SEGMENT_S)):
        index, number = divmod(tick, len(lanes))
        yield tick * SEGMENT_S / len(lanes), lanes[number], segment(index, index % 250)


def test_beyond_saturation_latency_stays_flat_and_all_cameras_get_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice and four times what the runtime can do: clips come less often, but not later."""
    for cameras in (10, 20):
        host = Host(monkeypatch, FAST, CLASSIFY_S)
        lanes, heard = zip(*(host.camera() for _ in range(cameras)), strict=True)
        host.serve(spread(1.5, lanes))
        counts = [len(h.scores) for h in heard]
        assert max(counts) - min(counts) <= 2, counts
        assert min(counts) >= 0.8 * (1.5 - 4 * SEGMENT_S) / CLASSIFY_S / cameras
        times = sorted(s.scored_ns / NS_PER_S for h in heard for s in h.scores)
        assert max(later - earlier for earlier, later in pairwise(times)) < 2 * SEGMENT_S  # it never stopped
        latencies = [(s.scored_ns - s.ready_ns) / NS_PER_S for h in heard for s in h.scores]
        assert median(latencies) < 2 * SEGMENT_S  # one queue for all would have made it half the test's length
        assert all(one.achieved_hop > 1 for one in lanes)
        assert all(one.shed >= 4 for one in lanes)
        assert all(one.pace.verdict.startswith("host too slow: a clip every ") for one in lanes)


def test_that_the_host_is_too_slow_is_said_once_and_taken_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten cameras where five would do; then they go, but for one, whose stream goes on."""
    monkeypatch.setattr(scheduler_module, "LOG_EVERY_S", 0.0)
    caplog.set_level(logging.INFO, "edge_tdn.inference.scheduler")
    host = Host(monkeypatch, FAST, CLASSIFY_S)
    lanes = [host.camera()[0] for _ in range(10)]
    host.serve(spread(1.5, lanes))
    (warning,) = caplog.messages
    assert warning.startswith("host too slow: a clip every ")
    assert warning.split("; ")[0].endswith(" segments instead of 1")
    assert "fewer cameras, a larger hop or a faster precision" in warning
    host.serve((0.0, one, "stream_lost") for one in lanes[1:])
    host.finish()
    assert not any(one.pace.verdict for one in lanes[1:])
    host.serve((SEGMENT_S * n, lanes[0], segment(30 + n)) for n in range(RECENT + 1))
    host.finish()
    assert lanes[0].pace.verdict == ""
    assert caplog.messages == [warning, "the host keeps up again"]


def test_flapping_does_not_fill_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO, "edge_tdn.inference.scheduler")
    host = Host(monkeypatch, FAST, classify_s=2.5 * SEGMENT_S)
    one, _ = host.camera()
    for _ in range(2):
        host.serve(spread(22 * SEGMENT_S, [one]))
        assert one.pace.verdict
        host.serve([(0.0, one, "stream_lost")])
        host.finish()
        assert not one.pace.verdict
    assert len(caplog.messages) == 1


def test_the_pace_is_judged_by_many_hops() -> None:
    pace = Pace(2, FAST)
    waited_ns = 2 * 50 * NS_PER_MS
    for _ in range(3):
        for _ in range(RECENT):
            pace.push(2, 0)
        for _ in range(LATE - 1):
            pace.push(8, waited_ns)
        assert pace.verdict == ""
    pace.push(8, waited_ns)
    assert pace.verdict == "host too slow: a clip every 2.9 segments instead of 2"
    for _ in range(RECENT):
        assert pace.verdict
        pace.push(2, 0)
    assert pace.verdict == ""


def test_a_camera_whose_pictures_come_in_bursts_does_not_make_the_host_too_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four segments at once: the first is taken, three wait for it, but less long than a segment lasts."""
    host = Host(monkeypatch, FAST, classify_s=0.005)
    one, _ = host.camera()
    host.serve((4 * SEGMENT_S * (n // 4), one, segment(n)) for n in range(40))
    host.finish()
    assert one.shed >= 10
    assert one.pace.verdict == ""


def test_stopping_tells_the_breaks_and_computes_nothing_more() -> None:
    """A stop is heard within one turn, however many cameras wait for theirs."""
    begun, go_on = threading.Event(), threading.Event()

    class Held(FakeRuntime):
        def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
            begun.set()
            assert go_on.wait(60)
            return super().classify(rings)

    runtime = Held()
    scheduler = Scheduler(runtime, SPEC, fail)
    heard = [Heard() for _ in range(16)]
    for one in [scheduler.lane(1, h.scored, h.broken) for h in heard]:
        for n in range(4):
            scheduler.submit(one, segment(n))
        scheduler.submit(one, "shutdown")
    scheduler.start()
    assert begun.wait(60)
    stopping = threading.Thread(target=scheduler.stop, args=(True,))
    stopping.start()
    until(lambda: scheduler._stopping)
    go_on.set()
    stopping.join(60)
    assert runtime.classified == [1]
    assert all(h.said[-1] == "shutdown" for h in heard)


def test_ending_by_itself_computes_what_waits() -> None:
    heard = Heard()
    scheduler = Scheduler(FakeRuntime(), SPEC, fail)
    one = scheduler.lane(1, heard.scored, heard.broken)
    for n in range(4):
        scheduler.submit(one, segment(n))
    scheduler.submit(one, "stream_lost")
    scheduler.start()
    scheduler.stop(drop=False)
    assert heard.said == [[0, 1, 2, 3], "stream_lost"]


def test_a_failing_runtime_is_reported_not_swallowed() -> None:
    class Broken(FakeRuntime):
        def classify(self, ring: object) -> object:  # type: ignore[override]
            raise RuntimeError("no more memory")

    failures: list[BaseException] = []
    done = threading.Event()

    def failed(error: BaseException) -> None:
        failures.append(error)
        done.set()

    scheduler = Scheduler(Broken(), SPEC, failed)  # type: ignore[arg-type]
    one = scheduler.lane(1, lambda _: None, lambda _: None)
    scheduler.start()
    for n in range(4):
        scheduler.submit(one, segment(n))
    assert done.wait(60)
    assert str(failures[0]) == "no more memory"
    scheduler.stop(drop=True)


class Doubling(FakeRuntime):
    """Another model: its features are twice the others'."""

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        super().encode([2 * frames for frames in segments], rings)


@pytest.mark.parametrize("still", [False, True])
def test_another_runtime_takes_over_without_a_clip_too_few(still: bool) -> None:
    """Its first clip has the segments of before in it, in its own features; a still scene is computed anew."""
    first, second, heard = FakeRuntime(), Doubling(), Heard()
    scheduler = Scheduler(first, SPEC, fail)
    one = scheduler.lane(1, heard.scored, heard.broken)
    scheduler.start()
    for n in range(6):
        scheduler.submit(one, segment(n, still=still and n > 0))
        until(lambda n=n: len(heard.said) == max(0, n - 2))  # type: ignore[misc]
    scheduler.exchange(Successor(second), SPEC, lambda: None)
    scheduler.submit(one, segment(6, still=still))
    until(lambda: len(heard.said) == 4)
    scheduler.stop(drop=True)
    assert heard.said[:3] == [[0, 1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4] if still else [2, 3, 4, 5]]
    assert heard.said[3] == [6, 8, 10, 12]
    assert one.shed == 0
    assert second.threads >= {"runtime"}


def test_what_comes_while_another_runtime_catches_up_is_in_its_clips_too() -> None:
    """A stretch that ends meanwhile is forgotten, another camera that is in the midst of its first clip goes on."""
    first, second, heard = FakeRuntime(), Doubling(), [Heard(), Heard()]
    scheduler = Scheduler(first, SPEC, fail)
    lanes = [scheduler.lane(1, h.scored, h.broken) for h in heard]
    successor = Successor(second)
    for one, count in zip(lanes, (5, 2), strict=True):
        compute(first, [(one, [segment(n) for n in range(count)])])
    successor.catch_up(lanes)
    compute(first, [(lanes[0], ["stream_lost", *(segment(n, 50 + n) for n in range(3))]), (lanes[1], [segment(2)])])
    scheduler.start()
    scheduler.exchange(successor, SPEC, lambda: None)
    for one, items in zip(lanes, (segment(3, 53), segment(3)), strict=True):
        scheduler.submit(one, items)
    until(lambda: [len(h.scores) for h in heard] == [2, 1])
    scheduler.stop(drop=True)
    assert heard[0].said == [[1, 2, 3, 4], "stream_lost", [100, 102, 104, 106]]
    assert heard[1].said == [[0, 2, 4, 6]]


def test_a_runtime_that_fails_at_its_first_segment_does_not_take_over() -> None:
    class Broken(FakeRuntime):
        def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
            raise MemoryError

    heard = Heard()
    scheduler = Scheduler(FakeRuntime(), SPEC, fail)
    one = scheduler.lane(1, heard.scored, heard.broken)
    scheduler.start()
    scheduler.submit(one, segment(0))
    until(lambda: not one.waiting and len(one.window()) == 1)
    with pytest.raises(MemoryError):
        scheduler.exchange(Successor(Broken()), SPEC, lambda: fail(AssertionError()))
    for n in range(1, 4):
        scheduler.submit(one, segment(n))
    until(lambda: heard.said == [[0, 1, 2, 3]])
    scheduler.stop(drop=True)
    with pytest.raises(CancelledError):
        scheduler.between_turns(lambda: None)


@pytest.mark.parametrize("rate", [10, 20])
def test_a_takeover_that_fails_half_way_leaves_the_old_runtime_to_every_camera(rate: int) -> None:
    """Also where the new one is fed in another way, so that lanes leave and come anew."""
    heard = [Heard(), Heard()]
    scheduler = Scheduler(FakeRuntime(), SPEC, fail)
    lanes = [scheduler.lane(1, h.scored, h.broken) for h in heard]

    def half_way() -> None:
        scheduler.leave(lanes[0])
        scheduler.lane(1, lambda _: None, lambda _: None)
        raise MemoryError

    scheduler.start()
    for n in range(5):
        for one in lanes:
            scheduler.submit(one, segment(n))
    until(lambda: all(one.window()[-1:] and one.window()[-1].index == 4 for one in lanes))
    with pytest.raises(MemoryError):
        scheduler.exchange(Successor(Doubling()), SPEC.model_copy(update={"frame_rate": rate}), half_way)
    for one in lanes:
        scheduler.submit(one, segment(5))
    until(lambda: [h.said[-1] for h in heard] == [[2, 3, 4, 5]] * 2)
    scheduler.stop(drop=True)


def test_who_leaves_has_its_break_told_and_others_go_on() -> None:
    scheduler, heard = Scheduler(FakeRuntime(classify_s=0.01), SPEC, fail), [Heard(), Heard()]
    leaving, staying = (scheduler.lane(1, h.scored, h.broken) for h in heard)
    scheduler.start()
    for n in range(8):
        scheduler.submit(leaving, segment(n))
        scheduler.submit(staying, segment(n))
    scheduler.submit(leaving, "shutdown")
    scheduler.between_turns(lambda: scheduler.leave(leaving))
    assert heard[0].said[-1] == "shutdown"
    said = len(heard[0].said)
    scheduler.submit(leaving, segment(8))  # of a thread that hung in a library
    scheduler.submit(staying, segment(8))
    until(lambda: heard[1].said[-1:] == [[5, 6, 7, 8]])
    scheduler.stop(drop=False)
    assert len(heard[0].said) == said
