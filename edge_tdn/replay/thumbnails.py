"""Small pictures of a recording, evenly spaced in time, kept while it plays: its length need not be known."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2

from edge_tdn.messages import NS_PER_S, Frame, Picture

COUNT = 8
WIDTH, HEIGHT = 132, 99  # pixels, at most
FIRST_STEP_S = 0.1  # between two kept pictures; doubled when there are too many
MAX_KEPT = 16 * COUNT


@dataclass(frozen=True)
class Thumbnail:
    """A picture of the recording, reduced."""

    seconds: float  # PTS
    picture: Picture


class Thumbnails:
    """The thumbnails of one recording."""

    def __init__(self) -> None:
        self._kept: list[Thumbnail] = []
        self._step_s = FIRST_STEP_S
        self._end_s = 0.0

    def watch(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames, and keep some of their pictures."""
        for frame in frames:
            self._end_s = frame.pts_ns / NS_PER_S
            if not self._kept or self._end_s >= self._kept[-1].seconds + self._step_s:
                self._keep(frame.picture)
            yield frame

    def spread(self) -> list[Thumbnail]:
        """Return the thumbnails nearest to the centres of COUNT equal parts of the recording, each once."""
        centres = [(part + 0.5) * self._end_s / COUNT for part in range(COUNT)]
        nearest = [min(self._kept, key=lambda one: abs(one.seconds - centre)) for centre in centres if self._kept]
        return list({one.seconds: one for one in nearest}.values())

    def _keep(self, picture: Picture) -> None:
        height, width = picture.shape[:2]
        scale = min(WIDTH / width, HEIGHT / height, 1.0)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        self._kept.append(Thumbnail(self._end_s, small))  # type: ignore[arg-type]
        if len(self._kept) > MAX_KEPT:
            self._kept = self._kept[::2]
            self._step_s = (self._kept[-1].seconds - self._kept[0].seconds) / (len(self._kept) - 1)
