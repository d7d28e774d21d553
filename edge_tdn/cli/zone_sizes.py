"""The zones that have too few pixels in the pictures of their camera: an error where the source is a file."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_tdn.capture.address import is_live
from edge_tdn.capture.capture import POLL_S, EndOfStream
from edge_tdn.capture.open_capture import open_capture
from edge_tdn.capture.timing import DEFAULT_TIMING
from edge_tdn.config.fault import KeyPath
from edge_tdn.config.resolved_zones import resolved_zones
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.demo.demo_scenes import DEMO
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.media.outline import Outline

Size = tuple[int, int]  # height and width of a picture, pixels


def too_small(config: Config, camera: CameraConfig, size: Size) -> Iterator[tuple[str, str]]:
    """Yield the name of each zone that has too few pixels in a picture of this size, and the error."""
    number = next(n for n, one in enumerate(config.camera) if one.name == camera.name)
    for place, zone in enumerate(resolved_zones(config, camera)):
        if zone.name and (reason := Outline.of(zone).too_small(size)):
            keys: KeyPath = ("camera", number, "zone", place, "polygon" if zone.polygon else "region")
            yield zone.name, config.fault(keys, zone.polygon or zone.region, reason)


def check_files(config: Config, base: Path) -> None:
    """Raise a ConfigError that lists every zone that is too small in the video file of its camera.

    `base`: where relative paths start. A file that cannot be played is an error, too, if its camera has zones. The
    drawn scene and live cameras are not examined: the size of their frames is not known yet.
    """
    faults = []
    for number, camera in enumerate(config.camera):
        if not camera.zone or camera.source == DEMO or is_live(camera.source):
            continue
        try:
            size = _size_of(camera, base)
        except SourceError as error:
            faults.append(config.fault(("camera", number, "source"), {}, str(error)))
        else:
            faults += [fault for _, fault in too_small(config, camera, size)]
    if faults:
        raise ConfigError("\n".join(faults))


def _size_of(camera: CameraConfig, base: Path) -> Size:
    """Return the size of a video's first picture. SourceError: it has none."""
    deadline_s = time.monotonic() + DEFAULT_TIMING.first_frame_s
    with closing(open_capture(camera, base, paced=False)) as capture:
        while time.monotonic() < deadline_s:
            try:
                captured = capture.read(POLL_S)
            except EndOfStream:
                break
            if captured is not None:
                return captured.decoded.size
    raise SourceError(f"{camera.source}: no picture")
