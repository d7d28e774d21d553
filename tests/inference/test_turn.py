"""Turns of several lanes: gate and batch change no clip, compared with every camera alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.lane import Lane
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


@given(cameras=st.lists(submissions(), min_size=1, max_size=4), batch=st.integers(1, 5), hop=st.integers(1, 6))
def test_gate_and_batch_change_no_clip_but_repeat_the_still_ones(
    cameras: list[Submissions], batch: int, hop: int
) -> None:
    """Against every camera alone, one segment and one clip at a time, all of them computed."""
    runtime = FakeRuntime(batch=batch)
    logs = [ClipLog() for _ in cameras]
    lanes = [Lane(runtime.ring(), SPEC, hop, log) for log in logs]
    for turns in zip_longest(*(camera.turns for camera in cameras), fillvalue=()):
        compute(runtime, list(zip(lanes, turns, strict=True)))
    assert max([0, *runtime.encoded, *runtime.classified]) <= batch
    assert sum(runtime.classified) == sum(len(log.scores) - one.gated for log, one in zip(logs, lanes, strict=True))

    for camera, log, gated in zip(cameras, logs, lanes, strict=True):
        plain = ClipLog()
        alone = Lane(FakeRuntime().ring(), SPEC, hop, plain)
        for items in camera.turns:
            compute(FakeRuntime(), [(alone, [ungated(item) for item in items])])
        assert [times(scores) for scores in log.scores] == [times(scores) for scores in plain.scores]
        assert log.received == repeated(plain.received, camera)
        assert (gated.shed, gated.achieved_hop) == (alone.shed, alone.achieved_hop)


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
