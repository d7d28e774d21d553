"""Examination of the cameras, all at the same time: does each connect, which pictures arrive, and how often?"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from edge_tdn.capture.address import URLS, Address, find, is_live
from edge_tdn.capture.capture import EndOfStream
from edge_tdn.capture.diagnosis import ask, diagnose
from edge_tdn.capture.open_capture import open_capture, verify
from edge_tdn.capture.stream_position import ONE_PICTURE, SNAPSHOT
from edge_tdn.cli.doctor.finding import MIN_CERTIFICATE_DAYS, Finding, credential_remedy, days_until, is_loopback, start
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.cli.zone_sizes import Size, too_small
from edge_tdn.config.checks import TLS_URLS
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import ConfigError, ExplainedError, SourceError, last_line
from edge_tdn.media.outline import Outline
from edge_tdn.messages import NS_PER_S, Luma
from edge_tdn.service.frame_rate import MIN_SHARE
from edge_tdn.service.startup import draw_demo

POLL_S = 0.2
FEW = 5  # pictures, below which a look lasts as long as the first picture may take: this host may be busy
MIN_CONTRAST = 2.0  # standard deviation of the luma, below which a picture counts as one colour
REMEDIES = {
    "unauthorized": "correct the user name and the password of this camera",
    "stalled": "it connects, then sends nothing: restart it, or check how many viewers it allows",
    "ended": "is this a complete video file?",
}
DEVICE = (
    "is it plugged in, a camera, open to this user, and not in use by another program, such as a running daemon? "
    "`ls -l /dev/video*` lists the devices"
)
UNREACHABLE = "is it on, in this network, and are address and port right? Try it from this machine"
PORT_OPEN = "something listens there: is the path right, and does the camera allow another viewer?"
FAILED = SourceError.exit_status


@dataclass
class Look:
    """Observations of a camera over a few seconds."""

    connected_s: float = 0.0  # seconds until the first picture
    height: int = 0
    width: int = 0
    decoder: str = ""
    times_ns: tuple[int, ...] = ()  # PTS of the pictures
    identical: bool = True  # all pictures are equal, bit by bit
    one_colour: bool = False  # the last picture has no contrast

    @property
    def fps(self) -> float:
        if len(self.times_ns) < 2 or self.times_ns[-1] <= self.times_ns[0]:
            return 0.0
        return (len(self.times_ns) - 1) * NS_PER_S / (self.times_ns[-1] - self.times_ns[0])

    @property
    def longest_gap_s(self) -> float:
        gaps = [after - before for before, after in zip(self.times_ns, self.times_ns[1:], strict=False)]
        return max(gaps, default=0) / NS_PER_S


def examine(
    config: Config, base: Path, frame_rate: Callable[[CameraConfig], float], timing: DoctorTiming
) -> Iterator[Finding]:
    """`frame_rate`: returns that of a camera's models, frames per second; 0 if it is not known."""
    draw_demo(config)
    streams = {f"camera {camera.name}": camera for camera in config.camera}
    for camera in config.camera:
        if camera.record_source and config.record.enabled:
            streams[f"camera {camera.name}, record_source"] = camera.recorded
    attempts = {what: _try(camera, base, timing) for what, camera in streams.items()}
    deadline = time.monotonic() + timing.first_picture_s + timing.look_s + timing.grace_s
    for what, camera in streams.items():
        attempt = attempts[what]
        if isinstance(attempt, SourceError):
            remedy = credential_remedy(str(attempt)) or "correct its table in the configuration"
            yield Finding(what, "failed", str(attempt), remedy, ConfigError.exit_status)
            continue
        try:
            seen = attempt.result(max(0.0, deadline - time.monotonic()))
            yield _assess(what, camera, seen, frame_rate(camera))
            if what == f"camera {camera.name}":  # not a record_source
                yield from _zones(config, camera, (seen.height, seen.width))
            yield from _access(what, find(camera, base))
        except ExplainedError as error:
            yield Finding(what, "failed", error.cause, error.remedy, error.exit_status)
        except SourceError as error:
            remedy = REMEDIES.get(error.state) or _unreachable(find(camera, base))
            yield Finding(what, "failed", str(error), remedy, error.exit_status)
        except TooLate:
            address = find(camera, base)
            message = address.message(f"no answer in {timing.first_picture_s:g} s")
            yield Finding(what, "failed", message, _unreachable(address), FAILED)
        except Exception as error:  # so that the other cameras are still reported
            yield Finding(what, "failed", last_line(error), "", getattr(error, "exit_status", FAILED))


def _try(camera: CameraConfig, base: Path, timing: DoctorTiming) -> Future[Look] | SourceError:
    """Start to look at the camera, unless its configuration is already known to be wrong."""
    try:
        verify(camera, base)
    except SourceError as error:
        return error
    return start(lambda: look(camera, base, timing))


def look(camera: CameraConfig, base: Path, timing: DoctorTiming) -> Look:
    """Connect, and watch for a few seconds. Raises SourceError if no picture arrives."""
    began = time.monotonic()
    seen, first, before = Look(), 0.0, None
    with closing(open_capture(camera, base)) as capture:
        while time.monotonic() < _end(seen, began, first, timing):
            try:
                got = capture.read(POLL_S)
            except EndOfStream:
                if capture.live and len(seen.times_ns) == 1:
                    raise ExplainedError(find(camera, base).message(ONE_PICTURE), SNAPSHOT) from None
                break
            if got is None:
                continue
            luma: Luma = got.decoded.luma
            if before is None:
                first = time.monotonic()
                seen.connected_s = first - began
            elif before.shape != luma.shape or not np.array_equal(before, luma):
                seen.identical = False
            before = luma
            seen.times_ns += (got.pts_ns,)
        if before is None:
            message = f"it connects, but no picture came in {time.monotonic() - began:.0f} s"
            if capture.silence:
                message += f": {capture.silence}"
            raise SourceError(find(camera, base).message(message))
        seen.height, seen.width = before.shape
        seen.one_colour = float(before.std()) < MIN_CONTRAST
        seen.decoder = capture.decoder
    return seen


def _end(seen: Look, began: float, first: float, timing: DoctorTiming) -> float:
    """Return when a look ends. `began`, `first`: when it began, and when the first picture came, 0: it has not."""
    if not first:
        return began + timing.first_picture_s
    return first + timing.look_s if len(seen.times_ns) >= FEW else began + timing.first_picture_s + timing.look_s


def _unreachable(address: Address) -> str:
    """Return what to do about a camera that cannot be reached."""
    if address.location.startswith("/dev/"):
        return DEVICE
    if not address.location.startswith(URLS):
        return "try it with gst-launch-1.0, on this machine"
    try:
        diagnose(address)
    except SourceError:
        return UNREACHABLE
    return PORT_OPEN


def _access(what: str, address: Address) -> Iterator[Finding]:
    """Warn of a certificate that expires soon, and of a password that is sent over the network in plain text."""
    tls = address.location.startswith(TLS_URLS)
    exposed = not tls and address.username and not is_loopback(urlsplit(address.location).hostname or "")
    if not (tls or exposed):
        return
    try:
        answer = ask(address)
    except SourceError:  # it plays, but does not answer another viewer
        return
    if exposed and answer.schemes == ("Basic",):
        message = "the camera asks for Basic: its password is sent in plain text"
        remedy = "allow Digest in the camera's own settings, or use rtsps:// or https://"
        yield Finding(f"{what}, password", "warning", message, remedy)
    if tls and (days := days_until(answer.expires_s)) < MIN_CERTIFICATE_DAYS:
        message = f"the camera's certificate is valid for {days:.0f} days"
        yield Finding(f"{what}, certificate", "warning", message, "have it renewed: when it expires, nothing plays")


def _zones(config: Config, camera: CameraConfig, size: Size) -> Iterator[Finding]:
    """Yield the size of each zone in pictures of this height and width, or that it is too small."""
    faults = dict(too_small(config, camera, size))
    for zone in camera.zone:
        what = f"camera {camera.name}, zone {zone.name}"
        if zone.name in faults:
            message, _, remedy = faults[zone.name].rpartition(": ")
            yield Finding(what, "failed", message, remedy, ConfigError.exit_status)
            continue
        height, width = Outline.of(zone).pixels(size)
        yield Finding(what, "ok", f"{width}x{height} pixels of the picture of {size[1]}x{size[0]}")


def _assess(what: str, camera: CameraConfig, seen: Look, frame_rate: float) -> Finding:
    facts = [
        f"{seen.width}x{seen.height}",
        f"{seen.fps:.1f} fps" if seen.fps else "one picture",
        f"decoded by {seen.decoder}" if seen.decoder else "not encoded",
        f"first picture after {seen.connected_s:.1f} s",
    ]
    message = ", ".join(facts)
    if seen.one_colour:
        return Finding(what, "warning", f"{message}; the picture is of one colour", "is the lens covered, is it dark?")
    if seen.identical and is_live(camera.source):
        unchanged = f"{message}; always the same picture, bit by bit"
        return Finding(what, "warning", unchanged, "does the camera hang? Restart it; or is this a test picture?")
    if seen.longest_gap_s > camera.max_gap_s:
        gap = f"{message}; {seen.longest_gap_s:.1f} s between two pictures, max_gap_s is {camera.max_gap_s:g}"
        return Finding(what, "warning", gap, "clips are cut there: check the camera's settings, the network, max_gap_s")
    if seen.fps and seen.fps < MIN_SHARE * frame_rate:
        slow = f"{message}; the model needs {frame_rate:g} fps: pictures are repeated"
        return Finding(what, "warning", slow, "raise the frame rate in the camera's own settings")
    return Finding(what, "ok", message)
