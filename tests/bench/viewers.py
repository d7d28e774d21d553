"""Viewers of the page, as browsers are: each reads the stream, a picture of every camera, and one camera in focus.

A process of its own, so that its processor time is not the daemon's:
python -m tests.bench.viewers PORT COOKIE VIEWERS CAMERA...; it runs until it is terminated.
"""

import random
import sys
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote

GRID_S, FOCUS_S = 3.0, 0.5  # from one picture of a camera to the next
GRID_WIDTH, FOCUS_WIDTH = 640, 960
ANSWER_S = 30.0
RETRY_S = 2.0


def view(port: int, cookie: str, cameras: list[str], number: int) -> None:
    """Start the threads of one viewer."""
    threading.Thread(target=_follow, args=(port, cookie), daemon=True).start()
    for camera in cameras:
        _look_every(GRID_S, port, cookie, camera, GRID_WIDTH)
    _look_every(FOCUS_S, port, cookie, cameras[number % len(cameras)], FOCUS_WIDTH)


def _follow(port: int, cookie: str) -> None:
    """Read the stream, and open it again when it ends, as a browser does."""
    while True:
        with (
            suppress(OSError, HTTPException),
            closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)) as connection,
        ):
            connection.request("GET", "/api/stream", headers={"Cookie": cookie})
            answer = connection.getresponse()
            while answer.readline():
                pass
        time.sleep(RETRY_S)


def _look_every(seconds: float, port: int, cookie: str, camera: str, width: int) -> None:
    threading.Thread(target=_look, args=(seconds, port, cookie, camera, width), daemon=True).start()


def _look(seconds: float, port: int, cookie: str, camera: str, width: int) -> None:
    """Ask for pictures, each over a connection that is closed then: the page admits 32 at a time."""
    time.sleep(random.uniform(0, seconds))
    while True:
        began = time.monotonic()
        with (
            suppress(OSError, HTTPException),
            closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)) as connection,
        ):
            connection.request("GET", f"/api/camera/{quote(camera)}/picture?w={width}", headers={"Cookie": cookie})
            connection.getresponse().read()
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))


def main(port: str, cookie: str, viewers: str, *cameras: str) -> None:
    for number in range(int(viewers)):
        view(int(port), cookie, list(cameras), number)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
