"""The daemon starts while broker and cameras are away: it is ready all the same, and connects when they are there."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.row import ChaosRow
from tests.chaos_cameras.site import Site
from tests.support.rtsp import RtspCamera

READY_S = 4.0
AWAY_S = 8.0  # from its start
ALL_S = 60.0  # until everything is connected
CAMERAS = 2


def start(folder: Path, step: Callable[[str], None]) -> list[ChaosRow]:
    film = ("", "demo:", "--size", "240x180", "--rate", "15")
    cameras = {f"camera-{number}": RtspCamera(*film, start=False) for number in range(CAMERAS)}
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(folder / "notify"))
        with Site(folder, cameras, environment={"NOTIFY_SOCKET": str(folder / "notify")}) as site:
            site.broker.kill()
            step("broker and cameras are away")
            began_s = site.start()
            ready_s = _ready(notified, began_s)
            queued_s = site.queued_s
            time.sleep(max(0.0, began_s + AWAY_S - time.monotonic()))
            alive = site.held
            step("broker and cameras start")
            site.broker.start()
            for camera in cameras.values():
                camera.start()
            started_s = time.monotonic()
            listener = site.listener
            listener.until(lambda: bool(listener.online) and site.streaming() and bool(listener.events), ALL_S)
            delays = {
                "broker": listener.online[0] - started_s if listener.online else None,
                "cameras": max(_first(site, name) for name in cameras) - started_s if site.streaming() else None,
                "event": listener.events[0].at_s - started_s if listener.events else None,
            }
    return [
        ChaosRow(
            what="start without broker and cameras: READY=1",
            goal=f"<= {READY_S:g} s",
            figure="never" if ready_s is None else f"{ready_s:.2f} s",
            ok=ready_s is not None and ready_s - queued_s <= READY_S,
            note=f"after exec, without the {queued_s:.2f} s of waiting for a processor; "
            f"{alive.threads} threads while both were away",
        ),
        ChaosRow(
            what="and everything connects by itself",
            goal=f"<= {ALL_S:g} s",
            figure=", ".join(f"{what} {'never' if at_s is None else f'{at_s:.1f} s'}" for what, at_s in delays.items()),
            ok=None not in delays.values(),
            note=f"both are there {AWAY_S:g} s after the start; from then on: to availability, to the last camera's "
            "frames, to the first event",
        ),
    ]


def _first(site: Site, name: str) -> float:
    return next(one.at_s for one in site.listener.statuses[name] if one.payload["state"] == "streaming")


def _ready(notified: socket.socket, began_s: float) -> float | None:
    while (left_s := began_s + ALL_S - time.monotonic()) > 0:
        notified.settimeout(left_s)
        try:
            if b"READY=1" in notified.recv(4096).split(b"\n"):
                return time.monotonic() - began_s
        except TimeoutError:
            break
    return None
