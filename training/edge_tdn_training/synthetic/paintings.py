"""Paintings: the contents of backgrounds before light falls on them.

A painting is uint8 [height, width, 4]: RGB, and the grain of the surface from 0 (smooth) to 255. Each kind takes all
its randomness from the generator that is passed in, and its numbers from `BackgroundConfig`.
"""

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn_training.synthetic.background_config import BackgroundConfig, LeavesConfig
from edge_tdn_training.synthetic.textures import Colour, fractal, palette, vary

CHARACTERS = np.array(list(string.ascii_letters + string.digits + ".,:;-    "))

Painting = NDArray[np.uint8]  # [height, width, 4]
Kind = Callable[[np.random.Generator, int, int, BackgroundConfig], Painting]


def clouds(rng: np.random.Generator, height: int, width: int, config: BackgroundConfig) -> Painting:
    """Paint noise of two colours, smooth to rough: sky, plaster, carpet, foliage."""
    slope = rng.uniform(*config.cloud_slope)
    light, dark = (np.array(c[:3], np.float32) for c in palette(rng, 2, config.palette))
    noise = -rng.uniform(*config.cloud_contrast) * fractal(rng, height, width, slope)
    share = 1 / (1 + np.exp(noise))[..., None]
    painting = np.full((height, width, 4), rng.uniform(*config.cloud_grain), np.uint8)
    painting[..., :3] = dark + share * (light - dark)
    return painting


def leaves(rng: np.random.Generator, height: int, width: int, config: BackgroundConfig) -> Painting:
    """Paint surfaces of all sizes that hide each other: clutter, shelves, crowds."""
    c = config.leaves
    colours = palette(rng, int(rng.integers(*c.colours)), config.palette)
    painting = np.full((height, width, 4), vary(rng, colours, config.palette), np.uint8)
    largest, smallest = c.largest * height, rng.uniform(*c.smallest) * height
    count = int(rng.integers(*c.count))
    sizes = smallest * (1 - rng.random(count) * (1 - (smallest / largest) ** c.size_power)) ** (-1 / c.size_power)
    for size in sorted(sizes, reverse=True) if rng.random() < c.sorted_share else sizes:
        middle = rng.uniform(*c.place, 2) * (width, height)
        _leaf(rng, painting, middle, float(size), vary(rng, colours, config.palette), c)
    return painting


def _leaf(
    rng: np.random.Generator,
    painting: Painting,
    middle: NDArray[np.float64],
    size: float,
    colour: Colour,
    config: LeavesConfig,
) -> None:
    """Paint one ellipse, box, polygon or line. `middle`, `size`: pixels."""
    kind = rng.random()
    if kind < config.ellipse_until:
        axes = (size, size * rng.uniform(*config.ellipse_ratio))
        box = (tuple(middle), tuple(2 * a for a in axes), rng.uniform(0, 180))
        cv2.ellipse(painting, box, colour, -1)
    elif kind < config.box_until:
        level = rng.random() < config.level_share
        angle = rng.normal(0, config.level_std_deg) if level else rng.uniform(0, 180)
        points = cv2.boxPoints((tuple(middle), (2 * size, 2 * size * rng.uniform(*config.box_ratio)), angle))
        cv2.fillConvexPoly(painting, points.astype(np.int32), colour)
    elif kind < config.polygon_until:
        corners = int(rng.integers(*config.corners))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = size * rng.uniform(*config.radii, corners)
        points = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        cv2.fillPoly(painting, [points.astype(np.int32)], colour)
    else:
        half = rng.normal(0, config.line_length * size, 2)
        ends = (middle - half).astype(int), (middle + half).astype(int)
        cv2.line(painting, ends[0].tolist(), ends[1].tolist(), colour, int(rng.integers(*config.line_px)))


def room(rng: np.random.Generator, height: int, width: int, config: BackgroundConfig) -> Painting:
    """Paint a wall, a floor, and upright rectangles: doors, windows, shelves, pictures, tables."""
    c = config.room
    colours = palette(rng, c.colours, config.palette)
    floor = int(height * rng.uniform(*c.floor))
    painting = np.full((height, width, 4), colours[0], np.uint8)
    cv2.rectangle(painting, (0, floor), (width, height), colours[1], -1)
    skirting = vary(rng, colours, config.palette)
    cv2.rectangle(painting, (0, floor - max(1, height // c.skirting)), (width, floor), skirting, -1)
    vanishing = np.array([width * rng.uniform(*c.vanishing_x), height * rng.uniform(*c.vanishing_y)])
    if rng.random() < c.boards_share:  # boards or tiles
        for x in np.linspace(-width, 2 * width, int(rng.integers(*c.boards))):
            away = vanishing + (np.array([x, height]) - vanishing) * (floor - vanishing[1]) / (height - vanishing[1])
            board = vary(rng, colours[1:2], config.palette)
            cv2.line(painting, (int(x), height), away.astype(int).tolist(), board, 1)
    for _ in range(rng.integers(*c.furniture)):
        w, h = (rng.uniform(*c.furniture_size, 2) * (width, height * c.furniture_aspect)).astype(int)
        x = int(rng.uniform(*c.furniture_x) * width)
        y = floor - h if rng.random() < c.on_floor_share else int(rng.uniform(*c.furniture_y) * floor)
        _furniture(rng, painting, (x, y, int(w), int(h)), colours, config)
    return painting


def _furniture(
    rng: np.random.Generator,
    painting: Painting,
    box: tuple[int, int, int, int],
    colours: list[Colour],
    config: BackgroundConfig,
) -> None:
    """Paint a rectangle with a frame, and panes, drawers or rows of books. `box`: x, y, width, height in pixels."""
    c = config.room
    x, y, w, h = box
    edge = max(1, w // c.frame)
    cv2.rectangle(painting, (x, y), (x + w, y + h), vary(rng, colours, config.palette), -1)
    inside = (x + edge, y + edge), (x + w - edge, y + h - edge)
    cv2.rectangle(painting, *inside, vary(rng, colours, config.palette), -1)
    if rng.random() < c.panes_share and w > c.min_panes_px and h > c.min_panes_px:
        rows, columns = int(rng.integers(*c.pane_rows)), int(rng.integers(*c.pane_columns))
        for row in range(rows):
            for column in range(columns):
                corner = (x + edge + column * w // columns, y + edge + row * h // rows)
                far = (corner[0] + max(1, w // columns - edge), corner[1] + max(1, h // rows - edge))
                cv2.rectangle(painting, corner, far, vary(rng, colours, config.palette), -1)


def street(rng: np.random.Generator, height: int, width: int, config: BackgroundConfig) -> Painting:
    """Paint sky, buildings with rows of windows, trees, and a road with its markings."""
    c = config.street
    colours = palette(rng, c.colours, config.palette)
    horizon = int(height * rng.uniform(*c.horizon))
    painting = np.full((height, width, 4), (*rng.uniform(*c.sky, 3), c.sky_grain), np.uint8)
    x = int(c.first_building_x * width)
    while x < width:
        w, h = int(width * rng.uniform(*c.building_width)), int(horizon * rng.uniform(*c.building_height))
        _furniture(rng, painting, (x, horizon - h, w, h), colours, config)
        x += int(w * rng.uniform(*c.building_step))
    _road(rng, painting, horizon, colours, config)
    for _ in range(rng.integers(*c.trees)):
        middle, size = rng.uniform(0, 1) * width, rng.uniform(*c.tree_size) * height
        trunk = [int(middle), int(horizon + 0.5 * size)]
        top = [trunk[0], int(horizon - 2 * size)]
        cv2.line(painting, trunk, top, c.trunk_colour, max(1, int(size / 5)))
        green = (rng.uniform(*c.tree_red), rng.uniform(*c.tree_green), rng.uniform(*c.tree_blue), 255.0)
        for _ in range(c.foliage):
            at = np.array([middle, horizon - 1.8 * size]) + rng.normal(0, c.foliage_std * size, 2)
            radius = int(size * rng.uniform(*c.foliage_radius))
            cv2.circle(painting, at.astype(int).tolist(), radius, green, -1)
    return painting


def _road(
    rng: np.random.Generator, painting: Painting, horizon: int, colours: list[Colour], config: BackgroundConfig
) -> None:
    """Paint the ground, and a road with markings that comes from the horizon."""
    c = config.street
    height, width = painting.shape[:2]
    ground, road = vary(rng, colours, config.palette), (*[rng.uniform(*c.road_level)] * 3, c.road_grain)
    cv2.rectangle(painting, (0, horizon), (width, height), ground, -1)
    far, near = rng.uniform(*c.road_far, 2) * width, rng.uniform(*c.road_near, 2) * width
    corners = [
        (*far[:1], horizon),
        (far[0] + c.road_far_width * width, horizon),
        (near.max() + c.road_near_width * width, height),
        (near.min(), height),
    ]
    cv2.fillPoly(painting, [np.array(corners).astype(np.int32)], road)
    for share in np.linspace(0, 1, c.markings) ** 2:
        y = horizon + share * (height - horizon)
        middle = np.array([far[0] + share * (near.mean() + c.road_near_width / 2 * width - far[0]), y])
        half = np.array(c.marking_size) * (width, height) * (c.far_marking + share)
        ends = (middle - half).astype(int).tolist(), (middle + half).astype(int).tolist()
        cv2.rectangle(painting, *ends, c.marking_colour, -1)


def page(rng: np.random.Generator, height: int, width: int, config: BackgroundConfig) -> Painting:
    """Paint lines of text: signs, screens, posters, number plates."""
    c = config.page
    colours = palette(rng, c.colours, config.palette)
    painting = np.full((height, width, 4), colours[0], np.uint8)
    y = 0
    while y < height:
        scale = float(rng.choice(c.scales)) * height / 200
        ink, font = colours[rng.integers(1, c.colours)], int(rng.integers(0, c.fonts))
        x = int(rng.uniform(*c.indent) * width)
        y += int(28 * scale) + 3  # the height of a line, in pixels of the font's own scale
        text = "".join(rng.choice(CHARACTERS, int(width / (18 * scale)) + 1))
        cv2.putText(painting, text, (x, y), font, scale, ink, max(1, int(1.5 * scale)), cv2.LINE_AA)
        if rng.random() < c.box_share:
            h = int(rng.uniform(*c.box_height) * height)
            far = (x + int(rng.uniform(*c.box_width) * width), y + h)
            cv2.rectangle(painting, (x, y + 4), far, vary(rng, colours, config.palette), -1)
            y += h + 4
    return painting


def pattern(rng: np.random.Generator, height: int, width: int, config: BackgroundConfig) -> Painting:
    """Paint bricks, tiles or fences in perspective, and a few leaves: without them, its motion would be ambiguous."""
    c = config.pattern
    colours = palette(rng, c.colours, config.palette)
    painting = np.full((height, width, 4), colours[0], np.uint8)
    w, h = rng.uniform(*c.tile, 2) * height * (1 + rng.random())
    shifted = rng.random() < c.shifted_share
    for row in range(int(height / h) + 1):
        for column in range(-1, int(width / w) + 1):
            x, y = (column + (0.5 if shifted and row % 2 else 0)) * w, row * h
            far = [int(x + c.tile_width * w), int(y + c.tile_height * h)]
            cv2.rectangle(painting, [int(x), int(y)], far, vary(rng, colours[1:3], config.palette), -1)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    moved = (corners + rng.normal(0, c.perspective_std, (4, 2)) * (width, height)).astype(np.float32)
    perspective = cv2.getPerspectiveTransform(corners, moved)
    seen = cv2.warpPerspective(painting, perspective, (width, height), borderMode=cv2.BORDER_REFLECT)
    for _ in range(rng.integers(*c.leaves)):
        size = height * rng.uniform(*c.leaf_size)
        middle = rng.uniform(0, 1, 2) * (width, height)
        _leaf(rng, seen, middle, size, vary(rng, colours[3:], config.palette), config.leaves)  # type: ignore[arg-type]
    return seen.astype(np.uint8)


def wall(rng: np.random.Generator, height: int, width: int, config: BackgroundConfig) -> Painting:
    """Paint a surface with few things on it."""
    c = config.wall
    colours = palette(rng, c.colours, config.palette)
    painting = np.full((height, width, 4), colours[0], np.uint8)
    for _ in range(rng.integers(*c.leaves)):
        size = height * rng.uniform(*c.leaf_size)
        middle = rng.uniform(0, 1, 2) * (width, height)
        _leaf(rng, painting, middle, size, vary(rng, colours, config.palette), config.leaves)
    return painting


KINDS: tuple[Kind, ...] = (clouds, leaves, room, street, page, pattern, wall)  # in the order of `kind_shares`
