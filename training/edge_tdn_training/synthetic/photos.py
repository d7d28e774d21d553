"""Photos for backgrounds and surfaces, taken out of videos."""

from pathlib import Path

import cv2
import numpy as np
from edge_tdn_export.clips import find_videos

from edge_tdn.capture.picture_folder import AS_FOUND
from edge_tdn.capture.video_file import read_file
from edge_tdn.messages import NS_PER_S, Picture
from edge_tdn_training.synthetic.ranges import Range

MAX_PHOTO_SIDE_PX = 480  # larger photos are shrunk
PHOTO_INTERVAL_S = 2.0  # of one video
MAX_PHOTOS_PER_VIDEO = 20
PICTURE_RATE = 25.0  # of a folder of pictures


def read_photos(folder: Path) -> tuple[Picture, ...]:
    """Return pictures out of the videos below a folder, one every two seconds.

    ModelError: no such folder, or no video in it. SourceError: a video cannot be played.
    """
    photos: list[Picture] = []
    for video in find_videos(folder):
        own: list[Picture] = []
        next_ns = 0
        for frame in read_file(video, pictures=AS_FOUND.at(PICTURE_RATE)):
            if own and frame.pts_ns < next_ns:
                continue
            picture = frame.picture
            scale = min(1.0, MAX_PHOTO_SIDE_PX / max(picture.shape[:2]))
            own.append(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8))
            next_ns = frame.pts_ns + int(PHOTO_INTERVAL_S * NS_PER_S)
            if len(own) == MAX_PHOTOS_PER_VIDEO:
                break
        photos += own
    return tuple(photos)


def random_part(rng: np.random.Generator, photo: Picture, height: int, width: int, size: Range) -> Picture:
    """Return a random part of a photo as uint8 RGB [height, width, 3], mirrored or not.

    `size`: of the part, in the largest part of this shape.
    """
    h, w = photo.shape[:2]
    scale = min(h / height, w / width) * rng.uniform(*size)
    part_h, part_w = int(height * scale), int(width * scale)
    y, x = rng.integers(h - part_h + 1), rng.integers(w - part_w + 1)
    part = photo[y : y + part_h, x : x + part_w]
    return cv2.resize(part[:, :: rng.choice([1, -1])], (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
