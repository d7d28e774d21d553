"""One turn of the runtime thread: encode the waiting segments of several lanes, classify each lane's newest clip."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.messages import EndReason, Segment
from edge_tdn.process import heartbeat


def compute(work: Sequence[tuple[Lane, Sequence[Item]]], clock: Callable[[], int] = time.monotonic_ns) -> None:
    """Compute the items that waited in several lanes, on the runtime thread. Breaks are reported in order.

    The segments before every lane's first break go through together, then those before its second.
    """
    taken_ns = clock()
    for pieces in zip_longest(*(_pieces(items) for _, items in work)):
        together = [(lane, *piece) for (lane, _), piece in zip(work, pieces, strict=True) if piece]
        for lane, segments, _ in together:
            lane.take(segments, taken_ns)
        for engine, lanes in _by_engine([lane for lane, _, _ in together]):
            _encode(engine, lanes)
            _classify(engine, [lane for lane in lanes if lane.due], taken_ns)
        for lane, _, reason in together:
            if reason is not None:
                lane.break_off(reason)


def _pieces(items: Sequence[Item]) -> Iterator[tuple[list[Segment], EndReason | None]]:
    """Yield the segments up to each break, and the break; behind the last one None in its place."""
    segments: list[Segment] = []
    for item in items:
        if isinstance(item, Segment):
            segments.append(item)
        else:
            yield segments, item
            segments = []
    if segments:
        yield segments, None


def _by_engine(lanes: Sequence[Lane]) -> Iterable[tuple[Engine, list[Lane]]]:
    """Return each engine with its lanes, in their order."""
    found: dict[Engine, list[Lane]] = {}
    for lane in lanes:
        found.setdefault(lane.engine, []).append(lane)
    return found.items()


def _encode(engine: Engine, lanes: Sequence[Lane]) -> None:
    pairs = [(lane.ring, segment) for lane in lanes for segment in lane.window.take_unencoded()]
    size = engine.runtime.batch
    for first in range(0, len(pairs), size):
        batch = pairs[first : first + size]
        heartbeat.beat()
        engine.runtime.encode([segment.frames for _, segment in batch], [ring for ring, _ in batch])


def _classify(engine: Engine, lanes: Sequence[Lane], taken_ns: int) -> None:
    size = engine.runtime.batch
    for first in range(0, len(lanes), size):
        batch = lanes[first : first + size]
        heartbeat.beat()
        logits = engine.runtime.classify([lane.ring for lane in batch])
        for lane, own in zip(batch, logits, strict=True):
            lane.report(own, taken_ns)
