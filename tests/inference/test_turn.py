"""Turns of several lanes: gate, batch and other models change no clip, compared with every camera alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.lane_queue import LaneQueue
from edge_tdn.inference.turn import compute
from edge_tdn.messages import Scores, Segment
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, segment


@dataclass
class Submissions:
    """The items of one camera, turn after turn. The picture of segment n is n."""

    turns: list[list[Item]] = field(default_factory=list)
    still: list[bool] = field(default_factory=list)  # of segment n
    joined: list[bool] = field(default_factory=list)  # segment n follows on segment n-1: no break, no jump in the grid


@st.composite
def submissions(draw: st.DrawFn) -> Submissions:
    camera, index, last = Submissions(turns=[[]]), 0, None
    kinds = st.sampled_from(["moving", "still", "still", "break", "jump", "restart"])
    for kind, length in draw(st.lists(st.tuples(kinds, st.integers(1, 9)), max_size=12)):
        if kind == "break":
            camera.turns[-1].append("stream_lost")
            last = None
        index += length if kind == "jump" else 0
        index = 0 if kind == "restart" else index
        for _ in range(length if kind in ("moving", "still") else 0):
            camera.turns[-1].append(segment(index, len(camera.still), kind == "still"))
            camera.still.append(kind == "still")
            camera.joined.append(last is not None and index == last + 1)  # as the grid has it
            last, index = index, index + 1
            if draw(st.integers(0, 3)):
                camera.turns.append([])
    return camera


class OwnRingsRuntime(FakeRuntime):
    """Refuses the rings of another runtime, and keeps the pictures of each batch that it encodes."""

    def __init__(self, batch: int = 1) -> None:
        super().__init__(batch=batch)
        self.pictures: list[list[int]] = []
        self._rings: list[FeatureRing] = []

    def ring(self) -> FeatureRing:
        self._rings.append(super().ring())
        return self._rings[-1]

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        assert all(ring in self._rings for ring in rings)
        self.pictures.append([int(frames.flat[0]) for frames in segments])
        super().encode(segments, rings)

    def classify(self, rings: Sequence[FeatureRing]) -> NDArray[np.float32]:
        assert all(ring in self._rings for ring in rings)
        return super().classify(rings)


@given(
    cameras=st.lists(st.tuples(submissions(), st.integers(0, 1)), min_size=1, max_size=4),
    batches=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    hop=st.integers(1, 6),
)
def test_gate_batch_and_another_model_change_no_clip_but_repeat_the_still_ones(
    cameras: list[tuple[Submissions, int]], batches: tuple[int, int], hop: int
) -> None:
    """Against every camera alone, one segment and one clip at a time, all of them computed."""
    runtimes = [OwnRingsRuntime(batch) for batch in batches]
    engines = [Engine(runtime, SPEC) for runtime in runtimes]
    logs = [ClipLog() for _ in cameras]
    lanes = [Lane(engines[number], hop, log) for (_, number), log in zip(cameras, logs, strict=True)]
    for turns in zip_longest(*(camera.turns for camera, _ in cameras), fillvalue=()):
        compute(list(zip(lanes, turns, strict=True)))
    for engine, runtime in zip(engines, runtimes, strict=True):
        assert max([0, *runtime.encoded, *runtime.classified]) <= runtime.batch
        served = [(log, one) for log, one in zip(logs, lanes, strict=True) if one.engine is engine]
        assert sum(runtime.classified) == sum(len(log.scores) - one.gated for log, one in served)

    for (camera, _), log, gated in zip(cameras, logs, lanes, strict=True):
        plain = ClipLog()
        alone = Lane(Engine(FakeRuntime(), SPEC), hop, plain)
        for items in camera.turns:
            compute([(alone, [ungated(item) for item in items])])
        assert [times(scores) for scores in log.scores] == [times(scores) for scores in plain.scores]
        assert log.received == repeated(plain.received, camera)
        assert (gated.shed, gated.achieved_hop) == (alone.shed, alone.achieved_hop)


def test_a_still_lane_of_another_model_that_has_lost_segments_is_computed_by_its_own_runtime() -> None:
    """It has no turn to wait for, until the jump in its grid shows; then its whole window is encoded in this turn."""
    queue, runtimes = LaneQueue(), [OwnRingsRuntime(batch=4), OwnRingsRuntime(batch=4)]
    logs = [ClipLog(), ClipLog()]
    moving, still = (Lane(Engine(runtime, SPEC), 1, log) for runtime, log in zip(runtimes, logs, strict=True))
    compute([(still, [segment(n, 50 + n, still=True) for n in range(4)])])
    for one in (moving, still):
        queue.add(one)
    for n in range(4):
        queue.put(moving, segment(n))
    for n in range(4, 10):
        queue.put(still, segment(n, 50 + n, still=True))
    work = queue.next_turn()
    assert {one for one, _ in work} == {moving, still}
    compute(work)
    assert [log.received for log in logs] == [[[0, 1, 2, 3]], [[50, 51, 52, 53], [56, 57, 58, 59]]]
    assert [runtime.pictures for runtime in runtimes] == [[[0, 1, 2, 3]], [[50, 51, 52, 53], [56, 57, 58, 59]]]
    assert still.gated == 0


def ungated(item: Item) -> Item:
    return replace(item, still=False) if isinstance(item, Segment) else item


def times(scores: Scores) -> tuple[int, ...]:
    return scores.from_ns, scores.newest_ns, scores.to_ns, scores.wall_ns, scores.frames, scores.dropped


def repeated(received: Sequence[list[int] | str], camera: Submissions) -> list[list[int] | str]:
    """Return what a gate makes of `received`: the first still clip is repeated until something moves."""
    result: list[list[int] | str] = []
    newest, resting = 0, None  # the last clip's last segment; its logits, if it was still from end to end
    for clip in received:
        if isinstance(clip, str):
            result.append(clip)
            continue
        between = range(newest + 1, clip[-1] + 1)
        if resting is None or not all(camera.still[n] and camera.joined[n] for n in between):
            resting = clip if all(camera.still[n] for n in clip) else None
        result.append(resting or clip)
        newest = clip[-1]
    return result
