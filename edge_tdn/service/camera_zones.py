"""All zones of one camera: each gets its part of every frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_tdn.capture.zone_view import ZoneViews
from edge_tdn.messages import EndReason, Frame
from edge_tdn.service.segment_feed import Pipeline, PipelineCounts, Pushed
from edge_tdn.service.zone import Zone


@dataclass(frozen=True)
class _Current:
    """The zones at one moment: a frame that is cut for one outline must not reach the window of another."""

    zones: tuple[Zone, ...]
    pipelines: tuple[Pipeline, ...]  # of each zone
    views: ZoneViews | None  # cut the frames for them; None: the only zone is the whole picture

    @classmethod
    def of(cls, zones: Sequence[Zone]) -> "_Current":
        whole = [zone.name for zone in zones] == [None]
        views = None if whole else ZoneViews([zone.settings.outline for zone in zones])
        return cls(tuple(zones), tuple(zone.feed.pipeline for zone in zones), views)


class CameraZones:
    """The zones of one camera, or its whole picture as the only one.

    `_current` is replaced as one value, by the runtime thread; the camera's thread takes it once a frame, and any
    thread may read it.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._current = _Current.of(zones)

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
        """The counts of all zones together."""
        counts = [zone.feed.counts for zone in self.zones]
        return PipelineCounts(
            repeated=sum(one.repeated for one in counts),
            gated=sum(one.gated for one in counts),
            shed=sum(one.shed for one in counts),
        )

    def push(self, frame: Frame) -> Pushed:
        """Submit what a frame completes in each zone. Return its effect; the segments are of one zone.

        On the camera's thread.
        """
        current, size = self._current, frame.decoded.size
        frames = current.views.split(frame) if current.views else [frame]
        parts = zip(current.zones, frames, current.pipelines, strict=True)
        pushed = [zone.push(part, pipeline) for zone, part, pipeline in parts if zone.fits(size)]
        if not pushed:
            return Pushed((), False, False)
        segments = next(filter(None, (one.segments for one in pushed)), ())
        return Pushed(segments, any(one.run_began for one in pushed), any(one.emptied for one in pushed))

    def break_off(self, reason: EndReason) -> None:
        """Submit a break in the stream to each zone. From any thread."""
        for zone in self.zones:
            zone.break_off(reason)

    def replace(self, zones: Sequence[Zone]) -> None:
        """Continue with these zones. On the runtime thread."""
        self._current = _Current.of(zones)

    def leave(self) -> None:
        """Report the breaks that wait in each zone, and leave the scheduler. On the runtime thread."""
        for zone in self.zones:
            zone.feed.leave()
