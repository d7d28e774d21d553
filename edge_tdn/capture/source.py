"""Frames from a camera, file or URL, in real time. A live source that fails is reopened; a file ends.

file             path, or file://; played at its own speed
rtsp(s)://       camera, over TCP or UDP
http(s)://       MJPEG camera, or a video file
/dev/video*      V4L2 camera
gst: PIPELINE    any GStreamer pipeline that ends in raw video; conversion and the appsink are added
demo:[SCENE]     a scene of the project's own, see edge_tdn/demo/demo_scenes.py
credential:      a systemd credential that contains an rtsp:// or http(s):// address
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from edge_tdn.capture.address import is_live
from edge_tdn.capture.capture import POLL_S, Capture, EndOfStream
from edge_tdn.capture.frozen import FrozenWatch
from edge_tdn.capture.open_capture import open_capture, uses_opencv
from edge_tdn.capture.reconnect import BackOff, PortWatcher
from edge_tdn.capture.stream_position import StreamPosition
from edge_tdn.capture.threaded_capture import ThreadedCapture
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.messages import Clock, Frame, State
from edge_tdn.process import heartbeat
from edge_tdn.process.passwords import without_password


class Source:
    """One camera's frames.

    Its state is one of `State`: connecting -> streaming <-> frozen, and from each of them to stalled, unreachable or
    unauthorized, after which a live source is connecting again; or to ended, for good. `report` is called at every
    change, with the reason.

    Owner: the thread that iterates over `frames`, which also calls `report`. Others may read `decoder` and `clock`.
    """

    def __init__(
        self,
        camera: CameraConfig,
        base: Path,
        report: Callable[[State, str], None],
        timing: CaptureTiming = DEFAULT_TIMING,
    ) -> None:
        self.decoder = ""  # see `Capture`
        self.clock: Clock = "host"  # the clock of the last frame's wall_ns
        self._camera = camera
        self._base = base
        self._report = report
        self._timing = timing
        self._state: State | None = None  # as last reported
        self._seq = 0  # frames so far
        self._stream = 0  # streams begun so far
        self._frozen = FrozenWatch(camera.frozen_s, timing) if camera.frozen_s else None
        self._threaded: ThreadedCapture | None = None  # the last one, which may still block
        self._back_off = BackOff(timing)
        self._port = PortWatcher(camera, base, timing)

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Yield frames until `stop` is set or a file has ended.

        A frozen picture yields none; the first frame after it begins another stream. Raises SourceError if the source
        cannot be played, or is damaged.
        """
        live = is_live(self._camera.source)
        while not stop.is_set():
            if self._state != "frozen":  # which lasts until a new picture arrives
                self._enter("connecting")
            seq, began_s = self._seq, time.monotonic()
            try:
                with closing(self._open()) as capture:
                    yield from self._read(capture, stop)
            except SourceError as fault:
                self._enter(fault.state, str(fault))
                if live and fault.state != "ended":
                    if self._port.wait(self._back_off.next_s(fault, time.monotonic() - began_s), stop):
                        self._back_off.reset()  # it has just started, and may need some attempts
                    continue
                if live or not self._camera.loop or self._seq == seq:
                    raise
            else:
                if stop.is_set():
                    return
                if not self._camera.loop:
                    self._enter("ended", "the video is over")
                    return
            # a file of one frame must not be played a thousand times a second
            heartbeat.wait(stop, began_s + self._timing.retry_min_s - time.monotonic())

    def _open(self) -> Capture:
        if not (uses_opencv(self._camera) and is_live(self._camera.source)):
            return open_capture(self._camera, self._base)
        if self._threaded is not None and self._threaded.busy:  # one thread a camera, however long the library blocks
            raise SourceError("OpenCV has not returned from the last connection", "stalled")
        camera, base = self._camera, self._base  # not self: the capture would keep us, and with us the whole camera
        self._threaded = ThreadedCapture(lambda: open_capture(camera, base))
        return self._threaded

    def _enter(self, state: State, reason: str = "") -> None:
        self._state = state
        self._report(state, reason)

    def _read(self, capture: Capture, stop: threading.Event) -> Iterator[Frame]:
        """Yield the frames of one connection."""
        position = StreamPosition()
        deadline_s = time.monotonic() + self._timing.first_frame_s
        while not stop.is_set():
            heartbeat.beat()
            try:
                captured = capture.read(POLL_S)
            except EndOfStream:
                position.check_end(without_password(self._camera.source), capture)
                return
            if captured is None:
                if time.monotonic() > deadline_s and (capture.live or position.size is None):
                    raise self._no_picture(position, capture.silence)
                continue
            received_ns = time.monotonic_ns()
            deadline_s = time.monotonic() + self._timing.stall_s
            first = position.size is None
            resized = position.advance(captured)
            if self._frozen and capture.live:
                if first:
                    self._frozen.connected(received_ns)
                if self._frozen.push(captured, received_ns):
                    if self._state != "frozen":
                        self._enter("frozen", self._frozen.reason)
                    self._frozen.check_retry(received_ns)
                    continue
            if resized or self._state == "frozen":
                self._stream += 1
                self._enter("streaming")
            self._seq += 1
            self.decoder = capture.decoder
            self.clock = "host" if captured.wall_ns is None else "camera"
            wall_ns = captured.wall_ns or time.time_ns()
            yield Frame(captured.decoded, captured.pts_ns, received_ns, wall_ns, self._seq, self._stream)

    def _no_picture(self, position: StreamPosition, reason: str) -> SourceError:
        cause = f": {reason}" if reason else ""
        if position.size is None:
            return SourceError(f"no picture for {self._timing.first_frame_s:.0f} s{cause}", "unreachable")
        return SourceError(f"no picture for {self._timing.stall_s:.0f} s{cause}", "stalled")
