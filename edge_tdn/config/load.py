"""Loading a configuration. An error names file, line, key, value and what is allowed; all errors at once."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_tdn.config.fault import ConfigFile
from edge_tdn.config.include import merged, read_parts
from edge_tdn.config.key_types import config_tables
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError

NO_CAMERA = {"name": "none", "source": "none"}


def load(path: Path, needs_camera: bool = True) -> Config:
    """Read a configuration file and those that it includes. Raises ConfigError.

    `needs_camera`: False for programs that need only the broker; a file without cameras then has one that is not used.
    """
    content, file = merged(read_parts(path))
    if not needs_camera:
        content.setdefault("camera", [NO_CAMERA])
    return _validated(content, file)


def parse(content: dict[str, Any], where: str) -> Config:
    """Return the configuration in parsed TOML. Raises ConfigError, whose message begins with `where`."""
    return _validated(content, ConfigFile(where))


def _validated(content: dict[str, Any], file: ConfigFile) -> Config:
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        faults = [dict(fault) for fault in error.errors()]
        # a camera with an error is not also a missing camera
        reported = [fault for fault in faults if not (fault["type"] == "too_short" and fault["input"])]
        raise ConfigError("\n".join(_describe(file, fault) for fault in reported)) from error
    config.remember(file)
    return config


def _describe(file: ConfigFile, fault: dict[str, Any]) -> str:
    if fault["type"] == "extra_forbidden":
        return file.unknown_key(fault["loc"], config_tables())
    return file.rejected(fault)
