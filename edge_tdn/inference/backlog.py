"""The items that one camera has submitted and the runtime has not taken yet: at most T segments, and the breaks."""

from edge_tdn.messages import EndReason, Segment

Item = Segment | EndReason  # what a camera submits


class Backlog:
    """The items of one lane that wait for its turn, oldest first. Guarded by the lock of the `LaneQueue`."""

    def __init__(self, max_segments: int) -> None:
        self.items: list[Item] = []
        self.dropped = 0  # segments that were removed before the runtime took them
        self._max_segments = max_segments

    def put(self, item: Item) -> None:
        """Append an item. The oldest segment is dropped when more than T wait: no future clip could contain it."""
        if isinstance(item, str) and self.items and isinstance(self.items[-1], str):
            return  # no segment in between: the stream is broken already
        self.items.append(item)
        segments = [waiting for waiting in self.items if isinstance(waiting, Segment)]
        if len(segments) > self._max_segments:
            self.items.remove(segments[0])
            self.dropped += 1

    def take(self) -> list[Item]:
        """Return everything that waits, and leave nothing."""
        items, self.items = self.items, []
        return items

    def discard_segments(self) -> None:
        """Remove the segments without computing them; breaks stay."""
        self.items = list(self.breaks)

    @property
    def segments(self) -> int:
        """The number of segments that wait."""
        return sum(isinstance(item, Segment) for item in self.items)

    @property
    def breaks(self) -> list[EndReason]:
        """The breaks that wait, oldest first."""
        return [item for item in self.items if isinstance(item, str)]

    @property
    def still(self) -> bool:
        """Nothing moves in any segment that waits, and no break waits among them."""
        return all(isinstance(item, Segment) and item.still for item in self.items)
