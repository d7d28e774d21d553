"""Frames from OpenCV, for machines without GStreamer. Files are paced by their own timestamps."""

import os
import time

import cv2

from edge_tdn.capture.address import Address
from edge_tdn.capture.capture import POLL_S, CapturedFrame, EndOfStream
from edge_tdn.capture.crop import Crop
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media.colour import Packed
from edge_tdn.media.gstreamer import how_to_install
from edge_tdn.messages import NS_PER_MS, NS_PER_S

TIMEOUT_MS = 5000  # of opening and of one read, during which OpenCV cannot be stopped

if "OPENCV_LOG_LEVEL" not in os.environ:  # OpenCV warns at every attempt without a reason; FFmpeg prints the reason
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


class CvCapture:
    """An open cv2.VideoCapture. Implements `edge_tdn.capture.capture.Capture`. Used by one thread.

    OpenCV knows neither the camera's clock nor the key frames. A file without a video stream does not open.
    """

    decoder = "opencv"

    def __init__(self, address: Address, camera: CameraConfig, paced: bool = True) -> None:
        check_supported(address, camera)
        self._paced = paced
        self._crop = Crop.of(camera)
        device = address.location.startswith("/dev/")
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
        backend = cv2.CAP_V4L2 if device else cv2.CAP_FFMPEG
        self._capture = cv2.VideoCapture(address.with_password, backend, [] if device else limits)
        if not self._capture.isOpened():
            reason = address.connection_error() or "OpenCV cannot open it: no video, or no such camera"
            raise SourceError(address.message(reason))
        wide, high = self._capture.get(cv2.CAP_PROP_SAR_NUM), self._capture.get(cv2.CAP_PROP_SAR_DEN)
        self._pixel_aspect = wide / high if wide > 0 and high > 0 else 1.0  # width / height of one pixel
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.declared_s: float | None = count / rate if rate > 0 and count > 0 else None
        self.live = address.live and not (address.location.startswith("http") and self.declared_s)  # that is a file
        self._step_ns = int(NS_PER_S / rate) if rate > 0 else 1
        self._last_ns = self._shift_ns = 0
        self._began_ns = 0  # monotonic clock at PTS 0
        self._held: CapturedFrame | None = None  # decoded before its time

    def read(self, timeout_s: float = POLL_S) -> CapturedFrame | None:
        if self._held is None:
            self._held = self._next()
        frame = self._held
        if self._paced and not self.live:
            wait_s = (self._began_ns + frame.pts_ns - time.monotonic_ns()) / NS_PER_S
            time.sleep(min(max(wait_s, 0.0), timeout_s))
            if wait_s > timeout_s:
                return None
        self._held = None
        return frame

    def close(self) -> None:
        self._capture.release()

    def _next(self) -> CapturedFrame:
        good, picture = self._capture.read()
        if not good:
            raise EndOfStream
        now_ns = time.monotonic_ns()
        pts_ns = now_ns if self.live else self._file_pts_ns()
        self._began_ns = self._began_ns or now_ns - pts_ns
        if self._pixel_aspect != 1:
            height, width = picture.shape[:2]
            picture = cv2.resize(picture, (max(1, round(width * self._pixel_aspect)), height))
        return CapturedFrame(self._crop(Packed(picture, "BGR")), pts_ns)  # type: ignore[arg-type]

    def _file_pts_ns(self) -> int:
        """Return the last frame's PTS, which grows also where the file's own clock jumps back, as in joined files."""
        pts_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
        if pts_ns + self._shift_ns <= self._last_ns and self._began_ns:
            self._shift_ns = self._last_ns + self._step_ns - pts_ns
        self._last_ns = pts_ns + self._shift_ns
        return self._last_ns


def check_supported(address: Address, camera: CameraConfig) -> None:
    """Raise SourceError for what OpenCV cannot do: GStreamer pipelines, and RTSP over UDP."""
    if address.location.startswith("gst:"):
        raise SourceError(address.message(f"gst: needs the decoder gstreamer; {how_to_install()}"), "ended")
    if address.location.startswith("rtsp") and camera.transport != "tcp":
        reason = f'transport = "{camera.transport}" needs the decoder gstreamer; {how_to_install()}'
        raise SourceError(address.message(reason), "ended")
