"""The tables and types that belong to the keys of a configuration."""

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from edge_tdn.config.fault import Keys
from edge_tdn.config.tables import Config

NUMBERS = (bool, int, float)


def is_number(keys: Keys) -> bool:
    """Return whether the value at `keys` is a number, true or false: not a text, list or table."""
    table = dict(_tables("", Config)).get(".".join(key for key in keys[:-1] if isinstance(key, str)))
    field = table.model_fields.get(str(keys[-1])) if table else None
    types = _all_types(field.annotation) if field else ()
    return any(one in NUMBERS or type(one) in NUMBERS for one in types)  # a Literal's arguments are its values


def _all_types(annotation: object) -> Iterator[object]:
    """Yield a type and all types in it."""
    yield annotation
    for part in get_args(annotation):
        yield from _all_types(part)


def config_tables() -> dict[str, dict[str, str]]:
    """Return the tables of the configuration by name, "" for the top of the file, each with its keys described."""
    return {
        name: {key: field.description or "" for key, field in table.model_fields.items()}
        for name, table in _tables("", Config)
    }


def _tables(name: str, table: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield a table and all tables in it, each with its name."""
    yield name, table
    for key, field in table.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _tables(f"{name}.{key}".lstrip("."), kind)
