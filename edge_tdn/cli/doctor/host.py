"""Examination of this machine: its clock, its decoders, its devices, and the service."""

import ctypes
import grp
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.cli.timing import DoctorTiming
from edge_tdn.config.tables import Config
from edge_tdn.media import gstreamer

SYSTEMD = Path("/run/systemd/system")  # exists if systemd is the init system
UNSYNCHRONISED_US = 16_000_000  # maximum error, microseconds, from which the kernel calls a clock unsynchronised
MAX_EXPOSURE = 2.0  # of 10, as rated by systemd-analyze; our unit with the widest of its drop-ins is below
GOOD, LIBAV = "gstreamer1.0-plugins-good", "gstreamer1.0-libav"
BASE, BAD = "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-bad"
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
PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "MainPID",
    "NRestarts",
    "ExecMainStatus",
    "ExecStart",
)


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


def service(path: Path, timing: DoctorTiming, systemd: Path = SYSTEMD) -> Iterator[Finding]:
    """Examine the systemd units that serve this configuration, or report that there are none."""
    if not systemd.is_dir():
        yield Finding("service", "note", "systemd does not run this machine: who starts edge-tdn at boot?")
        return
    try:
        shown = _output(timing, "systemctl", "show", "edge-tdn*.service", f"--property={','.join(PROPERTIES)}")
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("service", "note", f"systemctl does not answer: {error}")
        return
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    units = [unit for unit in blocks if unit.get("LoadState") == "loaded"]
    serves = re.compile(rf"{re.escape(str(path.resolve()))}(\s|$)")
    ours = [unit for unit in units if serves.search(unit.get("ExecStart", ""))]
    if not units:
        yield Finding("service", "note", "no unit of edge-tdn is loaded", "`make install` installs one")
    elif not ours:
        names = ", ".join(f"{unit['Id']} ({unit['ActiveState']})" for unit in units)
        yield Finding("service", "note", f"none of the units serves {path.resolve()}: {names}")
    for unit in ours:
        yield from _unit(unit, timing)


def _unit(unit: dict[str, str], timing: DoctorTiming) -> Iterator[Finding]:
    name, active = unit["Id"], unit["ActiveState"]
    restarts = int(unit.get("NRestarts", "0") or 0)
    message = f"{name}: {active} ({unit.get('SubState', '')}), process {unit.get('MainPID')}, {restarts} restarts"
    log = f"`journalctl -u {name} -n 50`"
    if active == "failed" or (active == "activating" and restarts):
        status = unit.get("ExecMainStatus", "?")
        yield Finding("service", "warning", f"{name}: {active}, the last exit status was {status}", log)
    elif active != "active":
        yield Finding("service", "warning", f"{name}: {active}", f"`systemctl start {name}`")
    elif restarts:
        yield Finding("service", "warning", message, f"the log shows why: {log}")
    else:
        yield Finding("service", "ok", message)
    if unit.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "generated"):
        yield Finding("service", "warning", f"{name} does not start with the machine", f"`systemctl enable {name}`")
    exposure = _exposure(name, timing)
    if exposure is not None and exposure > MAX_EXPOSURE:
        remedy = f"the unit that `make install` writes is below {MAX_EXPOSURE:g}: compare `systemctl cat {name}`"
        yield Finding("sandbox", "warning", f"{name}: exposure {exposure:g} of 10", remedy)
    elif exposure is not None:
        yield Finding("sandbox", "ok", f"{name}: exposure {exposure:g} of 10")


def _exposure(name: str, timing: DoctorTiming) -> float | None:
    """Return systemd-analyze's rating from 0 to 10; None if it has none."""
    try:
        analysis = _output(timing, "systemd-analyze", "security", "--no-pager", name)
    except (OSError, subprocess.SubprocessError):
        return None
    rating = re.search(r"exposure level for .*: ([\d.]+)", analysis)
    return float(rating[1]) if rating else None


def _output(timing: DoctorTiming, *command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=timing.command_s, check=True).stdout
