"""A host that is too slow: cameras and models share it fairly, latency stays bounded, and the log reports it once."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.pace import RECENT_HOPS
from edge_tdn.inference.scheduler import Scheduler, SchedulerTiming
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_MS, NS_PER_S, Segment
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, fail, segment

FAST = SPEC.model_copy(update={"frame_rate": 40})  # a segment lasts 50 ms
SEGMENT_S = 0.05
CLASSIFY_S = 0.01  # five cameras saturate the runtime
LOGGER = "edge_tdn.inference.scheduler"


class SimulatedHost:
    """A scheduler whose time is counted, not waited for: only the runtimes take any."""

    def __init__(self, spec: InputSpec, classify_s: float, timing: SchedulerTiming | None = None) -> None:
        self.now_ns = 0
        self.scheduler = Scheduler(fail, timing or SchedulerTiming(), lambda: self.now_ns)
        self.engine = self.open(spec, classify_s)
        self.lanes: list[Lane] = []
        self.logs: list[ClipLog] = []
        self.max_waiting = 0

    def open(self, spec: InputSpec, classify_s: float, encode_s: float = 0.0, batch: int = 1) -> Engine:
        """Return an engine whose runtime takes so long for each clip and each segment."""
        host = self

        class SlowRuntime(FakeRuntime):
            def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
                host.now_ns += round(encode_s * len(segments) * NS_PER_S)
                super().encode(segments, rings)

            def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
                host.now_ns += round(classify_s * len(rings) * NS_PER_S)
                return super().classify(rings)

        return Engine(SlowRuntime(batch=batch), spec)

    def camera(self, engine: Engine | None = None, hop: int = 1) -> tuple[Lane, ClipLog]:
        self.logs.append(ClipLog())
        self.lanes.append(self.scheduler.add_lane(engine or self.engine, hop, self.logs[-1]))
        return self.lanes[-1], self.logs[-1]

    def serve(self, arrivals: Iterable[tuple[float, Lane, Item]]) -> None:
        """Submit each item at its time, seconds from now, in order. A turn begins as soon as something waits."""
        began_ns = self.now_ns
        for at_s, one, item in arrivals:
            at_ns = began_ns + round(at_s * NS_PER_S)
            self._compute_until(at_ns)
            self.now_ns = max(self.now_ns, at_ns)
            if isinstance(item, Segment):
                item = replace(item, received_ns=at_ns, ready_ns=at_ns)
            self.scheduler.submit(one, item)
            self.max_waiting = max(self.max_waiting, len(one.backlog.items))

    def finish(self) -> None:
        """Compute what waits."""
        self._compute_until(self.now_ns + 1000 * NS_PER_S)

    def _compute_until(self, at_ns: int) -> None:
        while self.now_ns < at_ns and any(one.backlog.items for one in self.lanes):
            self.scheduler.turn()


def spread(seconds: float, lanes: Sequence[Lane]) -> Iterator[tuple[float, Lane, Item]]:
    """Yield a segment every SEGMENT_S for each lane, their phases spread, from segment 0 of a new run on."""
    for tick in range(int(len(lanes) * seconds / SEGMENT_S)):
        index, number = divmod(tick, len(lanes))
        yield tick * SEGMENT_S / len(lanes), lanes[number], segment(index, index % 250)


def test_cameras_take_turns_and_an_overloaded_host_sheds_evenly() -> None:
    """Three cameras at 100 segments a second on a runtime that classifies 50 clips a second."""
    host = SimulatedHost(SPEC, classify_s=0.02)
    lanes, logs = zip(*(host.camera() for _ in range(3)), strict=True)
    host.serve((n / 100, one, segment(n)) for n in range(120) for one in lanes)
    counts = [len(log.scores) for log in logs]
    assert min(counts) >= 18
    assert max(counts) - min(counts) <= 1
    assert all(one.shed >= 60 for one in lanes)
    assert host.max_waiting <= SPEC.segments
    latencies = [(s.scored_ns - s.received_ns) / NS_PER_MS for log in logs for s in log.scores]
    assert max(latencies) <= 80  # bounded by the turns of the others, not by the length of the test


@dataclass(frozen=True)
class ModelCost:
    """The cost of a network, the length of its segments, and the hops of its lanes."""

    encode_s: float
    classify_s: float
    segment_s: float
    hops: tuple[int, ...]
    batch: int = 1


R50 = ModelCost(encode_s=0.1, classify_s=0.05, segment_s=0.5, hops=(1, 1, 1, 1))
MOTION = ModelCost(encode_s=0.003, classify_s=0.002, segment_s=0.2, hops=(1, 1, 1, 1))


@pytest.mark.parametrize(
    "models",
    [
        (R50, MOTION),
        (replace(R50, hops=(1, 1, 2, 4)), replace(MOTION, hops=(1, 1, 2, 4))),
        (replace(R50, encode_s=0.05, classify_s=0.1, hops=(1,) * 8, batch=4), replace(MOTION, hops=(1,) * 8, batch=8)),
        (ModelCost(0.0, 0.06, 0.05, (1,)), ModelCost(0.0, 0.06, 0.1, (1,))),
        (ModelCost(0.0, 0.12, 0.05, (1,)), ModelCost(0.0, 0.12, 0.15, (1,))),
        (ModelCost(0.0, 0.01, 0.05, (1, 2, 3, 4) * 5), ModelCost(0.0, 0.02, 0.05, (1,))),
    ],
)
def test_hops_of_all_models_grow_by_the_same_factor(models: Sequence[ModelCost]) -> None:
    """Whatever a network costs, however long its segments are, and whatever hop is configured."""
    host = SimulatedHost(SPEC, classify_s=0.0)
    arrivals, hops = [], []
    for model in models:
        spec = SPEC.model_copy(update={"frame_rate": SPEC.segment_stride / model.segment_s})
        engine = host.open(spec, model.classify_s, model.encode_s, model.batch)
        for number, hop in enumerate(model.hops):
            one, _ = host.camera(engine, hop)
            hops.append(hop)
            arrivals.append(stream(one, model.segment_s, phase=number / len(model.hops)))
    host.serve(merge(*arrivals, key=lambda arrival: arrival[0]))
    grown = [achieved(log) / hop for log, hop in zip(host.logs, hops, strict=True)]
    assert min(grown) > 1.5, grown
    assert max(grown) < 1.05 * min(grown), grown


def stream(one: Lane, segment_s: float, phase: float) -> Iterator[tuple[float, Lane, Item]]:
    """Yield the segments of three minutes."""
    for n in range(int(180 / segment_s)):
        yield (n + phase) * segment_s, one, segment(n, n % 250)


def achieved(log: ClipLog) -> float:
    """Return the mean number of segments from clip to clip, after the first ten clips."""
    first, *others, last = (scores.newest_ns // 100 for scores in log.scores[10:])
    return (last - first) / (1 + len(others))


def test_a_still_scene_waits_for_no_turn() -> None:
    """Two cameras move and two are still: the still ones have a clip per segment, however slow the runtime is."""
    host = SimulatedHost(SPEC, classify_s=0.02)
    still, moving = ([host.camera()[0] for _ in range(2)] for _ in range(2))
    host.serve((0.025 * n, one, segment(n, still=one in still)) for n in range(30) for one in (*still, *moving))
    assert all(one.gated >= 20 for one in still)
    assert all(one.shed <= 4 for one in still)
    assert all(one.shed >= 8 for one in moving)


def test_beyond_saturation_latency_stays_flat_and_cameras_get_equal_shares() -> None:
    """Twice and four times what the runtime can do: clips come less often, but not later."""
    for cameras in (10, 20):
        host = SimulatedHost(FAST, CLASSIFY_S)
        lanes, logs = zip(*(host.camera() for _ in range(cameras)), strict=True)
        host.serve(spread(1.5, lanes))
        counts = [len(log.scores) for log in logs]
        assert max(counts) - min(counts) <= 2, counts
        assert min(counts) >= 0.8 * (1.5 - 4 * SEGMENT_S) / CLASSIFY_S / cameras
        times = sorted(s.scored_ns / NS_PER_S for log in logs for s in log.scores)
        assert max(later - earlier for earlier, later in pairwise(times)) < 2 * SEGMENT_S  # it never stopped
        latencies = [(s.scored_ns - s.ready_ns) / NS_PER_S for log in logs for s in log.scores]
        assert median(latencies) < 2 * SEGMENT_S  # one queue for all would have made it half the test's length
        assert all(one.achieved_hop > 1 for one in lanes)
        assert all(one.shed >= 4 for one in lanes)
        assert all(one.pace.trouble.startswith("host too slow: a clip every ") for one in lanes)


def test_a_host_that_is_too_slow_is_logged_once_and_so_is_its_recovery(caplog: pytest.LogCaptureFixture) -> None:
    """Ten cameras where five would do; then all but one lose their streams."""
    caplog.set_level(logging.INFO, LOGGER)
    host = SimulatedHost(FAST, CLASSIFY_S, SchedulerTiming(log_every_s=0.0))
    lanes = [host.camera()[0] for _ in range(10)]
    host.serve(spread(1.5, lanes))
    (warning,) = caplog.messages
    assert warning.startswith("host too slow: a clip every ")
    assert warning.split("; ")[0].endswith(" segments instead of 1")
    assert "fewer cameras or zones, a larger hop or a faster precision" in warning
    host.serve((0.0, one, "stream_lost") for one in lanes[1:])
    host.finish()
    assert not any(one.pace.trouble for one in lanes[1:])
    host.serve((SEGMENT_S * n, lanes[0], segment(30 + n)) for n in range(RECENT_HOPS + 1))
    host.finish()
    assert lanes[0].pace.trouble == ""
    assert caplog.messages == [warning, "the host keeps up again"]


def test_flapping_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    host = SimulatedHost(FAST, classify_s=2.5 * SEGMENT_S)
    one, _ = host.camera()
    for _ in range(2):
        host.serve(spread(22 * SEGMENT_S, [one]))
        assert one.pace.trouble
        host.serve([(0.0, one, "stream_lost")])
        host.finish()
        assert not one.pace.trouble
    assert len(caplog.messages) == 1


def test_a_camera_whose_frames_come_in_bursts_does_not_make_the_host_too_slow() -> None:
    """Four segments at once: the first is taken, three wait for it, but less long than a segment lasts."""
    host = SimulatedHost(FAST, classify_s=0.005)
    one, _ = host.camera()
    host.serve((4 * SEGMENT_S * (n // 4), one, segment(n)) for n in range(40))
    host.finish()
    assert one.shed >= 10
    assert one.pace.trouble == ""
