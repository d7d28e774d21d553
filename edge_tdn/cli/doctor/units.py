"""Examination of the systemd units of edge-tdn: which one serves a configuration, and in which state it is."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge_tdn.cli.doctor.finding import Finding
from edge_tdn.cli.options import SITE
from edge_tdn.cli.timing import DoctorTiming

SYSTEMD = Path("/run/systemd/system")  # exists if systemd is the init system
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
UNIT = "edge-tdn"  # .service, which `make install` and the Debian package install
STATE = Path("/var/lib")  # below which StateDirectory= is
MAX_EXPOSURE = 2.0  # of 10, as rated by systemd-analyze; our unit with the widest of its drop-ins is below
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
    "StateDirectory",
    "ProtectHome",
)
Unit = dict[str, str]  # property: value, as `systemctl show` prints them


def is_installed() -> bool:
    """Return whether a unit file of edge-tdn is installed, loaded by systemd or not."""
    return any(Path(folder, f"{UNIT}.service").is_file() for folder in UNIT_FOLDERS)


def serving_unit(path: Path, timing: DoctorTiming) -> Unit | None:
    """Return the unit that serves the configuration at `path`, preferably a running one; None: none, or no systemd."""
    try:
        ours = _serving(_units(timing), path) if SYSTEMD.is_dir() else []
    except (OSError, subprocess.SubprocessError):
        return None
    return max(ours, key=lambda unit: unit["ActiveState"] == "active", default=None)


def main_pid(unit: Unit | None) -> int | None:
    """Return the process id of a unit's daemon; None if it does not run."""
    pid = int((unit or {}).get("MainPID") or 0)
    return pid if pid and unit and unit["ActiveState"] in ("active", "reloading") else None


def state_folder(unit: Unit | None) -> Path | None:
    """Return the state directory of a unit's service, or None if it has none."""
    folders = (unit or {}).get("StateDirectory", "").split()
    return STATE / folders[0] if folders else None


def protect_home(path: Path, timing: DoctorTiming) -> str:
    """Return ProtectHome= of the unit that serves the configuration at `path`, or would, with its drop-ins merged.

    "yes", which our unit file has, if there is no such unit or no systemd; "no", "read-only" or "tmpfs".
    """
    unit = serving_unit(path, timing)
    if unit is None and SYSTEMD.is_dir():
        name = UNIT if path.name == SITE.name else f"{UNIT}@{path.stem}"
        with suppress(OSError, subprocess.SubprocessError):
            unit = next(iter(_serving(_units(timing, f"{name}.service"), path)), None)
    return (unit or {}).get("ProtectHome") or "yes"


def service(path: Path, timing: DoctorTiming) -> Iterator[Finding]:
    """Examine the systemd units that serve this configuration, or report that there are none."""
    if not SYSTEMD.is_dir():
        yield Finding("service", "note", "systemd does not run this machine: who starts edge-tdn at boot?")
        return
    try:
        units = _units(timing)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("service", "note", f"systemctl does not answer: {error}")
        return
    ours = _serving(units, path)
    if not units and is_installed():
        message = f"{UNIT}.service is installed, and neither started nor enabled"
        yield Finding("service", "note", message, f"`systemctl enable --now {UNIT}`")
    elif not units:
        yield Finding("service", "note", "no unit of edge-tdn is installed", "`make install` installs one")
    elif not ours:
        names = ", ".join(f"{unit['Id']} ({unit['ActiveState']})" for unit in units)
        yield Finding("service", "note", f"none of the units serves {path.resolve()}: {names}")
    for unit in ours:
        yield from _unit(unit, timing)


def _units(timing: DoctorTiming, pattern: str = f"{UNIT}*.service") -> list[Unit]:
    """Return the units of edge-tdn that systemd has loaded; it also loads one that `pattern` names in full."""
    shown = _output(timing, "systemctl", "show", pattern, f"--property={','.join(PROPERTIES)}")
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return [unit for unit in blocks if unit.get("LoadState") == "loaded"]


def _serving(units: list[Unit], path: Path) -> list[Unit]:
    serves = re.compile(rf"{re.escape(str(path.resolve()))}(\s|$)")
    return [unit for unit in units if serves.search(unit.get("ExecStart", ""))]


def _unit(unit: Unit, timing: DoctorTiming) -> Iterator[Finding]:
    name, active = unit["Id"], unit["ActiveState"]
    quoted = shlex.quote(name)  # edge-tdn@front\x2dyard.service
    restarts = int(unit.get("NRestarts", "0") or 0)
    message = f"{name}: {active} ({unit.get('SubState', '')}), process {unit.get('MainPID')}, {restarts} restarts"
    log = f"`journalctl -u {quoted} -n 50`"
    if active == "failed" or (active == "activating" and restarts):
        status = unit.get("ExecMainStatus", "?")
        yield Finding("service", "warning", f"{name}: {active}, the last exit status was {status}", log)
    elif active != "active":
        yield Finding("service", "warning", f"{name}: {active}", f"`systemctl start {quoted}`")
    elif restarts:
        yield Finding("service", "warning", message, f"the log shows why: {log}")
    else:
        yield Finding("service", "ok", message)
    if unit.get("UnitFileState") not in ("enabled", "enabled-runtime", "static", "generated"):
        yield Finding("service", "warning", f"{name} does not start with the machine", f"`systemctl enable {quoted}`")
    exposure = _exposure(name, timing)
    if exposure is not None and exposure > MAX_EXPOSURE:
        remedy = f"the unit that `make install` writes is below {MAX_EXPOSURE:g}: compare `systemctl cat {quoted}`"
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
