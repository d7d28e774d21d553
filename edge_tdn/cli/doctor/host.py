"""Examination of this machine: its clock, the ports of metrics and page, its decoders, and its devices."""

import ctypes
import grp
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.hub.port import open_port
from edge_tdn.media import gstreamer
from edge_tdn.service.metrics_port import PORT_REMEDY, in_use

MAX_ANSWER_S, MAX_ANSWER_BYTES = 2.0, 1 << 20  # of what serves at the port of the metrics
OUR_METRIC = b"edge_tdn_build"
UNSYNCHRONISED_US = 16_000_000  # maximum error, microseconds, from which the kernel calls a clock unsynchronised
GOOD, LIBAV = "gstreamer1.0-plugins-good", "gstreamer1.0-libav"
BASE, BAD = "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-bad"
PAGE_REMEDY = "`ss -ltnp` names that program: end it, or set web.port to another port and restart the service"
DECODERS = {  # codec: GStreamer's name for it, Debian package
    "h264": ("video/x-h264", LIBAV),
    "h265": ("video/x-h265", LIBAV),
    "mjpeg": ("image/jpeg", GOOD),
    "vp9": ("video/x-vp9", GOOD),
}
ELEMENTS = {  # that sources are made of: Debian package
    "rtspsrc": GOOD,
    "souphttpsrc": GOOD,
    "v4l2src": GOOD,
    "decodebin": BASE,
    "h264parse": BAD,
    "h265parse": BAD,
}


class _Timex(ctypes.Structure):
    """The beginning of struct timex of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_byte * 512),
    )


def clock() -> Iterator[Finding]:
    """Examine whether the wall clock is synchronised: events carry its time, and certificates are checked by it."""
    timex = _Timex()
    try:
        if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
            raise OSError("refused")
    except (OSError, AttributeError) as error:
        yield Finding("clock", "note", f"the kernel does not report whether it is synchronised: {error}")
        return
    if timex.maxerror < UNSYNCHRONISED_US:
        yield Finding("clock", "ok", f"synchronised, at most {timex.maxerror / 1e3:.0f} ms off")
    else:
        remedy = "`timedatectl set-ntp true`, or install chrony: the times of events come from this clock"
        yield Finding("clock", "warning", "it is not synchronised", remedy)


def metrics(config: Config, holder: int | None) -> Iterator[Finding]:
    """Examine whether the port of the metrics is free, unless this configuration's daemon serves there.

    `holder`: process id of that daemon; its status says whether it serves.
    """
    if not config.metrics.port or holder is not None:
        return
    try:
        port = open_port(config, "metrics")
    except ConfigError as error:
        yield Finding("metrics", "failed", str(error), "", error.exit_status)
        return
    if port:
        port.close()
        yield Finding("metrics", "ok", f"{config.metrics.url} can be served")
    elif _is_ours(config.metrics.address, config.metrics.port):
        yield Finding("metrics", "ok", f"{config.metrics.url} is served by a daemon of edge-tdn")
    else:
        yield Finding("metrics", "warning", in_use(config), PORT_REMEDY)


def page(config: Config, holder: int | None) -> Iterator[Finding]:
    """Examine whether the page can be served, unless this configuration's daemon does so.

    `holder`: process id of that daemon; its status says whether it serves.
    """
    if not config.web.port or holder is not None:
        return
    try:
        port = open_port(config, "web")
    except ConfigError as error:
        yield Finding("page", "failed", str(error), "", error.exit_status)
        return
    if port:
        port.close()
        yield Finding("page", "ok", f"{config.web.url} can be served")
    else:
        yield Finding("page", "warning", f"port {config.web.port} is in use by another program", PAGE_REMEDY)


def _is_ours(address: str, port: int) -> bool:
    """Return whether a daemon of edge-tdn serves its metrics there, such as one without an outbox to hold."""
    with closing(HTTPConnection(address, port, timeout=MAX_ANSWER_S)) as connection, suppress(OSError, HTTPException):
        connection.request("GET", "/metrics")  # not through a proxy, which urllib would use
        return OUR_METRIC in connection.getresponse().read(MAX_ANSWER_BYTES)
    return False


def decoders(config: Config | None) -> Iterator[Finding]:
    """Examine GStreamer and its decoders."""
    if not gstreamer.available():
        expected = config is not None and all(camera.decoder == "opencv" for camera in config.camera)
        message = "GStreamer is not installed: OpenCV takes its place, with fewer kinds of sources and no clips"
        yield Finding("decoders", "note" if expected else "warning", message, gstreamer.how_to_install())
        return
    found = {codec: gstreamer.decoders(media) for codec, (media, _) in DECODERS.items()}
    listed = ", ".join(f"{codec} by {names[0]}" for codec, names in found.items() if names) or "nothing"
    yield Finding("decoders", "ok", f"{gstreamer.version()} decodes {listed}")
    missing = {codec: DECODERS[codec][1] for codec, names in found.items() if not names}
    missing |= {element: package for element, package in ELEMENTS.items() if not gstreamer.has(element)}
    for name, package in missing.items():
        yield Finding("decoders", "warning", f"{name} is missing", f"Debian: `apt-get install {package}`")


def devices(config: Config | None) -> Iterator[Finding]:
    """Examine whether this machine's cameras and graphics devices exist and are open to this user."""
    sources = [camera.source for camera in config.camera if camera.source.startswith("/dev/")] if config else []
    for device in (*map(Path, sources), *sorted(Path("/dev/dri").glob("renderD*"))):
        configured = str(device) in sources
        if not device.exists():
            remedy = "is it plugged in? `ls /dev/video*` lists the devices"
            yield Finding("devices", "warning", f"{device} does not exist", remedy)
        elif os.access(device, os.R_OK | os.W_OK):
            yield Finding("devices", "ok", f"{device} is open to user {os.getuid()}")
        else:
            remedy = f"`usermod -aG {_group(device)} USER`, and log in again; the service has this group by its unit"
            message = f"{device} is closed to user {os.getuid()}"
            yield Finding("devices", "warning" if configured else "note", message, remedy)


def _group(device: Path) -> str:
    try:
        return grp.getgrgid(device.stat().st_gid).gr_name
    except (KeyError, OSError):
        return "video"
