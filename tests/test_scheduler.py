"""One runtime for many cameras: right windows, breaks in their place, and even shedding."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Scores, Segment
from edge_tdn.scheduler import Item, Lane, Scheduler, compute
from tests.fakes import FakeRuntime, segment

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


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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


def test_cameras_take_turns_and_an_overloaded_host_sheds_evenly() -> None:
    """Three cameras at 100 segments a second on a runtime that classifies 50 clips a second."""
    runtime = FakeRuntime(classify_s=0.02)
    scheduler = Scheduler(runtime, SPEC, fail)
    heard = [Heard() for _ in range(3)]
    lanes = [scheduler.lane(1, h.scored, h.broken) for h in heard]
    scheduler.start()
    for n in range(120):
        for one in lanes:
            scheduler.submit(one, segment(n % 200))
        time.sleep(0.01)
    waited = max(len(one.waiting) for one in lanes)
    scheduler.stop(drop=True)
    counts = [len(h.scores) for h in heard]
    assert min(counts) >= 8
    assert max(counts) - min(counts) <= 2
    assert all(one.shed >= 60 for one in lanes)
    assert waited <= SPEC.segments + 1
    latencies = [(s.scored_ns - s.received_ns) / 1e6 for h in heard for s in h.scores]
    assert max(latencies) < 400  # ms: bounded by the turns of the others, not by the length of the test
    assert runtime.threads == {"runtime"}


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


def test_a_still_scene_costs_nothing_so_that_it_has_no_turn_to_wait_for() -> None:
    """Two cameras move and two are still: the still ones have a clip per segment, however slow the runtime is."""
    scheduler = Scheduler(FakeRuntime(classify_s=0.02), SPEC, fail)
    heard = [Heard() for _ in range(4)]
    lanes = [scheduler.lane(1, h.scored, h.broken) for h in heard]
    scheduler.start()
    for n in range(30):
        for number, one in enumerate(lanes):
            scheduler.submit(one, segment(n, still=number < 2))
        time.sleep(0.025)
    scheduler.stop(drop=True)
    assert all(one.gated >= 20 for one in lanes[:2])
    assert all(one.shed <= 4 for one in lanes[:2])
    assert all(one.shed >= 8 for one in lanes[2:])


@dataclass
class Course:
    """What one camera submits, turn after turn. The picture of segment n is n."""

    turns: list[list[Item]] = field(default_factory=list)
    still: list[bool] = field(default_factory=list)  # of segment n
    joined: list[bool] = field(default_factory=list)  # segment n follows on segment n-1: no break, no jump in the grid


@st.composite
def courses(draw: st.DrawFn) -> Course:
    course, index, joined = Course(turns=[[]]), 0, False
    kinds = st.sampled_from(["moving", "still", "still", "break", "jump", "anew"])
    for kind, length in draw(st.lists(st.tuples(kinds, st.integers(1, 9)), max_size=12)):
        if kind == "break":
            course.turns[-1].append("stream_lost")
        index += length if kind == "jump" else 0
        index = 0 if kind == "anew" else index
        joined = joined and kind in ("moving", "still")
        for _ in range(length if kind in ("moving", "still") else 0):
            course.turns[-1].append(segment(index, len(course.still), kind == "still"))
            course.still.append(kind == "still")
            course.joined.append(joined)
            index, joined = index + 1, True
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


def test_stopping_tells_the_breaks_and_computes_nothing_more() -> None:
    """A stop is heard within one turn, however many cameras wait for theirs."""
    scheduler = Scheduler(FakeRuntime(classify_s=0.3), SPEC, fail)
    heard = [Heard() for _ in range(16)]
    for one in [scheduler.lane(1, h.scored, h.broken) for h in heard]:
        for n in range(4):
            scheduler.submit(one, segment(n))
        scheduler.submit(one, "shutdown")
    scheduler.start()
    began = time.monotonic()
    scheduler.stop(drop=True)
    assert time.monotonic() - began < 1
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
    assert done.wait(5)
    assert str(failures[0]) == "no more memory"
    scheduler.stop(drop=True)
