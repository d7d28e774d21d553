"""This machine: its clock, what decodes here, its devices, and the service."""

import ctypes
import grp
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.config.tables import Config
from edge_tdn.media import gstreamer

BOOTED = Path("/run/systemd/system")  # is there where systemd is in charge
UNSYNCHRONISED_US = 16_000_000  # microseconds of possible error, from which on the kernel believes no clock
PATIENCE_S = 5.0
EXPOSED = 2.0  # of 10, by systemd-analyze: our unit with the widest of its drop-ins is below
DECODERS = {  # codec: as GStreamer calls it, Debian's packages
    "h264": ("video/x-h264", "gstreamer1.0-libav"),
    "h265": ("video/x-h265", "gstreamer1.0-libav"),
    "mjpeg": ("image/jpeg", "gstreamer1.0-plugins-good"),
    "vp9": ("video/x-vp9", "gstreamer1.0-plugins-good"),
}
ELEMENTS = {  # that sources are made of
    "rtspsrc": "gstreamer1.0-plugins-good", "souphttpsrc": "gstreamer1.0-plugins-good",
    "v4l2src": "gstreamer1.0-plugins-good", "decodebin": "gstreamer1.0-plugins-base",
    "h264parse": "gstreamer1.0-plugins-bad", "h265parse": "gstreamer1.0-plugins-bad",
}  # fmt: skip
SHOWN = ("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "ExecMainStatus",
         "ExecStart")  # fmt: skip


class _Timex(ctypes.Structure):
    """The beginning of struct timex of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_byte * 512),
    )  # fmt: skip


def clock() -> Iterator[Finding]:
    """Whether something keeps the wall clock right: events are labelled by it, certificates judged."""
    told = _Timex()
    try:
        if ctypes.CDLL(None).adjtimex(ctypes.byref(told)) < 0:
            raise OSError("refused")
    except (OSError, AttributeError) as error:
        yield Finding("clock", "note", f"the kernel does not say whether it is synchronised: {error}")
        return
    if told.maxerror < UNSYNCHRONISED_US:
        yield Finding("clock", "ok", f"synchronised, at most {told.maxerror / 1e3:.0f} ms off")
    else:
        remedy = "`timedatectl set-ntp true`, or install chrony: the times of events come from this clock"
        yield Finding("clock", "warning", "nothing synchronises it", remedy)


def decoders(config: Config | None) -> Iterator[Finding]:
    """GStreamer, and what it decodes with."""
    if not gstreamer.available():
        asked = config is not None and all(camera.decoder == "opencv" for camera in config.camera)
        said = "GStreamer is not here: OpenCV takes its place, with fewer sources and no clips"
        yield Finding("decoders", "note" if asked else "warning", said, gstreamer.HOW_TO_INSTALL)
        return
    found = {codec: gstreamer.decoders(media) for codec, (media, _) in DECODERS.items()}
    told = ", ".join(f"{codec} by {names[0]}" for codec, names in found.items() if names) or "nothing"
    yield Finding("decoders", "ok", f"{gstreamer.version()} decodes {told}")
    missing = {codec: DECODERS[codec][1] for codec, names in found.items() if not names}
    missing |= {element: package for element, package in ELEMENTS.items() if not gstreamer.has(element)}
    for name, package in missing.items():
        yield Finding("decoders", "warning", f"no {name} here", f"Debian: `apt-get install {package}`")


def devices(config: Config | None) -> Iterator[Finding]:
    """Cameras of this machine, and what decodes or computes in hardware: there, and open to this user?"""
    sources = [camera.source for camera in config.camera if camera.source.startswith("/dev/")] if config else []
    for device in (*map(Path, sources), *sorted(Path("/dev/dri").glob("renderD*"))):
        wanted = str(device) in sources
        if not device.exists():
            remedy = "is it plugged in? `ls /dev/video*` lists what is there"
            yield Finding("devices", "warning", f"{device} is not there", remedy)
        elif os.access(device, os.R_OK | os.W_OK):
            yield Finding("devices", "ok", f"{device} is open to user {os.getuid()}")
        else:
            remedy = f"`usermod -aG {_group(device)} USER`, and log in again; the service has this group by its unit"
            said = f"{device} is closed to user {os.getuid()}"
            yield Finding("devices", "warning" if wanted else "note", said, remedy)


def _group(device: Path) -> str:
    try:
        return grp.getgrgid(device.stat().st_gid).gr_name
    except (KeyError, OSError):
        return "video"


def service(path: Path) -> Iterator[Finding]:
    """The units of systemd, those that serve this configuration where there are any."""
    if not BOOTED.is_dir():
        yield Finding("service", "note", "systemd is not in charge of this machine: who starts edge-tdn at boot?")
        return
    try:
        told = _said("systemctl", "show", "edge-tdn*.service", f"--property={','.join(SHOWN)}")
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("service", "note", f"systemctl does not answer: {error}")
        return
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in told.split("\n\n")]
    units = [unit for unit in blocks if unit.get("LoadState") == "loaded"]
    serves = re.compile(rf"{re.escape(str(path.resolve()))}(\s|$)")
    ours = [unit for unit in units if serves.search(unit.get("ExecStart", ""))]
    if not units:
        yield Finding("service", "note", "no unit of edge-tdn is loaded", "`make install` installs one")
    elif not ours:
        names = ", ".join(f"{unit['Id']} ({unit['ActiveState']})" for unit in units)
        yield Finding("service", "note", f"none of the units serves {path.resolve()}: {names}")
    for unit in ours:
        yield from _unit(unit)


def _unit(unit: dict[str, str]) -> Iterator[Finding]:
    name, active = unit["Id"], unit["ActiveState"]
    restarts = int(unit.get("NRestarts", "0") or 0)
    said = f"{name}: {active} ({unit.get('SubState', '')}), process {unit.get('MainPID')}, {restarts} restarts"
    log = f"`journalctl -u {name} -n 50`"
    if active == "failed" or (active == "activating" and restarts):
        status = unit.get("ExecMainStatus", "?")
        yield Finding("service", "warning", f"{name}: {active}, the last exit status was {status}", log)
    elif active != "active":
        yield Finding("service", "warning", f"{name}: {active}", f"`systemctl start {name}`")
    elif restarts:
        yield Finding("service", "warning", said, f"why, says {log}")
    else:
        yield Finding("service", "ok", said)
    if unit.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "generated"):
        yield Finding("service", "warning", f"{name} does not start with the machine", f"`systemctl enable {name}`")
    exposure = _exposure(name)
    if exposure is not None and exposure > EXPOSED:
        remedy = f"the unit that `make install` writes is below {EXPOSED:g}: `systemctl cat {name}` shows what opens it"
        yield Finding("sandbox", "warning", f"{name}: exposure {exposure:g} of 10", remedy)
    elif exposure is not None:
        yield Finding("sandbox", "ok", f"{name}: exposure {exposure:g} of 10")


def _exposure(name: str) -> float | None:
    """0 to 10, as systemd-analyze rates it; None: it does not."""
    try:
        told = _said("systemd-analyze", "security", "--no-pager", name)
    except (OSError, subprocess.SubprocessError):
        return None
    rated = re.search(r"exposure level for .*: ([\d.]+)", told)
    return float(rated[1]) if rated else None


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
