"""One runtime for many cameras: right windows, breaks in their place, and even shedding."""

import threading
import time
from collections.abc import Callable

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Scores
from edge_tdn.scheduler import Lane, Scheduler
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
    return Lane(FakeRuntime(), SPEC, hop, heard.scored, heard.broken)


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
        one.turn([segment(n)])
    assert heard.said == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert (one.shed, one.achieved_hop) == (0, 2)
    last = heard.scores[-1]
    assert (last.from_ns, last.newest_ns, last.to_ns) == (400, 700, 780)
    assert (last.frames, last.dropped) == (20, 4)


def test_a_clip_of_an_ensemble_counts_the_frames_of_all_its_networks() -> None:
    heard = Heard()
    spec = SPEC.model_copy(update={"per_segment": (1, 2)})
    one = Lane(FakeRuntime(), spec, 1, heard.scored, heard.broken)
    one.turn([segment(n) for n in range(4)])
    assert [scores.frames for scores in heard.scores] == [4 * (5 + 10)]


def test_no_clip_spans_a_jump_in_the_grid() -> None:
    heard = Heard()
    one = lane(heard)
    for index in (0, 1, 2, 3, 4, 0, 1, 2, 3):
        one.turn([segment(index)])
    assert heard.said == [[0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3]]


def test_a_break_is_told_between_the_segments_where_it_happened() -> None:
    heard = Heard()
    one = lane(heard)
    one.turn([*(segment(n) for n in range(4)), "stream_lost", *(segment(n, 10 + n) for n in range(4))])
    assert heard.said == [[0, 1, 2, 3], "stream_lost", [10, 11, 12, 13]]


def test_what_waited_together_is_classified_once_and_counted_as_shed() -> None:
    heard = Heard()
    one = lane(heard)
    one.turn([segment(n) for n in range(4)])
    one.turn([segment(n) for n in range(4, 7)])
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
    one.turn([segment(n) for n in range(4)])
    for n in range(4, 13):
        one.put(segment(n))
    one.turn(one.waiting)
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
