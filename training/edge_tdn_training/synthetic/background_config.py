"""The numbers of backgrounds: colours, sizes and counts of what is painted, and the light on it.

See scene_config.py for the units.
"""

from dataclasses import dataclass, field

from edge_tdn_training.synthetic.ranges import IntRange, Range


@dataclass(frozen=True)
class PaletteConfig:
    """Colours that may be side by side in one picture: one hue with a spread, some greyish, a few vivid. HSV."""

    hue: Range = (0.0, 180.0)  # OpenCV's hue, 2 degrees a unit
    spreads: tuple[float, ...] = (15.0, 40.0, 90.0)  # of the hue, one of these
    vivid_share: float = 0.25
    vivid: Range = (90.0, 255.0)  # saturation
    greyish: Range = (0.0, 90.0)
    brightness: Range = (25.0, 245.0)
    grain_alpha: float = 0.8  # beta distribution of a colour's grain
    grain_beta: float = 2.0
    variation_std: float = 12.0  # levels by which a surface is lighter or darker than its colour


@dataclass(frozen=True)
class LeavesConfig:
    """Overlapping surfaces of all sizes: what clutter, shelves and crowds have in common with photos."""

    colours: IntRange = (3, 9)
    largest: float = 0.4
    smallest: Range = (0.012, 0.04)
    count: IntRange = (60, 350)
    size_power: float = 1.5  # sizes follow a power law
    sorted_share: float = 0.5  # the largest first
    place: Range = (-0.1, 1.1)
    ellipse_until: float = 0.3  # a random number below: an ellipse
    box_until: float = 0.65  # below: a box
    polygon_until: float = 0.9  # below: a polygon; otherwise a line
    ellipse_ratio: Range = (0.3, 1.0)
    level_share: float = 0.6  # boxes that are about level
    level_std_deg: float = 4.0
    box_ratio: Range = (0.2, 1.0)
    corners: IntRange = (3, 8)
    radii: Range = (0.5, 1.2)  # of a polygon's corners
    line_length: float = 1.5
    line_px: IntRange = (1, 4)


@dataclass(frozen=True)
class RoomConfig:
    """A wall, a floor, and upright rectangles: doors, windows, shelves, pictures, tables."""

    colours: int = 7
    floor: Range = (0.55, 0.9)
    skirting: int = 60  # picture heights by the height of the skirting board
    vanishing_x: Range = (0.2, 0.8)
    vanishing_y: Range = (0.3, 0.5)
    boards_share: float = 0.5
    boards: IntRange = (10, 30)
    furniture: IntRange = (3, 10)
    furniture_size: Range = (0.05, 0.25)
    furniture_aspect: float = 1.6  # height to width
    furniture_x: Range = (-0.1, 1.0)
    on_floor_share: float = 0.5
    furniture_y: Range = (0.05, 0.5)
    frame: int = 12  # widths of a piece of furniture by the width of its frame
    panes_share: float = 0.6
    min_panes_px: int = 8
    pane_rows: IntRange = (1, 5)
    pane_columns: IntRange = (1, 9)


@dataclass(frozen=True)
class StreetConfig:
    """Sky, buildings with rows of windows, trees, a road with its markings."""

    colours: int = 7
    horizon: Range = (0.35, 0.7)
    sky: Range = (120.0, 250.0)
    sky_grain: int = 10
    first_building_x: float = -0.1
    building_width: Range = (0.08, 0.3)
    building_height: Range = (0.3, 1.1)  # of the sky's height
    building_step: Range = (0.9, 1.3)  # widths to the next one
    road_level: Range = (50.0, 130.0)
    road_grain: float = 160.0
    road_far: Range = (0.0, 1.0)
    road_near: Range = (-0.4, 1.4)
    road_far_width: float = 0.05
    road_near_width: float = 0.3
    markings: int = 9
    marking_size: Range = (0.006, 0.025)  # half of width and height, at the near end
    far_marking: float = 0.1
    marking_colour: tuple[int, int, int, int] = (220, 220, 210, 60)
    trees: IntRange = (0, 5)
    tree_size: Range = (0.05, 0.2)
    trunk_colour: tuple[int, int, int, int] = (70, 55, 40, 200)
    tree_red: Range = (20.0, 110.0)
    tree_green: Range = (60.0, 140.0)
    tree_blue: Range = (20.0, 80.0)
    foliage: int = 6  # circles of a tree
    foliage_std: float = 0.5  # of the tree's size
    foliage_radius: Range = (0.4, 0.8)


@dataclass(frozen=True)
class PageConfig:
    """Lines of text: signs, screens, posters, number plates."""

    colours: int = 4
    scales: tuple[float, ...] = (0.3, 0.4, 0.6, 1.0, 1.6)  # of the font, in a picture of 200 pixels
    fonts: int = 8  # OpenCV's Hershey fonts
    indent: Range = (-0.1, 0.3)
    box_share: float = 0.2  # lines that are followed by a box
    box_height: Range = (0.05, 0.3)
    box_width: Range = (0.2, 0.9)


@dataclass(frozen=True)
class PatternConfig:
    """Bricks, tiles or fences, seen from somewhere, with a few leaves that show how the pattern moves."""

    colours: int = 6
    tile: Range = (0.04, 0.16)
    shifted_share: float = 0.5  # bricks
    tile_width: float = 0.88  # without the joint
    tile_height: float = 0.85
    perspective_std: float = 0.2
    leaves: IntRange = (5, 25)
    leaf_size: Range = (0.02, 0.12)


@dataclass(frozen=True)
class WallConfig:
    """A surface with few things on it."""

    colours: int = 5
    leaves: IntRange = (0, 12)
    leaf_size: Range = (0.02, 0.25)


@dataclass(frozen=True)
class LightConfig:
    """The light on a painting: grain, shading, focus, and more or less colour."""

    grain_slope: Range = (0.0, 0.9)
    grain: Range = (0.05, 0.45)
    shading_slope: float = 1.5
    shading: Range = (0.0, 0.3)
    shading_size: tuple[int, int] = (24, 32)  # rows and columns of the shading, which is smooth
    slant_std: float = 0.2
    soft_share: float = 0.5
    soft: Range = (0.4, 1.2)  # pixels, standard deviation of the blur
    saturation: Range = (0.1, 0.9)
    contrast: Range = (0.45, 1.15)
    middle: Range = (70.0, 165.0)  # mean level
    unfocused_share: float = 0.15
    unfocused: Range = (1.0, 2.5)  # pixels


@dataclass(frozen=True)
class BackgroundConfig:
    """Backgrounds of several quite different kinds, so that a network does not learn one kind of texture."""

    photo_share: float = 0.5  # where photos are given
    photo_part: Range = (0.5, 1.0)  # side of the part of a photo that is shown
    kind_shares: tuple[float, ...] = (0.12, 0.3, 0.2, 0.15, 0.06, 0.07, 0.1)
    #   of clouds, leaves, room, street, page, pattern, wall
    busy_tries: int = 4
    min_detail: float = 5.0  # levels between neighbours a fiftieth of the picture apart: below, motion is invisible
    detail_distance: int = 50  # picture heights by the distance of these neighbours
    cloud_slope: Range = (0.6, 1.6)  # exponent of the 1/f noise
    cloud_contrast: Range = (0.5, 2.5)
    cloud_grain: Range = (0.0, 90.0)
    leaves: LeavesConfig = field(default_factory=LeavesConfig)
    room: RoomConfig = field(default_factory=RoomConfig)
    street: StreetConfig = field(default_factory=StreetConfig)
    page: PageConfig = field(default_factory=PageConfig)
    pattern: PatternConfig = field(default_factory=PatternConfig)
    wall: WallConfig = field(default_factory=WallConfig)
    light: LightConfig = field(default_factory=LightConfig)
    palette: PaletteConfig = field(default_factory=PaletteConfig)
