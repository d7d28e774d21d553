"""`edge-tdn simulate`: videos served as RTSP cameras, whose faults are planned or typed."""

import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from edge_tdn.errors import EdgeTdnError
from edge_tdn.media import gstreamer
from edge_tdn.simulator.faults import FAULTS, OK, Planned
from edge_tdn.simulator.film import Film
from edge_tdn.simulator.rtsp_camera import SimulatedCamera

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (recognised, not bound)


def simulate(
    console: Console, files: Sequence[str], address: str, port: int, size: tuple[int, int] | None, rate: int | None,
    codec: str, user: str, password_file: Path | None, planned: Sequence[Planned],
) -> None:  # fmt: skip
    """Serves until SIGTERM or Ctrl-C. SourceError: a file cannot be played, a port is taken. EdgeTdnError: an option.

    `port`: of the first camera, the others have the next ones; 0: free ones.
    """
    GLib, _ = gstreamer.load_rtsp_server()
    password = _password(user, password_file)
    names = _names(files)
    allowed = [fault for fault in FAULTS if (fault, codec) != ("corrupt", "mjpeg")]  # its packets would not be made
    _check(planned, names, allowed)
    loop = GLib.MainLoop()
    with ExitStack() as stack:
        cameras: dict[str, SimulatedCamera] = {}
        for number, (name, file) in enumerate(zip(names, files, strict=True)):
            film = Film(file, size, rate)
            stack.callback(film.close)
            cameras[name] = SimulatedCamera(
                name, film, partial(_tell, console, name), address, port + number if port else 0, codec, user, password
            )
            stack.callback(cameras[name].close)
        access = f'username = "{user}"\npassword_file = "{password_file.resolve()}"\n' if password_file else ""
        _introduce(console, list(cameras.values()), address, access, allowed)
        for number in (signal.SIGTERM, signal.SIGINT):
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)
        for one in planned:
            _plan(GLib, one, [camera for name, camera in cameras.items() if one.camera in ("", name)])
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # started with &: nothing is typed, and nothing stops
        threading.Thread(target=_listen, args=(GLib, console, cameras, allowed), daemon=True).start()
        loop.run()


def _tell(console: Console, name: str, what: str) -> None:
    console.print(f"{time.strftime('%H:%M:%S')} {name} {what}")


def _introduce(
    console: Console, cameras: Sequence[SimulatedCamera], address: str, access: str, allowed: Sequence[str]
) -> None:
    """Addresses, and what to paste. `access`: lines of a configuration."""
    host = socket.gethostname() if address in EVERY_ADDRESS else f"[{address}]" if ":" in address else address
    for camera in cameras:
        (width, height), rate = camera.film.size, camera.film.rate
        console.print(f"rtsp://{host}:{camera.port}/{camera.name}  {width}x{height}, {rate} frames/s")
    if address not in LOOPBACK and not access:
        console.print("everybody who reaches this machine may watch; see --user")
    if address in LOOPBACK:
        console.print("for this machine alone; see --address")
    console.print("\nfor a configuration:\n")
    for camera in cameras:
        source = f"rtsp://{host}:{camera.port}/{camera.name}"
        console.print(f'[[camera]]\nname = "{camera.name}"\nsource = "{source}"\n{access}')
    console.print(f"Ctrl-C ends. Faults, to be typed: {', '.join(allowed)}; {OK} ends one.")


def _plan(GLib: Any, one: Planned, cameras: Sequence[SimulatedCamera]) -> None:
    def begin() -> bool:
        for camera in cameras:
            camera.set_fault(one.fault)
            if one.length_s:
                GLib.timeout_add(round(one.length_s * 1000), end, camera)
        if one.every_s and not again:
            again.append(GLib.timeout_add(round(one.every_s * 1000), begin))
        return bool(again)

    def end(camera: SimulatedCamera) -> bool:
        if camera.fault == one.fault:  # not where another has taken its place
            camera.set_fault(OK)
        return False

    again: list[int] = []
    GLib.timeout_add(round(one.at_s * 1000), lambda: begin() and False)


def _listen(GLib: Any, console: Console, cameras: dict[str, SimulatedCamera], allowed: Sequence[str]) -> None:
    """Faults as they are typed."""

    def put(fault: str, wanted: Sequence[SimulatedCamera]) -> bool:
        for camera in wanted:
            camera.set_fault(fault)
        return False

    try:
        for line in sys.stdin:
            *name, fault = line.split() or [""]
            wanted = [camera for camera in cameras.values() if name in ([], [camera.name])]
            if wanted and fault in (OK, *allowed):
                GLib.idle_add(put, fault, wanted)
            elif fault:
                console.print(f"{line.strip()}: not [CAMERA] FAULT, with one of {', '.join((*allowed, OK))}")
    except (OSError, ValueError):  # not in the foreground, or closed
        return


def _names(files: Sequence[str]) -> list[str]:
    """What stands in the addresses: of files their names, without what may not stand there."""
    names: list[str] = []
    for file in files:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file.rstrip(":")).stem).strip("-._")[:56] or "camera"
        names.append(next(n for n in (stem, *(f"{stem}-{k}" for k in range(2, 1000))) if n not in names))
    return names


def _password(user: str, file: Path | None) -> str:
    if bool(user) != bool(file):
        raise EdgeTdnError("--user and --password-file need each other")
    if file is None:
        return ""
    try:
        password = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeTdnError(f"--password-file {file}: {getattr(error, 'strerror', None) or error}") from error
    if not password or ":" in user:
        raise EdgeTdnError(
            f"--password-file {file} is empty" if not password else f"--user {user}: no colon is allowed"
        )
    return password


def _check(planned: Sequence[Planned], names: Sequence[str], allowed: Sequence[str]) -> None:
    for one in planned:
        if one.camera and one.camera not in names:
            raise EdgeTdnError(f"--fault {one.fault}: no camera {one.camera}; there are {', '.join(names)}")
        if one.fault not in allowed:
            raise EdgeTdnError(f"--fault {one.fault}: not with this --codec")
