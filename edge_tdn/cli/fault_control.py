"""Faults of simulated cameras: started at planned times, or typed while the cameras run."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from edge_tdn.process.program import OutputError
from edge_tdn.simulator.faults import OK, Planned
from edge_tdn.simulator.simulated_camera import SimulatedCamera


def schedule(GLib: Any, planned: Planned, cameras: Sequence[SimulatedCamera]) -> None:
    """Have GLib's main loop start, end and repeat a fault of `cameras`."""

    def begin() -> bool:
        for camera in cameras:
            camera.set_fault(planned.fault)
            if planned.length_s:
                GLib.timeout_add(round(planned.length_s * 1000), end, camera)
        if planned.every_s and not timers:
            timers.append(GLib.timeout_add(round(planned.every_s * 1000), begin))
        return bool(timers)

    def end(camera: SimulatedCamera) -> bool:
        if camera.fault == planned.fault:  # not if another fault has replaced it
            camera.set_fault(OK)
        return False

    timers: list[int] = []
    GLib.timeout_add(round(planned.at_s * 1000), lambda: begin() and False)


def read_faults(GLib: Any, console: Console, cameras: Mapping[str, SimulatedCamera], allowed: Sequence[str]) -> None:
    """Read `[CAMERA] FAULT` from stdin until it ends, and set the faults on the thread of GLib's main loop."""

    def set_fault(fault: str, chosen: Sequence[SimulatedCamera]) -> bool:
        for camera in chosen:
            camera.set_fault(fault)
        return False

    try:
        for line in sys.stdin:
            *name, fault = line.split() or [""]
            chosen = [camera for camera in cameras.values() if name in ([], [camera.name])]
            if chosen and fault in (OK, *allowed):
                GLib.idle_add(set_fault, fault, chosen)
            elif fault:
                console.print(f"{line.strip()}: not [CAMERA] FAULT, with one of {', '.join((*allowed, OK))}")
    except (OSError, ValueError, OutputError):  # not in the foreground, or a stream is closed
        return
