"""Open a capture with GStreamer, or with OpenCV where the configuration or the machine requires it."""

from pathlib import Path

from edge_tdn.capture.address import find
from edge_tdn.capture.capture import Capture
from edge_tdn.capture.redirects import FollowingCapture
from edge_tdn.config.tables import CameraConfig
from edge_tdn.media import gstreamer


def open_capture(camera: CameraConfig, base: Path, paced: bool = True) -> Capture:
    """Connect to a camera's source.

    `paced`: a file plays at its own speed. Raises SourceError if the source cannot be reached, with the state "ended"
    if retrying is pointless.
    """
    address = find(camera, base)
    if uses_opencv(camera):
        from edge_tdn.capture.cv_capture import CvCapture

        return CvCapture(address, camera, paced)
    from edge_tdn.capture.gst_capture import GstCapture

    return FollowingCapture(address, lambda one: GstCapture(one, camera, paced))


def verify(camera: CameraConfig, base: Path) -> None:
    """Check a source as far as possible without connecting. Raises SourceError."""
    address = find(camera, base)
    if uses_opencv(camera):
        from edge_tdn.capture.cv_capture import check_supported

        check_supported(address, camera)
    else:
        from edge_tdn.capture.pipeline import parse

        parse(address, camera)


def uses_opencv(camera: CameraConfig) -> bool:
    """Return True if this camera is read with OpenCV rather than GStreamer."""
    return camera.decoder == "opencv" or (camera.decoder == "auto" and not gstreamer.available())
