"""What lies behind the things that move: pictures with the edges, textures and colours that rooms and streets have.

A network that saw one kind of texture alone learns that texture. So a backdrop is one of several quite different kinds
(clouds of 1/f noise, overlapping leaves, rooms, streets, printed pages, patterns, photos where any are given), and all
of them get the same light: shading, grain, blur, colours. Pictures are uint8 RGB [height, width, 3]; while they are
painted they have a fourth channel, how much grain a surface has. Everything comes from the generator that is passed in.
"""

import string
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from edge_tdn_export.clips import find_videos
from numpy.typing import NDArray

from edge_tdn.capture.video_file import read_file
from edge_tdn.messages import NS_PER_S, Picture

LARGEST_PHOTO = 480  # pixels of its longer side that are kept
BETWEEN_PHOTOS_S = 2.0  # of one video
MOST_PHOTOS = 20  # of one video
FLATTEST = 5.0  # grey levels between neighbours a fiftieth of the picture apart, on average: below, nobody sees it move
CHARACTERS = np.array(list(string.ascii_letters + string.digits + ".,:;-    "))

Painting = NDArray[np.uint8]  # [height, width, 4]: RGB and grain, 0 (smooth) to 255
Colour = tuple[float, float, float, float]


def read_photos(folder: Path) -> tuple[Picture, ...]:
    """Pictures out of the videos below a folder, every two seconds one, to be backdrops.

    ModelError: no such folder, or no video in it. SourceError: one cannot be played.
    """
    photos: list[Picture] = []
    for video in find_videos(folder):
        own: list[Picture] = []
        next_ns = 0
        for frame in read_file(video):
            if own and frame.pts_ns < next_ns:
                continue
            picture = frame.picture
            scale = min(1.0, LARGEST_PHOTO / max(picture.shape[:2]))
            own.append(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8))
            next_ns = frame.pts_ns + int(BETWEEN_PHOTOS_S * NS_PER_S)
            if len(own) == MOST_PHOTOS:
                break
        photos += own
    return tuple(photos)


def backdrop(rng: np.random.Generator, height: int, width: int, photos: Sequence[Picture] = ()) -> Picture:
    """One of any kind, in any light; half of them photos, where there are photos."""
    if photos and rng.random() < 0.5:
        return _part(rng, photos[int(rng.integers(len(photos)))], height, width)
    kind = _KINDS[rng.choice(len(_KINDS), p=_SHARES)]
    return _lit(rng, kind(rng, height, width))


def busy_backdrop(rng: np.random.Generator, height: int, width: int, photos: Sequence[Picture] = ()) -> Picture:
    """One that shows how it moves: not so smooth that a pan over it cannot be seen."""
    for _ in range(4):
        picture = backdrop(rng, height, width, photos)
        if _business(picture) >= FLATTEST:
            return picture
    return _lit(rng, _leaves(rng, height, width))


def fractal(rng: np.random.Generator, height: int, width: int, slope: float) -> NDArray[np.float32]:
    """Noise whose amplitude falls as 1/f^slope, float32 [height, width], mean 0, standard deviation 1."""
    total = np.zeros((height, width), np.float32)
    side = min(height, width)
    cells = 2
    while cells <= side:
        coarse = rng.standard_normal((-(-cells * height // side), -(-cells * width // side)), np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(cells**-slope)
        cells *= 2
    mean, deviation = cv2.meanStdDev(total)
    normal: NDArray[np.float32] = (total - np.float32(mean[0, 0])) / np.float32(max(deviation[0, 0], 1e-6))
    return normal


def palette(rng: np.random.Generator, count: int) -> list[Colour]:
    """Colours that may lie side by side in one picture, each with its grain: some greyish, a few vivid."""
    hue, spread = rng.uniform(0, 180), rng.choice([15.0, 40.0, 90.0])
    colours = []
    for _ in range(count):
        vivid = rng.uniform(90, 255) if rng.random() < 0.25 else rng.uniform(0, 90)
        pixel = np.array([[[(hue + rng.normal(0, spread)) % 180, vivid, rng.uniform(25, 245)]]]).astype(np.uint8)
        r, g, b = (float(v) for v in cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])
        colours.append((r, g, b, float(255 * rng.beta(0.8, 2.0))))
    return colours


def _any(rng: np.random.Generator, colours: list[Colour]) -> Colour:
    """One of them, a little lighter or darker."""
    r, g, b, grain = colours[rng.integers(len(colours))]
    light = rng.normal(0, 12)
    r, g, b = (min(255.0, max(0.0, level + light)) for level in (r, g, b))
    return r, g, b, grain


def _clouds(rng: np.random.Generator, height: int, width: int) -> Painting:
    """Smooth to rough: sky, plaster, carpet, foliage."""
    slope = rng.uniform(0.6, 1.6)
    light, dark = (np.array(c[:3], np.float32) for c in palette(rng, 2))
    share = 1 / (1 + np.exp(-rng.uniform(0.5, 2.5) * fractal(rng, height, width, slope)))[..., None]
    painting = np.full((height, width, 4), rng.uniform(0, 90), np.uint8)
    painting[..., :3] = dark + share * (light - dark)
    return painting


def _leaves(rng: np.random.Generator, height: int, width: int) -> Painting:
    """Surfaces of all sizes that hide each other: what clutter, shelves and crowds have in common with photos."""
    colours = palette(rng, int(rng.integers(3, 9)))
    painting = np.full((height, width, 4), _any(rng, colours), np.uint8)
    largest, smallest = 0.4 * height, rng.uniform(0.012, 0.04) * height
    count = int(rng.integers(60, 350))
    sizes = smallest * (1 - rng.random(count) * (1 - (smallest / largest) ** 1.5)) ** (-1 / 1.5)
    for size in sorted(sizes, reverse=True) if rng.random() < 0.5 else sizes:
        middle = rng.uniform(-0.1, 1.1, 2) * (width, height)
        _leaf(rng, painting, middle, float(size), _any(rng, colours))
    return painting


def _leaf(rng: np.random.Generator, painting: Painting, middle: NDArray[np.float64], size: float, c: Colour) -> None:
    kind = rng.random()
    if kind < 0.3:
        axes = (size, size * rng.uniform(0.3, 1))
        box = (tuple(middle), tuple(2 * a for a in axes), rng.uniform(0, 180))
        cv2.ellipse(painting, box, c, -1)
    elif kind < 0.65:
        angle = rng.normal(0, 4) if rng.random() < 0.6 else rng.uniform(0, 180)
        points = cv2.boxPoints((tuple(middle), (2 * size, 2 * size * rng.uniform(0.2, 1)), angle))
        cv2.fillConvexPoly(painting, points.astype(np.int32), c)
    elif kind < 0.9:
        corners = int(rng.integers(3, 8))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = size * rng.uniform(0.5, 1.2, corners)
        points = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        cv2.fillPoly(painting, [points.astype(np.int32)], c)
    else:
        way = rng.normal(0, 1.5 * size, 2)
        ends = (middle - way).astype(int), (middle + way).astype(int)
        cv2.line(painting, ends[0].tolist(), ends[1].tolist(), c, int(rng.integers(1, 4)))


def _room(rng: np.random.Generator, height: int, width: int) -> Painting:
    """A wall, a floor, and upright rectangles: doors, windows, shelves, pictures, tables."""
    colours = palette(rng, 7)
    floor = int(height * rng.uniform(0.55, 0.9))
    painting = np.full((height, width, 4), colours[0], np.uint8)
    cv2.rectangle(painting, (0, floor), (width, height), colours[1], -1)
    cv2.rectangle(painting, (0, floor - max(1, height // 60)), (width, floor), _any(rng, colours), -1)
    vanishing = np.array([width * rng.uniform(0.2, 0.8), height * rng.uniform(0.3, 0.5)])
    if rng.random() < 0.5:  # boards or tiles
        for x in np.linspace(-width, 2 * width, int(rng.integers(10, 30))):
            away = vanishing + (np.array([x, height]) - vanishing) * (floor - vanishing[1]) / (height - vanishing[1])
            cv2.line(painting, (int(x), height), away.astype(int).tolist(), _any(rng, colours[1:2]), 1)
    for _ in range(rng.integers(3, 10)):
        w, h = (rng.uniform(0.05, 0.25, 2) * (width, height * 1.6)).astype(int)
        x = int(rng.uniform(-0.1, 1) * width)
        y = floor - h if rng.random() < 0.5 else int(rng.uniform(0.05, 0.5) * floor)
        _furniture(rng, painting, (x, y, int(w), int(h)), colours)
    return painting


def _furniture(
    rng: np.random.Generator, painting: Painting, box: tuple[int, int, int, int], colours: list[Colour]
) -> None:
    x, y, w, h = box
    edge = max(1, w // 12)
    cv2.rectangle(painting, (x, y), (x + w, y + h), _any(rng, colours), -1)
    inside = (x + edge, y + edge), (x + w - edge, y + h - edge)
    cv2.rectangle(painting, *inside, _any(rng, colours), -1)
    if rng.random() < 0.6 and w > 8 and h > 8:  # panes, drawers, or books in rows
        rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 9))
        for row in range(rows):
            for column in range(columns):
                corner = (x + edge + column * w // columns, y + edge + row * h // rows)
                far = (corner[0] + max(1, w // columns - edge), corner[1] + max(1, h // rows - edge))
                cv2.rectangle(painting, corner, far, _any(rng, colours), -1)


def _street(rng: np.random.Generator, height: int, width: int) -> Painting:
    """Sky, buildings with rows of windows, trees, a road with its markings."""
    colours = palette(rng, 7)
    horizon = int(height * rng.uniform(0.35, 0.7))
    painting = np.full((height, width, 4), (*rng.uniform(120, 250, 3), 10), np.uint8)
    x = int(-0.1 * width)
    while x < width:
        w, h = int(width * rng.uniform(0.08, 0.3)), int(horizon * rng.uniform(0.3, 1.1))
        _furniture(rng, painting, (x, horizon - h, w, h), colours)
        x += int(w * rng.uniform(0.9, 1.3))
    ground, road = _any(rng, colours), (*[rng.uniform(50, 130)] * 3, 160.0)
    cv2.rectangle(painting, (0, horizon), (width, height), ground, -1)
    far, near = rng.uniform(0, 1, 2) * width, rng.uniform(-0.4, 1.4, 2) * width
    cv2.fillPoly(painting, [np.array([(*far[:1], horizon), (far[0] + 0.05 * width, horizon), (near.max() + 0.3 * width,
                                      height), (near.min(), height)]).astype(np.int32)], road)  # fmt: skip
    for share in np.linspace(0, 1, 9) ** 2:
        y = horizon + share * (height - horizon)
        middle = far[0] + share * (near.mean() + 0.15 * width - far[0])
        half = np.array([0.006, 0.025]) * (width, height) * (0.1 + share)
        cv2.rectangle(painting, (np.array([middle, y]) - half).astype(int).tolist(),
                      (np.array([middle, y]) + half).astype(int).tolist(), (220, 220, 210, 60), -1)  # fmt: skip
    for _ in range(rng.integers(0, 5)):  # trees
        middle, size = rng.uniform(0, 1) * width, rng.uniform(0.05, 0.2) * height
        trunk = [int(middle), int(horizon + 0.5 * size)]
        cv2.line(painting, trunk, [trunk[0], int(horizon - 2 * size)], (70, 55, 40, 200), max(1, int(size / 5)))
        green = (rng.uniform(20, 110), rng.uniform(60, 140), rng.uniform(20, 80), 255.0)
        for _ in range(6):
            at = np.array([middle, horizon - 1.8 * size]) + rng.normal(0, 0.5 * size, 2)
            cv2.circle(painting, at.astype(int).tolist(), int(size * rng.uniform(0.4, 0.8)), green, -1)
    return painting


def _page(rng: np.random.Generator, height: int, width: int) -> Painting:
    """Lines of text: signs, screens, posters, number plates."""
    colours = palette(rng, 4)
    painting = np.full((height, width, 4), colours[0], np.uint8)
    y = 0
    while y < height:
        scale = float(rng.choice([0.3, 0.4, 0.6, 1.0, 1.6])) * height / 200
        ink, font = colours[rng.integers(1, 4)], int(rng.integers(0, 8))
        x = int(rng.uniform(-0.1, 0.3) * width)
        y += int(28 * scale) + 3
        text = "".join(rng.choice(CHARACTERS, int(width / (18 * scale)) + 1))
        cv2.putText(painting, text, (x, y), font, scale, ink, max(1, int(1.5 * scale)), cv2.LINE_AA)
        if rng.random() < 0.2:
            h = int(rng.uniform(0.05, 0.3) * height)
            cv2.rectangle(painting, (x, y + 4), (x + int(rng.uniform(0.2, 0.9) * width), y + h), _any(rng, colours), -1)
            y += h + 4
    return painting


def _pattern(rng: np.random.Generator, height: int, width: int) -> Painting:
    """Bricks, tiles, fences, seen from somewhere, with a few leaves: alone, nobody could say how it moves."""
    colours = palette(rng, 6)
    painting = np.full((height, width, 4), colours[0], np.uint8)
    w, h = rng.uniform(0.04, 0.16, 2) * height * (1 + rng.random())
    shifted = rng.random() < 0.5
    for row in range(int(height / h) + 1):
        for column in range(-1, int(width / w) + 1):
            x, y = (column + (0.5 if shifted and row % 2 else 0)) * w, row * h
            far = [int(x + 0.88 * w), int(y + 0.85 * h)]
            cv2.rectangle(painting, [int(x), int(y)], far, _any(rng, colours[1:3]), -1)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    moved = (corners + rng.normal(0, 0.2, (4, 2)) * (width, height)).astype(np.float32)
    seen = cv2.warpPerspective(painting, cv2.getPerspectiveTransform(corners, moved), (width, height),
                               borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    for _ in range(rng.integers(5, 25)):
        size = height * rng.uniform(0.02, 0.12)
        _leaf(rng, seen, rng.uniform(0, 1, 2) * (width, height), size, _any(rng, colours[3:]))  # type: ignore[arg-type]
    return seen.astype(np.uint8)


def _wall(rng: np.random.Generator, height: int, width: int) -> Painting:
    """Nearly nothing, and a few things on it."""
    colours = palette(rng, 5)
    painting = np.full((height, width, 4), colours[0], np.uint8)
    for _ in range(rng.integers(0, 12)):
        size = height * rng.uniform(0.02, 0.25)
        _leaf(rng, painting, rng.uniform(0, 1, 2) * (width, height), size, _any(rng, colours))
    return painting


_KINDS: tuple[Callable[[np.random.Generator, int, int], Painting], ...] = (
    _clouds, _leaves, _room, _street, _page, _pattern, _wall,
)  # fmt: skip
_SHARES = (0.12, 0.3, 0.2, 0.15, 0.06, 0.07, 0.1)


def _lit(rng: np.random.Generator, painting: Painting) -> Picture:
    """A painting as a camera's picture: grain, light that falls from somewhere, focus, more or less colour."""
    height, width = painting.shape[:2]
    grain = fractal(rng, height, width, rng.uniform(0.0, 0.9))
    light = fractal(rng, 24, 32, 1.5) * rng.uniform(0.0, 0.3)
    slant = np.linspace(-1, 1, 32) * rng.normal(0, 0.2) + np.linspace(-1, 1, 24)[:, None] * rng.normal(0, 0.2)
    shade = np.asarray(cv2.resize(np.exp(light + slant).astype(np.float32), (width, height)), np.float32)
    shade = shade * (1 + grain * painting[..., 3] * np.float32(rng.uniform(0.05, 0.45) / 255))
    if rng.random() < 0.5:
        painting = cv2.GaussianBlur(painting, (0, 0), rng.uniform(0.4, 1.2)).astype(np.uint8)
    colours = painting[..., :3].astype(np.float32)
    grey = colours.mean(2, keepdims=True)
    picture = (grey + np.float32(rng.uniform(0.1, 0.9)) * (colours - grey)) * shade[..., None]
    contrast, middle = rng.uniform(0.45, 1.15), rng.uniform(70, 165)
    picture = middle + contrast * (picture - picture.mean())
    if rng.random() < 0.15:  # out of focus
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(1.0, 2.5))
    lit: Picture = np.clip(picture, 0, 255).astype(np.uint8)
    return lit


def _part(rng: np.random.Generator, photo: Picture, height: int, width: int) -> Picture:
    """Any part of a photo, mirrored or not."""
    h, w = photo.shape[:2]
    fits = min(h / height, w / width) * rng.uniform(0.5, 1.0)
    part_h, part_w = int(height * fits), int(width * fits)
    y, x = rng.integers(h - part_h + 1), rng.integers(w - part_w + 1)
    part = photo[y : y + part_h, x : x + part_w]
    return cv2.resize(part[:, :: rng.choice([1, -1])], (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _business(picture: Picture) -> float:
    """Grey levels that change on average when the picture is moved by a fiftieth of its height, the flattest way."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.int16)
    step = max(1, grey.shape[0] // 50)
    across = np.abs(grey[:, step:] - grey[:, :-step]).mean()
    along = np.abs(grey[step:] - grey[:-step]).mean()
    return float(min(across, along))
