"""The zones of a camera with all their settings: their own keys, or else those of the camera and of the host."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.config.checks import Point, Region
from edge_tdn.config.fault import KeyPath
from edge_tdn.config.tables import CameraConfig, Config, DecideConfig
from edge_tdn.config.zone_tables import WHOLE, ZoneConfig
from edge_tdn.errors import ConfigError
from edge_tdn.spelling import nearest_of_many

ONLY: KeyPath = ("decide", "only")
IGNORE: KeyPath = ("decide", "ignore")


@dataclass(frozen=True)
class ModelChoice:
    """A model and its precision, and the keys of the configuration that name them."""

    model: str
    precision: str
    model_keys: KeyPath
    precision_keys: KeyPath


@dataclass(frozen=True)
class ResolvedZone:
    """A zone, or the whole picture of a camera without zones."""

    name: str | None  # None: the camera has no zones
    region: Region
    polygon: tuple[Point, ...]  # empty: the zone is all of `region`
    hop: int
    motion_gate: bool
    follow: bool  # the view follows what moves
    decide: DecideConfig
    choice: ModelChoice
    only_keys: KeyPath  # of the list of actions that are reported
    ignore_keys: KeyPath  # of the list of those that are not

    @property
    def display_name(self) -> str:
        """The zone in a message or a table: `zone gate`; empty for a whole picture."""
        return f"zone {self.name}" if self.name else ""


def resolved_zones(config: Config, camera: CameraConfig) -> tuple[ResolvedZone, ...]:
    """Return the zones of a camera of a configuration, or the whole picture if it has none."""
    if not camera.zone:
        whole = ResolvedZone(
            name=None,
            region=WHOLE,
            polygon=(),
            hop=camera.hop,
            motion_gate=camera.motion_gate,
            follow=camera.follow,
            decide=config.decide,
            choice=runtime_choice(config),
            only_keys=ONLY,
            ignore_keys=IGNORE,
        )
        return (whole,)
    number = next(n for n, one in enumerate(config.camera) if one.name == camera.name)
    return tuple(
        _resolved(config, camera, zone, ("camera", number, "zone", place)) for place, zone in enumerate(camera.zone)
    )


def zone_named(config: Config, camera: CameraConfig, name: str, path: Path) -> ResolvedZone:
    """Return a zone of a camera. `path`: of the configuration. ConfigError: the camera has no zone of this name."""
    zones: dict[str, ResolvedZone] = {zone.name: zone for zone in resolved_zones(config, camera) if zone.name}
    if name not in zones:
        there_are = nearest_of_many(name, list(zones), "its zones") if zones else "it has no zones, so leave out --zone"
        raise ConfigError(f"{path}: camera {camera.name} has no zone named {name!r}; {there_are}")
    return zones[name]


def runtime_choice(config: Config) -> ModelChoice:
    """Return the model of [runtime]."""
    runtime = config.runtime
    return ModelChoice(runtime.model, runtime.precision, ("runtime", "model"), ("runtime", "precision"))


def all_zones(config: Config) -> Iterator[tuple[CameraConfig, ResolvedZone]]:
    """Yield each zone of each camera with its camera, in their order."""
    for camera in config.camera:
        for zone in resolved_zones(config, camera):
            yield camera, zone


def model_choices(config: Config) -> tuple[ModelChoice, ...]:
    """Return the model of each zone of each camera, in their order; several may be the same."""
    return tuple(zone.choice for _, zone in all_zones(config))


def _resolved(config: Config, camera: CameraConfig, zone: ZoneConfig, keys: KeyPath) -> ResolvedZone:
    general = runtime_choice(config)
    return ResolvedZone(
        name=zone.name,
        region=zone.region,
        polygon=zone.polygon,
        hop=zone.hop or camera.hop,
        motion_gate=camera.motion_gate if zone.motion_gate is None else zone.motion_gate,
        follow=camera.follow if zone.follow is None else zone.follow,
        decide=config.decide.within(zone.decide),
        choice=ModelChoice(
            model=zone.model or general.model,
            precision=zone.precision or general.precision,
            model_keys=(*keys, "model") if zone.model else general.model_keys,
            precision_keys=(*keys, "precision") if zone.precision or zone.model else general.precision_keys,
        ),
        only_keys=ONLY if zone.decide.only is None else (*keys, *ONLY),
        ignore_keys=IGNORE if zone.decide.ignore is None else (*keys, *IGNORE),
    )
