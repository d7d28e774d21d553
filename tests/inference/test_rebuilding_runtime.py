"""A runtime that fails while it serves: opened again, it gives the clips that it would have given; or it ends."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.errors import DeviceError, EdgeTdnError, ModelError
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.rebuilding_runtime import RebuildingRuntime, RebuildTiming
from edge_tdn.inference.runtime import Runtime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.process import heartbeat
from tests.support.failing_runtime import FailingRuntime
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, fail, segment

Clips = list[list[list[int] | str]]
ITEMS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["moving", "still", "gap", "stream_lost"])), max_size=40)


def counting_failure(number: int, error: Exception) -> Callable[[str], None]:
    """Return a function that raises at its call `number`, from 0."""
    calls = iter(range(10_000))

    def before(call: str) -> None:
        if call != "close" and next(calls) == number:
            raise error

    return before


def clips(runtime: Runtime, items: list[tuple[int, str]], turns: list[bool]) -> Clips:
    """Return what two cameras receive that submit these items; `turns`: after which of them there is a turn."""
    scheduler, engine, logs = Scheduler(fail), Engine(runtime, SPEC), [ClipLog(), ClipLog()]
    lanes, index = [scheduler.add_lane(engine, 1, log) for log in logs], [0, 0]
    for (camera, item), turn in zip(items, [*turns, *[True] * len(items)], strict=False):
        if item == "stream_lost":
            scheduler.submit(lanes[camera], "stream_lost")
        else:
            index[camera] += 2 if item == "gap" else 1
            scheduler.submit(lanes[camera], segment(index[camera], still=item == "still"))
        if turn:
            scheduler.turn()
    for _ in lanes:
        scheduler.turn()
    return [log.received for log in logs]


@given(ITEMS, st.lists(st.booleans(), max_size=40), st.integers(0, 60), st.sampled_from([1, 4]))
def test_failure_of_any_call_changes_no_clip(
    items: list[tuple[int, str]], turns: list[bool], number: int, batch: int
) -> None:
    """Whatever two cameras submit: gaps, still scenes, breaks, several segments at a turn."""
    before = counting_failure(number, RuntimeError("the device is gone"))
    rebuilding = RebuildingRuntime(lambda: FailingRuntime(FakeRuntime(batch=batch), before), SPEC.segments)
    assert clips(rebuilding, items, turns) == clips(FakeRuntime(batch=batch), items, turns)
    assert (rebuilding.status.state, rebuilding.status.reason) == ("ok", "")


@pytest.mark.parametrize("number", [0, 4, 5, 8])
def test_openvino_computes_the_same_clips_after_a_failure(motion: Model, number: int) -> None:
    """The network's own logits, bit for bit; a failure within the first window, and between two clips."""
    spec = motion.manifest.input
    generator = np.random.default_rng(7)
    shape = spec.segments + 3, spec.frames, spec.height, spec.width, 3
    frames = [*generator.integers(0, 256, shape, np.uint8)]

    def logits(runtime: Runtime) -> list[np.ndarray]:
        with closing(runtime):
            ring, found = runtime.ring(), []
            for one in frames:
                runtime.encode([one], [ring])
                if ring.full:
                    found.append(runtime.classify([ring])[0])
            return found

    before = counting_failure(number, RuntimeError("Exception from src/inference: [GPU] device lost"))
    rebuilding = RebuildingRuntime(lambda: FailingRuntime(open_runtime(motion), before), spec.segments)
    expected, found = logits(open_runtime(motion)), logits(rebuilding)
    assert len(found) == 4
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert rebuilding.status.rebuilds == 1


def test_second_failure_ends_it_unless_it_has_served_for_long() -> None:
    def serve(renewed_s: float) -> RebuildingRuntime:
        """Classify three times; the first and the third of the calls to the device fail."""
        opened: list[FakeRuntime] = []
        calls = iter(range(100))

        def before(call: str) -> None:
            if call == "classify" and next(calls) in (0, 2):
                raise RuntimeError("at x.cpp:1\n[GPU] device lost")

        def open_one() -> Runtime:
            assert all(one.closed for one in opened), "there is memory for one"
            opened.append(FakeRuntime())
            return FailingRuntime(opened[-1], before)

        runtime = RebuildingRuntime(open_one, SPEC.segments, RebuildTiming(renewed_s=renewed_s))
        ring, segments = runtime.ring(), [segment(n) for n in range(4)]
        for one in segments:
            runtime.encode([one.frames], [ring])
        for _ in range(3):
            assert runtime.classify([ring]).tolist() == [[0.0, 1.0, 2.0, 3.0]]
        return runtime

    with pytest.raises(EdgeTdnError, match=r"^RuntimeError: \[GPU\] device lost, \d+ s after the model was compiled"):
        serve(renewed_s=600.0)
    assert serve(renewed_s=0.0).status.rebuilds == 2


@pytest.mark.parametrize(
    ("error", "again", "expected", "message"),
    [
        (MemoryError(), None, MemoryError, "^$"),
        (RuntimeError("CL_OUT_OF_HOST_MEMORY"), None, RuntimeError, "CL_OUT_OF_HOST_MEMORY"),
        (
            RuntimeError("lost"),
            ModelError("no device"),
            EdgeTdnError,
            "RuntimeError: lost; compiled again, it fails: no device",
        ),
        (RuntimeError("lost"), DeviceError("device GPU ran out of memory"), DeviceError, "ran out of memory"),
        (RuntimeError("lost"), DeviceError("device CUDA: not enough memory for"), DeviceError, "not enough memory"),
    ],
)
def test_what_cannot_be_mended_by_a_rebuild_ends_it(
    error: Exception, again: Exception | None, expected: type[Exception], message: str
) -> None:
    """A device without memory keeps its exit status; a model that was valid a moment ago does not get status 78."""
    opened: list[FakeRuntime] = []

    def open_one() -> Runtime:
        if opened:
            raise again or AssertionError
        opened.append(FakeRuntime())
        return FailingRuntime(opened[0], counting_failure(0, error))

    runtime = RebuildingRuntime(open_one, SPEC.segments)
    with pytest.raises(expected, match=message) as raised:
        runtime.encode([segment(0).frames], [runtime.ring()])
    assert type(raised.value) is expected
    runtime.close()
    assert opened[0].closed


def test_states_of_a_rebuild_are_reported_and_the_watchdog_waits_for_it() -> None:
    states: list[tuple[str, str, int]] = []
    allowed_s: list[float] = []  # until the next beat, at every opening

    def open_one() -> Runtime:
        allowed_s.append(heartbeat._beats.get(threading.current_thread(), 0.0) - time.monotonic())
        return FailingRuntime(FakeRuntime(), before)

    def changed() -> None:
        states.append((runtime.status.state, runtime.status.reason, runtime.status.rebuilds))

    before = counting_failure(0, RuntimeError("lost"))
    runtime = RebuildingRuntime(open_one, SPEC.segments, RebuildTiming(compile_s=300.0), changed)
    with heartbeat.beating():
        runtime.encode([segment(0).frames], [runtime.ring()])
    assert states == [("rebuilding", "runtime failed: RuntimeError: lost", 1), ("ok", "", 1)]
    assert allowed_s[1] > 290
