"""One turn of the runtime: encode what waited in several lanes, classify each lane's newest clip."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import TypeVar

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.runtime import Runtime
from edge_tdn.messages import EndReason, Segment
from edge_tdn.process import heartbeat

Element = TypeVar("Element")


def compute(
    runtime: Runtime, work: Sequence[tuple[Lane, Sequence[Item]]], clock: Callable[[], int] = time.monotonic_ns
) -> None:
    """Compute what waited in several lanes, on the runtime thread. Breaks are reported in their place.

    The segments before every lane's first break go through together, then those before its second.
    """
    taken_ns = clock()
    for pieces in zip_longest(*(_pieces(items) for _, items in work)):
        together = [(lane, *piece) for (lane, _), piece in zip(work, pieces, strict=True) if piece]
        for lane, segments, _ in together:
            lane.take(segments, taken_ns)
        _encode(runtime, [lane for lane, _, _ in together])
        for lanes in _batches([lane for lane, _, _ in together if lane.due], runtime.batch):
            heartbeat.beat()
            for lane, logits in zip(lanes, runtime.classify([lane.ring for lane in lanes]), strict=True):
                lane.report(logits, taken_ns)
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


def _encode(runtime: Runtime, lanes: Sequence[Lane]) -> None:
    pairs = [(lane.ring, segment) for lane in lanes for segment in lane.window.take_unencoded()]
    for batch in _batches(pairs, runtime.batch):
        heartbeat.beat()
        runtime.encode([segment.frames for _, segment in batch], [ring for ring, _ in batch])


def _batches(whole: Sequence[Element], size: int) -> Iterator[Sequence[Element]]:
    for first in range(0, len(whole), size):
        yield whole[first : first + size]
