"""What happens in one clip: what stands behind, what moves before it, and how.

What moves is either a thing before a backdrop, alone or with others that do the same, or the whole picture, because the
camera pans, tilts or zooms; things that move otherwise are smaller and slower then.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import cv2
import numpy as np

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.messages import Picture
from edge_tdn_training.synthetic import motions
from edge_tdn_training.synthetic.backgrounds import backdrop, busy_backdrop
from edge_tdn_training.synthetic.motions import Drift, Moments, Way
from edge_tdn_training.synthetic.objects import Car, Thing, hand, lamp, shape, thing
from edge_tdn_training.synthetic.people import Animal, Person
from edge_tdn_training.synthetic.sprites import paint

WHOLE = {"approach": 0.4, "recede": 0.4, "wave": 0.25, "still": 0.0}  # share of clips whose whole picture moves
WHOLE_OTHERWISE = 0.35
SIDES = ("left", "right")
LEAST_SPREAD = 0.09  # of the picture's height: what a thing grows or shrinks by, in its middle size
SMALLEST = 0.17  # of the picture's height: things that the label is about
MOST_TRIES = 5  # for a thing that differs from what it hides
LEAST_CONTRAST = 26.0  # grey levels between a thing and what it hides, on average: below, people do not see it either


@dataclass(frozen=True, eq=False)
class Layer:
    thing: Thing
    way: Way
    depth: float = 1.0


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything before the camera. Its times are the moments that the drifts and ways were made for."""

    ground: Picture  # larger than the picture, and centred on it
    view: Drift  # of the whole picture
    focus: tuple[float, float]  # the point that stays when it grows
    layers: tuple[Layer, ...]  # the farthest first

    def draw(self, moment: int, height: int, width: int) -> Picture:
        """The picture at a moment: uint8 RGB [height, width, 3]."""
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


class Director:
    """Decides what happens in one clip."""

    def __init__(
        self,
        rng: np.random.Generator,
        label: str,
        moments: Moments,
        height: int,
        width: int,
        photos: Sequence[Picture],
    ) -> None:
        self._rng, self._label, self._moments = rng, label, moments
        self._height, self._width, self._photos = height, width, photos

    def scene(self) -> Scene:
        if self._rng.random() < WHOLE.get(self._label, WHOLE_OTHERWISE):
            return self._whole()
        if self._label == "still":
            return self._still()
        return self._moving()

    def _whole(self) -> Scene:
        """The camera pans, tilts, zooms or is swung; what stands nearer moves more."""
        rng, moments = self._rng, self._moments
        view = motions.together(motions.drift(self._label, moments, rng), self._shaken())
        focus = tuple(rng.normal(0.5, 0.1, 2))
        layers = []
        for _ in range(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])):  # things that move otherwise
            size = rng.uniform(0.1, 0.3)
            own = motions.drift(str(rng.choice(MOTIONS)), moments, rng).scaled(rng.uniform(0.1, 0.5))
            layers.append(self._layer(self._thing(size), own, size))
        if rng.random() < 0.3:  # somebody who gestures: before a camera that stays, that would be `wave`
            layers.append(self._gesturing(rng.uniform(0.4, 1.3)))
        for _ in range(rng.choice(3, p=[0.6, 0.3, 0.1])):  # near things that stand
            depth = rng.uniform(1.0, 1.6)
            layers.append(replace(self._standing(rng.uniform(0.15, 0.6)), depth=depth))
        seen = tuple(replace(layer, way=layer.way.seen(view, focus, layer.depth)) for layer in layers)
        return Scene(self._ground(1.8, busy_backdrop), view, focus, seen)

    def _moving(self) -> Scene:
        """A thing moves, perhaps with others that do the same; the rest stands, or moves little."""
        rng, moments = self._rng, self._moments
        ground = self._ground(1.15, backdrop)
        main = self._visible(ground)
        layers = [main]
        if self._label != "wave" and rng.random() < 0.2:
            layers += [self._visible(ground) for _ in range(rng.integers(1, 3))]
        size = float(main.way.size.mean())
        for _ in range(rng.choice(3, p=[0.6, 0.3, 0.1])):  # otherwise, smaller and less far
            small = max(0.04, size * rng.uniform(0.2, 0.45))
            other = motions.drift(str(rng.choice(MOTIONS)), moments, rng, motions.LEAST_WAY).scaled(
                rng.uniform(0.1, 0.8)
            )
            layers.insert(0, self._layer(self._thing(small), other, small))
        if self._label in motions.DIRECTIONS and rng.random() < 0.25:  # hides it for a moment
            layers.append(self._standing(size * rng.uniform(0.3, 0.7)))
        return self._filmed(ground, layers)

    def _still(self) -> Scene:
        """Nothing moves from its place: but things sway, turn, blink, and tiny ones move."""
        rng, moments = self._rng, self._moments
        layers = [self._standing(rng.uniform(0.15, 1.1)) for _ in range(rng.choice(3, p=[0.4, 0.4, 0.2]))]
        if rng.random() < 0.25:  # somebody stands there, and cannot quite keep still
            somebody = self._standing(rng.uniform(0.2, 1.1))
            idle = 0.2 * motions.shake(moments, rng, 1.0).x
            layers.append(replace(somebody, way=replace(somebody.way, x=somebody.way.x + 0.02 * idle, phase=idle)))
        if rng.random() < 0.25:  # foliage, a curtain
            for _ in range(rng.integers(1, 5)):
                leaf = self._standing(rng.uniform(0.08, 0.3))
                sway = motions.shake(moments, rng, 0.008)
                layers.append(replace(leaf, way=replace(
                    leaf.way, x=leaf.way.x + sway.x, y=leaf.way.y + 0.3 * sway.y, angle=leaf.way.angle + 6 * sway.x
                )))  # fmt: skip
        if rng.random() < 0.3:  # lamps, clocks
            for _ in range(rng.integers(1, 4)):
                size = rng.uniform(0.03, 0.15)
                phase = moments * 2 * math.pi * rng.uniform(0.3, 3.0) + rng.uniform(0, 6.3)
                place = motions.stand(moments, rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), size)
                layers.append(Layer(lamp(rng, self._side(size)), replace(place, phase=phase)))
        if rng.random() < 0.08:  # a fan, a wheel
            size = rng.uniform(0.04, 0.14)
            place = motions.stand(moments, rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), size)
            turning = replace(place, angle=moments * rng.uniform(2, 25) * rng.choice([-1, 1]))
            layers.append(Layer(shape(rng, self._side(size), self._photos), turning))
        if rng.random() < 0.1:  # an insect, a bird, somebody far away
            size = rng.uniform(0.015, 0.04)
            layers.append(self._layer(self._thing(size), motions.drift(str(rng.choice(SIDES)), moments, rng), size))
        order = rng.permutation(len(layers))
        return self._filmed(self._ground(1.1, backdrop), [layers[k] for k in order])

    def _filmed(self, ground: Picture, layers: list[Layer]) -> Scene:
        """From a camera that stays, as far as cameras do."""
        view, middle = self._shaken(), (0.5, 0.5)
        return Scene(ground, view, middle, tuple(replace(a, way=a.way.seen(view, middle)) for a in layers))

    def _shaken(self) -> Drift:
        kind = self._rng.random()
        if kind < 0.5:
            return motions.nothing(self._moments)
        return motions.shake(self._moments, self._rng, self._rng.uniform(0.001, 0.005 if kind < 0.85 else 0.012))

    def _ground(self, larger: float, kind: Callable[..., Picture]) -> Picture:
        """A backdrop, with things that stand in it."""
        rng = self._rng
        height, width = round(self._height * larger), round(self._width * larger)
        ground: Picture = kind(rng, height, width, self._photos)
        for _ in range(rng.choice(5, p=[0.35, 0.25, 0.2, 0.1, 0.1])):
            size = rng.uniform(0.08, 0.6) * self._height
            what = self._thing(size / self._height)
            paint(ground, what.sprite(rng.uniform(0, 6.3)), tuple(rng.uniform(0, 1, 2) * (width, height)), size)
        return ground

    def _side(self, size: float) -> int:
        """Pixels of a sprite that is drawn that large."""
        return int(np.clip(size * self._height, 16, 160))

    def _thing(self, size: float, facing: int | None = None) -> Thing:
        front = int(self._rng.integers(-1, 2)) if facing is None else facing
        return thing(self._rng, self._side(size), front, self._photos)

    def _standing(self, size: float) -> Layer:
        what = self._thing(size)
        angle = 0.0 if what.upright else self._rng.normal(0, 0.3)
        x, y = self._rng.uniform(0.05, 0.95, 2)
        return Layer(what, motions.stand(self._moments, x, y, size, angle, self._rng.uniform(0, 6.3)))

    def _visible(self, ground: Picture) -> Layer:
        """The thing that moves as the label says, and differs from what is behind it."""
        tried: list[tuple[float, Layer]] = []
        while not tried or (tried[-1][0] < LEAST_CONTRAST and len(tried) < MOST_TRIES):
            main = self._waving() if self._label == "wave" else self._going()
            tried.append((_contrast(main, ground, self._height, self._width), main))
        return max(tried, key=itemgetter(0))[1]

    def _going(self) -> Layer:
        rng, moments, label = self._rng, self._moments, self._label
        facing = int(rng.integers(-1, 2))
        if label in SIDES and rng.random() < 0.85:  # few go sideways; backwards some do
            facing = (SIDES.index(label) * 2 - 1) * (1 if rng.random() < 0.7 else -1)
        if label in ("approach", "recede") and rng.random() < 0.6:
            facing = 0
        size = math.exp(rng.uniform(math.log(SMALLEST), math.log(0.9)))
        path = motions.drift(label, moments, rng)
        if label in ("approach", "recede"):
            size = max(size, LEAST_SPREAD / float(np.ptp(path.growth)))
        what = self._thing(size, facing)
        walks = isinstance(what, Person | Animal)
        if walks:
            size = min(1.4, 1.5 * size)
        if walks and label in SIDES:  # so many of its own heights a second
            length = rng.uniform(0.5, 1.8) * size * moments[-1] * self._height / self._width
            path = motions.drift(label, moments, rng, float(np.clip(length, motions.LEAST_WAY, motions.LONGEST_WAY)))
        layer = self._layer(what, path, size)
        if walks or isinstance(what, Car):
            layer = replace(layer, way=replace(layer.way, phase=self._gait(what, path, size)))
        return layer

    def _gait(self, what: Thing, path: Drift, size: float) -> Moments:
        """In step with the way that is gone sideways; else as people walk."""
        rng = self._rng
        if self._label in SIDES:
            gone = np.abs(path.x - path.x[0]) * self._width / self._height / size
            steps: Moments = 2 * math.pi * gone / rng.uniform(0.6, 1.2) + rng.uniform(0, 6.3)
            return steps
        if isinstance(what, Car):
            return np.zeros(len(self._moments))
        return 2 * math.pi * rng.uniform(0.6, 1.3) * self._moments + rng.uniform(0, 6.3)

    def _layer(self, what: Thing, path: Drift, size: float) -> Layer:
        """A thing on its way: in the middle of that it is somewhere in the picture."""
        rng = self._rng
        x, y = rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.75)
        angle = np.zeros(len(path.x))
        if what.upright:
            angle += rng.normal(0, 0.03)
        elif rng.random() < 0.6:
            angle += rng.uniform(0, 2 * math.pi) + (rng.normal(0, 1.5) * self._moments if rng.random() < 0.35 else 0)
        lower, upper = (-0.6, 0.3) if what.upright else (-0.3, 0.3)  # what walks on the ground grows from the horizon
        focus = np.array((rng.normal(0, 0.12) * self._height / self._width, rng.uniform(lower, upper))) * size
        if np.ptp(path.growth) >= motions.LEAST_GROWTH:  # with its head outside, it would only be seen to go down or up
            y = max(y, min(0.9, 0.1 - focus[1]))
        grown = np.exp(path.growth)
        return Layer(what, Way(
            x=x + path.x - focus[0] * (grown - 1),
            y=y + path.y - focus[1] * (grown - 1),
            size=size * grown,
            angle=angle,
            phase=np.full(len(path.x), rng.uniform(0, 6.3)),
        ))  # fmt: skip

    def _waving(self) -> Layer:
        """An arm, a hand, something that is turned or moved to and fro."""
        rng, moments = self._rng, self._moments
        path = motions.drift("wave", moments, rng)
        kind = rng.random()
        if kind < 0.3:
            return self._gesturing(rng.uniform(0.7, 1.7))
        if kind < 0.6:
            size = rng.uniform(0.35, 1.0)
            what: Thing = hand(rng, self._side(size)) if rng.random() < 0.7 else self._thing(size)
            turned = rng.uniform(0.2, 0.6) * path.swing + rng.normal(0, 0.2)
            moved = rng.uniform(0, 0.4) * path.x
            place = motions.stand(moments, rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.8), size)
            return Layer(what, replace(place, x=place.x + moved, angle=turned))
        size = rng.uniform(SMALLEST, 0.8)
        layer = self._layer(self._thing(size), path, size)
        return replace(layer, way=replace(layer.way, angle=np.full(len(moments), layer.way.angle[0])))

    def _gesturing(self, size: float) -> Layer:
        """Somebody who stands and waves."""
        rng, path = self._rng, motions.drift("wave", self._moments, self._rng)
        person = Person(rng, self._side(size), int(rng.integers(-1, 2)), waves=True)
        x, y = rng.uniform(0.25, 0.75), 0.5 + 0.25 * size * rng.uniform(0.3, 1.0)
        place = motions.stand(self._moments, x, y, size)
        return Layer(person, replace(place, x=x + 0.05 * path.x, phase=path.beat))


def _contrast(layer: Layer, ground: Picture, height: int, width: int) -> float:
    """Grey levels that the thing changes where it stands in the middle of its way, on average over its area."""
    middle = len(layer.way.x) // 2
    top, left = (ground.shape[0] - height) // 2, (ground.shape[1] - width) // 2
    before = ground[top : top + height, left : left + width]
    after, alone = before.copy(), np.zeros_like(before)
    sprite = layer.thing.sprite(float(layer.way.phase[middle]))
    where = (float(layer.way.x[middle]) * width, float(layer.way.y[middle]) * height)
    for picture, colours in ((after, sprite), (alone, np.repeat(sprite[..., 3:], 4, 2))):
        paint(
            picture,
            colours,
            where,
            float(layer.way.size[middle]) * height,
            float(layer.way.angle[middle]),
            layer.thing.pivot,
        )
    inside = alone[..., 0] > 128
    changed = cv2.cvtColor(cv2.absdiff(before, after), cv2.COLOR_RGB2GRAY)
    return float(changed[inside].mean()) if inside.sum() > 40 else 0.0
