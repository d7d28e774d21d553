"""A scene: a background, things in front of it with their trajectories, and the motion of the camera."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from edge_tdn.messages import Picture
from edge_tdn_training.synthetic.motions import Drift, Trajectory
from edge_tdn_training.synthetic.sprites import paint
from edge_tdn_training.synthetic.things import Thing

INSIDE = 128  # opacity from which a pixel belongs to a thing
MIN_VISIBLE_PX = 40  # a thing of fewer pixels has no contrast


@dataclass(frozen=True, eq=False)
class Layer:
    """A thing and its trajectory."""

    thing: Thing
    way: Trajectory
    depth: float = 1.0  # more for a thing nearer than the background


@dataclass(frozen=True, eq=False)
class ClipScene:
    """Everything in front of the camera, at the moments for which drifts and trajectories were made."""

    ground: Picture  # larger than the picture, and centred on it
    view: Drift  # of the whole picture
    focus: tuple[float, float]  # the point that stays when the picture grows
    layers: tuple[Layer, ...]  # the farthest first

    def draw(self, moment: int, height: int, width: int) -> Picture:
        """Return the picture at a moment: uint8 RGB [height, width, 3]."""
        view, size = self.view, np.array((width, height))
        grown = math.exp(view.growth[moment])
        fixed = np.array(self.focus) * size
        margin = (np.array(self.ground.shape[1::-1]) - size) / 2
        shift = fixed - grown * (fixed + margin) + np.array((view.x[moment], view.y[moment])) * size
        place = np.array([[grown, 0, shift[0]], [0, grown, shift[1]]])
        seen = cv2.warpAffine(
            self.ground, place, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        picture: Picture = seen.astype(np.uint8)
        for layer in self.layers:
            way = layer.way
            middle = (way.x[moment] * width, way.y[moment] * height)
            sprite = layer.thing.sprite(float(way.phase[moment]))
            paint(picture, sprite, middle, way.size[moment] * height, float(way.angle[moment]), layer.thing.pivot)
        return picture


def contrast(layer: Layer, ground: Picture, height: int, width: int) -> float:
    """Return the grey levels that a thing changes in the middle of its way, on average over its area.

    `height`, `width`: of the picture, which shows the middle of `ground`.
    """
    middle = len(layer.way.x) // 2
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    before = ground[top : top + height, left : left + width]
    after, alone = before.copy(), np.zeros_like(before)
    sprite = layer.thing.sprite(float(layer.way.phase[middle]))
    where = (float(layer.way.x[middle]) * width, float(layer.way.y[middle]) * height)
    size, angle = float(layer.way.size[middle]) * height, float(layer.way.angle[middle])
    for picture, colours in ((after, sprite), (alone, np.repeat(sprite[..., 3:], 4, 2))):
        paint(picture, colours, where, size, angle, layer.thing.pivot)
    inside = alone[..., 0] > INSIDE
    changed = cv2.cvtColor(cv2.absdiff(before, after), cv2.COLOR_RGB2GRAY)
    return float(changed[inside].mean()) if inside.sum() > MIN_VISIBLE_PX else 0.0
