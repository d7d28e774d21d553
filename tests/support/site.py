"""Configuration files of test sites."""

from pathlib import Path

import pytest

from edge_tdn.config.load import load
from edge_tdn.errors import ConfigError


def write_site(folder: Path, url: str, *cameras: str, extra: str = "", host: str = "test") -> Path:
    """Write site.toml and return its path.

    `url` is the broker's, each of `cameras` the body of one [[camera]] table, `extra` further tables (or, before them,
    further keys of [broker]). Scores are published, and the outbox is beside the file.
    """
    tables = "".join(f"[[camera]]\n{camera}\n" for camera in cameras)
    broker = f'[broker]\nurl = "{url}"\nscores = true\n{extra}'
    return write_text(folder, f'host = "{host}"\n{broker}\n[outbox]\nfolder = "outbox"\n{tables}')


def write_camera(folder: Path, keys: str) -> Path:
    """Write a site.toml of nothing but one camera, and return its path. `keys`: TOML, from the third line on."""
    return write_text(folder, f'[[camera]]\nname = "a"\n{keys}')


def write_text(folder: Path, text: str) -> Path:
    """Write a site.toml of this text, and return its path."""
    path = folder / "site.toml"
    path.write_text(text)
    return path


def error_of(folder: Path, text: str) -> str:
    """Return the message with which a site.toml of this text is refused."""
    with pytest.raises(ConfigError) as raised:
        load(write_text(folder, text))
    return str(raised.value)
