"""Every camera, all at the same time: does it connect, what comes, and how often?"""

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as TooLate
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from edge_tdn.check import unplayable
from edge_tdn.config import CameraConfig, Config
from edge_tdn.doctor.finding import Finding, start
from edge_tdn.errors import ConfigError, SourceError, last_line
from edge_tdn.messages import NS_PER_S, Luma
from edge_tdn.source import EndOfStream, is_live, open_capture, without_password

LIMIT_S = 10.0  # for a camera to give its first picture
LOOK_S = 3.0  # and so long its pictures are looked at
GRACE_S = 2.0  # for a library to come back after that
POLL_S = 0.2
SLOW = 0.9  # of the model's frame rate
EVEN = 2.0  # standard deviation of a picture's luma, below which nothing is seen in it
REACH_S = 2.0  # for its port to answer
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
REMEDIES = {
    "unauthorized": "mend the user name and the password of this camera",
    "stalled": "it connects, then sends nothing: restart it, or see how many viewers it allows",
    "ended": "is this a video file that is whole?",
}
BUSY = "another program has the device: while a daemon streams from it, this is no fault"
DEVICE = "is it plugged in, a camera, and open to this user? `ls -l /dev/video*` lists what is there"


@dataclass
class Look:
    """What a few seconds of a camera showed."""

    connected_s: float = 0.0  # seconds until the first picture
    height: int = 0
    width: int = 0
    decoding: str = ""
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
    wrong = unplayable(config, base)
    tried = {
        number: start(lambda camera=camera: look(camera, base))  # type: ignore[misc]
        for number, camera in enumerate(config.camera)
        if number not in wrong
    }
    deadline = time.monotonic() + LIMIT_S + LOOK_S + GRACE_S
    for number, camera in enumerate(config.camera):
        what = f"camera {camera.name}"
        if number in wrong:
            yield Finding(what, "failed", str(wrong[number]), "mend `source`", ConfigError.exit_status)
            continue
        try:
            seen = tried[number].result(max(0.0, deadline - time.monotonic()))
        except SourceError as error:
            remedy = REMEDIES.get(error.state) or _unreachable(camera.source, str(error))
            yield Finding(what, "failed", str(error), remedy, error.exit_status)
        except TooLate:
            said = f"{without_password(camera.source)}: no answer in {LIMIT_S:g} s"
            yield Finding(what, "failed", said, _unreachable(camera.source, said), SourceError.exit_status)
        except Exception as error:  # one camera's trouble hides not the others'
            yield Finding(what, "failed", last_line(error), "", getattr(error, "exit_status", SourceError.exit_status))
        else:
            yield _judged(what, camera, seen, frame_rate)


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
            decoded, pts_ns = got
            luma: Luma = decoded.luma
            if before is None:
                first = time.monotonic()
                seen.connected_s = first - began
            elif before.shape != luma.shape or not np.array_equal(before, luma):
                seen.same = False
            before = luma
            seen.times_ns += (pts_ns,)
        if before is None:
            name = without_password(camera.source)
            raise SourceError(f"{name}: it connects, but no picture came in {time.monotonic() - began:.0f} s")
        seen.height, seen.width = before.shape
        seen.even = float(before.std()) < EVEN
        seen.decoding = capture.decoding()
    return seen


def _unreachable(source: str, said: str) -> str:
    """What to do about a camera that is not there: how far does one get?"""
    if source.startswith("/dev/"):
        return BUSY if "busy" in said.lower() else DEVICE
    scheme, _, rest = source.partition("://")
    if scheme not in PORTS:
        return "try it with gst-launch-1.0 or another player, on this machine"
    parts = urlsplit(f"//{re.split('[/?]', rest.rpartition('@')[2])[0]}")
    name = parts.hostname or ""
    try:
        port = parts.port or PORTS[scheme]
        start(lambda: socket.create_connection((name, port), REACH_S).close()).result(REACH_S)
    except socket.gaierror:
        return f"nobody knows the name {name}: is it right, and does this machine have a name server?"
    except ConnectionRefusedError:
        return f"{name} is there, but nothing listens on port {port}: is it the right one, and its service switched on?"
    except (OSError, ValueError, TooLate):
        return f"{name} does not answer: is it on, in this network, and the address right?"
    return f"{name} listens on port {port}: is the path right, and does the camera allow another viewer?"


def _judged(what: str, camera: CameraConfig, seen: Look, frame_rate: float) -> Finding:
    said = ", ".join(filter(None, (
        f"{seen.width}x{seen.height}", f"{seen.fps:.1f} fps" if seen.fps else "one picture", seen.decoding,
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
