"""Pictures from OpenCV, for machines without GStreamer: files are paced by their own timestamps."""

import time

import cv2

from edge_tdn.colour import Packed
from edge_tdn.errors import SourceError
from edge_tdn.gstreamer import HOW_TO_INSTALL
from edge_tdn.messages import NS_PER_MS, NS_PER_S, Decoded
from edge_tdn.source import POLL_S, EndOfStream, is_live, without_password

TIMEOUT_MS = 5000  # of opening and of one read, in which no stop is heard


class CvCapture:
    """An opened cv2.VideoCapture. See `edge_tdn.source.Capture`."""

    def __init__(self, source: str, paced: bool = True) -> None:
        self._paced = paced
        refuse_gst(source)
        backend = cv2.CAP_V4L2 if source.startswith("/dev/") else cv2.CAP_FFMPEG
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, TIMEOUT_MS]
        self._capture = cv2.VideoCapture(source, backend, [] if source.startswith("/dev/") else limits)
        if not self._capture.isOpened():
            raise SourceError(f"{without_password(source)}: OpenCV cannot open it: no video, or no such camera")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.declared_s: float | None = count / rate if rate > 0 and count > 0 else None
        self.live = is_live(source) and not (source.startswith("http") and self.declared_s)  # that is a file
        self._step_ns = int(NS_PER_S / rate) if rate > 0 else 1
        self._last_ns = self._shift_ns = 0
        self._began_ns = 0  # monotonic clock at PTS 0
        self._held: tuple[Decoded, int] | None = None  # read, but its time has not come

    def read(self, timeout_s: float = POLL_S) -> tuple[Decoded, int] | None:
        if self._held is None:
            self._held = self._next()
        decoded, pts_ns = self._held
        if self._paced and not self.live:
            wait_s = (self._began_ns + pts_ns - time.monotonic_ns()) / NS_PER_S
            time.sleep(min(max(wait_s, 0.0), timeout_s))
            if wait_s > timeout_s:
                return None
        self._held = None
        return decoded, pts_ns

    def decoding(self) -> str:
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        letters = code.to_bytes(4, "little", signed=code < 0).decode("ascii", "replace")
        return f"{letters.strip() if letters.isprintable() else 'video'} by OpenCV"

    def close(self) -> None:
        self._capture.release()

    def _next(self) -> tuple[Decoded, int]:
        good, picture = self._capture.read()
        if not good:
            raise EndOfStream
        now_ns = time.monotonic_ns()
        pts_ns = now_ns if self.live else self._file_pts()
        self._began_ns = self._began_ns or now_ns - pts_ns
        return Packed(picture, "BGR"), pts_ns  # type: ignore[arg-type]

    def _file_pts(self) -> int:
        """Grows also where the file's own clock jumps back, as in joined recordings."""
        pts_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
        if pts_ns + self._shift_ns <= self._last_ns and self._began_ns:
            self._shift_ns = self._last_ns + self._step_ns - pts_ns
        self._last_ns = pts_ns + self._shift_ns
        return self._last_ns


def refuse_gst(source: str) -> None:
    """SourceError: OpenCV runs no GStreamer pipeline."""
    if source.startswith("gst:"):
        raise SourceError(f"{without_password(source)}: gst: needs the decoder gstreamer; {HOW_TO_INSTALL}", "ended")
