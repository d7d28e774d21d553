"""The runtime thread: items from many threads, tasks between turns, stops and failures."""

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.inference.engine import Engine
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.lane_queue import QueueState
from edge_tdn.inference.scheduler import Scheduler
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, fail, segment
from tests.support.waiting import PATIENCE_S, eventually


def test_cameras_submit_from_threads_of_their_own() -> None:
    """As fast as they can: whatever is shed, each receives clips of its own segments, in order, and the last one."""
    runtime = FakeRuntime(classify_s=0.001)
    scheduler, engine = Scheduler(fail), Engine(runtime, SPEC)
    logs = [ClipLog() for _ in range(4)]
    lanes = [scheduler.add_lane(engine, 1, log) for log in logs]

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
    for number, log in enumerate(logs):
        newest = [scores.newest_ns // 100 for scores in log.scores]
        assert newest == sorted(set(newest))
        assert log.received == [[50 * number + (last - 3 + n) % 50 for n in range(4)] for last in newest]
        assert newest[-1] == 99


def test_as_many_cameras_are_computed_together_as_the_runtime_takes() -> None:
    """Five cameras that all have a clip, two at a time: three turns, each as slow as one clip."""
    runtime = FakeRuntime(batch=2)
    scheduler, engine = Scheduler(fail), Engine(runtime, SPEC)
    logs = [ClipLog() for _ in range(5)]
    for number, one in enumerate([scheduler.add_lane(engine, 1, log) for log in logs]):
        for n in range(4):
            scheduler.submit(one, segment(n, 10 * number + n))
    scheduler.start()
    scheduler.stop(drop=False)
    assert [log.received for log in logs] == [[[10 * number + n for n in range(4)]] for number in range(5)]
    assert runtime.classified == [2, 2, 1]
    assert runtime.encoded == [2] * 10  # the last camera's four too: a ring takes several


def test_a_camera_does_not_wait_for_others() -> None:
    scheduler, engine = Scheduler(fail), Engine(FakeRuntime(batch=32), SPEC)
    log, idle = ClipLog(), ClipLog()
    one = scheduler.add_lane(engine, 1, log)
    scheduler.add_lane(engine, 1, idle)
    scheduler.start()
    for n in range(4):
        scheduler.submit(one, segment(n))
    eventually(lambda: log.received == [[0, 1, 2, 3]])
    scheduler.stop(drop=True)


def test_a_stop_reports_the_breaks_and_computes_nothing_more() -> None:
    """A stop takes effect within one turn, however many cameras wait for theirs."""
    begun, proceed = threading.Event(), threading.Event()

    class HeldRuntime(FakeRuntime):
        def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
            begun.set()
            assert proceed.wait(PATIENCE_S)
            return super().classify(rings)

    runtime = HeldRuntime()
    scheduler, engine = Scheduler(fail), Engine(runtime, SPEC)
    logs = [ClipLog() for _ in range(16)]
    for one in [scheduler.add_lane(engine, 1, log) for log in logs]:
        for n in range(4):
            scheduler.submit(one, segment(n))
        scheduler.submit(one, "shutdown")
    scheduler.start()
    assert begun.wait(PATIENCE_S)
    stopping = threading.Thread(target=scheduler.stop, args=(True,))
    stopping.start()
    eventually(lambda: scheduler._queue.state is QueueState.STOPPING)
    proceed.set()
    stopping.join(PATIENCE_S)
    assert runtime.classified == [1]
    assert all(log.received[-1] == "shutdown" for log in logs)


def test_an_end_without_a_stop_computes_what_waits() -> None:
    log = ClipLog()
    scheduler = Scheduler(fail)
    one = scheduler.add_lane(Engine(FakeRuntime(), SPEC), 1, log)
    for n in range(4):
        scheduler.submit(one, segment(n))
    scheduler.submit(one, "stream_lost")
    scheduler.start()
    scheduler.stop(drop=False)
    assert log.received == [[0, 1, 2, 3], "stream_lost"]


def test_a_failing_runtime_is_reported_not_swallowed() -> None:
    class BrokenRuntime(FakeRuntime):
        def classify(self, rings: object) -> NDArray[np.float32]:
            raise RuntimeError("no more memory")

    failures: list[BaseException] = []
    done = threading.Event()

    def failed(error: BaseException) -> None:
        failures.append(error)
        done.set()

    scheduler = Scheduler(failed)
    log = ClipLog()
    one = scheduler.add_lane(Engine(BrokenRuntime(), SPEC), 1, log)
    scheduler.start()
    for n in range(4):
        scheduler.submit(one, segment(n))
    assert done.wait(PATIENCE_S)
    assert str(failures[0]) == "no more memory"
    assert log.received == ["failed"]
    scheduler.stop(drop=True)


def test_a_task_runs_on_the_runtime_thread_and_its_error_is_raised_here() -> None:
    scheduler = Scheduler(fail)
    threads: list[str] = []
    scheduler.start()
    scheduler.run_between_turns(lambda: threads.append(threading.current_thread().name))
    assert threads == ["runtime"]
    with pytest.raises(ZeroDivisionError):
        scheduler.run_between_turns(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    scheduler.stop(drop=True)
    with pytest.raises(CancelledError):
        scheduler.run_between_turns(lambda: None)


def test_a_camera_that_leaves_gets_its_break_and_the_others_continue() -> None:
    engine = Engine(FakeRuntime(classify_s=0.01), SPEC)
    scheduler, logs = Scheduler(fail), [ClipLog(), ClipLog()]
    leaving, staying = (scheduler.add_lane(engine, 1, log) for log in logs)
    scheduler.start()
    for n in range(8):
        scheduler.submit(leaving, segment(n))
        scheduler.submit(staying, segment(n))
    scheduler.submit(leaving, "shutdown")
    scheduler.run_between_turns(lambda: scheduler.remove_lane(leaving))
    assert logs[0].received[-1] == "shutdown"
    received = len(logs[0].received)
    scheduler.submit(leaving, segment(8))  # from a thread that hung in a library
    scheduler.submit(staying, segment(8))
    eventually(lambda: logs[1].received[-1:] == [[5, 6, 7, 8]])
    scheduler.stop(drop=False)
    assert len(logs[0].received) == received
