"""Reading a configuration file. An error names file, line, key, value and what is allowed; all errors at once."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from edge_tdn.config.fault import ConfigFile
from edge_tdn.config.tables import Config
from edge_tdn.errors import ConfigError
from edge_tdn.text_file import decode

EVERY_KEY = "`edge-tdn reference` prints every key"


def load(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError."""
    try:
        text = decode(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: {error.strerror}; name yours with --config, and {EVERY_KEY}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: invalid TOML: {error}") from error
    return parse(content, str(path), text)


def parse(content: dict[str, Any], where: str, text: str = "") -> Config:
    """Return the configuration in parsed TOML. Raises ConfigError, with the line numbers of `text` if it is given."""
    file = ConfigFile(where, text)
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


def config_tables() -> dict[str, dict[str, str]]:
    """Return the tables of the configuration by name, "" for the top of the file, each with its keys described."""
    return dict(_tables("", Config))


def _tables(name: str, table: type[BaseModel]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a table and all tables in it: the name, and the keys with their descriptions."""
    yield name, {key: field.description or "" for key, field in table.model_fields.items()}
    for key, field in table.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _tables(f"{name}.{key}".lstrip("."), kind)
