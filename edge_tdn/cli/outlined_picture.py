"""The newest picture of a camera as its network sees it, with the outlines of its zones, for the live view."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.cli.zone_picture import Colour, zone_colour
from edge_tdn.manifest import InputSpec
from edge_tdn.media.outline import Outline
from edge_tdn.messages import Picture
from edge_tdn.service.camera import Camera


class OutlinedPicture:
    """The picture of a camera without zones, or whose first zone is the whole picture.

    Each picture is drawn on once: a call returns the same object until there is another.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._parts = camera.zones[1:]
        self._seen: Picture | None = None
        self._drawn: Picture | None = None

    @property
    def colours(self) -> Mapping[str, Colour]:
        """The colours of the outlines, by camera/zone."""
        return {f"{self._camera.name}/{zone.name}": zone_colour(number) for number, zone in enumerate(self._parts)}

    def __call__(self) -> Picture | None:
        """Return the newest picture; None before the first."""
        seen = self._camera.picture
        if seen is not None and seen is not self._seen:
            self._drawn = self._with_outlines(seen) if self._parts else seen
            self._seen = seen
        return self._drawn

    def _with_outlines(self, picture: Picture) -> Picture:
        status, spec = self._camera.status(), self._camera.zones[0].settings.spec
        drawn = picture.copy()
        for number, zone in enumerate(self._parts):
            corners = seen_corners(zone.settings.outline, (status.height, status.width), spec)
            cv2.polylines(drawn, [corners], True, zone_colour(number), 1, cv2.LINE_AA)
        return drawn


def seen_corners(outline: Outline, size: tuple[int, int], spec: InputSpec) -> NDArray[np.int32]:
    """Return the corners of an outline, as pixels (x, y), [corners, 2], of what a network sees of the whole picture.

    `size`: height and width of the camera's picture. Corners may lie outside of what the network sees.
    """
    shape, cut = (spec.height, spec.width), (0, 0)
    if spec.resize == "short_side_centre_crop":
        height, width = (spec.short_side * side // max(1, min(size)) for side in size)
        shape, cut = (height, width), ((width - spec.width) // 2, (height - spec.height) // 2)
    return (outline.corners(shape) - cut).astype(np.int32)
