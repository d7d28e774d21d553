"""The choice of what happens in one clip: what stands in the background, what moves in front of it, and how.

Either a thing moves in front of a background, alone or with others that do the same, or the whole picture moves,
because the camera pans, tilts or zooms; things that move otherwise are then smaller and slower.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.messages import Picture
from edge_tdn_training.synthetic import motions
from edge_tdn_training.synthetic.backgrounds import Backdrop, backdrop, busy_backdrop
from edge_tdn_training.synthetic.cars import Car
from edge_tdn_training.synthetic.motions import Drift, Moments, Trajectory
from edge_tdn_training.synthetic.people import Animal, Person
from edge_tdn_training.synthetic.ranges import ANY_PHASE
from edge_tdn_training.synthetic.scene_config import SceneConfig
from edge_tdn_training.synthetic.scenes import ClipScene, Layer, contrast
from edge_tdn_training.synthetic.sprites import paint
from edge_tdn_training.synthetic.things import Thing, random_hand, random_lamp, random_shape, random_thing

SIDES = ("left", "right")
CENTRE = (0.5, 0.5)


@dataclass(frozen=True)
class Stage:
    """The picture that a scene is made for."""

    moments: Moments  # seconds, ascending from 0
    height: int  # pixels
    width: int
    photos: Sequence[Picture] = ()  # for backgrounds and surfaces


class Director:
    """The maker of the scene of one clip. All randomness comes from one generator, in a fixed order."""

    def __init__(self, rng: np.random.Generator, label: str, stage: Stage, config: SceneConfig) -> None:
        self._rng, self._label, self._stage = rng, label, stage
        self._moments = stage.moments
        self._config, self._composition = config, config.composition

    def scene(self) -> ClipScene:
        """Return a random scene of the label."""
        whole = self._composition.whole
        if self._rng.random() < dict(whole.shares).get(self._label, whole.other_share):
            return self._whole_picture()
        if self._label == "still":
            return self._still()
        return self._moving()

    def _whole_picture(self) -> ClipScene:
        """Return a scene in which the camera pans, tilts, zooms or is swung; nearer things move more."""
        rng, config = self._rng, self._composition.whole
        view = motions.together(self._drift(self._label), self._shake())
        focus = tuple(rng.normal(config.focus, config.focus_std, 2))
        layers = []
        for _ in range(self._count(config.other_counts)):
            size = rng.uniform(*config.other_size)
            own = self._drift(str(rng.choice(MOTIONS))).scaled(rng.uniform(*config.other_way))
            layers.append(self._layer(self._thing(size), own, size))
        if rng.random() < config.gesture_share:
            layers.append(self._waving_person(rng.uniform(*config.gesture_size)))
        for _ in range(self._count(config.near_counts)):
            depth = rng.uniform(*config.near_depth)
            layers.append(replace(self._standing(rng.uniform(*config.near_size)), depth=depth))
        seen = tuple(replace(layer, way=layer.way.seen(view, focus, layer.depth)) for layer in layers)
        return ClipScene(self._ground(config.ground, busy_backdrop), view, focus, seen)

    def _moving(self) -> ClipScene:
        """Return a scene in which a thing moves, perhaps with others; the rest stands, or moves little."""
        rng, config = self._rng, self._composition.moving
        ground = self._ground(config.ground, backdrop)
        main = self._visible(ground)
        layers = [main]
        if self._label != "wave" and rng.random() < config.company_share:
            layers += [self._visible(ground) for _ in range(rng.integers(*config.company))]
        size = float(main.way.size.mean())
        for _ in range(self._count(config.other_counts)):
            small = max(config.min_other_size, size * rng.uniform(*config.other_size))
            label = str(rng.choice(MOTIONS))
            other = self._drift(label, self._config.motion.way[0]).scaled(rng.uniform(*config.other_way))
            layers.insert(0, self._layer(self._thing(small), other, small))
        if self._label in motions.DIRECTIONS and rng.random() < config.occluder_share:
            layers.append(self._standing(size * rng.uniform(*config.occluder_size)))
        return self._filmed(ground, layers)

    def _still(self) -> ClipScene:
        """Return a scene in which no thing leaves its place: but things sway, turn, blink, and tiny ones move."""
        rng, config = self._rng, self._composition.still
        layers = [
            self._standing(rng.uniform(*config.standing_size)) for _ in range(self._count(config.standing_counts))
        ]
        if rng.random() < config.idle_share:
            layers.append(self._idle())
        if rng.random() < config.foliage_share:
            layers += [self._swaying() for _ in range(rng.integers(*config.foliage))]
        if rng.random() < config.lamp_share:
            layers += [self._blinking() for _ in range(rng.integers(*config.lamps))]
        if rng.random() < config.fan_share:
            layers.append(self._turning())
        if rng.random() < config.tiny_share:
            size = rng.uniform(*config.tiny_size)
            thing = self._thing(size)
            layers.append(self._layer(thing, self._drift(str(rng.choice(SIDES))), size))
        order = rng.permutation(len(layers))
        return self._filmed(self._ground(config.ground, backdrop), [layers[k] for k in order])

    def _idle(self) -> Layer:
        """Return a thing that stands, and cannot quite keep still."""
        rng, config = self._rng, self._composition.still
        layer = self._standing(rng.uniform(*config.idle_size))
        sway = config.idle_phase * motions.shake(self._moments, rng, 1.0, self._config.motion.shake).x
        return replace(layer, way=replace(layer.way, x=layer.way.x + config.idle_way * sway, phase=sway))

    def _swaying(self) -> Layer:
        """Return a thing that sways like a leaf, a branch or a curtain."""
        rng, config = self._rng, self._composition.still
        layer = self._standing(rng.uniform(*config.foliage_size))
        sway, way = motions.shake(self._moments, rng, config.foliage_sway, self._config.motion.shake), layer.way
        x, y = way.x + sway.x, way.y + config.foliage_sway_y * sway.y
        return replace(layer, way=replace(way, x=x, y=y, angle=way.angle + config.foliage_turn * sway.x))

    def _blinking(self) -> Layer:
        """Return a lamp or a clock."""
        rng, config = self._rng, self._composition.still
        size = rng.uniform(*config.lamp_size)
        phase = self._moments * 2 * math.pi * rng.uniform(*config.lamp_hz) + rng.uniform(*ANY_PHASE)
        place = motions.standing(self._moments, rng.uniform(*config.x), rng.uniform(*config.y), size)
        lamp = random_lamp(rng, self._sprite_side(size), self._config.things.lamp)
        return Layer(lamp, replace(place, phase=phase))

    def _turning(self) -> Layer:
        """Return a thing that turns like a fan or a wheel."""
        rng, config = self._rng, self._composition.still
        size = rng.uniform(*config.fan_size)
        place = motions.standing(self._moments, rng.uniform(*config.x), rng.uniform(*config.y), size)
        turning = replace(place, angle=self._moments * rng.uniform(*config.fan_speed) * rng.choice([-1, 1]))
        return Layer(random_shape(rng, self._sprite_side(size), self._config, self._stage.photos), turning)

    def _filmed(self, ground: Picture, layers: list[Layer]) -> ClipScene:
        """Return a scene that is filmed with a camera that stays where it is, as far as cameras do."""
        view = self._shake()
        return ClipScene(ground, view, CENTRE, tuple(replace(a, way=a.way.seen(view, CENTRE)) for a in layers))

    def _shake(self) -> Drift:
        config = self._composition
        kind = self._rng.random()
        if kind < config.fixed_until:
            return motions.no_drift(self._moments)
        strongest = config.slight_shake if kind < config.slight_until else config.strong_shake
        limit = self._rng.uniform(config.min_shake, strongest)
        return motions.shake(self._moments, self._rng, limit, self._config.motion.shake)

    def _drift(self, label: str, length: float | None = None) -> Drift:
        return motions.drift(label, self._moments, self._rng, self._config.motion, length)

    def _count(self, shares: Sequence[float]) -> int:
        """Return a random number from 0 on, by its shares."""
        return int(self._rng.choice(len(shares), p=shares))

    def _ground(self, larger: float, kind: Backdrop) -> Picture:
        """Return a background `larger` times the picture, with things that stand in it."""
        rng, config, height = self._rng, self._composition, self._stage.height
        size = round(height * larger), round(self._stage.width * larger)
        ground: Picture = kind(rng, *size, self._config.background, self._stage.photos)
        for _ in range(self._count(config.clutter_counts)):
            side = rng.uniform(*config.clutter_size) * height
            thing = self._thing(side / height)
            sprite = thing.sprite(rng.uniform(*ANY_PHASE))
            paint(ground, sprite, tuple(rng.uniform(0, 1, 2) * size[::-1]), side)
        return ground

    def _sprite_side(self, size: float) -> int:
        """Return the side in pixels of a sprite that is drawn that large."""
        return int(np.clip(size * self._stage.height, self._composition.min_sprite_px, self._composition.max_sprite_px))

    def _thing(self, size: float, facing: int | None = None) -> Thing:
        front = int(self._rng.integers(-1, 2)) if facing is None else facing
        return random_thing(self._rng, self._sprite_side(size), front, self._config, self._stage.photos)

    def _standing(self, size: float) -> Layer:
        """Return a thing that stays where it is."""
        rng, config = self._rng, self._composition
        thing = self._thing(size)
        angle = 0.0 if thing.upright else rng.normal(0, config.standing_tilt_std)
        x, y = rng.uniform(*config.standing_place, 2)
        return Layer(thing, motions.standing(self._moments, x, y, size, angle, rng.uniform(*ANY_PHASE)))

    def _visible(self, ground: Picture) -> Layer:
        """Return a thing that moves as the label requires, and contrasts with the background."""
        config, stage = self._composition.moving, self._stage
        tried: list[tuple[float, Layer]] = []
        while not tried or (tried[-1][0] < config.min_contrast and len(tried) < config.max_tries):
            main = self._waving() if self._label == "wave" else self._going()
            tried.append((contrast(main, ground, stage.height, stage.width), main))
        return max(tried, key=itemgetter(0))[1]

    def _going(self) -> Layer:
        """Return a thing that goes, approaches or recedes as the label requires."""
        rng, label, config, motion = self._rng, self._label, self._composition.moving, self._config.motion
        facing = self._facing()
        size = math.exp(rng.uniform(math.log(config.size[0]), math.log(config.size[1])))
        path = self._drift(label)
        if label in ("approach", "recede"):
            size = max(size, config.min_spread / float(np.ptp(path.growth)))
        thing = self._thing(size, facing)
        walks = isinstance(thing, Person | Animal)
        if walks:
            size = min(config.max_walker_size, config.walker_scale * size)
        if walks and label in SIDES:
            aspect = self._stage.height, self._stage.width
            length = rng.uniform(*config.walking_speed) * size * self._moments[-1] * aspect[0] / aspect[1]
            path = self._drift(label, float(np.clip(length, *motion.way)))
        layer = self._layer(thing, path, size)
        if walks or isinstance(thing, Car):
            layer = replace(layer, way=replace(layer.way, phase=self._gait(thing, path, size)))
        return layer

    def _facing(self) -> int:
        """Return the side that a thing shows: -1 left, 1 right, 0 the front."""
        rng, label, config = self._rng, self._label, self._composition.moving
        facing = int(rng.integers(-1, 2))
        if label in SIDES and rng.random() < config.faces_motion_share:
            facing = (SIDES.index(label) * 2 - 1) * (1 if rng.random() < config.forwards_share else -1)
        if label in ("approach", "recede") and rng.random() < config.faces_camera_share:
            facing = 0
        return facing

    def _gait(self, thing: Thing, path: Drift, size: float) -> Moments:
        """Return the phase of the gait: in step with the way of a thing that goes sideways, else as people walk."""
        rng, config = self._rng, self._composition.moving
        if self._label in SIDES:
            gone = np.abs(path.x - path.x[0]) * self._stage.width / self._stage.height / size
            steps: Moments = 2 * math.pi * gone / rng.uniform(*config.step_length) + rng.uniform(*ANY_PHASE)
            return steps
        if isinstance(thing, Car):
            return np.zeros(len(self._moments))
        return 2 * math.pi * rng.uniform(*config.step_rate_hz) * self._moments + rng.uniform(*ANY_PHASE)

    def _layer(self, thing: Thing, path: Drift, size: float) -> Layer:
        """Return a thing on its way: in the middle of that it is somewhere in the picture."""
        rng, config = self._rng, self._composition.moving
        x, y = rng.uniform(*config.x), rng.uniform(*config.y)
        angle = np.zeros(len(path.x))
        if thing.upright:
            angle += rng.normal(0, config.upright_tilt_std)
        elif rng.random() < config.tilted_share:
            tilt = rng.uniform(0, 2 * math.pi)
            angle += tilt + (
                rng.normal(0, config.spin_std) * self._moments if rng.random() < config.spinning_share else 0
            )
        lower, upper = config.upright_focus if thing.upright else config.other_focus
        aspect = self._stage.height, self._stage.width
        focus = np.array((rng.normal(0, config.focus_std) * aspect[0] / aspect[1], rng.uniform(lower, upper))) * size
        if np.ptp(path.growth) >= self._config.motion.growth[0]:
            y = max(y, min(config.max_y, config.head_room - focus[1]))
        grown = np.exp(path.growth)
        way = Trajectory(
            x=x + path.x - focus[0] * (grown - 1),
            y=y + path.y - focus[1] * (grown - 1),
            size=size * grown,
            angle=angle,
            phase=np.full(len(path.x), rng.uniform(*ANY_PHASE)),
        )
        return Layer(thing, way)

    def _waving(self) -> Layer:
        """Return a person who waves, a hand, or something that is turned or moved to and fro."""
        rng, moments, config = self._rng, self._moments, self._composition.wave
        path = self._drift("wave")
        kind = rng.random()
        if kind < config.person_until:
            return self._waving_person(rng.uniform(*config.person_size))
        if kind < config.hand_until:
            size = rng.uniform(*config.hand_size)
            thing = self._hand(size) if rng.random() < config.hand_share else self._thing(size)
            turned = rng.uniform(*config.turn) * path.swing + rng.normal(0, config.turn_std)
            moved = rng.uniform(*config.moved) * path.x
            place = motions.standing(moments, rng.uniform(*config.hand_x), rng.uniform(*config.hand_y), size)
            return Layer(thing, replace(place, x=place.x + moved, angle=turned))
        size = rng.uniform(self._composition.moving.size[0], config.max_size)
        layer = self._layer(self._thing(size), path, size)
        return replace(layer, way=replace(layer.way, angle=np.full(len(moments), layer.way.angle[0])))

    def _hand(self, size: float) -> Thing:
        config = self._config
        return random_hand(self._rng, self._sprite_side(size), config.things, config.background.palette)

    def _waving_person(self, size: float) -> Layer:
        """Return a person who stands and waves."""
        rng, config, path = self._rng, self._composition.wave, self._drift("wave")
        side, facing = self._sprite_side(size), int(rng.integers(-1, 2))
        person = Person(rng, side, facing, self._config.things, self._config.background.palette, waves=True)
        x = rng.uniform(*config.person_x)
        y = config.person_y + config.person_below * size * rng.uniform(*config.person_below_range)
        place = motions.standing(self._moments, x, y, size)
        return Layer(person, replace(place, x=x + config.person_sway * path.x, phase=path.beat))
