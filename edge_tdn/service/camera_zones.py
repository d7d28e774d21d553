"""All zones of one camera: each gets its part of every frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_tdn.capture.zone_view import ZoneViews
from edge_tdn.messages import EndReason, Frame
from edge_tdn.service.segment_feed import Pipeline, PipelineCounts, Pushed
from edge_tdn.service.zone import Zone


@dataclass(frozen=True, eq=False)
class _Current:
    """The zones that take frames, as one value: no pipeline gets a frame that was cropped to another outline."""

    zones: tuple[Zone, ...]
    pipelines: tuple[Pipeline, ...]
    views: ZoneViews | None  # None: the only zone is the whole picture
    left: PipelineCounts  # of the zones that have left


class CameraZones:
    """The zones of one camera, or its whole picture as the only one.

    `_current` is replaced as one value, by the runtime thread; the camera's thread takes it once a frame, and any
    thread may read it. `_size` belongs to the camera's thread.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._size = (0, 0)  # height and width of the last frame that was too small for every zone
        self._current = _current(zones, PipelineCounts())

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones, in the order of the configuration."""
        return self._current.zones

    @property
    def named(self) -> tuple[Zone, ...]:
        """The zones of the configuration; empty if it has none."""
        return tuple(zone for zone in self.zones if zone.name)

    @property
    def counts(self) -> PipelineCounts:
        """The counts of all zones together, also of those that have left."""
        current = self._current
        return sum((zone.counts for zone in current.zones), current.left)

    def push(self, frame: Frame) -> Pushed:
        """Submit the segments that a frame completes in each zone. On the camera's thread.

        Return its effect, with the segments of the first zone that has completed any.
        """
        current = self._current
        if current.views is None:
            return current.zones[0].push(frame, current.pipelines[0])
        views, pushed = current.views, []
        frames = views.split(frame)
        parts = zip(current.zones, current.pipelines, frames, views.sizes, views.too_small, strict=True)
        for zone, pipeline, part, size, reason in parts:
            zone.measure(size, reason)
            if part is not None:
                pushed.append(zone.push(part, pipeline))
        if not pushed:
            before, self._size = self._size, frame.decoded.size
            return Pushed((), before != self._size, emptied=False)
        return Pushed(
            next(filter(None, (one.segments for one in pushed)), ()),
            any(one.run_began for one in pushed),
            any(one.emptied for one in pushed),
        )

    def break_off(self, reason: EndReason) -> None:
        """Submit a break in the stream to each zone. From any thread."""
        for zone in self.zones:
            zone.break_off(reason)

    def replace(self, zones: Sequence[Zone]) -> None:
        """Continue with these zones, and their pipelines. On the runtime thread."""
        before = self._current
        leaving = (zone.counts for zone in before.zones if zone not in zones)
        self._current = _current(zones, sum(leaving, before.left))

    def leave(self) -> None:
        """Report the breaks that wait in each zone, and remove the lanes. On the runtime thread."""
        for zone in self.zones:
            zone.feed.leave()


def _current(zones: Sequence[Zone], left: PipelineCounts) -> _Current:
    whole = [zone.name for zone in zones] == [None]
    views = None if whole else ZoneViews([zone.settings.outline for zone in zones])
    return _Current(tuple(zones), tuple(zone.feed.pipeline for zone in zones), views, left)
