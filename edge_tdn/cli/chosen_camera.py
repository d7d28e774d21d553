"""The camera that an argument names: a camera of a configuration, or an address or file of its own."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from edge_tdn.cli.options import SITE
from edge_tdn.config.load import load
from edge_tdn.config.resolved_zones import ResolvedZone, resolved_zones, zone_named
from edge_tdn.config.tables import CameraConfig, Config
from edge_tdn.errors import ConfigError
from edge_tdn.spelling import nearest

NAME = re.compile("[A-Za-z0-9._-]+")  # of a camera; an address has a colon or a slash


@dataclass(frozen=True)
class ChosenCamera:
    """A camera, and the configuration that it is from."""

    table: CameraConfig
    base: Path  # the folder of relative paths
    config: Config | None = None  # None: an address or a file
    path: Path = Path()  # of the configuration

    @property
    def zones(self) -> tuple[ResolvedZone, ...]:
        """Its zones; empty if it has none."""
        zones = resolved_zones(self.config, self.table) if self.config else ()
        return tuple(zone for zone in zones if zone.name)

    def playing(self, source: str) -> "ChosenCamera":
        """Return this camera with another source: a file or an address. ConfigError: it is of an unknown kind."""
        other = chosen_camera(str(Path(source)) if Path(source).exists() else source, None)
        return replace(self, table=self.table.model_copy(update={"source": other.table.source}), base=other.base)

    def zone(self, name: str) -> ResolvedZone:
        """Return its zone of this name. ConfigError: it has no such zone."""
        if self.config is None:
            raise ConfigError(f"--zone {name}: only a camera of a configuration has zones; add --config FILE")
        return zone_named(self.config, self.table, name, self.path)


def chosen_camera(source: str, config: Path | None, option: str = "") -> ChosenCamera:
    """Return the camera that `source` names: with a configuration its name, else an address or a file.

    `config`: None takes that of an installed host, where `source` may be a camera's name. `option`: the beginning of
    errors. ConfigError: there is no such camera, or the address is of an unknown kind.
    """
    is_name = NAME.fullmatch(source) and not Path(source).exists()
    site = config or (SITE if is_name and SITE.is_file() else None)
    if site:
        found = load(site)
        cameras = {camera.name: camera for camera in found.camera}
        if source not in cameras:
            raise ConfigError(f"{option}{source}: not a camera of {site}; {nearest(source, cameras, 'its cameras')}")
        return ChosenCamera(cameras[source], site.parent, found, site)
    if is_name:
        raise ConfigError(f"{option}{source}: no such file; if it is a camera of a configuration, add --config FILE")
    try:
        return ChosenCamera(CameraConfig(name="camera", source=source), Path.cwd())
    except ValidationError as error:
        where = option.strip() or source
        raise ConfigError(f"{where}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
