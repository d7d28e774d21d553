"""A camera, file or URL -> Frames, in real time. Live sources are opened again when they fail; files end.

file             path, or file://; played at its own speed
rtsp://          camera, over TCP or UDP
http(s)://       MJPEG camera, or a video file
/dev/video*      V4L2 camera
gst: PIPELINE    anything GStreamer can do; ends in raw video, we add conversion and the appsink
demo:            the project's own clip; `demo_clip` has drawn it before
credential:      one of systemd's, that holds a rtsp:// or http(s):// address
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from edge_tdn.capture.address import find, is_live
from edge_tdn.capture.capture import POLL_S, Capture, EndOfStream
from edge_tdn.capture.crop import WHOLE
from edge_tdn.capture.frozen import FrozenJudge, step
from edge_tdn.capture.reconnect import Door
from edge_tdn.capture.threaded_capture import Aside
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S, Clock, Decoded, Frame, State
from edge_tdn.process import heartbeat
from edge_tdn.process.passwords import without_password

STALL_S = 5.0  # a live source without a frame for so long has failed
FIRST_FRAME_S = 15.0  # but a connect may take this long
RETRY_S = (1.0, 60.0)  # first and longest wait between two connects
STEADY_S = 5.0  # a connection that lasted so long hammers nobody: the next wait is the first again
UNAUTHORIZED_RETRY_S = 30.0  # a refused password is not hammered
FROZEN_RETRY_S = (10.0, 60.0)  # a frozen camera is connected anew: after the first, doubling up to the longest
DAMAGED_S = 0.5  # a file that ends this much before its declared length is damaged


class Source:
    """One camera's frames. `told` hears every change of state, with its reason."""

    def __init__(self, camera: CameraConfig, base: Path, told: Callable[[State, str], None]) -> None:
        self._camera = camera
        self._base = base
        self._told = told
        self._seq = 0
        self._stream = 0
        self.decoder = ""  # what decodes; see `Capture`
        self.clock: Clock = "host"  # whose clock the last frame's wall_ns is
        self._state: State | None = None  # as last told
        self._judge = FrozenJudge(camera.frozen_s) if camera.frozen_s else None
        self._frozen_retry_s = FROZEN_RETRY_S[0]
        self._aside: Aside | None = None
        self._door = Door(camera, base)

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Frames until `stop` is set or a file has ended. SourceError: it cannot be played, or is damaged.

        Of a frozen picture there are none; the first after it begins another stream.
        """
        live = is_live(self._camera.source)
        attempt = 0
        while not stop.is_set():
            if self._state != "frozen":  # else it stays so until a picture says otherwise
                self._tell("connecting")
            before, began = self._seq, time.monotonic()
            try:
                with closing(self._open()) as capture:
                    yield from self._read(capture, stop)
            except SourceError as fault:
                self._tell(fault.state, str(fault))
                played = self._seq > before
                if live or not (self._camera.loop and played):
                    if fault.state == "ended" or not live:
                        raise
                    attempt = 1 if time.monotonic() - began >= STEADY_S else attempt + 1
                    if self._door.wait(_delay(attempt, fault), stop):
                        attempt = 0  # it has begun anew, and may need some tries until it has pictures
                    continue
            else:
                if stop.is_set():
                    return
                if not self._camera.loop:
                    self._tell("ended", "the video is over")
                    return
            # a file of one picture is not played a thousand times
            heartbeat.wait(stop, began + RETRY_S[0] - time.monotonic())

    def _open(self) -> Capture:
        if not (_uses_opencv(self._camera) and is_live(self._camera.source)):
            return open_capture(self._camera, self._base)
        if self._aside is not None and self._aside.busy:  # one thread a camera, however long the library takes
            raise SourceError("OpenCV has not come back from the last connection", "stalled")
        self._aside = Aside(lambda: open_capture(self._camera, self._base))
        return self._aside

    def _tell(self, state: State, reason: str = "") -> None:
        self._state = state
        self._told(state, reason)

    def _read(self, capture: Capture, stop: threading.Event) -> Iterator[Frame]:
        size: tuple[int, ...] = ()
        frozen_from: float | None = None
        deadline = time.monotonic() + FIRST_FRAME_S
        pts_ns = end_ns = 0
        while not stop.is_set():
            heartbeat.beat()
            try:
                got = capture.read(POLL_S)
            except EndOfStream:
                _check_end(without_password(self._camera.source), capture, end_ns, bool(size))
                return
            if got is None:
                if (capture.live or not size) and time.monotonic() > deadline:
                    limit = STALL_S if size else FIRST_FRAME_S
                    raise SourceError(f"no picture for {limit:.0f} s", "stalled" if size else "unreachable")
                continue
            decoded, received_ns = got[0], time.monotonic_ns()
            pts_ns, end_ns = got[1], 2 * got[1] - pts_ns  # a picture lasts as long as the one before
            deadline = time.monotonic() + STALL_S
            if capture.live and self._is_frozen(decoded, received_ns, capture.key, anew=not size):
                size = decoded.size
                frozen_from = frozen_from or time.monotonic()
                if time.monotonic() - frozen_from >= self._frozen_retry_s:  # a new connection heals many an encoder
                    self._frozen_retry_s = min(2 * self._frozen_retry_s, FROZEN_RETRY_S[1])
                    raise SourceError(self._frozen_reason, "frozen")
                continue
            if decoded.size != size or self._state == "frozen":
                size = decoded.size
                self._stream += 1
                self._frozen_retry_s = FROZEN_RETRY_S[0]
                self._tell("streaming")
            self._seq += 1
            self.decoder, wall_ns = capture.decoder, capture.wall_ns
            self.clock = "host" if wall_ns is None else "camera"
            yield Frame(decoded, pts_ns, received_ns, wall_ns or time.time_ns(), self._seq, self._stream)

    def _is_frozen(self, decoded: Decoded, received_ns: int, key: bool | None, anew: bool) -> bool:
        """Whether the picture is told as frozen. `anew`: it is the first of a connection."""
        if self._judge is None:
            return False
        if anew:
            self._judge.reopened(received_ns)
        frozen = self._judge.push(decoded.sampled(step(decoded.size)), received_ns, key)
        if frozen and self._state != "frozen":
            self._tell("frozen", self._frozen_reason)
        return frozen

    @property
    def _frozen_reason(self) -> str:
        return f"the same picture for {self._camera.frozen_s:g} s"


def read_file(
    path: Path,
    decoder: Literal["auto", "gstreamer", "opencv"] = "auto",
    rotate: Literal[0, 90, 180, 270] = 0,
    region: tuple[float, float, float, float] = WHOLE,
) -> Iterator[Frame]:
    """Every frame of a video file through the same decoder and conversion as a camera's, as fast as it decodes.

    SourceError: it cannot be played, or is damaged.
    """
    file = str(path.resolve())
    camera = CameraConfig(name="file", source=file, decoder=decoder, rotate=rotate, region=region)
    with closing(open_capture(camera, Path(), paced=False)) as capture:
        seq = end_ns = pts_ns = 0
        size: tuple[int, ...] = ()
        stream = 0
        deadline = time.monotonic() + FIRST_FRAME_S
        while True:
            try:
                got = capture.read(POLL_S)
            except EndOfStream:
                _check_end(str(path), capture, end_ns, bool(size))
                return
            if got is None:
                if time.monotonic() > deadline:
                    raise SourceError(f"{path}: no picture for {FIRST_FRAME_S:.0f} s")
                continue
            deadline = time.monotonic() + FIRST_FRAME_S
            decoded = got[0]
            pts_ns, end_ns = got[1], 2 * got[1] - pts_ns
            stream += decoded.size != size
            size = decoded.size
            seq += 1
            yield Frame(decoded, pts_ns, time.monotonic_ns(), pts_ns, seq, stream)


def length_s(path: Path, decoder: Literal["auto", "gstreamer", "opencv"] = "auto") -> float | None:
    """How many seconds a video file says that it lasts; None: it does not say. SourceError: it cannot be played."""
    camera = CameraConfig(name="file", source=str(path.resolve()), decoder=decoder)
    deadline = time.monotonic() + FIRST_FRAME_S
    with closing(open_capture(camera, Path(), paced=False)) as capture, suppress(EndOfStream):
        while capture.read(POLL_S) is None and time.monotonic() < deadline:  # a fault is told at the end of a read
            pass
    return capture.declared_s or None


def open_capture(camera: CameraConfig, base: Path, paced: bool = True) -> Capture:
    """Connects with GStreamer, or with OpenCV where the configuration or the machine wants it.

    `paced`: a file plays at its own speed. SourceError: it cannot be reached; with the state "ended" where trying again
    is no use.
    """
    address = find(camera, base)
    if _uses_opencv(camera):
        from edge_tdn.capture.cv_capture import CvCapture

        return CvCapture(address, camera, paced)
    from edge_tdn.capture.gst_capture import GstCapture

    return GstCapture(address, camera, paced)


def verify(camera: CameraConfig, base: Path) -> None:
    """SourceError: what is wrong with a source, as far as can be known without connecting."""
    address = find(camera, base)
    if _uses_opencv(camera):
        from edge_tdn.capture.cv_capture import refuse

        refuse(address, camera)
    else:
        from edge_tdn.capture.gst_capture import parse

        parse(address, camera)


def _uses_opencv(camera: CameraConfig) -> bool:
    return camera.decoder == "opencv" or (camera.decoder == "auto" and not gstreamer.available())


def _check_end(name: str, capture: Capture, end_ns: int, any_picture: bool) -> None:
    """SourceError: the end of `name` came too early, as it always does for a live source."""
    if capture.live:
        raise SourceError(f"{name}: the camera ended the stream", "stalled" if any_picture else "unreachable")
    if not any_picture:
        raise SourceError(f"{name}: no picture in it", "ended")
    reached_s = end_ns / NS_PER_S
    if capture.declared_s and capture.declared_s - reached_s > DAMAGED_S:
        raise SourceError(f"{name}: damaged: ends at {reached_s:.1f} s of {capture.declared_s:.1f} s", "ended")


def _delay(attempt: int, fault: SourceError) -> float:
    """Seconds until the next connect: doubling, with jitter, so that many cameras do not knock at once."""
    first = UNAUTHORIZED_RETRY_S if fault.state == "unauthorized" else RETRY_S[0]
    doubled: float = min(first * 2.0 ** min(attempt - 1, 10), RETRY_S[1])
    return doubled * random.uniform(0.75, 1.25)
