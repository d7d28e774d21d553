"""Every camera, all at the same time: does it connect, what comes, and how often?"""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_tdn.capture.address import URLS, Address, find, is_live
from edge_tdn.capture.capture import EndOfStream
from edge_tdn.capture.open_capture import open_capture, verify
from edge_tdn.cli.doctor.finding import Finding, of_a_service, start
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import ConfigError, SourceError, last_line
from edge_tdn.messages import NS_PER_S, Luma

LIMIT_S = 10.0  # for a camera to give its first picture
LOOK_S = 3.0  # and so long its pictures are looked at
GRACE_S = 2.0  # for a library to come back after that
POLL_S = 0.2
SLOW = 0.9  # of the model's frame rate
EVEN = 2.0  # standard deviation of a picture's luma, below which nothing is seen in it
REMEDIES = {
    "unauthorized": "mend the user name and the password of this camera",
    "stalled": "it connects, then sends nothing: restart it, or see how many viewers it allows",
    "ended": "is this a video file that is whole?",
}
DEVICE = (
    "is it plugged in, a camera, open to this user, and not in use by another program, such as a running daemon? "
    "`ls -l /dev/video*` lists what is there"
)
NOBODY = "is it on, in this network, and are address and port right? Try it from this machine"
SOMEBODY = "something listens there: is the path right, and does the camera allow another viewer?"
UNSEEN = SourceError.exit_status


@dataclass
class Look:
    """What a few seconds of a camera showed."""

    connected_s: float = 0.0  # seconds until the first picture
    height: int = 0
    width: int = 0
    decoder: str = ""
    times_ns: tuple[int, ...] = ()  # PTS of its pictures
    same: bool = True  # all were equal, bit by bit
    even: bool = False  # the last was of one colour

    @property
    def fps(self) -> float:
        if len(self.times_ns) < 2 or self.times_ns[-1] <= self.times_ns[0]:
            return 0.0
        return (len(self.times_ns) - 1) * NS_PER_S / (self.times_ns[-1] - self.times_ns[0])

    @property
    def longest_gap_s(self) -> float:
        gaps = [after - before for before, after in zip(self.times_ns, self.times_ns[1:], strict=False)]
        return max(gaps, default=0) / NS_PER_S


def examine(config: Config, base: Path, frame_rate: float) -> Iterator[Finding]:
    """`frame_rate`: what the model wants, frames a second; 0: not known."""
    streams = {f"camera {camera.name}": camera for camera in config.camera}
    for camera in config.camera:
        if camera.record_source and config.record.wanted:
            streams[f"camera {camera.name}, record_source"] = camera.recorded
    tried = {what: _try(camera, base) for what, camera in streams.items()}
    deadline = time.monotonic() + LIMIT_S + LOOK_S + GRACE_S
    for what, camera in streams.items():
        attempt = tried[what]
        if isinstance(attempt, SourceError):
            said = str(attempt)
            remedy = of_a_service(said) or "mend its table in the configuration"
            yield Finding(what, "failed", said, remedy, ConfigError.exit_status)
            continue
        try:
            yield _judged(what, camera, attempt.result(max(0.0, deadline - time.monotonic())), frame_rate)
        except SourceError as error:
            remedy = REMEDIES.get(error.state) or _unreachable(find(camera, base))
            yield Finding(what, "failed", str(error), remedy, error.exit_status)
        except TooLate:
            address = find(camera, base)
            yield Finding(what, "failed", address.message(f"no answer in {LIMIT_S:g} s"), _unreachable(address), UNSEEN)
        except Exception as error:  # one camera's trouble hides not the others'
            yield Finding(what, "failed", last_line(error), "", getattr(error, "exit_status", UNSEEN))


def _try(camera: CameraConfig, base: Path) -> Future[Look] | SourceError:
    """Begins to look at it, unless it can be seen already that this is no use."""
    try:
        verify(camera, base)
    except SourceError as error:
        return error
    return start(lambda: look(camera, base))


def look(camera: CameraConfig, base: Path) -> Look:
    """Connects, and looks for a few seconds. SourceError: no picture comes."""
    began = time.monotonic()
    seen, first, before = Look(), 0.0, None
    with closing(open_capture(camera, base)) as capture:
        while time.monotonic() < (first + LOOK_S if first else began + LIMIT_S):
            try:
                got = capture.read(POLL_S)
            except EndOfStream:
                break
            if got is None:
                continue
            luma: Luma = got.decoded.luma
            if before is None:
                first = time.monotonic()
                seen.connected_s = first - began
            elif before.shape != luma.shape or not np.array_equal(before, luma):
                seen.same = False
            before = luma
            seen.times_ns += (got.pts_ns,)
        if before is None:
            said = f"it connects, but no picture came in {time.monotonic() - began:.0f} s"
            raise SourceError(find(camera, base).message(said))
        seen.height, seen.width = before.shape
        seen.even = float(before.std()) < EVEN
        seen.decoder = capture.decoder
    return seen


def _unreachable(address: Address) -> str:
    """What to do about a camera that is not there."""
    if address.location.startswith("/dev/"):
        return DEVICE
    if not address.location.startswith(URLS):
        return "try it with gst-launch-1.0, on this machine"
    return NOBODY if address.connection_error() else SOMEBODY


def _judged(what: str, camera: CameraConfig, seen: Look, frame_rate: float) -> Finding:
    said = ", ".join(filter(None, (
        f"{seen.width}x{seen.height}", f"{seen.fps:.1f} fps" if seen.fps else "one picture",
        f"decoded by {seen.decoder}" if seen.decoder else "not encoded",
        f"first picture after {seen.connected_s:.1f} s",
    )))  # fmt: skip
    live = is_live(camera.source)
    if seen.even:
        return Finding(what, "warning", f"{said}; the picture is of one colour", "is the lens covered, is it dark?")
    if seen.same and live:
        unchanged = f"{said}; always the same picture, bit by bit"
        return Finding(what, "warning", unchanged, "a camera that hangs? Restart it; a test picture is no camera's")
    if seen.longest_gap_s > camera.max_gap_s:
        gap = f"{said}; {seen.longest_gap_s:.1f} s between two pictures, max_gap_s is {camera.max_gap_s:g}"
        return Finding(what, "warning", gap, "clips break off there: the camera's settings, the network, or max_gap_s")
    if seen.fps and seen.fps < SLOW * frame_rate:
        slow = f"{said}; the model wants {frame_rate:g} fps: pictures are repeated"
        return Finding(what, "warning", slow, "raise the frame rate in the camera's own settings")
    return Finding(what, "ok", said)
