"""Live pictures: made when someone asks, once for all who ask for the same."""

import asyncio
import time
from dataclasses import dataclass

import cv2
import numpy as np

from edge_tdn.hub.camera_view import CameraView
from edge_tdn.hub.hub import Hub
from edge_tdn.messages import NS_PER_S, Frame, Rgbx
from edge_tdn.web.answers import Refused, shown
from edge_tdn.web.page_context import PageContext

QUALITY = 80  # of the JPEG
POLL_S = 0.05  # for the next frame
FORGET_S = 10.0  # after which a picture that was made is no longer kept

Size = tuple[int, int]  # width and height, pixels
Key = tuple[str, int]  # camera and width that was asked for


@dataclass(frozen=True)
class LivePicture:
    """A JPEG of one frame."""

    jpeg: bytes
    frame: tuple[int, int]  # stream and number of the frame
    wall_ns: int  # wall clock when it was taken
    size: Size  # of the camera's frame
    made_ns: int  # monotonic clock


class LivePictures:
    """The newest picture of each camera in each width that is asked for. Belongs to the page's thread."""

    def __init__(self, page: PageContext) -> None:
        self._hub, self._work, self._limits = page.hub, page.work, page.limits
        self._pictures: dict[Key, LivePicture] = {}
        self._jobs: dict[Key, asyncio.Task[LivePicture | None]] = {}

    async def newest(self, camera: str, width: int) -> LivePicture | None:
        """Return the newest picture of a camera, at most `width` pixels wide; None: no frame comes.

        Refused: 404, there is no such camera.
        """
        key = camera, width
        view = _view(self._hub, camera)
        view.look()
        picture = self._pictures.get(key)
        if picture and time.monotonic_ns() - picture.made_ns < self._limits.picture_age_s * NS_PER_S:
            return picture
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = asyncio.create_task(self._make(key, view))
            job.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(job)  # a client that leaves must not take it from the others

    async def _make(self, key: Key, view: CameraView) -> LivePicture | None:
        frame = await self._next_frame(view)
        if frame is None:
            return None
        before = self._pictures.get(key)
        if before and before.frame == (frame.stream, frame.seq):
            return before
        loop = asyncio.get_running_loop()
        jpeg = await loop.run_in_executor(self._work, encode, frame, key[1])
        height, width = frame.decoded.size
        picture = LivePicture(jpeg, (frame.stream, frame.seq), frame.wall_ns, (width, height), time.monotonic_ns())
        self._pictures[key] = picture
        loop.call_later(FORGET_S, self._forget, key, picture)
        return picture

    async def _next_frame(self, view: CameraView) -> Frame | None:
        """Return the newest frame if it has just come, or else the next one; None: it does not come in time."""
        wait_ns = round(self._limits.picture_wait_s * NS_PER_S)
        asked_ns = time.monotonic_ns()
        while (now_ns := time.monotonic_ns()) < asked_ns + wait_ns:
            frame = view.newest()
            if frame and frame.received_ns > now_ns - wait_ns:
                return frame
            await asyncio.sleep(POLL_S)
        return None

    def _finished(self, key: Key, job: "asyncio.Task[LivePicture | None]") -> None:
        del self._jobs[key]
        if not job.cancelled():
            job.exception()  # counts as retrieved then, also where all clients have left

    def _forget(self, key: Key, picture: LivePicture) -> None:
        if self._pictures.get(key) is picture:
            del self._pictures[key]


def encode(frame: Frame, max_width: int) -> bytes:
    """Return a frame as JPEG, made smaller to be at most `max_width` pixels wide, never larger."""
    height, width = frame.decoded.size
    pixels: Rgbx = np.empty((height, width, 4), np.uint8)
    frame.decoded.rgbx(pixels)
    if width > max_width:
        size = max_width, max(1, round(height * max_width / width))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    good, jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert good  # nothing in it can fail but memory
    return jpeg.tobytes()


def _view(hub: Hub, camera: str) -> CameraView:
    """Return the view of a served camera. Refused: 404, it has just left."""
    view = hub.views().get(camera)
    if view is None:
        raise Refused(404, f"no camera {shown(camera)}")
    return view
