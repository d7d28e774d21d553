"""All zones of one camera: each gets its part of every frame."""

from collections.abc import Sequence

from edge_tdn.capture.zone_view import ZoneViews
from edge_tdn.messages import EndReason, Frame
from edge_tdn.service.segment_feed import PipelineCounts, Pushed
from edge_tdn.service.zone import Zone


class CameraZones:
    """The zones of one camera, or its whole picture as the only one.

    `_current` is replaced as one value, by the runtime thread; the camera's thread takes it once a frame, and any
    thread may read it.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._current = _with_views(zones)

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones, in the order of the configuration."""
        return self._current[0]

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
        zones, views = self._current
        frames = views.split(frame) if views else [frame]
        pushed = [zone.push(part) for zone, part in zip(zones, frames, strict=True) if zone.fits(frame.decoded.size)]
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
        self._current = _with_views(zones)

    def leave(self) -> None:
        """Report the breaks that wait in each zone, and leave the scheduler. On the runtime thread."""
        for zone in self.zones:
            zone.feed.leave()


def _with_views(zones: Sequence[Zone]) -> tuple[tuple[Zone, ...], ZoneViews | None]:
    """Return the zones, and what cuts the frames for them; None where the only one is the whole picture."""
    whole = [zone.name for zone in zones] == [None]
    return tuple(zones), None if whole else ZoneViews([zone.settings.outline for zone in zones])
