"""`edge-tdn simulate`: serve videos as RTSP or HTTP cameras, with faults that are planned or typed."""

import argparse
import logging
import re
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_tdn.cli.options import Commands, add_command, whole_number
from edge_tdn.errors import EdgeTdnError
from edge_tdn.help.command_help import WIDTH, CommandHelp, Example
from edge_tdn.process.program import OutputError
from edge_tdn.simulator.faults import FAULTS, HTTP, OK, Planned, possible
from edge_tdn.spelling import nearest
from edge_tdn.text_file import first_line

if TYPE_CHECKING:
    from rich.console import Console


def _faults() -> str:
    """Return the names of all faults and their effects, as a list for the help."""
    return "\n".join(
        textwrap.fill(effect, WIDTH, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)
        for name, effect in FAULTS.items()
    )


HELP = CommandHelp(
    description="""\
Serve videos as RTSP or HTTP cameras, in a loop. Use it to try a configuration without a camera, or with one that
fails. The address of each camera is printed, and the lines to put into the configuration, above the zones of the camera
if it has any. Every camera has a port of its own, starting at --port. Besides files there are demo: (the project's
clip), demo:people (recorded people), test: (a moving ball) and noise: (a still scene with sensor noise).
""",
    examples=(
        Example("serve a recording as rtsp://127.0.0.1:8554/yard", "edge-tdn simulate yard.mp4"),
        Example("two cameras, smaller and slower", "edge-tdn simulate yard.mp4 door.mp4 --size 640x480 --rate 15"),
        Example(
            "for the whole network, with a password",
            "edge-tdn simulate demo: --address 0.0.0.0 --user camera --password-file secret.txt",
        ),
        Example(
            "rtsps://, with a certificate that is made if there is none", "edge-tdn simulate demo: --tls camera.pem"
        ),
        Example("a camera that freezes for 10 s, from second 20 on", "edge-tdn simulate demo: --fault freeze@20+10"),
    ),
    exit_status={0: "ended with Ctrl-C", 1: "", 66: "a file cannot be played, or a port is in use", 78: ""},
    notes=f"""\
Faults, one at a time for each camera; type the name of a fault and Enter, or plan it with --fault:

{_faults()}

  freeze@20+10        from second 20, for 10 s
  drop@20+10/60       the same, repeated every 60 s
  yard:size@30        one camera only, until you type `ok`
  yard drop           typed: one camera only; `drop`: all cameras; `ok` ends it
""",
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (recognised, not bound)
MAX_NAME_CHARACTERS = 56  # leaves room for a number in a name of 64


def add_parser(commands: Commands) -> None:
    summary = "serve videos as RTSP or HTTP cameras, with faults on request"
    parser = add_command(commands, "simulate", run, logging.WARNING, summary, HELP)
    parser.add_argument("file", nargs="+", metavar="FILE", help="a video file, demo:, demo:people, test: or noise:")
    parser.add_argument(
        "--address", default="127.0.0.1", help="address to listen on; 0.0.0.0: all (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8554,
        help="port of the first camera; 0: any (default: 8554)",
    )
    parser.add_argument("--size", type=_size, metavar="WxH", help="size of the pictures, pixels (default: the file's)")
    parser.add_argument("--rate", type=whole_number(1, 120), help="frames per second (default: the file's)")
    parser.add_argument(
        "--codec",
        choices=("h264", "h265", "mjpeg", HTTP),
        default="h264",
        help="codec of RTSP, or http: MJPEG over HTTP (default: h264)",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="FILE",
        help="serve rtsps:// or https:// with this certificate, PEM; its key is FILE with the ending .key; both are "
        "made if they do not exist, with `openssl`",
    )
    parser.add_argument("--user", default="", help="the only user allowed to watch; needs --password-file")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="its first line is the password")
    parser.add_argument(
        "--fault",
        action="append",
        type=_planned,
        default=[],
        metavar="FAULT",
        help="a planned fault, as above; repeatable",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises SourceError if a file cannot be played or a port is in use."""
    from edge_tdn.cli.console import plain_console
    from edge_tdn.cli.fault_control import read_faults, schedule
    from edge_tdn.media import gstreamer
    from edge_tdn.simulator.certificate import server_certificate
    from edge_tdn.simulator.endpoint import Endpoint
    from edge_tdn.simulator.film import Film
    from edge_tdn.simulator.simulated_camera import SimulatedCamera

    console = plain_console(soft_wrap=True)
    GLib, _ = gstreamer.load_rtsp_server()
    password = _password(options.user, options.password_file)
    names = _names(options.file)
    allowed = possible(options.codec)
    _check_faults(options.fault, names, allowed)
    certificate = server_certificate(options.tls) if options.tls else None
    host = _url_host(options.address)
    loop = GLib.MainLoop()
    failures: list[OutputError] = []

    def print_event(name: str, event: str) -> None:
        try:
            console.print(f"{time.strftime('%H:%M:%S')} {name} {event}")
        except OutputError as error:  # GLib's loop would print a traceback, and continue
            failures.append(error)
            loop.quit()

    with ExitStack() as stack:
        cameras: dict[str, SimulatedCamera] = {}
        for number, (name, file) in enumerate(zip(names, options.file, strict=True)):
            film = Film(file, options.size, options.rate)
            stack.callback(film.close)
            port = options.port + number if options.port else 0
            endpoint = Endpoint(name, options.address, port, options.user, password, certificate)
            cameras[name] = SimulatedCamera(endpoint, film, partial(print_event, name), options.codec)
            stack.callback(cameras[name].close)
        sources = {name: camera.url(host) for name, camera in cameras.items()}
        for name, following in zip(names, [*names[1:], names[0]], strict=True):
            cameras[name].redirect_to = sources[following]
            (width, height), rate = cameras[name].film.size, cameras[name].film.rate
            console.print(f"{sources[name]}  {width}x{height}, {rate} frames/s")
        _introduce(console, sources, options, allowed)
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal_number, loop.quit)
        for planned in options.fault:
            schedule(GLib, planned, [camera for name, camera in cameras.items() if planned.camera in ("", name)])
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # in the background (&), reading the terminal must not stop it
        threading.Thread(target=read_faults, args=(GLib, console, cameras, allowed), daemon=True).start()
        loop.run()
    if failures:
        raise failures[0]
    return 0


def _introduce(
    console: "Console", sources: dict[str, str], options: argparse.Namespace, allowed: Sequence[str]
) -> None:
    """Print who can watch, the lines to put into the configuration, and the faults that can be typed."""
    file, tls = options.password_file, options.tls
    access = f'username = "{options.user}"\npassword_file = "{file.resolve()}"\n' if file else ""
    trust = f'ca_file = "{tls.resolve()}"\n' if tls else ""
    if options.address in LOOPBACK:
        console.print("for this machine alone; see --address")
    elif not access:
        console.print("anyone who can reach this machine can watch; see --user")
    console.print("\nfor a configuration:\n")
    for name, source in sources.items():
        console.print(f'[[camera]]\nname = "{name}"\nsource = "{source}"\n{access}{trust}')
    console.print(f"Ctrl-C ends. Faults that can be typed: {', '.join(allowed)}; {OK} ends one.")


def _url_host(address: str) -> str:
    if address in EVERY_ADDRESS:
        return socket.gethostname()
    return f"[{address}]" if ":" in address else address


def _names(files: Sequence[str]) -> list[str]:
    """Return a name for each camera, made from its file's name, safe in a URL and unique."""
    names: list[str] = []
    for file in files:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file.rstrip(":")).stem).strip("-._")[:MAX_NAME_CHARACTERS]
        stem = stem or "camera"
        names.append(next(n for n in (stem, *(f"{stem}-{k}" for k in range(2, 1000))) if n not in names))
    return names


def _password(user: str, file: Path | None) -> str:
    if bool(user) != bool(file):
        raise EdgeTdnError("--user and --password-file need each other")
    if file is None:
        return ""
    try:
        password = first_line(file.read_bytes())
    except OSError as error:
        raise EdgeTdnError(f"--password-file {file}: {error.strerror}") from error
    except ValueError as error:
        raise EdgeTdnError(f"--password-file {file} is {error}") from error
    if not password:
        raise EdgeTdnError(f"--password-file {file} is empty")
    if ":" in user:
        raise EdgeTdnError(f"--user {user}: no colon is allowed")
    return password


def _check_faults(planned: Sequence[Planned], names: Sequence[str], allowed: Sequence[str]) -> None:
    for one in planned:
        if one.camera and one.camera not in names:
            raise EdgeTdnError(
                f"--fault {one.fault}: no camera {one.camera}; {nearest(one.camera, names, 'there are')}"
            )
        if one.fault not in allowed:
            raise EdgeTdnError(f"--fault {one.fault}: not with this --codec")


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if min(size) < 16 or size[0] % 2 or size[1] % 2:
        raise argparse.ArgumentTypeError(f"{text}: width x height, even, 16 pixels or more, such as 640x480")
    return size


def _planned(text: str) -> Planned:
    try:
        return Planned.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
